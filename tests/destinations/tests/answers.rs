//! Every answer that a destination can give, over a real connection, for each kind: what becomes of the lead, and that the
//! mail and the next lead have nothing to do with it.

#![expect(clippy::unwrap_used, reason = "all of this is tests")]

use jiff::{SignedDuration, Timestamp};
use marketplace_leads::destinations::memory::MemorySource;
use marketplace_leads::destinations::{Destination, Destinations, HttpPoster, Outgoing, PostError, Poster, Reach};
use marketplace_leads::lead::{Day, Lead, StoredLead};
use marketplace_leads::mail::Language;
use marketplace_leads::mail::memory::MemoryMailer;
use marketplace_leads::notify::{Command, Notifier, Outcome};
use marketplace_leads::secret::Secret;
use marketplace_leads::settings::NotifierSettings;
use marketplace_leads::table::Table as _;
use marketplace_leads::table::memory::MemoryTable;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What a server does with each request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// Answers with this status and these headers.
    Status(u16, &'static str),
    /// Accepts, and sends a body that never ends.
    Endless,
    /// Accepts, and sends less of a body than it said.
    CutBody,
    /// Accepts, and sends its body never.
    NoBody,
    /// Sends what is no HTTP.
    Garbage,
    /// Closes the connection in the middle of the headers.
    Cut,
    /// Says nothing.
    Silent,
    /// Accepts no connection.
    Refused,
}

/// A server on this machine whose answers change.
struct Server {
    address: String,
    answer: Arc<Mutex<Answer>>,
    bodies: Arc<Mutex<Vec<String>>>,
    /// How many bytes of an endless body it got rid of.
    written: Arc<AtomicUsize>,
    /// Whether anybody asked for the place that its redirects name.
    is_followed: Arc<AtomicBool>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            answer: Arc::new(Mutex::new(Answer::Status(200, ""))),
            bodies: Arc::default(),
            written: Arc::default(),
            is_followed: Arc::default(),
        };
        let (answer, bodies) = (server.answer.clone(), server.bodies.clone());
        let (written, is_followed) = (server.written.clone(), server.is_followed.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, bodies) = (answer.clone(), bodies.clone());
                let (written, is_followed) = (written.clone(), is_followed.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &answer, &bodies, &written, &is_followed).await;
                });
            }
        });
        server
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn url(&self) -> String {
        match *self.answer.lock().unwrap() {
            // Nobody listens there.
            Answer::Refused => "http://127.0.0.1:9/hook?sig=hidden".to_owned(),
            _ => format!("{}/hook?sig=hidden", self.address),
        }
    }

    fn destination(&self, kind: &str) -> Value {
        match kind {
            "webhook" => json!({"kind": kind, "url": self.url(), "secrets": [KEY],
                                "header": {"name": "X-Api-Key", "value": "hidden-key"}}),
            _ => json!({"kind": kind, "url": self.url()}),
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &Mutex<Answer>,
    bodies: &Mutex<Vec<String>>,
    written: &AtomicUsize,
    is_followed: &AtomicBool,
) -> std::io::Result<()> {
    loop {
        let Some((head, body)) = request(&mut stream).await? else { return Ok(()) };
        is_followed.fetch_or(head.contains("/elsewhere"), Ordering::Relaxed);
        let now = *answer.lock().unwrap();
        match now {
            Answer::Status(status, headers) => {
                if (200..300).contains(&status) {
                    bodies.lock().unwrap().push(body);
                }
                let text = format!("HTTP/1.1 {status} x\r\n{headers}content-length: 2\r\n\r\nok");
                stream.write_all(text.as_bytes()).await?;
            }
            Answer::Endless => {
                bodies.lock().unwrap().push(body);
                stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 99999999999\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 16_384]).await?;
                    written.fetch_add(16_384, Ordering::Relaxed);
                }
            }
            Answer::CutBody => {
                bodies.lock().unwrap().push(body);
                return stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\nok").await;
            }
            Answer::NoBody => {
                bodies.lock().unwrap().push(body);
                stream.write_all(b"HTTP/1.1 202 x\r\ncontent-length: 100\r\n\r\n").await?;
            }
            Answer::Garbage => return stream.write_all(b"\x16\x03\x01 no HTTP at all\r\n\r\n").await,
            Answer::Cut => return stream.write_all(b"HTTP/1.1 200 x\r\ncontent-le").await,
            Answer::Silent | Answer::Refused => {}
        }
    }
}

