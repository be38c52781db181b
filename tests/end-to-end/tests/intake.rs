//! Intake and redelivery as they are deployed, on the local cloud. These tests have a binary of their own, because they load
//! the machine.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod search;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt as _, stream};
use local_cloud::proxy::{Fault, Reply, Seen};
use local_cloud::{LocalCloud, MAIL_FROM, MAIL_TO, Options};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many requests come. Of twenty requests, one is no lead and two repeat an earlier one.
struct Load {
    requests: usize,
    at_once: usize,
    /// The pause between two requests of one sender.
    pause: Duration,
    /// The time that the load lasts, unless the number of requests bounds it.
    lasting: Option<Duration>,
}

impl Load {
    /// Bounded; with `LEADS_TRUST=full` ten times as much; with `LEADS_TRUST=soak` for ten minutes, while the table
    /// stops every minute, and notifier and export run.
    fn of_environment() -> Self {
        let none = Duration::ZERO;
        match std::env::var("LEADS_TRUST").as_deref() {
            Ok("full") => Self { requests: 20_000, at_once: 64, pause: none, lasting: None },
            Ok("soak") => Self {
                requests: usize::MAX,
                at_once: 16,
                pause: Duration::from_millis(500),
                lasting: Some(Duration::from_secs(600)),
            },
            _ => Self { requests: 2_000, at_once: 32, pause: none, lasting: None },
        }
    }
}

/// The body of a request, and the number of the lead in it if there is one.
fn body(request: usize) -> (Option<usize>, String) {
    match request % 20 {
        5 => (None, format!("{{\"FirstName\": \"{}\", {request}", PERSON[0])),
        8 | 18 => (Some(request - 8), lead(request - 8)),
        _ => (Some(request), lead(request)),
    }
}

/// The fault that strikes one of twenty requests to the table.
fn fault(seen: &Seen) -> Option<Fault> {
    let faults = [Fault::Answer(Reply::server_busy()), Fault::Cut, Fault::CutAfter];
    (seen.number % 20 == 7).then(|| faults[seen.number / 20 % 3].clone())
}

/// The table stops for the first time after so many answers.
const STOPPED_AFTER: usize = 700;
/// The table starts again after so many further answers.
const STOPPED_FOR: usize = 400;

/// What identifies the persons of these tests. Each lead has all of it.
const PERSON: [&str; 4] = ["Zéphirine", "quaggafield.example", "+99 7654321", "Öm\"brelle & Söhne"];

fn lead(number: usize) -> String {
    json!({
        "UserDetails": {
            "FirstName": format!("{} {number}", PERSON[0]), "LastName": "Q", "Email": format!("z{number}@{}", PERSON[1]),
            "Phone": format!("{} {number}", PERSON[2]), "Country": "PT", "Company": PERSON[3], "Title": "CTO",
        },
        "LeadSource": "AzureMarketplace-INS|contoso.backup", "ActionCode": "INS", "OfferTitle": "Contoso Backup",
        "Description": format!("lead {number}"),
    })
    .to_string()
}

/// A running cloud whose queue hands a message out again soon after it failed.
async fn start() -> LocalCloud {
    // With so many instances none of the requests is turned away.
    let parameters = vec![("IntakeConcurrency".to_owned(), (2 * Load::of_environment().at_once).to_string())];
    let options = Options { proxies: true, parameters, ..Options::default() };
    let cloud = LocalCloud::start(options).await.unwrap();
    for queue in queues(&cloud).await {
        let request = json!({ "QueueUrl": queue, "Attributes": { "VisibilityTimeout": "10" } });
        cloud.aws().json("sqs", "AmazonSQS.SetQueueAttributes", request).await.unwrap();
    }
    cloud
}

