//! Both clouds as stubs, in which everything is well until something is broken.

use aws_sdk_ssm::config::{BehaviorVersion, Region};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Response;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::aws::Queue;
use marketplace_leads::aws::SdkConfig;
use marketplace_leads::destinations::Reach;
use marketplace_leads::intake::Intake;
use marketplace_leads::intake_keys::KnownKeys;
use marketplace_leads::mail::Language;
use marketplace_leads::mail::memory::MemoryMailer;
use marketplace_leads::notify::Notifier;
use marketplace_leads::secret::Secret;
use marketplace_leads::settings::{NotifierSettings, ValidationSettings};
use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use marketplace_leads::table::{ConnectionString, Entity, Query, Table as _};
use marketplace_leads::validate::{Report, Request as Event, Validation};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::development_account::KEY as EMULATOR_KEY;
use support::strict_table::{Access, Asked, Clock, DateHeader, Fault, Refusal, Settings, StrictTable};

pub(crate) const KEY: &str = "0123456789-abcdef~intake";
/// The tables.
pub(crate) const LEADS: &str = "MarketplaceLeads";
pub(crate) const STATE: &str = "MarketplaceLeadsState";
/// A table of the same account that is neither.
pub(crate) const ELSEWHERE: &str = "Elsewhere";
pub(crate) const SENDER: &str = "leads@contoso.example";
pub(crate) const RECIPIENT: &str = "sales@contoso.example";

/// What the stubs say. Set before a run.
#[derive(Clone)]
pub(crate) struct Say {
    /// Messages on the queue and on the dead-letter queue.
    pub(crate) waiting: [u64; 2],
    pub(crate) queue_is_gone: bool,
    /// Whether SQS answers without numbers.
    pub(crate) queue_says_nothing: bool,
    pub(crate) account: Value,
    /// What SES knows: identity, verified, signed.
    pub(crate) identities: Vec<(&'static str, bool, bool)>,
    pub(crate) suppressed: Vec<&'static str>,
    /// Whether SES refuses every question but that about the account.
    pub(crate) ses_is_silent: bool,
    /// SES's configuration sets, and whether they send.
    pub(crate) configuration_sets: Vec<(&'static str, bool)>,
    /// How long AWS takes for an answer.
    pub(crate) aws_delay: Duration,
    /// SSM's parameters; none: its answer is AccessDenied.
    pub(crate) parameters: Option<HashMap<&'static str, String>>,
    /// The keys that intake takes.
    pub(crate) intake_keys: String,
    /// What stands in front of intake answers this.
    pub(crate) intake_status: Option<u16>,
}

#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) now: Timestamp,
    /// The storage account of all functions.
    pub(crate) service: Arc<StrictTable>,
    pub(crate) tables: AzureTables,
    pub(crate) leads: AzureTable,
    pub(crate) state: AzureTable,
    /// The table that intake writes to.
    pub(crate) intake_table: Arc<Mutex<AzureTable>>,
    pub(crate) mailer: MemoryMailer,
    pub(crate) say: Arc<Mutex<Say>>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) table_address: String,
    mails: Arc<Mutex<Vec<Value>>>,
    aws: SdkConfig,
    clock: Arc<Mutex<Timestamp>>,
}