/// The next request of a connection: its head, and its body.
async fn request(stream: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut length = head.lines().filter_map(|line| line.split_once(": "));
            let length = length.rfind(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Ok(Some((head, String::from_utf8_lossy(&bytes[end + 4..]).into_owned())));
            }
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// What a failure is for the sender.
fn class(sent: &Result<(), PostError>) -> String {
    match sent {
        Ok(()) => "accepted".to_owned(),
        Err(PostError::Message { .. }) => "message".to_owned(),
        Err(PostError::Destination { .. }) => "destination".to_owned(),
        Err(PostError::Busy { retry_after, .. }) => format!("busy {}", retry_after.map_or(0, |wait| wait.as_secs())),
        Err(PostError::Unavailable { may_be_accepted, .. }) => {
            (if *may_be_accepted { "maybe accepted" } else { "not reached" }).to_owned()
        }
    }
}

const ANSWERS: [(Answer, &str); 25] = [
    (Answer::Status(200, ""), "accepted"),
    (Answer::Status(202, ""), "accepted"),
    (Answer::Status(204, ""), "accepted"),
    (Answer::Status(301, "location: /elsewhere\r\n"), "destination"),
    (Answer::Status(307, "location: /elsewhere\r\n"), "destination"),
    (Answer::Status(308, "location: http://169.254.169.254/elsewhere\r\n"), "destination"),
    (Answer::Status(400, ""), "message"),
    (Answer::Status(401, ""), "destination"),
    (Answer::Status(403, ""), "destination"),
    (Answer::Status(404, ""), "destination"),
    (Answer::Status(410, ""), "destination"),
    (Answer::Status(413, ""), "message"),
    (Answer::Status(429, ""), "busy 0"),
    (Answer::Status(429, "retry-after: 7200\r\n"), "busy 7200"),
    (Answer::Status(429, "retry-after: Thu, 25 Nov 2100 10:00:00 GMT\r\n"), "busy 21600"),
    (Answer::Status(500, ""), "maybe accepted"),
    (Answer::Status(502, ""), "maybe accepted"),
    (Answer::Status(503, "retry-after: 60\r\n"), "busy 60"),
    (Answer::Endless, "accepted"),
    (Answer::CutBody, "accepted"),
    (Answer::NoBody, "accepted"),
    (Answer::Garbage, "maybe accepted"),
    (Answer::Cut, "maybe accepted"),
    (Answer::Silent, "maybe accepted"),
    (Answer::Refused, "not reached"),
];

const KINDS: [&str; 3] = ["webhook", "teams", "slack"];

/// A client that gives up soon where the answer is silence.
#[derive(Clone)]
struct Impatient(HttpPoster, Arc<Mutex<Answer>>);

impl Poster for Impatient {
    fn post<'a>(
        &'a self,
        post: &'a marketplace_leads::destinations::Post,
        limit: Duration,
    ) -> futures::future::BoxFuture<'a, Result<(), PostError>> {
        let is_silent = *self.1.lock().unwrap() == Answer::Silent;
        self.0.post(post, if is_silent { Duration::from_millis(200) } else { limit })
    }
}

