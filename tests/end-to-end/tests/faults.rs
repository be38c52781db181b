//! Every function as it is deployed, with a fault at one of its requests after the other: requests to the tables, to the
//! queue, to the mail service, and for its secrets.
//!
//! A walk lets a fault strike the first request of a piece of work, then the second, and so on until there is none left.
//! So new requests are covered by themselves. `cargo test` walks with four kinds of fault. `LEADS_TRUST=full` walks with
//! all of them, and runs once without a fault after each. These tests have a binary of their own, because they load the
//! machine.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test says its figures and fails where it unwraps")]

use local_cloud::proxy::{Fault, Proxy, Reply, Seen};
use local_cloud::{FunctionProcesses, Invocation, LocalCloud, Mail, MicrosoftLead, borrow};
use marketplace_leads::lead::{Lead, StoredLead};
use marketplace_leads::quarantine::{self, Quarantined};
use marketplace_leads::queued_body::QueuedBody;
use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use marketplace_leads::table::{ConnectionString, Entity, Keys, Operation, Table as _, TableError};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What happens to the request that a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The service answers with an error and does nothing.
    Error,
    /// The service asks to slow down and does nothing.
    Throttled,
    /// The service does what was asked, and answers with an error.
    ErrorAfter,
    /// The service does what was asked. The caller gets an answer that no such service gives.
    Garbage,
    /// The connection is cut before the service sees the request.
    Cut,
    /// The service does what was asked; the connection is cut before its answer.
    CutAfter,
    /// The request takes longer than its sender waits, and is done after that.
    Late,
    /// A query finds an empty page, with a token for more.
    EmptyPage,
    /// The function's process is killed before the service sees the request.
    Killed,
    /// The function's process is killed; the service does what was asked.
    KilledAfter,
    /// This connection and every later one is cut.
    Outage,
}

const ALL: [Kind; 11] = [
    Kind::Error,
    Kind::Throttled,
    Kind::ErrorAfter,
    Kind::Garbage,
    Kind::Cut,
    Kind::CutAfter,
    Kind::Late,
    Kind::EmptyPage,
    Kind::Killed,
    Kind::KilledAfter,
    Kind::Outage,
];

/// The ones that every `cargo test` walks with.
const FEW: [Kind; 4] = [Kind::Error, Kind::ErrorAfter, Kind::CutAfter, Kind::KilledAfter];

impl Kind {
    fn kills(self) -> bool {
        matches!(self, Self::Killed | Self::KilledAfter)
    }
}

/// Whether every fault is walked with, or a few.
fn is_full() -> bool {
    std::env::var("LEADS_TRUST").is_ok_and(|value| value == "full")
}

fn kinds() -> &'static [Kind] {
    if is_full() { &ALL } else { &FEW }
}

/// The link from a function to a service. Faults strike requests on it.
struct Link<'a> {
    name: &'static str,
    proxy: &'a Proxy,
    is_table: bool,
    /// Longer than the function waits for an answer on this link.
    late: Duration,
    processes: FunctionProcesses,
}

impl<'a> Link<'a> {
    fn to_tables(name: &'static str, cloud: &'a LocalCloud, function: &str, late: u64) -> Self {
        let processes = cloud.processes_of(function).unwrap();
        Self { name, proxy: cloud.table_proxy().unwrap(), is_table: true, late: Duration::from_millis(late), processes }
    }

    /// The functions wait ten seconds for an answer of AWS.
    fn to_aws(name: &'static str, cloud: &'a LocalCloud, function: &str) -> Self {
        let processes = cloud.processes_of(function).unwrap();
        Self { name, proxy: cloud.aws_proxy().unwrap(), is_table: false, late: Duration::from_secs(11), processes }
    }

    /// Lets a fault strike the request of this number. The cell will hold the request that was struck.
    fn strike(&self, kind: Kind, at: usize) -> Arc<Mutex<Option<Seen>>> {
        let struck = Arc::new(Mutex::new(None));
        let (cell, is_table, late, processes) = (struck.clone(), self.is_table, self.late, self.processes.clone());
        self.proxy.forget();
        self.proxy.set_faults(move |seen| {
            let is_query = seen.method == "GET" && seen.target.contains("()");
            let is_here = if kind == Kind::Outage { seen.number >= at } else { seen.number == at };
            if !is_here || kind == Kind::EmptyPage && !(is_table && is_query) {
                return None;
            }
            cell.lock().unwrap().get_or_insert_with(|| seen.clone());
            if kind.kills() {
                processes.kill();
            }
            Some(fault(kind, is_table, late, seen))
        });
        struck
    }

