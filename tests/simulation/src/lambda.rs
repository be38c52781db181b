//! Lambda: invocations of our functions, each a future that the driver polls by itself.

use crate::breakage::Breakage;
use crate::desk::{Desk, SimClock};
use crate::export::{Received, Wanted};
use crate::leads::address;
use crate::mail::SimMailer;
use crate::queue::{QueueMessage, SimQueue};
use crate::receivers::SimReceivers;
use crate::senders::Post;
use crate::table::SimTable;
use crate::world::World;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::task::AtomicWaker;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::clock::Chance;
use marketplace_leads::destinations::{Destinations, Reach};
use marketplace_leads::function_url::{self, Body};
use marketplace_leads::intake::Intake;
use marketplace_leads::mail::Language;
use marketplace_leads::notify::{Command, Notifier};
use marketplace_leads::redelivery::Redelivery;
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Within which time intake answers, as it is deployed.
pub(crate) const BUDGET: SignedDuration = SignedDuration::from_secs(5);

/// How much of redelivery's time is left for its answer.
const FOR_THE_ANSWER: SignedDuration = SignedDuration::from_secs(2);

/// The time-out of intake, as it is deployed.
const TIMEOUT_OF_INTAKE: SignedDuration = SignedDuration::from_secs(25);

/// What a function is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// The notifier runs.
    Run,
    /// The operator pauses it.
    Pause,
    /// The operator lets it go on.
    Resume,
    /// The operator gives another command, by its name.
    Command(&'static str),
    /// The operator erases a person, from where an earlier call ended.
    Erase {
        /// Which of those who come again.
        person: u32,
        /// Where it goes on.
        after: Option<String>,
    },
    /// The operator has leads mailed again that were written in a time.
    Backfill {
        /// From when.
        since: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// Redelivery gets messages of the queue.
    Redeliver(Vec<QueueMessage>),
    /// A sender posts a body.
    Intake {
        /// What is sent.
        post: Post,
        /// With which key.
        key: String,
    },
    /// Somebody asks for an export.
    Export(Wanted),
}

impl Task {
    /// The time-out of the function that does it, as it is deployed.
    pub(crate) fn timeout(&self) -> SignedDuration {
        SignedDuration::from_secs(match self {
            Self::Intake { .. } => return TIMEOUT_OF_INTAKE,
            Self::Redeliver(_) => 20,
            Self::Export(_) => 900,
            _ => 300,
        })
    }

    /// How long one call on a table may take at most in the function that does it, all its retries included.
    pub(crate) fn table_call(&self) -> SignedDuration {
        SignedDuration::from_secs(match self {
            Self::Intake { .. } => 5,
            Self::Redeliver(_) => 9,
            _ => 10,
        })
    }
}

/// An invocation that waits for Lambda to begin it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its id: the same for each attempt.
    pub(crate) id: String,
    /// What is asked.
    pub(crate) task: Task,
    /// Which attempt it is, from 1.
    pub(crate) attempt: u32,
    /// Whether the attempt before was killed.
    pub(crate) was_killed: bool,
}

/// How an invocation ended by itself.
type Answer = Result<String, String>;

/// An invocation under way.
pub(crate) struct Invocation {
    /// Which one of the world it is.
    pub(crate) number: u64,
    /// What was asked.
    pub(crate) request: Request,
    /// Where its calls wait.
    pub(crate) desk: Desk,
    /// Until when it is frozen.
    pub(crate) frozen_until: Option<Timestamp>,
    /// Whether it ever was, so that it is not to blame for being late.
    pub(crate) was_frozen: bool,
    /// Whether it is killed as soon as the service has acted.
    pub(crate) is_doomed: bool,
    /// Whether it is on the calendar to be polled again.
    pub(crate) is_nudged: bool,
    /// Mails that were accepted from it.
    pub(crate) mails: u64,
    /// When it began.
    pub(crate) began: Timestamp,
    /// For an export: what has arrived of it.
    pub(crate) received: Received,
    future: Pin<Box<dyn Future<Output = Answer>>>,
    flag: Arc<Flag>,
}

