//! The simulated destinations beside mail: a webhook, a workflow of Microsoft Teams and a hook of Slack, and the parameters
//! that say where they are.

use crate::breakage::Breakage;
use crate::config::{Config, Permanent};
use crate::desk::{Desk, Kind, SimClock, Verdict};
use crate::desk::{Service, Service::Parameters, Service::Receiver};
use crate::leads::POISON;
use crate::routing::{RECEIVERS, receiver};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use marketplace_leads::address::DestinationName;
use marketplace_leads::aws::SecretError;
use marketplace_leads::destinations::{Post, PostError, Poster, Source, meaning};
use marketplace_leads::secret::Secret;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The largest body that a receiver of a kind takes, in bytes, as the kinds document it.
const MAX_BODIES: [usize; RECEIVERS as usize] = [20_000, 28 * 1024, 40_000];

/// The most blocks that a message to Slack may have.
const MAX_BLOCKS: usize = 50;

/// What a receiver answers for a while: a status and a header `Retry-After`, or no answer that means anything.
pub const MOODS: [(u16, Option<&str>); 15] = [
    (500, None),
    (401, None),
    (403, None),
    (404, None),
    (410, None),
    (301, None),
    (429, None),
    (429, Some("3600")),
    (503, None),
    (503, Some("600")),
    (502, None),
    (504, None),
    // What a client makes of an answer that is cut off, no HTTP, or endless: it may have been accepted.
    (599, None),
    // Every message is refused as if it were for what is in it.
    (400, None),
    (422, None),
];

/// What became of a destination's parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// It is as it should be.
    Right,
    /// It was deleted.
    Gone,
    /// Somebody wrote something into it that is no destination.
    Damaged,
}

/// A request that a receiver accepted.
#[derive(Debug, Clone)]
pub struct Received {
    /// Which receiver.
    pub receiver: u32,
    /// Its body.
    pub body: String,
}

/// The receivers and their parameters. Clones share them.
#[derive(Clone, Default)]
pub struct Receivers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    accepted: Vec<Received>,
    /// What must not have been sent.
    wrong: Vec<String>,
    /// The ids of the events that came, by what they are about.
    ids: BTreeMap<String, String>,
    moods: BTreeMap<u32, (u16, Option<&'static str>)>,
    parameters: BTreeMap<u32, Parameter>,
    dead: BTreeSet<u32>,
    /// The largest body that they take, where it is less than what their kinds take.
    most_bytes: Option<usize>,
    /// Whether they refuse what holds [`POISON`].
    is_choosy: bool,
    breakage: Breakage,
    refused: u64,
}

impl Receivers {
    /// Receivers of a new world. The first one can be dead: it answers that it is gone, for ever.
    pub fn new(config: &Config, breakage: Breakage) -> Self {
        let dead = (config.permanent == Permanent::DeadReceiver).then_some(0);
        let is_choosy = config.permanent == Permanent::PoisonedText;
        let most_bytes = config.most_bytes;
        let state = State { dead: dead.into_iter().collect(), most_bytes, is_choosy, breakage, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was accepted since this was asked last.
    pub fn accepted(&self) -> Vec<Received> {
        std::mem::take(&mut self.lock().accepted)
    }

    /// What came since this was asked last and must not have come so.
    pub fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().wrong)
    }