    /// Takes the fault away, and gives the number of requests that there were.
    fn clear(&self) -> usize {
        self.proxy.clear_faults();
        self.proxy.requests().len()
    }
}

fn fault(kind: Kind, is_table: bool, late: Duration, seen: &Seen) -> Fault {
    let error = || match is_table {
        true => Reply::table_error(500, "InternalError", "Server encountered an internal error."),
        false => Reply::aws_error(500, "InternalFailure", "The request failed because of an internal error."),
    };
    match kind {
        Kind::Error => Fault::Answer(error()),
        Kind::Throttled if is_table => Fault::Answer(Reply::server_busy()),
        Kind::Throttled => Fault::Answer(Reply::aws_error(429, "TooManyRequestsException", "Rate exceeded.")),
        Kind::ErrorAfter => Fault::AnswerAfter(error()),
        Kind::Garbage => {
            let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
            Fault::AnswerAfter(Reply { status: 200, headers, body: b"<html>".to_vec() })
        }
        Kind::Cut | Kind::Killed | Kind::Outage => Fault::Cut,
        Kind::CutAfter | Kind::KilledAfter => Fault::CutAfter,
        Kind::Late => Fault::Delay(late),
        Kind::EmptyPage => Fault::Answer(Reply::empty_page(&seen.target, seen.number.is_multiple_of(2))),
    }
}

