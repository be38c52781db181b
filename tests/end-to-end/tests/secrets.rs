//! Secrets and people, planted everywhere, are in nothing that functions and local cloud print or store where they do not
//! belong. What is not searched, because they belong there: the leads' table, the quarantine, the queue's messages, the
//! mails, the answer of `dry-run`, and the SSM parameters. The emulator names sender and recipients, which are settings,
//! of each mail that it accepts.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod search;

use local_cloud::proxy::{Fault, Reply, Seen};
use local_cloud::{LocalCloud, MAIL_FROM, MAIL_TO, MicrosoftLead, Options};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Values that no lead and no setting may leave behind. Some of them change when they are escaped, encoded or quoted.
const PEOPLE: [&str; 7] = [
    "Ünique-Gïven",
    "O'Planted \"Quote\"",
    "planted.person@quaggafield.example",
    "+99 (0)7 654 321",
    "Plänted & Söhne <GmbH>",
    "note-of-a-planted-person",
    "planted-unknown-value",
];
const WRONG_KEY: &str = "planted.wrong-key~0123456789";
const ROUTED: &str = "planted.recipient@contoso.example";
const BACKFILLED: &str = "planted.colleague@contoso.example";
const SHORT_KEY: &str = "planted-short";
const BAD_CONNECTION: &str = "AccountName=plantedaccount;AccountKey=planted-secret!";
/// A part of the message in a service's error. No such message is passed on.
const ECHOED: &str = "planted-echo-of-a-service";

fn customer() -> Value {
    json!({
        "FirstName": PEOPLE[0], "LastName": PEOPLE[1], "Email": PEOPLE[2], "Phone": PEOPLE[3], "Company": PEOPLE[4],
        "Secret": PEOPLE[6],
    })
}

/// The body of a lead; each number gives another lead.
fn lead(number: usize) -> String {
    json!({
        "UserDetails": customer(), "LeadSource": "AzureMarketplace-INS|contoso.vm", "OfferTitle": "Contoso VM",
        "Description": format!("{} {number}", PEOPLE[5]),
    })
    .to_string()
}

/// The body of a lead with a comma missing, so that it cannot be read.
fn unreadable() -> String {
    lead(0).replacen(',', " ", 1)
}

/// A running cloud, and everything that its functions answered.
struct Planted {
    cloud: LocalCloud,
    http: reqwest::Client,
    answers: String,
    reports: String,
}

impl Planted {
    async fn start() -> Self {
        let route = json!([{ "name": "vm", "offers": ["Contoso VM"], "to": [ROUTED] }]);
        let parameters = vec![("RoutesParameter".to_owned(), "/marketplace-leads/routes".to_owned())];
        let cloud = LocalCloud::start(Options { proxies: true, parameters, ..Options::default() }).await.unwrap();
        cloud.set_secret("routes", &route.to_string()).await.unwrap();
        Self { cloud, http: reqwest::Client::new(), answers: String::new(), reports: String::new() }
    }

