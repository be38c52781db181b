//! The function's own binary, between Lambda's Runtime API, a strict table service, and stubs of SSM and SQS: whatever is
//! missing at its start, it starts, and no lead is lost.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::pending;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::runtime_api::{RuntimeApi, What};
use support::strict_table::{Settings, StrictTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

const KEY: &str = "valid-key.0123456789";
const STORAGE: &str = "/leads/storage";
const KEYS: &str = "/leads/keys";
const LEADS: &str = "Leads";
const STATE: &str = "State";

/// How SSM behaves.
#[derive(Clone, Copy, PartialEq)]
enum Ssm {
    Gives,
    Refuses,
    Hangs,
    /// Gives the parameters once somebody has connected to the table.
    WaitsForTheTable,
}

/// SSM and SQS.
#[derive(Clone)]
struct Aws {
    ssm: Arc<Mutex<Ssm>>,
    parameters: Arc<Mutex<BTreeMap<&'static str, String>>>,
    takes_messages: bool,
    messages: Arc<Mutex<Vec<String>>>,
    /// Those to the table, where a [`Tap`] counts them.
    connections: Arc<AtomicUsize>,
}

async fn aws(State(aws): State<Aws>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let refused = (StatusCode::BAD_REQUEST, json!({"__type": "AccessDeniedException"}).to_string());
    if headers["x-amz-target"].as_bytes().ends_with(b"GetParameters") {
        let ssm = *aws.ssm.lock().unwrap();
        match ssm {
            Ssm::Gives => {}
            Ssm::Refuses => return refused,
            Ssm::Hangs => return pending().await,
            Ssm::WaitsForTheTable => {
                while aws.connections.load(Ordering::SeqCst) == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        let known = aws.parameters.lock().unwrap().clone();
        let asked = request["Names"].as_array().unwrap();
        let found = known.iter().filter(|(name, _)| asked.iter().any(|asked| asked == *name));
        let parameters: Vec<_> = found.map(|(name, value)| json!({"Name": name, "Value": value})).collect();
        return (StatusCode::OK, json!({ "Parameters": parameters }).to_string());
    }
    if !aws.takes_messages {
        return refused;
    }
    aws.messages.lock().unwrap().push(request["MessageBody"].as_str().unwrap().to_owned());
    (StatusCode::OK, json!({"MessageId": "m", "MD5OfMessageBody": ""}).to_string())
}

/// The function and all that it works with.
struct World {
    table: StrictTable,
    aws: Aws,
    address: String,
}

impl World {
    async fn new(ssm: Ssm, takes_messages: bool) -> Self {
        let table = StrictTable::start(Settings::default()).unwrap();
        table.create(LEADS).unwrap();
        table.create(STATE).unwrap();
        let parameters = BTreeMap::from([(STORAGE, table.connection_string()), (KEYS, KEY.to_owned())]);
        let stub = Aws {
            ssm: Arc::new(Mutex::new(ssm)),
            parameters: Arc::new(Mutex::new(parameters)),
            takes_messages,
            messages: Arc::default(),
            connections: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(aws)).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { table, aws: stub, address }
    }

    fn set(&self, name: &'static str, value: Option<&str>) {
        let mut parameters = self.aws.parameters.lock().unwrap();
        match value {
            Some(value) => drop(parameters.insert(name, value.to_owned())),
            None => drop(parameters.remove(name)),
        }
    }

    /// Starts the function, with other settings in place of some.
    async fn start(&self, changed: &[(&str, &str)]) -> Function {
        let api = RuntimeApi::start("leads-lead-intake").await.unwrap();
        let queue = format!("{}/000000000000/queue", self.address);
        let mut settings = BTreeMap::from([
            ("AWS_LAMBDA_RUNTIME_API", api.address()),
            ("AWS_LAMBDA_FUNCTION_NAME", "leads-lead-intake"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", &self.address),
            ("LEADS_STORAGE_CONNECTION_STRING_PARAMETER", STORAGE),
            ("LEADS_INTAKE_KEYS_PARAMETER", KEYS),
            ("LEADS_QUEUE_URL", &queue),
            ("LEADS_TABLE", LEADS),
            ("LEADS_STATE_TABLE", STATE),
        ]);
        settings.extend(changed.iter().copied());
        let process = Command::new(env!("CARGO_BIN_EXE_lead-intake"))
            .envs(settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Function { process, api }
    }

    fn messages(&self) -> Vec<String> {
        self.aws.messages.lock().unwrap().clone()
    }
}

/// Passes bytes on to the table, and keeps what comes from the function.
struct Tap {
    port: u16,
    sent: Arc<Mutex<String>>,
}

impl Tap {
    async fn start(world: &World) -> Self {
        let (table, connections) = (world.table.port(), world.aws.connections.clone());
        let sent: Arc<Mutex<String>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = sent.clone();
        tokio::spawn(async move {
            while let Ok((function, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let sent = shared.clone();
                let service = TcpStream::connect(("127.0.0.1", table)).await.unwrap();
                let ((mut from, mut back), (mut answers, mut to)) = (function.into_split(), service.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(count @ 1..) = from.read(&mut buffer).await {
                        sent.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
                        to.write_all(&buffer[..count]).await.unwrap();
                    }
                });
            }
        });
        Self { port, sent }
    }
}

/// A place that answers each connection's request so, and goes on with zeros if it is asked to.
async fn other_place(answer: &'static str, is_endless: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = connection.read(&mut [0; 1024]).await;
                let _ = connection.write_all(answer.as_bytes()).await;
                while is_endless && connection.write_all(&[b'0'; 1024]).await.is_ok() {}
                pending::<()>().await;
            });
        }
    });
    port
}