    /// How many requests were not accepted.
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// A receiver answers so from now on; `None` ends that.
    pub fn set_mood(&self, receiver: u32, mood: Option<(u16, Option<&'static str>)>) {
        match mood {
            Some(mood) => self.lock().moods.insert(receiver, mood),
            None => self.lock().moods.remove(&receiver),
        };
    }

    /// Something becomes of a destination's parameter.
    pub fn set_parameter(&self, receiver: u32, parameter: Parameter) {
        self.lock().parameters.insert(receiver, parameter);
    }

    /// All receivers but the dead one work again, and every parameter is right.
    pub fn recover(&self) {
        let mut state = self.lock();
        state.moods.clear();
        state.parameters.clear();
    }

    fn texts(&self, names: &[DestinationName]) -> HashMap<DestinationName, Secret> {
        let state = self.lock();
        let text = |name: &DestinationName| {
            let number = receiver(name.as_str())?;
            match state.parameters.get(&number) {
                Some(Parameter::Gone) => None,
                Some(Parameter::Damaged) => Some(Secret::new("https://hidden.example/no-json")),
                Some(Parameter::Right) | None => Some(Secret::new(text(number))),
            }
        };
        names.iter().filter_map(|name| Some((name.clone(), text(name)?))).collect()
    }

    fn act(&self, post: &Post, clock: SimClock) -> Result<(), PostError> {
        let mut state = self.lock();
        let number = (0..RECEIVERS).find(|number| post.url.expose().contains(&host(*number)));
        let Some(number) = number else {
            state.wrong.push("a request goes to an address that no parameter names".to_owned());
            return Ok(());
        };
        let limit = MAX_BODIES[number as usize];
        if post.body.len() > limit {
            state.wrong.push(format!("receiver {number} gets {} bytes and takes {limit}", post.body.len()));
        }
        if number == 0 {
            state.see_id(post, clock);
        }
        let json: serde_json::Value = serde_json::from_str(&post.body).unwrap_or_default();
        if json["blocks"].as_array().is_some_and(|blocks| blocks.len() > MAX_BLOCKS) {
            state.wrong.push(format!("receiver {number} gets more than {MAX_BLOCKS} blocks"));
        }
        let (status, retry_after) = match state.moods.get(&number) {
            _ if state.dead.contains(&number) => (410, None),
            Some(mood) => *mood,
            None if state.most_bytes.is_some_and(|most| post.body.len() > most) => (413, None),
            None if state.is_choosy && post.body.contains(POISON) => (400, None),
            None => (200, None),
        };
        let meant = meaning(status, retry_after, clock.now());
        match &meant {
            // An answer like these says nothing about what was accepted.
            Ok(()) | Err(PostError::Unavailable { .. }) if status == 200 || status % 2 == 0 => {
                state.accepted.push(Received { receiver: number, body: post.body.clone() });
            }
            _ => {}
        }
        state.refused += u64::from(meant.is_err());
        meant
    }
}

impl State {
    /// An event about the same thing has the same id, however often it is sent.
    fn see_id(&mut self, post: &Post, clock: SimClock) {
        let header = |name: &str| post.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.expose());
        let mut id = header("webhook-id").unwrap_or_default().to_owned();
        if self.breakage == Breakage::EventIdChanges {
            id = format!("{id}-{}", clock.now().as_second());
        }
        let json: serde_json::Value = serde_json::from_str(&post.body).unwrap_or_default();
        let key = |name: &str| {
            let data = &json["data"];
            data[name].as_str().or(data["lead"][name].as_str()).unwrap_or_default().to_owned()
        };
        let about = format!("{} {} {}", json["type"], key("partition_key"), key("row_key"));
        if id.is_empty() || header("webhook-signature").is_none() {
            self.wrong.push("an event without an id or a signature".to_owned());
        }
        if self.ids.entry(about).or_insert_with(|| id.clone()) != &id {
            self.wrong.push("an event that is sent again has another id".to_owned());
        }
    }
}

fn host(number: u32) -> String {
    format!("receiver-{number}.example")
}

/// The parameter of a destination.
fn text(number: u32) -> String {
    let url = format!("https://{}/hidden", host(number));
    match number {
        0 => format!(r#"{{"kind":"webhook","url":"{url}","secrets":["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]}}"#),
        1 => format!(r#"{{"kind":"teams","url":"{url}"}}"#),
        _ => format!(r#"{{"kind":"slack","url":"{url}"}}"#),
    }
}

/// The receivers as one invocation sees them.
#[derive(Clone)]
pub(crate) struct SimReceivers {
    /// The receivers.
    pub(crate) service: Receivers,
    /// Where requests wait.
    pub(crate) desk: Desk,
    /// The clock of the receivers.
    pub(crate) clock: SimClock,
}

impl SimReceivers {
    async fn verdict(&self, service: Service, kind: Kind, what: &Arc<str>, has_acted: bool) -> Verdict {
        self.desk.verdict((service, kind), Location::caller(), what.clone(), has_acted).await
    }
}

impl Source for SimReceivers {
    fn read<'a>(
        &'a self,
        names: &'a [DestinationName],
    ) -> BoxFuture<'a, Result<HashMap<DestinationName, Secret>, SecretError>> {
        async move {
            let what: Arc<str> = format!("read {} destinations", names.len()).into();
            let failed = |code: &str| Err(SecretError::Failed { variables: Vec::new(), code: code.to_owned() });
            match self.verdict(Parameters, Kind::Read, &what, false).await {
                Verdict::Act | Verdict::ShortPage(_) => Ok(self.service.texts(names)),
                Verdict::FailBefore | Verdict::FailAfter => failed("InternalServerError"),
                Verdict::Throttle => failed("ThrottlingException"),
                Verdict::ActAndWait => {
                    let texts = self.service.texts(names);
                    self.verdict(Parameters, Kind::Read, &what, true).await;
                    Ok(texts)
                }
            }
        }
        .boxed()
    }
}

impl Poster for SimReceivers {
    fn post<'a>(&'a self, post: &'a Post, _: Duration) -> BoxFuture<'a, Result<(), PostError>> {
        async move {
            let what: Arc<str> = format!("post {} bytes", post.body.len()).into();
            let act = || self.service.act(post, self.clock);
            let unavailable =
                |may_be_accepted| PostError::Unavailable { code: "simulated".to_owned(), may_be_accepted };
            match self.verdict(Receiver, Kind::Post, &what, false).await {
                Verdict::Act | Verdict::ShortPage(_) => act(),
                Verdict::FailBefore => Err(unavailable(false)),
                Verdict::FailAfter => act().and(Err(unavailable(true))),
                Verdict::Throttle => meaning(429, None, self.clock.now()),
                Verdict::ActAndWait => {
                    let done = act();
                    self.verdict(Receiver, Kind::Post, &what, true).await;
                    done
                }
            }
        }
        .boxed()
    }
}