    async fn post(&mut self, url: &str, body: String) -> u16 {
        let request = self.http.post(url).header("x-planted", PEOPLE[2]).header("user-agent", PEOPLE[5]).body(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        self.answers += &format!("{:?}\n{}\n", answer.headers().clone(), answer.text().await.unwrap());
        status
    }

    async fn invoke(&mut self, output: &str, event: Value) -> Option<String> {
        let answer = self.cloud.invoke(self.cloud.output(output).unwrap(), &event).await.unwrap();
        self.answers += &format!("{}\n", answer.payload);
        answer.function_error
    }

    async fn notifier(&mut self, event: Value) -> Option<String> {
        self.invoke("NotifierFunction", event).await
    }

    /// Asks validation. Its report may name recipients, which are settings.
    async fn validate(&mut self, event: Value) -> String {
        let answer = self.cloud.invoke(self.cloud.output("ValidationFunction").unwrap(), &event).await.unwrap();
        assert_eq!(answer.function_error, None, "{}", answer.payload);
        self.reports += &format!("{}\n", answer.payload);
        answer.payload.to_string()
    }

    /// Asks the export, with a signature.
    async fn export(&self, query: &str) -> (u16, String) {
        let aws = self.cloud.aws();
        let url = self.cloud.function_url("ExportUrl").unwrap();
        let path = format!("{}{query}", url.strip_prefix(aws.endpoint()).unwrap());
        let answer = aws.send("lambda", Method::GET, &path, &[], Vec::new()).await.unwrap();
        (answer.status.as_u16(), answer.text())
    }

    /// Everything that was printed, and everything that is stored, except for what the head of this file excludes.
    async fn everything(&self) -> Vec<(String, String)> {
        let cloud = &self.cloud;
        let mut found = vec![
            ("the functions' answers".to_owned(), self.answers.clone()),
            ("the functions' logs".to_owned(), cloud.function_logs().await.unwrap()),
            ("validation's reports on configurations".to_owned(), self.reports.clone()),
        ];
        files(cloud.logs_folder(), &mut found);
        let rows = cloud.table().rows(cloud.state_table()).await.unwrap();
        let rows = rows.iter().filter(|row| row["PartitionKey"] != "quarantine").map(|row| json!(row).to_string());
        found.push(("the state table".to_owned(), rows.collect::<Vec<_>>().join("\n")));
        let stack = [("StackName", local_cloud::STACK)];
        for action in ["DescribeStacks", "DescribeStackEvents", "GetTemplate"] {
            let xml = cloud.aws().query("cloudformation", action, "2010-05-15", &stack).await.unwrap();
            found.push((format!("CloudFormation {action}"), xml));
        }
        let functions = cloud.aws().rest("lambda", Method::GET, "/2015-03-31/functions/", None).await.unwrap();
        found.push(("the functions' configurations".to_owned(), functions.to_string()));
        let schedules = cloud.aws().rest("scheduler", Method::GET, "/schedules", None).await.unwrap();
        found.push(("the schedules".to_owned(), schedules.to_string()));
        found
    }
}

/// Every text file that the local cloud wrote, except for the data of the table service and of the inbox.
fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.path().display().to_string());
        if path.is_dir() && !name.ends_with("data/table") && !name.ends_with("data/inbox") {
            files(&path, found);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            // The emulator names who gets a mail, which is a setting.
            let lines = text.lines().filter(|line| !line.contains("[ses-v2] SESv2 SendEmail: MessageId="));
            found.push((name, lines.collect::<Vec<_>>().join("\n")));
        }
    }
}