impl Request {
    /// The first attempt.
    pub(crate) fn new(id: impl Into<String>, task: Task) -> Self {
        Self { id: id.into(), task, attempt: 1, was_killed: false }
    }
}

/// How far an invocation got.
pub(crate) enum Progress {
    /// It waits for a service, or for time to pass.
    Waits,
    /// It ended.
    Ended(Answer),
    /// It panicked.
    Panicked(String),
}

/// Says whether an invocation was woken, and wakes the driver.
pub(crate) struct Flag {
    is_woken: AtomicBool,
    driver: Arc<AtomicWaker>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.driver.wake();
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of invocations are caught: they are said in the violation, not on the terminal.
pub(crate) fn catch_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_ours = POLLING.with(|polling| *polling.borrow());
            if is_ours {
                PANIC.with(|message| *message.borrow_mut() = Some(panic.to_string()));
            } else {
                before(panic);
            }
        }));
    });
}

thread_local! {
    static POLLING: RefCell<bool> = const { RefCell::new(false) };
}

impl Invocation {
    /// Begins an invocation on the services of a world.
    pub(crate) fn begin(world: &World, mut request: Request, number: u64) -> Self {
        let desk = Desk::default();
        let broken = world.broken.for_invocation();
        let table = |service, which| SimTable { service, which, desk: desk.clone(), broken: broken.clone() };
        let leads = table(world.leads.clone(), crate::desk::Service::Leads);
        let state = table(world.state.clone(), crate::desk::Service::State);
        let mailer = SimMailer { service: world.mail.clone(), desk: desk.clone() };
        let flag = Arc::new(Flag { is_woken: AtomicBool::new(false), driver: world.driver.clone() });
        let now = world.clock.now();
        let deadline = now + request.task.timeout();
        let skew = world.config.our_skew;
        let (id, clock) = (request.id.clone(), world.clock);
        // Each number is drawn once in a world, and is the same in every life of it.
        let drawn = AtomicU64::new(number << 20);
        let chance: Chance = Arc::new(move || drawn.fetch_add(1, Ordering::SeqCst));
        let received = Received::default();
        let keys = world.keys.known();
        let future: Pin<Box<dyn Future<Output = Answer>>> = match request.task.clone() {
            Task::Redeliver(messages) => Box::pin(async move {
                let (redelivery, now) = (Redelivery { leads, state, keys, chance }, clock.now() + skew);
                let until = clock.instant(deadline - FOR_THE_ANSWER);
                // As `functions/lead-redelivery` does with the messages that it is given.
                let ids: Vec<_> = messages.iter().map(|message| message.id.to_string()).collect();
                let texts: Vec<_> =
                    ids.iter().zip(&messages).map(|(id, message)| (id.as_str(), message.body.as_str())).collect();
                let done = redelivery.redeliver_all(&texts, now, until).await;
                let done = ids.into_iter().zip(done).filter(|(_, is_done)| *is_done).map(|(id, _)| id);
                Ok(done.collect::<Vec<_>>().join(" "))
            }),
            Task::Intake { post, key } => {
                let queue = SimQueue { service: world.queue.clone(), desk: desk.clone(), clock };
                let is_slow = world.broken.breakage == Breakage::BudgetIgnored;
                Box::pin(async move {
                    let budget = if is_slow { TIMEOUT_OF_INTAKE } else { BUDGET }.unsigned_abs();
                    let intake = Intake { keys, leads, state, queue, chance, budget };
                    let (query, body) = (format!("code={key}"), BASE64_STANDARD.encode(&post.body));
                    let body = Body::Base64(&body);
                    let request = function_url::Request { method: "POST", path: "/leads", query: &query, body };
                    Ok(intake.answer(&request, &id, clock.now() + skew).await.status.to_string())
                })
            }
            Task::Export(wanted) => {
                // It reads ahead in a task of its own.
                desk.wake(Waker::from(flag.clone()));
                let into = received.clone();
                Box::pin(
                    async move { wanted.ask(leads, &id, clock.now() + skew, into).await.map(|()| "whole".to_owned()) },
                )
            }
            task => {
                let command = match task {
                    Task::Pause => Command::Pause,
                    Task::Resume => Command::Resume,
                    Task::Backfill { since, until } => {
                        command(&json!({"command": "backfill", "since": since.to_string(), "until": until.to_string()}))
                    }
                    Task::Command(name) => command(&json!({"command": name})),
                    Task::Erase { person, after } => {
                        let mut event = json!({"command": "erase", "address": address(person), "confirm": true});
                        if let Some(after) = after {
                            event["after"] = after.into();
                        }
                        command(&event)
                    }
                    _ => Command::Run,
                };
                let receivers = SimReceivers { service: world.receivers.clone(), desk: desk.clone(), clock };
                let services = SimServices { leads, state, mailer, receivers };
                let notifier = notifier(world, services, chance, clock, skew);
                Box::pin(async move {
                    let done = notifier.execute(command, &id, deadline + skew).await;
                    let outcome = |answer: Json| {
                        let said = answer.get("after").or(answer.get("outcome")).and_then(Json::as_str);
                        said.unwrap_or("done").to_owned()
                    };
                    done.map(outcome).map_err(|error| error.to_string())
                })
            }
        };
        if let Task::Export(wanted) = &mut request.task {
            wanted.begins(&world.leads);
        }
        Self {
            number,
            began: now,
            received,
            request,
            desk,
            frozen_until: None,
            was_frozen: false,
            is_doomed: false,
            is_nudged: false,
            mails: 0,
            future,
            flag,
        }
    }