impl Cloud {
    /// A deployment that has run for a while, a lead in its table that was mailed ten minutes ago.
    pub(crate) async fn well() -> Self {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let say = Say {
            waiting: [0, 0],
            queue_is_gone: false,
            queue_says_nothing: false,
            account: json!({"ProductionAccessEnabled": true, "SendingEnabled": true, "EnforcementStatus": "HEALTHY",
                "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 12.0}}),
            identities: vec![("contoso.example", true, true)],
            suppressed: Vec::new(),
            ses_is_silent: false,
            configuration_sets: vec![("leads", true)],
            aws_delay: Duration::ZERO,
            parameters: Some(HashMap::new()),
            intake_keys: KEY.to_owned(),
            intake_status: None,
        };
        let say = Arc::new(Mutex::new(say));
        let access = Settings { access: Access::Any, clock: Clock::Stopped(now), ..Settings::default() };
        let service = Arc::new(StrictTable::start(access).unwrap());
        // The header `Date` is compared with the clock of this machine, the rows' times with that of the tests.
        service.set_date_header(DateHeader::Of(Clock::default()));
        service.create(LEADS).unwrap();
        service.create(ELSEWHERE).unwrap();
        // Nobody tries again here: each fault is to be seen at once.
        let connection = ConnectionString::parse(&service.connection_string()).unwrap();
        let tables = AzureTables::new(&connection, Limits { retries: 0, ..Limits::default() }).unwrap();
        let (leads, state) = (tables.table(LEADS), tables.table(STATE));
        let clock = Arc::new(Mutex::new(now));
        let intake_table = Arc::new(Mutex::new(leads.clone()));
        let table_address = format!("http://127.0.0.1:{}", service.port());
        let mails = Arc::default();
        let aws = start_aws(&say, &mails).await;
        let intake_address = start_intake(&say, &intake_table, &state, &aws, &clock).await;
        let settings = [
            ("LEADS_STORAGE_CONNECTION_STRING", service.connection_string()),
            ("LEADS_INTAKE_KEYS", KEY.to_owned()),
            ("LEADS_INTAKE_URL", format!("{intake_address}/leads")),
            ("LEADS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/111122223333/leads".to_owned()),
            ("LEADS_DEAD_LETTER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/111122223333/dead-leads".to_owned()),
            ("LEADS_MAIL_FROM", format!("Marketplace leads <{SENDER}>")),
            ("LEADS_MAIL_TO", RECIPIENT.to_owned()),
            ("LEADS_CADENCE", "immediately".to_owned()),
            ("LEADS_MAIL_CONFIGURATION_SET", "leads".to_owned()),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mailer = MemoryMailer::new();
        let mut cloud = Self {
            now,
            service,
            tables,
            leads,
            state,
            intake_table,
            mailer,
            say,
            settings,
            table_address,
            mails,
            aws,
            clock,
        };
        cloud.advance(SignedDuration::from_mins(-80));
        cloud.run_notifier().await;
        cloud.advance(SignedDuration::from_mins(50));
        cloud.arrive("Ada");
        cloud.advance(SignedDuration::from_mins(10));
        cloud.run_notifier().await;
        cloud.advance(SignedDuration::from_mins(20));
        cloud
    }

    pub(crate) fn advance(&mut self, by: SignedDuration) {
        self.now += by;
        self.service.set_clock(Clock::Stopped(self.now));
        *self.clock.lock().unwrap() = self.now;
    }

    /// Writes a lead as Microsoft does.
    pub(crate) fn arrive(&self, name: &str) {
        let day = self.now.strftime("%-m:2F%-d:2F%Y").to_string();
        let customer = json!({"FirstName": name, "LastName": "Lovelace", "Email": format!("{name}@fabrikam.example")});
        self.put(
            Entity::new(day, format!("row-{name}"))
                .with("ActionCode", "INS")
                .with("CreatedTime", self.now.to_string())
                .with("CustomerInfo", customer.to_string())
                .with("LeadSource", "AzureMarketplace-INS|contoso.backup")
                .with("OfferDisplayName", "Contoso Backup"),
        );
    }

    /// Puts a row into the table of leads.
    pub(crate) fn put(&self, row: Entity) {
        self.service.fill(LEADS, [row], self.now);
    }

    /// Has the table service refuse every request.
    pub(crate) fn refuse(&self, status: u16, code: &'static str) {
        self.refuse_where(status, code, |_| true);
    }

    /// Has the table service refuse some requests.
    pub(crate) fn refuse_where(&self, status: u16, code: &'static str, is_refused: fn(&Asked) -> bool) {
        let refusal = Refusal::new(status, code, "");
        self.service.set_faults(Some(Box::new(move |asked| is_refused(asked).then(|| Fault::Before(refusal.clone())))));
    }

    pub(crate) fn notifier(&self) -> Notifier<AzureTable, MemoryMailer> {
        let (now, settings) = (self.now, self.settings.clone());
        let foreign = ["LEADS_INTAKE_KEYS", "LEADS_INTAKE_URL", "LEADS_QUEUE_URL", "LEADS_DEAD_LETTER_QUEUE_URL"];
        let settings = settings.into_iter().filter(|(name, _)| !foreign.contains(&name.as_str()));
        Notifier {
            leads: self.leads.clone(),
            state: self.state.clone(),
            mailer: self.mailer.clone(),
            destinations: marketplace_leads::destinations::Destinations::none(),
            settings: NotifierSettings::from_pairs(settings).unwrap(),
            language: Language::find("en").unwrap(),
            clock: Arc::new(move || now),
            chance: marketplace_leads::clock::chance(),
            idle_runs: Default::default(),
            requests: Arc::new(|| 0),
        }
    }

    pub(crate) async fn run_notifier(&self) {
        let id = format!("run-{}", self.now.as_second());
        self.notifier().run(&id, self.now + SignedDuration::from_mins(5)).await.unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    /// A shared access signature in place of the account key.
    pub(crate) fn sign(&mut self, query: &str) {
        let string = format!(
            "TableEndpoint={}/devstoreaccount1;SharedAccessSignature=sv=2022-11-02&{query}&sig=c2lnbmF0dXJl",
            self.table_address
        );
        self.set("LEADS_STORAGE_CONNECTION_STRING", string);
    }

    /// Another account, which is no emulator's, at the stub.
    pub(crate) fn use_account(&mut self) {
        let string = format!(
            "DefaultEndpointsProtocol=http;AccountName=contosoleads;AccountKey={EMULATOR_KEY};TableEndpoint={}/contosoleads",
            self.table_address
        );
        self.set("LEADS_STORAGE_CONNECTION_STRING", string);
    }

    pub(crate) fn say(&self, change: impl FnOnce(&mut Say)) {
        change(&mut self.say.lock().unwrap());
    }

    pub(crate) async fn validate(&self, event: Value) -> Report {
        self.validate_within(event, Duration::from_secs(120)).await
    }

    /// Validates with so much time for all checks.
    pub(crate) async fn validate_within(&self, event: Value, time: Duration) -> Report {
        let settings = ValidationSettings::from_pairs(self.settings.clone());
        let validation = Validation { settings, aws: self.aws.clone(), reach: Reach::Public };
        validation.run(&Event::parse(&event).unwrap(), self.now, time).await
    }

    /// What SES was asked to send.
    pub(crate) fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap().clone()
    }

    /// The rows of test leads that are in the table.
    pub(crate) async fn test_rows(&self) -> Vec<Entity> {
        let mut rows = self.leads.all(&Query::default()).await.unwrap();
        rows.retain(|row| row.string("Description") == Some("Test lead of lead-validation"));
        rows
    }
}

async fn serve<F, R>(handle: F) -> String
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handle)).await });
    address
}