#[tokio::test]
async fn secrets_and_people_are_only_where_they_belong() {
    let since = Instant::now();
    let mut planted = Planted::start().await;
    let url = planted.cloud.intake_url().unwrap();
    let without_key = url.split_once('?').unwrap().0.to_owned();

    // Intake: each of its answers.
    assert_eq!(planted.post(&url, lead(1)).await, 201);
    assert_eq!(planted.post(&url, lead(1)).await, 200);
    assert_eq!(planted.post(&url, unreadable()).await, 400);
    assert_eq!(planted.post(&format!("{without_key}?code={WRONG_KEY}&who={}", PEOPLE[5]), lead(2)).await, 401);
    assert_eq!(planted.post(&url.replace("/leads?", "/planted-unknown-value?"), lead(2)).await, 404);
    assert_eq!(planted.post(&url, lead(2).repeat(300)).await, 413);
    let table_fails =
        || Fault::Answer(Reply::table_error(403, "AuthenticationFailed", &format!("{ECHOED} {}", PEOPLE[2])));
    planted.cloud.table_proxy().unwrap().set_faults(move |_| Some(table_fails()));
    assert_eq!(planted.post(&url, lead(3)).await, 202);
    let sqs_fails = |seen: &Seen| {
        let is_send = seen.operation.as_deref() == Some("AmazonSQS.SendMessage");
        is_send.then(|| Fault::Answer(Reply::aws_error(403, "AccessDenied", &format!("{ECHOED} {}", PEOPLE[2]))))
    };
    planted.cloud.aws_proxy().unwrap().set_faults(sqs_fails);
    assert_eq!(planted.post(&url, lead(4)).await, 503);
    planted.cloud.aws_proxy().unwrap().clear_faults();

    // Redelivery: a message that the table refuses, one that is none of intake's, and then all is well.
    let foreign = json!({ "QueueUrl": planted.cloud.output("LeadQueueUrl").unwrap(), "MessageBody": lead(5) });
    planted.cloud.aws().json("sqs", "AmazonSQS.SendMessage", foreign).await.unwrap();
    let waited = Instant::now();
    while !planted.cloud.function_logs().await.unwrap().contains("lead-redelivery") {
        assert!(waited.elapsed() < Duration::from_secs(20), "redelivery does not run");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // The notifier: tables that refuse, that answer garbage, mail that is refused; then rows of both kinds are mailed.
    assert!(planted.notifier(json!({ "command": "run" })).await.is_some());
    let garbage = || Reply { status: 200, headers: Vec::new(), body: format!("<{ECHOED} {}>", PEOPLE[2]).into_bytes() };
    planted.cloud.table_proxy().unwrap().set_faults(move |_| Some(Fault::Answer(garbage())));
    assert!(planted.notifier(json!({ "command": "run" })).await.is_some());
    planted.cloud.table_proxy().unwrap().clear_faults();
    let microsoft = MicrosoftLead {
        source: "AzureMarketplace".to_owned(),
        action: "PLT".to_owned(),
        offer: "contoso.vm".to_owned(),
        offer_name: "Contoso VM".to_owned(),
        customer: customer(),
        description: PEOPLE[5].to_owned(),
    };
    let (table, leads) = (planted.cloud.table().clone(), planted.cloud.leads_table().to_owned());
    let now = jiff::Timestamp::now();
    table.insert_microsoft_lead(&leads, &microsoft, now).await.unwrap();
    let malformed = json!({
        "PartitionKey": local_cloud::partition_of(now), "RowKey": "unreadable", "CustomerInfo": unreadable(),
        "LeadSource": PEOPLE[5],
    });
    table.insert(&leads, &malformed).await.unwrap();
    let is_mail = |seen: &Seen| seen.target.starts_with("/v2/email/outbound-emails");
    planted.cloud.aws_proxy().unwrap().set_faults(move |seen| {
        let message = format!("Email address is not verified: {MAIL_FROM} {ECHOED} {ROUTED}");
        is_mail(seen).then(|| Fault::Answer(Reply::aws_error(400, "MessageRejected", &message)))
    });
    assert!(planted.notifier(json!({ "command": "run" })).await.is_some());
    planted.cloud.aws_proxy().unwrap().clear_faults();
    for command in ["outbox", "retry", "run"] {
        assert_eq!(planted.notifier(json!({ "command": command })).await, None, "{command}");
    }
    let recipients: Vec<_> =
        planted.cloud.inbox().mails().await.unwrap().into_iter().flat_map(|mail| mail.destination.to).collect();
    assert!(recipients.iter().any(|to| to == ROUTED) && recipients.iter().any(|to| to == MAIL_TO), "{recipients:?}");

    // Its other commands, and events that are none.
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let backfill = |to: &str| json!({ "command": "backfill", "since": day, "until": "2999-01-01", "to": to });
    for event in [backfill(BACKFILLED), json!({ "command": "pause" }), json!({ "command": "run" })] {
        assert_eq!(planted.notifier(event.clone()).await, None, "{event}");
    }
    for event in [json!({ "command": "resume" }), json!({ "command": "history" })] {
        assert_eq!(planted.notifier(event.clone()).await, None, "{event}");
    }
    let shown = planted.cloud.output("NotifierFunction").unwrap();
    planted.cloud.invoke(shown, &json!({ "command": "dry-run" })).await.unwrap();
    for event in [json!({ "command": PEOPLE[5] }), backfill(&PEOPLE[2].replace('.', "")), json!([PEOPLE[2]])] {
        assert!(planted.notifier(event.clone()).await.is_some(), "{event}");
    }

    // The export: whole, refused, and with a table that fails.
    let (status, file) = planted.export("?format=ndjson").await;
    assert_eq!((status, file.contains(PEOPLE[2])), (200, true), "{file}");
    for query in ["?format=planted-unknown-value", "?planted-unknown-value=1", "?since=planted-unknown-value"] {
        let (status, answer) = planted.export(query).await;
        assert_eq!(status, 400, "{answer}");
        planted.answers += &answer;
    }
    planted.cloud.table_proxy().unwrap().set_faults(move |_| Some(table_fails()));
    let (status, answer) = planted.export("").await;
    assert!(status >= 500, "{status} {answer}");
    planted.answers += &answer;
    planted.cloud.table_proxy().unwrap().clear_faults();

    // Validation: all is well, the table fails, and events that are none. A reconciled list is named, as it was asked for.
    let report = planted.validate(json!({})).await;
    assert!(report.contains("round-trip"), "{report}");
    planted.cloud.table_proxy().unwrap().set_faults(move |_| Some(table_fails()));
    let report = planted.validate(json!({ "checks": ["table", "notifier"] })).await;
    assert!(report.contains("failed"), "{report}");
    planted.cloud.table_proxy().unwrap().clear_faults();
    let csv = format!("Email,Name\n{},\"{}\"\n", PEOPLE[2], PEOPLE[0]);
    let list = json!({ "checks": ["reconcile"], "reconcile": { "csv": csv } });
    let validation = planted.cloud.output("ValidationFunction").unwrap();
    assert_eq!(planted.cloud.invoke(validation, &list).await.unwrap().function_error, None);
    for event in [json!({ "checks": [PEOPLE[5]] }), json!({ PEOPLE[5]: true }), json!([PEOPLE[2]])] {
        assert!(planted.invoke("ValidationFunction", event.clone()).await.is_some(), "{event}");
    }

    // Functions that lack a secret at their start, or fail to start.
    let good = [planted.cloud.intake_key().to_owned(), SHORT_KEY.to_owned()];
    planted.cloud.set_secret("intake-keys", &good.join(",")).await.unwrap();
    planted.cloud.restart("IntakeFunction").await.unwrap();
    assert_eq!(planted.post(&url, lead(6)).await, 202, "it waits until somebody knows the keys");
    planted.cloud.set_secret("storage-connection-string", BAD_CONNECTION).await.unwrap();
    planted.cloud.restart("NotifierFunction").await.unwrap();
    assert!(planted.notifier(json!({ "command": "run" })).await.is_some());

    let everything = planted.everything().await;
    let size: usize = everything.iter().map(|(_, text)| text.len()).sum();
    let connection = planted.cloud.table().connection_string();
    let account_key = connection.split(';').find_map(|part| part.strip_prefix("AccountKey=")).unwrap();
    let secrets =
        [planted.cloud.intake_key(), planted.cloud.secret_key(), account_key, WRONG_KEY, SHORT_KEY, "planted-secret"];
    for (place, text) in &everything {
        let mut values: Vec<&str> = PEOPLE.iter().chain(&secrets).copied().collect();
        values.extend([BACKFILLED, ECHOED]);
        // Sender and recipients are settings: they stand where the settings are.
        if !place.starts_with("CloudFormation") && !place.ends_with("configurations") {
            values.extend([ROUTED, MAIL_FROM, MAIL_TO]);
        }
        for value in values {
            if let Some(line) = search::line_with(text, value) {
                panic!("{place} holds {value}: {line}");
            }
        }
    }
    // The places where people belong hold no secrets.
    let mut rows: Vec<Value> = Vec::new();
    for table in [planted.cloud.leads_table(), planted.cloud.state_table()] {
        rows.extend(planted.cloud.table().rows(table).await.unwrap().into_iter().map(Value::from));
    }
    let mails = planted.cloud.inbox().mails().await.unwrap();
    let mails: String = mails.iter().map(|mail| format!("{mail:?}\n")).collect();
    let stored = format!("{}\n{mails}", rows.iter().map(|row| format!("{row}\n")).collect::<String>());
    assert!(search::line_with(&stored, PEOPLE[2]).is_some(), "nothing was planted");
    for secret in secrets {
        assert_eq!(search::line_with(&stored, secret), None, "{secret}");
    }
    let logs = &everything[1].1;
    for said in ["stored", "duplicate", "quarantined", "unauthorized", "too large", "misdirected", "queued", "lost"] {
        assert!(logs.contains(&format!(r#""outcome":"{said}""#)), "intake did not say {said}");
    }
    // What a function says that cannot start is in the emulator's own log.
    for said in ["the function cannot run", "the invocation failed"] {
        assert!(everything.iter().any(|(_, text)| text.contains(said)), "nobody said that {said}");
    }
    println!("{} places, {size} bytes, searched in {:?}", everything.len() + 2, since.elapsed());
}