    fn is_woken(&self) -> bool {
        self.flag.is_woken.load(Ordering::SeqCst)
    }

    /// Whether it is frozen now.
    pub(crate) fn is_frozen(&self, now: Timestamp) -> bool {
        self.frozen_until.is_some_and(|until| until > now)
    }

    /// Whether something that it waits for has happened since it was polled last, and it is not frozen.
    pub(crate) fn can_go_on(&self, now: Timestamp) -> bool {
        self.is_woken() && !self.is_frozen(now)
    }

    /// Lets it go on as far as it can.
    pub(crate) fn poll(&mut self) -> Progress {
        let waker = Waker::from(self.flag.clone());
        loop {
            self.flag.is_woken.store(false, Ordering::SeqCst);
            POLLING.with(|polling| *polling.borrow_mut() = true);
            let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(&mut Context::from_waker(&waker))));
            POLLING.with(|polling| *polling.borrow_mut() = false);
            // The code catches most of its own panics, and goes on. None should come.
            if let Some(message) = PANIC.with(|message| message.borrow_mut().take()) {
                return Progress::Panicked(message.replace('\n', " "));
            }
            match polled {
                Err(_) => return Progress::Panicked("without a message".to_owned()),
                Ok(Poll::Ready(answer)) => return Progress::Ended(answer),
                Ok(Poll::Pending) if self.is_woken() => {}
                Ok(Poll::Pending) => return Progress::Waits,
            }
        }
    }
}

/// A command as an operator writes it.
fn command(event: &Json) -> Command {
    Command::parse(event).expect("the event is right")
}

/// The services as one invocation sees them.
struct SimServices {
    leads: SimTable,
    state: SimTable,
    mailer: SimMailer,
    receivers: SimReceivers,
}

fn notifier(
    world: &World,
    services: SimServices,
    chance: Chance,
    clock: SimClock,
    skew: SignedDuration,
) -> Notifier<SimTable, SimMailer> {
    let mut settings = world.settings.clone();
    settings.schedule.overlap = world.broken.overlap(settings.schedule.overlap);
    let (broken, began) = (world.broken.clone(), clock.now());
    let (leads, state) = (world.leads.clone(), world.state.clone());
    Notifier {
        leads: services.leads,
        state: services.state,
        mailer: services.mailer,
        destinations: Destinations::new(
            Arc::new(services.receivers.clone()),
            Arc::new(services.receivers),
            Reach::Public,
        ),
        settings,
        language: Language::find("en").expect("English is there"),
        clock: Arc::new(move || broken.clock(began, clock.now()) + skew),
        chance,
        requests: Arc::new(move || leads.calls() + state.calls()),
        idle_runs: Arc::default(),
    }
}