struct Function {
    process: Child,
    api: RuntimeApi,
}

impl Function {
    /// POSTs a lead: the answer's status and headers.
    async fn post(&mut self, key: &str) -> (u64, Value) {
        let event = json!({
            "rawPath": "/leads", "rawQueryString": format!("code={key}"), "isBase64Encoded": false,
            "requestContext": {"http": {"method": "POST"}},
            "body": r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"AzureMarketplace"}"#,
        });
        self.api.hand_over("request-1", &event.to_string());
        let mut bytes = Vec::new();
        loop {
            let happening = tokio::time::timeout(Duration::from_secs(60), self.api.happening()).await.unwrap();
            match happening.unwrap().what {
                What::Asks | What::Answers(_) => {}
                What::Sends(more) => bytes.extend(more),
                What::Ends => break,
                other => panic!("{other:?}"),
            }
        }
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        (answer["statusCode"].as_u64().unwrap(), answer["headers"].clone())
    }

    /// Ends the process: all that it wrote.
    async fn logs(mut self) -> String {
        self.process.start_kill().unwrap();
        let mut logs = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut logs).await.unwrap();
        logs
    }
}

#[tokio::test]
async fn intake_starts_and_queues_leads_whatever_is_wrong_with_the_storage() {
    for (storage, settings) in [
        (Some("no connection string"), &[][..]),
        (Some("AccountName=hidden;AccountKey=?"), &[]),
        (None, &[]),
        (Some(""), &[("LEADS_TABLE", "?"), ("LEADS_INTAKE_BUDGET_MS", "1")]),
    ] {
        let world = World::new(Ssm::Gives, true).await;
        world.set(STORAGE, storage);
        let mut function = world.start(settings).await;
        assert_eq!(function.post(KEY).await.0, 202, "{storage:?}");
        assert_eq!(function.post("wrong-key.0123456789").await.0, 401, "{storage:?}: the keys are known");
        let messages = world.messages();
        assert!(messages.len() == 1 && !messages[0].contains(r#""key""#), "{messages:?}");
        let logs = function.logs().await;
        assert!(logs.contains(r#""outcome":"queued""#) && !logs.contains("hidden"), "{logs}");
    }
}

#[tokio::test]
async fn intake_starts_without_any_secret_and_goes_on_once_there_are_some() {
    for ssm in [Ssm::Refuses, Ssm::Hangs] {
        let world = World::new(ssm, true).await;
        let mut function = world.start(&[]).await;
        assert_eq!(function.post(KEY).await.0, 202);
        let messages = world.messages();
        assert!(messages[0].contains(r#""key":{"salt""#) && !messages[0].contains(KEY), "{messages:?}");
        *world.aws.ssm.lock().unwrap() = Ssm::Gives;
        // It asks again a little later, and not with each request.
        let mut statuses = Vec::new();
        while statuses.last() != Some(&201) {
            assert!(statuses.len() < 50, "{statuses:?}");
            tokio::time::sleep(Duration::from_millis(400)).await;
            statuses.push(function.post(KEY).await.0);
        }
        assert!(statuses.iter().all(|status| [201, 202].contains(status)), "{statuses:?}");
        assert_eq!(world.table.rows(LEADS), 1);
        assert!(!function.logs().await.contains(KEY));
    }
}

#[tokio::test]
async fn with_neither_secrets_nor_queue_the_sender_is_asked_to_come_again() {
    for ssm in [Ssm::Refuses, Ssm::Hangs] {
        let mut function = World::new(ssm, false).await.start(&[]).await;
        let (status, headers) = function.post(KEY).await;
        assert_eq!((status, headers["retry-after"].as_str()), (503, Some("60")));
        let logs = function.logs().await;
        assert!(logs.contains(r#""outcome":"lost""#) && logs.contains(r#""LeadsLost":1"#), "{logs}");
    }
}

#[tokio::test]
async fn a_key_that_was_pasted_in_place_of_a_parameters_name_is_in_no_log() {
    for ssm in [Ssm::Gives, Ssm::Refuses] {
        let world = World::new(ssm, true).await;
        let pasted = "pasted-key-0123456789abcdef";
        let mut function = world.start(&[("LEADS_INTAKE_KEYS_PARAMETER", pasted)]).await;
        assert_eq!(function.post(pasted).await.0, 202);
        let (logs, messages) = (function.logs().await, world.messages().concat());
        assert!(logs.contains("LEADS_INTAKE_KEYS_PARAMETER"), "{logs}");
        assert!(!logs.contains("pasted") && !messages.contains("pasted"), "{logs} {messages}");
    }
}

#[tokio::test]
async fn where_the_endpoint_is_named_the_first_lead_finds_the_connection_that_was_opened_beside_the_secrets() {
    let world = World::new(Ssm::WaitsForTheTable, true).await;
    let tap = Tap::start(&world).await;
    let endpoint = format!("http://127.0.0.1:{}", tap.port);
    let connection =
        world.table.connection_string().replace(&format!(":{}/", world.table.port()), &format!(":{}/", tap.port));
    world.set(STORAGE, Some(&connection));
    let mut function = world.start(&[("LEADS_STORAGE_ENDPOINT", &endpoint)]).await;
    assert_eq!(function.post(KEY).await.0, 201);
    assert_eq!((world.table.rows(LEADS), world.aws.connections.load(Ordering::SeqCst)), (1, 1));
    let sent = tap.sent.lock().unwrap().clone();
    let requests: Vec<_> = sent.lines().filter_map(|line| line.trim_end().strip_suffix(" HTTP/1.1")).collect();
    assert_eq!(requests, ["GET /", "POST /devstoreaccount1/Leads"], "{sent}");
    let (first, second) = sent.split_once("\r\n\r\n").unwrap();
    assert!(!first.contains("authorization") && second.contains("authorization"), "{sent}");
}

#[tokio::test]
async fn an_endpoint_that_is_wrong_silent_or_hostile_keeps_no_lead_from_the_table_and_gets_no_credential() {
    let refuses = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for (port, is_reported) in [
        (refuses, true),
        (other_place("", false).await, true),
        (other_place("HTTP/1.1 200 OK\r\n\r\n", false).await, true),
        (other_place("HTTP/1.1 200 OK\r\n\r\n", true).await, true),
        (
            other_place("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", false)
                .await,
            false,
        ),
    ] {
        let world = World::new(Ssm::Gives, true).await;
        let mut function = world.start(&[("LEADS_STORAGE_ENDPOINT", &format!("http://127.0.0.1:{port}"))]).await;
        assert_eq!((function.post(KEY).await.0, world.table.rows(LEADS)), (201, 1));
        let logs = function.logs().await;
        assert_eq!(logs.contains("no connection to the tables was opened"), is_reported, "{logs}");
        assert!(!logs.contains(&format!(":{port}")), "{logs}");
    }
}