#[tokio::test]
async fn each_answer_of_each_kind_has_its_meaning_and_shows_no_secret() {
    side_by_side(|answer, expected, kind| async move {
        let server = Server::start().await;
        server.answers(answer);
        let text = Secret::new(server.destination(kind).to_string());
        let destination = Destination::parse(&text, Reach::PublicAndLoopback).unwrap();
        let poster = Impatient(HttpPoster::new(Reach::PublicAndLoopback), server.answer.clone());
        let message = Outgoing { id: "lead_1".to_owned(), body: json!({"a": "hidden-body"}).to_string() };
        let post = destination.post(&message, Timestamp::now());
        let sent = poster.post(&post, Duration::from_secs(20)).await;
        assert_eq!(class(&sent), expected, "{answer:?} {kind}: {sent:?}");
        let shown = format!("{sent:?} {post:?} {message:?} {destination:?}");
        assert!(!shown.contains("hidden") && !shown.contains("127.0.0.1"), "{shown}");
        assert!(!server.is_followed.load(Ordering::Relaxed), "{answer:?}: no redirect is followed");
        // What the sockets of both ends hold, and not more.
        assert!(server.written.load(Ordering::Relaxed) < 32 << 20, "a huge answer is not read to its end");
    })
    .await;
}

#[tokio::test]
async fn each_answer_of_each_kind_loses_no_lead_and_delays_no_mail() {
    side_by_side(|answer, expected, kind| async move {
        let world = World::new(kind, answer).await;
        world.run().await;
        world.arrive("ann").await;
        assert_eq!(world.run().await, Outcome::Complete, "{answer:?} {kind}");
        assert_eq!(world.mails_with("ann@"), 1, "{answer:?} {kind}: the mail goes out in the same run");
        let outbox = world.execute(json!({"command": "outbox"})).await;
        let (waiting, parked) =
            (outbox["channels"].as_array().unwrap().len(), outbox["parked"].as_array().unwrap().len());
        let wanted = match expected {
            "accepted" => (0, 0),
            "message" => (0, 1),
            _ => (1, 0),
        };
        assert_eq!((waiting, parked), wanted, "{answer:?} {kind}: {outbox}");
        assert!(!outbox.to_string().contains("hidden"), "{outbox}");
        // It works again: the next lead comes through, and what waited.
        world.server.answers(Answer::Status(200, ""));
        world.source.set("crm", Some(&world.server.destination(kind).to_string()));
        world.arrive("bob").await;
        for _ in 0..12 {
            world.advance(SignedDuration::from_mins(45));
            world.run().await;
        }
        world.execute(json!({"command": "retry"})).await;
        world.run().await;
        let bodies = world.server.bodies.lock().unwrap().join("\n");
        assert!(bodies.contains("ann@") && bodies.contains("bob@"), "{answer:?} {kind}");
        assert_eq!(world.mails_with("ann@"), 1);
        let maybe = if kind == "webhook" { "\"maybe_repeated\":true" } else { "may be a repeat" };
        // A proxy answers 503, too, where it lost the destination's answer.
        let may_be_accepted = expected == "maybe accepted" || matches!(answer, Answer::Status(503, _));
        assert_eq!(bodies.contains(maybe), may_be_accepted, "{answer:?} {kind}");
    })
    .await;
}

/// Calls a function with each answer, its meaning and each kind.
async fn side_by_side<F: Future<Output = ()>>(test: impl Fn(Answer, &'static str, &'static str) -> F) {
    let all = ANSWERS.iter().flat_map(|(answer, expected)| KINDS.map(|kind| test(*answer, expected, kind)));
    futures::future::join_all(all).await;
}

/// Runs a test of this file again, in a process whose environment names a proxy that is not there.
#[test]
fn a_proxy_of_the_environment_is_not_used() {
    let proxy = "http://127.0.0.1:9";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "each_answer_of_each_kind_has_its_meaning_and_shows_no_secret"])
        .envs(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"].map(|name| (name, proxy)))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn without_the_setting_for_tests_this_machine_is_not_reached() {
    let server = Server::start().await;
    let text = Secret::new(server.destination("slack").to_string());
    assert!(Destination::parse(&text, Reach::Public).is_err());
    // A destination that was read under the other setting is refused again where it is sent to.
    let destination = Destination::parse(&text, Reach::PublicAndLoopback).unwrap();
    let message = Outgoing { id: "lead_1".to_owned(), body: "{}".to_owned() };
    let post = destination.post(&message, Timestamp::now());
    let sent = HttpPoster::new(Reach::Public).post(&post, Duration::from_secs(20)).await;
    assert_eq!((class(&sent).as_str(), server.bodies.lock().unwrap().len()), ("destination", 0));
    // A name that leads there is refused where it is resolved.
    let text = Secret::new(json!({"kind": "slack", "url": "https://localhost./x"}).to_string());
    let destination = Destination::parse(&text, Reach::PublicAndLoopback).unwrap();
    let post = destination.post(&message, Timestamp::now());
    let sent = HttpPoster::new(Reach::Public).post(&post, Duration::from_secs(20)).await;
    assert_eq!(class(&sent), "destination");
}