async fn start_aws(say: &Arc<Mutex<Say>>, mails: &Arc<Mutex<Vec<Value>>>) -> SdkConfig {
    let (say, mails) = (say.clone(), mails.clone());
    let address = serve(move |request| {
        let (say, mails) = (say.lock().unwrap().clone(), mails.clone());
        async move {
            tokio::time::sleep(say.aws_delay).await;
            aws_answer(&say, &mails, request).await
        }
    })
    .await;
    let credentials = aws_sdk_sqs::config::Credentials::new("id", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(address)
        .credentials_provider(aws_sdk_sqs::config::SharedCredentialsProvider::new(credentials))
        .http_client(marketplace_leads::aws::http_client())
        .build()
}

fn json_answer(status: u16, code: &str, json: &Value) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    let response = if code.is_empty() { response } else { response.header("x-amzn-errortype", code) };
    response.body(Body::from(json.to_string())).unwrap()
}

async fn aws_answer(say: &Say, mails: &Mutex<Vec<Value>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap_or_default();
    let target = parts.headers.get("x-amz-target").map(|target| target.to_str().unwrap()).unwrap_or_default();
    let path = parts.uri.path().replace("%40", "@");
    let error = |status, code: &str| json_answer(status, code, &json!({"__type": code, "message": "…"}));
    match (target, path.as_str()) {
        ("AmazonSSM.GetParameters", _) => {
            let Some(parameters) = &say.parameters else { return error(400, "AccessDeniedException") };
            let name = body["Names"][0].as_str().unwrap();
            match parameters.get(name) {
                Some(value) => json_answer(200, "", &json!({"Parameters": [{"Name": name, "Value": value}]})),
                None => json_answer(200, "", &json!({"Parameters": [], "InvalidParameters": [name]})),
            }
        }
        ("AmazonSQS.GetQueueAttributes", _) => {
            if say.queue_is_gone {
                return error(400, "com.amazonaws.sqs#QueueDoesNotExist");
            }
            if say.queue_says_nothing {
                return json_answer(200, "", &json!({ "Attributes": {} }));
            }
            let is_dead = body["QueueUrl"].as_str().unwrap().ends_with("/dead-leads");
            let arn = "arn:aws:sqs:eu-west-1:111122223333";
            let mut attributes = json!({
                "ApproximateNumberOfMessages": say.waiting[usize::from(is_dead)].to_string(),
                "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
                "MessageRetentionPeriod": "1209600",
                "QueueArn": format!("{arn}:{}", if is_dead { "dead-leads" } else { "leads" }),
            });
            if !is_dead {
                let policy = json!({"deadLetterTargetArn": format!("{arn}:dead-leads"), "maxReceiveCount": 10});
                attributes["RedrivePolicy"] = policy.to_string().into();
            }
            json_answer(200, "", &json!({ "Attributes": attributes }))
        }
        ("AmazonSQS.SendMessage", _) => json_answer(200, "", &json!({"MessageId": "m1", "MD5OfMessageBody": ""})),
        (_, "/v2/email/account") => json_answer(200, "", &say.account),
        (_, "/v2/email/outbound-emails") => {
            mails.lock().unwrap().push(body);
            json_answer(200, "", &json!({"MessageId": "0102"}))
        }
        _ if say.ses_is_silent => error(403, "AccessDeniedException"),
        (_, path) => {
            let set = path.strip_prefix("/v2/email/configuration-sets/");
            if let Some((name, is_sending)) = say.configuration_sets.iter().find(|(name, _)| Some(*name) == set) {
                let options = json!({ "SendingEnabled": is_sending });
                return json_answer(200, "", &json!({ "ConfigurationSetName": name, "SendingOptions": options }));
            }
            let suppressed = path.strip_prefix("/v2/email/suppression/addresses/");
            let identity = path.strip_prefix("/v2/email/identities/");
            let known = identity.and_then(|name| say.identities.iter().find(|(known, ..)| *known == name));
            match (suppressed, known) {
                (Some(address), _) if say.suppressed.contains(&address) => {
                    let destination = json!({"EmailAddress": address, "Reason": "BOUNCE", "LastUpdateTime": 1.0});
                    json_answer(200, "", &json!({ "SuppressedDestination": destination }))
                }
                (_, Some((_, is_verified, is_signed))) => {
                    let status = if *is_signed { "SUCCESS" } else { "PENDING" };
                    let dkim = json!({"SigningEnabled": is_signed, "Status": status});
                    json_answer(200, "", &json!({"VerifiedForSendingStatus": is_verified, "DkimAttributes": dkim}))
                }
                _ => error(404, "NotFoundException"),
            }
        }
    }
}