async fn queues(cloud: &LocalCloud) -> Vec<String> {
    let answer = cloud.aws().json("sqs", "AmazonSQS.ListQueues", json!({})).await.unwrap();
    answer["QueueUrls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect()
}

/// How many messages wait in all queues, dead letters included.
async fn waiting(cloud: &LocalCloud) -> u64 {
    let mut waiting = 0;
    for queue in queues(cloud).await {
        let request = json!({ "QueueUrl": queue, "AttributeNames": ["All"] });
        let answer = cloud.aws().json("sqs", "AmazonSQS.GetQueueAttributes", request).await.unwrap();
        for name in ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"] {
            waiting += answer["Attributes"][name].as_str().unwrap().parse::<u64>().unwrap();
        }
    }
    waiting
}

/// Asserts that the logs of functions and emulators hold no secret and no person, and that the logs of the functions hold
/// each of the `expected` texts.
async fn assert_logs_are_clean(cloud: &LocalCloud, expected: &[&str]) {
    let functions = cloud.function_logs().await.unwrap();
    // The emulator names sender and recipients, which are settings, of each mail that it accepts.
    let parts = cloud.part_logs().unwrap();
    let parts = parts.lines().filter(|line| !line.contains("[ses-v2] SESv2 SendEmail: MessageId="));
    let logs = format!("{functions}{}", parts.collect::<Vec<_>>().join("\n"));
    for part in expected {
        assert!(logs.contains(part), "{part} is not in the logs");
    }
    let connection = cloud.table().connection_string();
    let account_key = connection.split(';').find_map(|part| part.strip_prefix("AccountKey=")).unwrap();
    let secrets = [cloud.intake_key(), cloud.secret_key(), account_key, MAIL_FROM, MAIL_TO];
    for value in PERSON.iter().chain(&secrets) {
        if let Some(line) = search::line_with(&logs, value) {
            panic!("{value} stands in the logs: {line}");
        }
    }
    let ours = |target: &Value| {
        target.as_str().is_some_and(|target| target.starts_with("lead_") || target.starts_with("marketplace_leads"))
    };
    for line in json_lines(&functions) {
        assert!(line.get("_aws").is_some() || ours(&line["target"]), "{line}");
    }
}

fn json_lines(logs: &str) -> impl Iterator<Item = Value> {
    logs.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap())
}

/// What the functions have counted: the sum for each function and metric.
async fn counted(cloud: &LocalCloud) -> BTreeMap<(String, String), u64> {
    let mut counted = BTreeMap::new();
    for line in json_lines(&cloud.function_logs().await.unwrap()) {
        if line["_aws"]["CloudWatchMetrics"][0]["Namespace"] != "MarketplaceLeads" {
            continue;
        }
        let function = line["Function"].as_str().unwrap();
        for (metric, value) in line.as_object().unwrap() {
            if let Some(count) = value.as_u64() {
                *counted.entry((function.to_owned(), metric.clone())).or_insert(0) += count;
            }
        }
    }
    counted
}

/// What the largest process of each function holds in memory, in KiB.
fn memory(cloud: &LocalCloud) -> BTreeMap<&'static str, u64> {
    let functions = ["IntakeFunction", "RedeliveryFunction", "NotifierFunction", "ExportFunction"];
    let largest = |function| cloud.processes_of(function).unwrap().memory().iter().map(|resident| resident.now).max();
    functions.into_iter().filter_map(|function| Some((function, largest(function)?))).collect()
}

/// How much more memory a function may hold in the end than early in the load, in KiB.
const MEMORY_MARGIN: u64 = 8 * 1024;

/// Runs the notifier. The run may fail while the table does.
async fn notify(cloud: &LocalCloud) -> Value {
    let function = cloud.output("NotifierFunction").unwrap();
    cloud.invoke(function, &json!({ "command": "run" })).await.unwrap().payload
}