/// How many scenarios were walked through, for each link and kind of fault, and the longest time that one took.
#[derive(Default)]
struct Tally(BTreeMap<(&'static str, String), (usize, Duration)>);

impl Tally {
    fn note(&mut self, link: &Link<'_>, kind: Kind, took: Duration) {
        let entry = self.0.entry((link.name, format!("{kind:?}"))).or_default();
        entry.0 += 1;
        entry.1 = entry.1.max(took);
    }

    fn print(&self) {
        for ((link, kind), (count, longest)) in &self.0 {
            println!("{link:<30} {kind:<12} {count:>4} scenarios, the longest {:.1} s", longest.as_secs_f64());
        }
        println!("{} scenarios in all, nothing lost", self.0.values().map(|(count, _)| count).sum::<usize>());
    }
}

/// A table, by a client that does not use the proxies.
fn table(cloud: &LocalCloud, name: &str) -> AzureTable {
    let connection = ConnectionString::parse(&cloud.table().connection_string()).unwrap();
    AzureTables::new(&connection, Limits::default()).unwrap().table(name)
}

async fn invoke(cloud: &LocalCloud, function: &str, event: &Value) -> Invocation {
    cloud.invoke(cloud.output(function).unwrap(), event).await.unwrap()
}

/// The row of a body that cannot be read and was received today.
fn quarantine_key(body: &str) -> String {
    let unreadable = Lead::from_json(body.as_bytes()).unwrap_err();
    Quarantined::new(body.as_bytes(), &unreadable, jiff::Timestamp::now()).row_key
}

/// Asserts that the invocation ended before its time limit, and that a failure has a reason, unless the process was
/// killed.
fn assert_ended(answer: &Invocation, kind: Kind, scenario: &str) {
    let shown = format!("{scenario}: {:.300}", answer.payload.to_string());
    assert_ne!(answer.payload["errorType"], "Sandbox.Timedout", "{shown}");
    let says_why = answer.payload["errorMessage"].as_str().is_some_and(|message| !message.is_empty());
    assert!(answer.function_error.is_none() || says_why || kind.kills(), "{shown}");
}

mod notifier {
    use super::*;

    async fn run(cloud: &LocalCloud) -> Invocation {
        invoke(cloud, "NotifierFunction", &json!({ "command": "run" })).await
    }

    /// A lead whose first name nobody else has.
    async fn arrive(cloud: &LocalCloud, name: &str) {
        let lead = MicrosoftLead::of(name);
        let now = jiff::Timestamp::now();
        cloud.table().insert_microsoft_lead(cloud.leads_table(), &lead, now).await.unwrap();
    }

    /// A body that is no lead, kept with a cue as intake does it.
    async fn arrive_unreadable(cloud: &LocalCloud, name: &str) {
        let body = format!("{{\"FirstName\": {name}");
        let unreadable = Lead::from_json(body.as_bytes()).unwrap_err();
        let state = table(cloud, cloud.state_table());
        quarantine::keep(&state, body.as_bytes(), &unreadable, jiff::Timestamp::now(), 0).await.unwrap();
    }

    /// Asserts that a run without a fault does everything that is left to do. A run that died, or could not write any
    /// more, leaves its lease behind for up to 90 seconds. Instead of waiting, this sets the end of the lease to the past.
    /// A channel whose mail failed waits for its next attempt; the command `retry` ends that.
    async fn recover(cloud: &LocalCloud, scenario: &str, may_hold_lease: bool) {
        let mut clean = run(cloud).await;
        if may_hold_lease && clean.payload["outcome"] == "busy" {
            let past = json!({ "LeaseUntil": "2000-01-01T00:00:00Z", "LeaseUntil@odata.type": "Edm.DateTime" });
            cloud.table().merge(cloud.state_table(), "notifier", "core", &past).await.unwrap();
            clean = run(cloud).await;
        }
        if clean.payload["owed"] != 0 {
            retry(cloud, scenario).await;
            clean = run(cloud).await;
        }
        assert_eq!(clean.function_error, None, "{scenario}: {}", clean.payload);
        let is_done = ["complete", "idle"].contains(&clean.payload["outcome"].as_str().unwrap_or_default());
        assert!(is_done, "{scenario}: {}", clean.payload);
        assert_eq!(clean.payload["owed"], 0, "{scenario}: {}", clean.payload);
        assert_eq!(clean.payload["parked"], 0, "{scenario}: {}", clean.payload);
    }

    /// Has every channel tried with the next run. A run that has ended holds no lease that would keep this from its work.
    async fn retry(cloud: &LocalCloud, scenario: &str) {
        let retried = invoke(cloud, "NotifierFunction", &json!({ "command": "retry" })).await;
        assert_eq!(retried.function_error, None, "{scenario}: {}", retried.payload);
    }

    /// Asserts that the run ended before its deadline, and with an outcome or an error.
    fn assert_clear(answer: &Invocation, kind: Kind, scenario: &str) {
        assert_ended(answer, kind, scenario);
        let outcomes = ["complete", "idle", "stopped", "failed", "paused", "busy"];
        let said = answer.payload["outcome"].as_str().is_some_and(|outcome| outcomes.contains(&outcome));
        assert!(said || answer.function_error.is_some(), "{scenario}: {}", answer.payload);
    }

    async fn walk(cloud: &LocalCloud, link: &Link<'_>, names: &mut Vec<String>, tally: &mut Tally) {
        for &kind in kinds() {
            for at in 1.. {
                // Only a cold start asks for the secrets.
                if !link.is_table {
                    link.processes.kill();
                }
                let scenario = format!("{}, {kind:?} at {at}", link.name);
                let [lead, body] = ["Lead", "Body"].map(|what| format!("{what}{}x", names.len()));
                arrive(cloud, &lead).await;
                arrive_unreadable(cloud, &body).await;
                names.extend([lead, body]);
                let (struck, since) = (link.strike(kind, at), Instant::now());
                let answer = run(cloud).await;
                let took = since.elapsed();
                let requests = link.clear();
                assert_clear(&answer, kind, &scenario);
                if requests < at {
                    assert!(at > if link.is_table { 6 } else { 1 }, "{requests} requests are no walk");
                    break;
                }
                if struck.lock().unwrap().is_none() {
                    continue;
                }
                tally.note(link, kind, took);
                let may_hold_lease = kind.kills() || kind == Kind::Outage;
                if is_full() || may_hold_lease {
                    recover(cloud, &scenario, may_hold_lease).await;
                } else {
                    retry(cloud, &scenario).await;
                }
            }
            recover(cloud, &format!("{}, after {kind:?}", link.name), false).await;
        }
    }

    #[tokio::test]
    async fn whatever_fails_every_lead_is_mailed_and_repeats_are_marked() {
        let cloud = borrow().await.unwrap();
        run(&cloud).await;
        let (mut names, mut tally) = (Vec::new(), Tally::default());
        walk(&cloud, &Link::to_aws("notifier to AWS", &cloud, "NotifierFunction"), &mut names, &mut tally).await;
        // A call of the table service ends within 10 s.
        let tables = Link::to_tables("notifier to the tables", &cloud, "NotifierFunction", 16_000);
        walk(&cloud, &tables, &mut names, &mut tally).await;
        tally.print();

        let mails = cloud.inbox().mails().await.unwrap();
        let mut repeated = 0;
        for name in &names {
            let copies: Vec<&Mail> = mails.iter().filter(|mail| mail.body.text.contains(name)).collect();
            assert!(!copies.is_empty(), "{name} is in no mail");
            let unmarked = copies.iter().filter(|mail| !mail.body.text.contains("may be a repeat")).count();
            assert!(unmarked <= 1, "{name} came {unmarked} times unmarked");
            repeated += copies.len() - 1;
        }
        println!("{} leads and bodies mailed, {repeated} of them a second time, marked", names.len());
        let history = invoke(&cloud, "NotifierFunction", &json!({ "command": "history", "last": 1000 })).await;
        assert_eq!(history.function_error, None, "{}", history.payload);
        let left = invoke(&cloud, "NotifierFunction", &json!({ "command": "dry-run" })).await;
        for what in ["found", "owed", "parked", "cues"] {
            assert_eq!(left.payload[what], 0, "{what}: {}", left.payload);
        }
    }
}

mod intake {
    use super::*;

    /// The kind of body that is posted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Sent {
        Lead,
        Unreadable,
    }

    impl Sent {
        fn body(self, number: usize) -> String {
            match self {
                Self::Lead => {
                    json!({ "LeadSource": "AzureMarketplace-INS|contoso.a", "Description": number.to_string() })
                        .to_string()
                }
                Self::Unreadable => format!("{{\"LeadSource\": {number}"),
            }
        }
    }

    /// What has been acknowledged: the ids of leads, and bodies that were said to be unreadable.
    #[derive(Default)]
    struct Acknowledged {
        leads: BTreeSet<String>,
        bodies: BTreeSet<String>,
        sent: usize,
    }

    struct Walker<'a> {
        cloud: &'a LocalCloud,
        url: String,
        http: Client,
        leads: AzureTable,
        acknowledged: Acknowledged,
    }

    impl Walker<'_> {
        /// Posts a body. Gives the status, or 0 if no answer came.
        async fn post(&mut self, sent: Sent, scenario: &str) -> u16 {
            self.acknowledged.sent += 1;
            let body = sent.body(self.acknowledged.sent);
            let Ok(answer) = self.http.post(&self.url).body(body.clone()).send().await else { return 0 };
            let status = answer.status().as_u16();
            let said: Value = answer.json().await.unwrap_or_default();
            let id = said["id"].as_str().unwrap_or_default().to_owned();
            match (status, sent) {
                (200 | 201, Sent::Lead) => {
                    let day = marketplace_leads::lead::Day::of(jiff::Timestamp::now()).partition_key();
                    assert!(self.leads.get(&Keys::new(&day, &id)).await.is_ok(), "{scenario}: {status} without a row");
                    self.acknowledged.leads.insert(id);
                }
                (202, Sent::Lead) => {
                    // Without the keys intake does not look into a body, and gives no id.
                    let of_body = Lead::from_json(body.as_bytes()).unwrap().id();
                    assert!(id.is_empty() || id == of_body, "{scenario}: {id}");
                    self.acknowledged.leads.insert(of_body);
                }
                (202 | 400, Sent::Unreadable) => {
                    self.acknowledged.bodies.insert(body);
                }
                (500.., _) => {}
                _ => panic!("{scenario}: {status} {said}"),
            }
            status
        }

        /// Walks through the requests on a link, and calls `prepare` before each scenario.
        async fn walk(&mut self, link: &Link<'_>, tally: &mut Tally, prepare: impl Fn()) {
            for sent in [Sent::Lead, Sent::Unreadable] {
                for &kind in kinds() {
                    for at in 1.. {
                        prepare();
                        let scenario = format!("{}, {sent:?}, {kind:?} at {at}", link.name);
                        let (struck, since) = (link.strike(kind, at), Instant::now());
                        let status = self.post(sent, &scenario).await;
                        let took = since.elapsed();
                        let requests = link.clear();
                        let struck = struck.lock().unwrap().clone();
                        if requests < at {
                            assert!(at > 1, "{scenario}: no request at all, answered {status}");
                            break;
                        }
                        let Some(struck) = struck else { continue };
                        tally.note(link, kind, took);
                        let is_start = struck.operation.as_deref().is_some_and(|name| name.starts_with("AmazonSSM"));
                        // A function that does not start can take its whole time limit, and Lambda starts it twice.
                        let limit = if is_start { 50 } else { 8 };
                        assert!(took < Duration::from_secs(limit), "{scenario}: {took:?}");
                        if link.is_table && !kind.kills() {
                            let kept = [200, 201, 202, 400].contains(&status);
                            assert!(kept, "{scenario}: the queue is there, but the answer is {status}");
                        }
                    }
                }
            }
        }

        /// Once redelivery may work, every acknowledged lead is a row and every acknowledged body is in quarantine.
        async fn assert_all_kept(&self) {
            let since = Instant::now();
            loop {
                let rows = async |table| self.cloud.table().rows(table).await.unwrap();
                let keys = |rows: Vec<serde_json::Map<String, Value>>| -> Vec<String> {
                    rows.iter().map(|row| row["RowKey"].as_str().unwrap().to_owned()).collect()
                };
                let leads = keys(rows(self.cloud.leads_table()).await);
                let stored: BTreeSet<_> = leads.iter().cloned().collect();
                assert_eq!(stored.len(), leads.len(), "a lead is two rows");
                let state: BTreeSet<_> = keys(rows(self.cloud.state_table()).await).into_iter().collect();
                let lost = self.acknowledged.leads.difference(&stored).count();
                let unkept = self.acknowledged.bodies.iter().filter(|body| !state.contains(&quarantine_key(body)));
                let unkept = unkept.count();
                if (lost, unkept) == (0, 0) {
                    println!(
                        "{} requests: {} leads and {} unreadable bodies acknowledged, and all of them kept",
                        self.acknowledged.sent,
                        self.acknowledged.leads.len(),
                        self.acknowledged.bodies.len()
                    );
                    return;
                }
                assert!(since.elapsed() < Duration::from_secs(60), "{lost} leads and {unkept} bodies are lost");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }

    /// Sets whether the queue's messages go to redelivery.
    async fn deliver(cloud: &LocalCloud, enabled: bool) {
        let path = "/2015-03-31/event-source-mappings/";
        let mappings = cloud.aws().rest("lambda", Method::GET, path, None).await.unwrap();
        let id = mappings["EventSourceMappings"][0]["UUID"].as_str().unwrap();
        let change = json!({ "Enabled": enabled });
        cloud.aws().rest("lambda", Method::PUT, &format!("{path}{id}"), Some(change)).await.unwrap();
    }

    #[tokio::test]
    async fn whatever_fails_what_was_acknowledged_is_kept() {
        let cloud = borrow().await.unwrap();
        // If redelivery ran, its requests would be counted as intake's.
        deliver(&cloud, false).await;
        let mut walker = Walker {
            cloud: &cloud,
            url: cloud.intake_url().unwrap(),
            http: Client::new(),
            leads: table(&cloud, cloud.leads_table()),
            acknowledged: Acknowledged::default(),
        };
        let mut tally = Tally::default();
        assert_eq!(walker.post(Sent::Lead, "no fault").await, 201);
        let tables = Link::to_tables("intake to the tables", &cloud, "IntakeFunction", 2_000);
        walker.walk(&tables, &mut tally, || ()).await;
        // While the tables are down, intake needs the queue. After a cold start it also needs its secrets.
        tables.proxy.set_faults(|_| Some(Fault::Cut));
        let aws = Link::to_aws("intake to AWS", &cloud, "IntakeFunction");
        walker.walk(&aws, &mut tally, || aws.processes.kill()).await;
        tables.proxy.clear_faults();
        tally.print();
        deliver(&cloud, true).await;
        walker.assert_all_kept().await;
    }
}

mod redelivery {
    use super::*;

    /// A message, and the row that its body must become.
    struct Message {
        id: String,
        text: String,
        keys: Keys,
        is_lead: bool,
    }

    fn messages(number: usize) -> [Message; 4] {
        [0, 1, 2, 3].map(|place| {
            // Leads of yesterday need cues, and are stored together.
            let is_late = [1, 2].contains(&place);
            let age = if is_late { jiff::SignedDuration::from_hours(24) } else { jiff::SignedDuration::ZERO };
            let received = jiff::Timestamp::now() - age;
            let (body, is_lead) = match place {
                3 => (format!("unreadable {number}"), false),
                _ => (json!({ "LeadSource": "A", "Description": format!("{number}-{place}") }).to_string(), true),
            };
            let keys = if is_lead {
                StoredLead::received(Lead::from_json(body.as_bytes()).unwrap(), received).keys
            } else {
                Keys::new(quarantine::PARTITION, quarantine_key(&body))
            };
            let text = QueuedBody::new(received, body.into_bytes()).to_json();
            Message { id: format!("m{place}"), text, keys, is_lead }
        })
    }

    /// Invokes redelivery with messages. Gives the ids of those that the queue will deliver again; that is all of them if
    /// the function failed.
    async fn deliver(cloud: &LocalCloud, messages: &[&Message]) -> (Invocation, Vec<String>) {
        let records = messages.iter().map(|message| {
            json!({ "messageId": message.id, "receiptHandle": "r", "body": message.text, "attributes": {},
                "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "eu-west-1" })
        });
        let event = json!({ "Records": records.collect::<Vec<_>>() });
        let answer = invoke(cloud, "RedeliveryFunction", &event).await;
        let failed = match &answer.function_error {
            Some(_) => messages.iter().map(|message| message.id.clone()).collect(),
            None => answer.payload["batchItemFailures"]
                .as_array()
                .unwrap()
                .iter()
                .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
                .collect(),
        };
        (answer, failed)
    }

    #[tokio::test]
    async fn whatever_fails_a_message_is_done_only_when_its_body_is_kept() {
        let cloud = borrow().await.unwrap();
        let (leads, state) = (table(&cloud, cloud.leads_table()), table(&cloud, cloud.state_table()));
        let is_kept = async |message: &Message| {
            let table = if message.is_lead { &leads } else { &state };
            match table.get(&message.keys).await {
                Ok(_) => true,
                Err(TableError::NotFound) => false,
                Err(error) => panic!("{error}"),
            }
        };
        // The table service has 4 s for an answer.
        let tables = Link::to_tables("redelivery to the tables", &cloud, "RedeliveryFunction", 5_000);
        let aws = Link::to_aws("redelivery to AWS", &cloud, "RedeliveryFunction");
        let (mut tally, mut sent, mut again) = (Tally::default(), 0, 0);
        for link in [&tables, &aws] {
            for &kind in kinds() {
                for at in 1.. {
                    if !link.is_table {
                        link.processes.kill();
                    }
                    sent += 1;
                    let batch = messages(sent);
                    let scenario = format!("{}, {kind:?} at {at}", link.name);
                    let (struck, since) = (link.strike(kind, at), Instant::now());
                    let (answer, failed) = deliver(&cloud, &batch.each_ref()).await;
                    let took = since.elapsed();
                    let requests = link.clear();
                    assert_ended(&answer, kind, &scenario);
                    let left: Vec<_> = batch.iter().filter(|message| failed.contains(&message.id)).collect();
                    for message in batch.iter().filter(|message| !failed.contains(&message.id)) {
                        assert!(is_kept(message).await, "{scenario}: {} is done but not kept", message.id);
                    }
                    if !left.is_empty() {
                        again += left.len();
                        let (answer, failed) = deliver(&cloud, &left).await;
                        assert!(failed.is_empty(), "{scenario}: {}", answer.payload);
                    }
                    for message in &batch {
                        assert!(is_kept(message).await, "{scenario}: {} is lost", message.id);
                    }
                    if requests < at {
                        assert!(at > 1, "{scenario}: no request at all");
                        break;
                    }
                    if struck.lock().unwrap().is_some() {
                        tally.note(link, kind, took);
                    }
                }
            }
        }
        tally.print();
        let rows = cloud.table().rows(cloud.leads_table()).await.unwrap();
        assert_eq!(rows.len(), sent * 3, "a row for each lead, and none twice");
        println!("{} messages, {again} of them delivered twice", sent * 4);
    }
}

mod export {
    use super::*;

    /// More than a page holds.
    const LEADS: usize = 1_200;

    /// The number of rows in an export, or `None` if the client sees that the export is not whole.
    fn exported(answer: &Invocation) -> Option<usize> {
        if answer.function_error.is_some() {
            return None;
        }
        // A streamed answer consists of status and headers in JSON, eight zeros, and the body.
        let (prelude, body) = answer.payload.as_str()?.split_once("\0\0\0\0\0\0\0\0")?;
        let prelude: Value = serde_json::from_str(prelude).unwrap();
        (prelude["statusCode"] == 200).then(|| body.lines().filter(|line| !line.starts_with("{\"trailer\"")).count())
    }

    #[tokio::test]
    async fn whatever_fails_an_export_is_whole_or_seen_to_be_broken() {
        let cloud = borrow().await.unwrap();
        let now = jiff::Timestamp::now();
        let leads = table(&cloud, cloud.leads_table());
        let partition_key = local_cloud::partition_of(now);
        let row = |number: usize| Entity::new(&partition_key, number.to_string()).with("LeadSource", "SPZA");
        let rows: Vec<_> = (0..LEADS).map(|number| Operation::Insert(row(number))).collect();
        for batch in rows.chunks(100) {
            leads.submit(&partition_key, batch).await.unwrap();
        }
        let event = json!({
            "version": "2.0",
            "rawPath": "/leads",
            "rawQueryString": format!("format=ndjson&since={}", now.strftime("%Y-%m-%d")),
            "requestContext": { "http": { "method": "GET", "path": "/leads" } },
        });
        let whole = invoke(&cloud, "ExportFunction", &event).await;
        assert_eq!(exported(&whole), Some(LEADS), "{:.300}", whole.payload.to_string());

        let tables = Link::to_tables("export to the tables", &cloud, "ExportFunction", 16_000);
        let aws = Link::to_aws("export to AWS", &cloud, "ExportFunction");
        let (mut tally, mut broken) = (Tally::default(), 0);
        for link in [&tables, &aws] {
            for &kind in kinds() {
                for at in 1.. {
                    if !link.is_table {
                        link.processes.kill();
                    }
                    let scenario = format!("{}, {kind:?} at {at}", link.name);
                    let (struck, since) = (link.strike(kind, at), Instant::now());
                    let answer = invoke(&cloud, "ExportFunction", &event).await;
                    let took = since.elapsed();
                    let requests = link.clear();
                    assert_ended(&answer, kind, &scenario);
                    match exported(&answer) {
                        Some(rows) => assert_eq!(rows, LEADS, "{scenario}: a short file looks whole"),
                        None => broken += 1,
                    }
                    if requests < at {
                        assert!(at > 1, "{scenario}: no request at all");
                        assert_eq!(exported(&answer), Some(LEADS), "{scenario}");
                        break;
                    }
                    if struck.lock().unwrap().is_some() {
                        tally.note(link, kind, took);
                    }
                }
            }
        }
        tally.print();
        println!("{broken} exports seen to be broken, all others whole");
    }
}

mod validation {
    use super::*;

    #[tokio::test]
    async fn whatever_fails_validation_ends_with_a_report() {
        let cloud = borrow().await.unwrap();
        let tables = Link::to_tables("validation to the tables", &cloud, "ValidationFunction", 16_000);
        let aws = Link::to_aws("validation to AWS", &cloud, "ValidationFunction");
        let mut tally = Tally::default();
        // Validation makes many requests. So `cargo test` walks with a single kind of fault.
        let kinds = if is_full() { &ALL[..] } else { &FEW[..1] };
        for link in [&tables, &aws] {
            for &kind in kinds {
                for at in 1.. {
                    if !link.is_table {
                        link.processes.kill();
                    }
                    let scenario = format!("{}, {kind:?} at {at}", link.name);
                    let (struck, since) = (link.strike(kind, at), Instant::now());
                    let answer = invoke(&cloud, "ValidationFunction", &json!({})).await;
                    let took = since.elapsed();
                    let requests = link.clear();
                    assert_ended(&answer, kind, &scenario);
                    if !kind.kills() {
                        let report = answer.payload["report"].as_str().unwrap_or_default();
                        assert!(
                            answer.function_error.is_none() && !report.is_empty(),
                            "{scenario}: {}",
                            answer.payload
                        );
                    }
                    if requests < at {
                        assert!(at > 6, "{scenario}: no walk");
                        break;
                    }
                    if struck.lock().unwrap().is_some() {
                        tally.note(link, kind, took);
                    }
                }
            }
        }
        tally.print();
        let clean = invoke(&cloud, "ValidationFunction", &json!({})).await;
        assert_eq!(clean.function_error, None, "{}", clean.payload);
    }
}