async fn start_intake(
    say: &Arc<Mutex<Say>>,
    table: &Arc<Mutex<AzureTable>>,
    state: &AzureTable,
    aws: &SdkConfig,
    clock: &Arc<Mutex<Timestamp>>,
) -> String {
    let (say, table, state, clock) = (say.clone(), table.clone(), state.clone(), clock.clone());
    let queue = Queue::new(aws.clone(), "https://sqs.eu-west-1.amazonaws.com/111122223333/leads".parse().unwrap());
    serve(move |request| {
        let (say, table, state, queue) =
            (say.lock().unwrap().clone(), table.lock().unwrap().clone(), state.clone(), queue.clone());
        let now = *clock.lock().unwrap();
        async move {
            if let Some(status) = say.intake_status {
                return json_answer(status, "", &json!({}));
            }
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let keys = KnownKeys::fixed(&Secret::new(say.intake_keys));
            let chance = marketplace_leads::clock::chance();
            let intake = Intake { keys, leads: table, state, queue, chance, budget: std::time::Duration::from_secs(5) };
            let asked = marketplace_leads::function_url::Request {
                method: parts.method.as_str(),
                path: parts.uri.path(),
                query: parts.uri.query().unwrap_or_default(),
                body: marketplace_leads::function_url::Body::Text(std::str::from_utf8(&body).unwrap()),
            };
            let answer = intake.answer(&asked, "request", now).await;
            Response::builder().status(answer.status).body(Body::from(answer.body)).unwrap()
        }
    })
    .await
}