/// The number of leads in an export of everything. The export may break off while the table fails.
async fn exported(cloud: &LocalCloud) -> usize {
    let url = cloud.function_url("ExportUrl").unwrap();
    let path = format!("{}?format=ndjson", url.strip_prefix(cloud.aws().endpoint()).unwrap());
    let answer = cloud.aws().send("lambda", Method::GET, &path, &[], Vec::new()).await.unwrap();
    answer.text().lines().filter(|line| line.starts_with('{') && !line.starts_with("{\"trailer\"")).count()
}

/// Asserts that once a run has completed, every lead is in a mail, and in a second one only if that says so.
async fn assert_all_mailed(cloud: &LocalCloud, leads: impl Iterator<Item = usize>) {
    let since = Instant::now();
    loop {
        let run = notify(cloud).await;
        if ["complete", "idle"].contains(&run["outcome"].as_str().unwrap_or_default()) && run["owed"] == 0 {
            break;
        }
        // A run that was cut off leaves its lease behind.
        assert!(since.elapsed() < Duration::from_secs(600), "{run}");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let mails = cloud.inbox().mails().await.unwrap();
    let (mut copies, mut unmarked) = (BTreeMap::new(), BTreeMap::new());
    for mail in &mails {
        let is_marked = mail.body.text.contains("may be a repeat");
        for part in mail.body.text.split(PERSON[0]).skip(1) {
            let number = part.trim_start().split(' ').next().and_then(|number| number.parse::<usize>().ok());
            let Some(number) = number else { continue };
            *copies.entry(number).or_insert(0) += 1;
            *unmarked.entry(number).or_insert(0) += usize::from(!is_marked);
        }
    }
    let (mut count, mut again) = (0, 0);
    for lead in leads {
        count += 1;
        again += copies.get(&lead).unwrap_or_else(|| panic!("lead {lead} is in no mail")) - 1;
        assert!(unmarked[&lead] <= 1, "lead {lead} came {} times unmarked", unmarked[&lead]);
    }
    println!("{count} leads in {} mails, {again} of them a second time, marked", mails.len());
}

#[tokio::test]
async fn every_acknowledged_lead_becomes_one_row_though_the_table_fails_and_stops_in_mid_load() {
    let cloud = start().await;
    let load = Load::of_environment();
    let (url, http, answered) = (&cloud.intake_url().unwrap(), &Client::new(), &AtomicUsize::new(0));
    cloud.table_proxy().unwrap().set_faults(fault);

    let since = Instant::now();
    let goes_on = |request: usize| load.lasting.map_or(request < load.requests, |lasting| since.elapsed() < lasting);
    let senders = async {
        let answers = stream::iter((0..load.requests).take_while(|request| goes_on(*request)))
            .map(|request| async move {
                tokio::time::sleep(load.pause).await;
                let (lead, body) = body(request);
                let answer = http.post(url).body(body).send().await.unwrap();
                let (status, said) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
                answered.fetch_add(1, Ordering::SeqCst);
                (lead, status, said["id"].as_str().map(str::to_owned))
            })
            .buffer_unordered(load.at_once)
            .collect::<Vec<_>>()
            .await;
        (answers, since.elapsed())
    };
    let reached = async |count| {
        while answered.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let interruptions = async {
        reached(STOPPED_AFTER).await;
        let (mut early, mut stops) = (memory(&cloud), 0);
        loop {
            cloud.stop_table().await.unwrap();
            reached(answered.load(Ordering::SeqCst) + STOPPED_FOR.min(load.at_once * 20)).await;
            cloud.start_table().await.unwrap();
            stops += 1;
            let Some(lasting) = load.lasting else { return (early, stops) };
            tokio::time::sleep(Duration::from_secs(50)).await;
            let _ = futures::join!(notify(&cloud), exported(&cloud));
            for (function, held) in memory(&cloud) {
                early.entry(function).or_insert(held);
            }
            if since.elapsed() + Duration::from_secs(60) > lasting {
                return (early, stops);
            }
        }
    };
    let ((answers, took), (early, stops)) = futures::join!(senders, interruptions);
    let late = memory(&cloud);
    let mut statuses = BTreeMap::new();
    for (_, status, _) in &answers {
        *statuses.entry(*status).or_insert(0_u64) += 1;
    }
    let requests = answers.len();
    let faults = cloud.table_proxy().unwrap().requests().iter().filter(|seen| fault(seen).is_some()).count();
    println!(
        "{requests} requests, {} at a time, in {took:?}: {statuses:?}; {faults} table requests failed, {stops} stops",
        load.at_once
    );
    for (function, early) in &early {
        let (held, processes) = (late[function], cloud.processes_of(function).unwrap().ids().len());
        println!("{function}: the largest of {processes} held {early} KiB early, {held} KiB in the end");
        assert!(held < early + MEMORY_MARGIN, "{function}: memory grows from {early} KiB to {held} KiB");
    }
    assert!(early.contains_key("IntakeFunction"));

    let mut acknowledged = BTreeMap::new();
    let mut unreadable = 0;
    for (lead, status, id) in answers {
        match lead {
            Some(lead) => {
                assert!([200, 201, 202].contains(&status), "lead {lead}: {status}");
                let id = id.unwrap();
                assert_eq!(acknowledged.entry(lead).or_insert_with(|| id.clone()), &id);
            }
            None => {
                assert_eq!(status, 400);
                unreadable += 1;
            }
        }
    }
    assert!(statuses[&201] > 350 && statuses[&202] > 32 && statuses[&200] as usize >= requests / 20, "{statuses:?}");

    let since = Instant::now();
    while waiting(&cloud).await > 0 {
        assert!(since.elapsed() < Duration::from_secs(300), "{} messages still wait", waiting(&cloud).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("redelivered in {:?}", since.elapsed());
    let rows = cloud.table().rows(cloud.leads_table()).await.unwrap();
    assert_eq!(rows.len(), acknowledged.len(), "a row for each lead, and none twice");
    let stored: BTreeSet<_> = rows.iter().map(|row| row["RowKey"].as_str().unwrap()).collect();
    assert_eq!(stored, acknowledged.values().map(String::as_str).collect());
    assert!(rows.iter().all(|row| row["Source"] == "https" && row["ReceivedTime"].is_string()));
    let state = cloud.table().rows(cloud.state_table()).await.unwrap();
    let kept = state.iter().filter(|row| row["PartitionKey"] == "quarantine").count();
    assert_eq!(kept, unreadable, "every body that is no lead is in quarantine");
    println!("{} leads and {kept} unreadable bodies kept, none twice", rows.len());
    if load.lasting.is_some() {
        cloud.table_proxy().unwrap().clear_faults();
        assert_eq!(exported(&cloud).await, rows.len(), "an export gives every lead");
        assert_all_mailed(&cloud, acknowledged.keys().copied()).await;
    }

    let counted = counted(&cloud).await;
    let counted = |function: &str, metric: &str| counted[&(function.to_owned(), metric.to_owned())];
    // Under load the emulator may keep back the last lines of a process until its next invocation.
    let intakes = cloud.processes_of("IntakeFunction").unwrap().ids().len() as u64;
    let stored = counted("leads-lead-intake", "LeadsStored");
    assert!((statuses[&201] - intakes..=statuses[&201]).contains(&stored), "{stored} stored, {statuses:?}");
    assert!(counted("leads-lead-intake", "LeadsQueued") + intakes >= statuses[&202]);
    assert!(counted("leads-lead-redelivery", "LeadsRedelivered") + intakes >= statuses[&202]);
    assert_logs_are_clean(&cloud, &[r#""outcome":"stored""#, r#""outcome":"queued""#, r#""message":"redelivered""#])
        .await;
}

#[tokio::test]
async fn each_kind_of_request_gets_its_answer_from_the_deployed_intake() {
    let cloud = start().await;
    let (url, http) = (cloud.intake_url().unwrap(), Client::new());
    let without_key = url.split_once('?').unwrap().0;
    let ask = async |method: Method, url: &str, content_type: &str, body: Vec<u8>| {
        let answer = http.request(method, url).header("content-type", content_type).body(body).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (kind, allow, retry) = (header("content-type"), header("allow"), header("retry-after"));
        (status, kind, allow, retry, answer.text().await.unwrap())
    };
    let post = async |body: Vec<u8>| ask(Method::POST, &url, "application/json", body).await;

    let (status, kind, .., body) = post(lead(1).into()).await;
    assert_eq!((status, kind.as_str()), (201, "application/json"));
    let stored: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(stored["status"], "stored");
    for (content_type, before) in [
        ("application/json", ""),
        ("text/plain; charset=utf-8", "\u{feff}"),
        ("application/octet-stream", "\u{feff}"),
        ("application/x-www-form-urlencoded", ""),
    ] {
        let (status, .., body) = ask(Method::POST, &url, content_type, format!("{before}{}", lead(1)).into()).await;
        assert_eq!(status, 200, "{content_type}: {body}");
        let expected = json!({ "id": stored["id"], "status": "duplicate" });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected, "{content_type}");
    }

    let malformed = b"{\"UserDetails\":{\"FirstName\":\"Z\xc3\xa9phirine\"} \xff".to_vec();
    let (status, kind, .., body) = ask(Method::POST, &url, "application/octet-stream", malformed.clone()).await;
    assert_eq!((status, kind.as_str()), (400, "application/problem+json"), "{body}");
    let state = cloud.table().rows(cloud.state_table()).await.unwrap();
    let kept: Vec<_> = state.iter().filter(|row| row["PartitionKey"] == "quarantine").collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(BASE64_STANDARD.decode(kept[0]["Body"].as_str().unwrap()).unwrap(), malformed);

    let wrong = format!("{without_key}?code=wrong-key-0123456789");
    let mut problems = Vec::new();
    for address in [without_key, &wrong, &format!("{url}x")] {
        let (status, kind, .., body) = ask(Method::POST, address, "application/json", lead(2).into()).await;
        assert_eq!((status, kind.as_str()), (401, "application/problem+json"));
        let mut problem: Value = serde_json::from_str(&body).unwrap();
        assert!(!problem["request_id"].take().as_str().unwrap().is_empty());
        problems.push(problem);
    }
    assert!(problems.iter().all(|problem| *problem == problems[0]));
    let (status, _, allow, ..) = ask(Method::GET, &url, "application/json", Vec::new()).await;
    assert_eq!((status, allow.as_str()), (405, "POST"));
    let elsewhere = url.replace("/leads?", "/other?");
    assert_eq!(ask(Method::POST, &elsewhere, "application/json", lead(2).into()).await.0, 404);
    assert_eq!(post(vec![b' '; 65_537]).await.0, 413);
    assert_eq!(cloud.table().rows(cloud.leads_table()).await.unwrap().len(), 1);

    cloud.stop_table().await.unwrap();
    let (status, .., body) = post(lead(3).into()).await;
    assert_eq!((status, body.contains(r#""status":"queued""#)), (202, true), "{body}");
    assert_eq!(post(malformed).await.0, 400);
    for queue in queues(&cloud).await {
        cloud.aws().json("sqs", "AmazonSQS.DeleteQueue", json!({ "QueueUrl": queue })).await.unwrap();
    }
    let since = Instant::now();
    let (status, kind, _, retry, body) = post(lead(4).into()).await;
    assert_eq!((status, kind.as_str(), retry.as_str()), (503, "application/problem+json", "60"), "{body}");
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    let outcomes = ["stored", "duplicate", "quarantined", "unauthorized", "too large", "misdirected", "queued", "lost"];
    assert_logs_are_clean(
        &cloud,
        &outcomes.map(|outcome| format!(r#""outcome":"{outcome}""#)).each_ref().map(String::as_str),
    )
    .await;
}