/// The notifier with tables and mails in memory, and a destination on this machine.
struct World {
    server: Server,
    source: MemorySource,
    mailer: MemoryMailer,
    leads: MemoryTable,
    now: Arc<Mutex<Timestamp>>,
    notifier: Notifier<MemoryTable, MemoryMailer>,
}

impl World {
    async fn new(kind: &str, answer: Answer) -> Self {
        let server = Server::start().await;
        server.answers(answer);
        let (source, mailer) = (MemorySource::default(), MemoryMailer::new());
        source.set("crm", Some(&server.destination(kind).to_string()));
        let poster = Impatient(HttpPoster::new(Reach::PublicAndLoopback), server.answer.clone());
        let destinations = Destinations::new(Arc::new(source.clone()), Arc::new(poster), Reach::PublicAndLoopback);
        let (leads, state) = (MemoryTable::new(), MemoryTable::new());
        let now: Arc<Mutex<Timestamp>> = Arc::new(Mutex::new("2026-11-03T14:00:00Z".parse().unwrap()));
        let settings = [
            ("LEADS_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true"),
            ("LEADS_MAIL_FROM", "leads@contoso.example"),
            ("LEADS_MAIL_TO", "sales@contoso.example"),
            ("LEADS_ROUTES", r#"[{"id":"all","to":["crm","ops@contoso.example"],"cadence":"immediately"}]"#),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let clock = now.clone();
        let notifier = Notifier {
            leads: leads.clone(),
            state,
            mailer: mailer.clone(),
            destinations,
            settings: NotifierSettings::from_pairs(settings).unwrap(),
            language: Language::find("en").unwrap(),
            clock: Arc::new(move || *clock.lock().unwrap()),
            chance: Arc::new(|| 7),
            requests: Arc::new(|| 0),
            idle_runs: Arc::default(),
        };
        let world = Self { server, source, mailer, leads, now, notifier };
        world.advance(SignedDuration::ZERO);
        world
    }

    fn advance(&self, by: SignedDuration) {
        let mut now = self.now.lock().unwrap();
        *now += by;
        self.notifier.leads.set_now(*now);
        self.notifier.state.set_now(*now);
    }

    async fn arrive(&self, name: &str) {
        let json = json!({"UserDetails": {"FirstName": name, "Email": format!("{name}@fabrikam.example")},
                          "LeadSource": "AzureMarketplace-INS|contoso.vm", "ActionCode": "INS", "OfferTitle": "VM"});
        let now = *self.now.lock().unwrap();
        let stored = StoredLead::received(Lead::from_json(json.to_string().as_bytes()).unwrap(), now);
        assert_eq!(stored.keys.partition, Day::of(now).partition_key());
        self.leads.insert(&stored.to_entity()).await.unwrap();
    }

    async fn run(&self) -> Outcome {
        let deadline = *self.now.lock().unwrap() + SignedDuration::from_mins(5);
        let outcome = self.notifier.run("run", deadline).await.unwrap().outcome;
        self.advance(SignedDuration::from_secs(1));
        outcome
    }

    async fn execute(&self, event: Value) -> Value {
        let deadline = *self.now.lock().unwrap() + SignedDuration::from_mins(5);
        self.notifier.execute(Command::parse(&event).unwrap(), "command", deadline).await.unwrap()
    }

    fn mails_with(&self, text: &str) -> usize {
        self.mailer.accepted().iter().filter(|mail| mail.text.contains(text)).count()
    }
}
