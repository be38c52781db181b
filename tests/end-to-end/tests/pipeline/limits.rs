//! What the emulator ignores in the template and the local cloud sets through Lambda's API: reserved concurrency, and where
//! failed asynchronous invocations go.

use local_cloud::proxy::{Fault, Reply};
use local_cloud::{LocalCloud, MicrosoftLead, Options, borrow};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn write_lead(cloud: &LocalCloud, name: &str) {
    let lead = MicrosoftLead::of(name);
    cloud.table().insert_microsoft_lead(cloud.leads_table(), &lead, jiff::Timestamp::now()).await.unwrap();
}

/// The number of mails with a name in their text.
async fn mails_with(cloud: &LocalCloud, name: &str) -> usize {
    cloud.inbox().mails().await.unwrap().iter().filter(|mail| mail.body.text.contains(name)).count()
}

fn invocations(cloud: &LocalCloud, output: &str) -> String {
    format!("/2015-03-31/functions/{}/invocations", cloud.output(output).unwrap())
}

async fn reserved(cloud: &LocalCloud, output: &str) -> Value {
    let path = format!("/2019-09-30/functions/{}/concurrency", cloud.output(output).unwrap());
    cloud.aws().rest("lambda", Method::GET, &path, None).await.unwrap()["ReservedConcurrentExecutions"].clone()
}

#[tokio::test]
async fn a_second_run_at_the_same_time_is_turned_away_and_each_lead_is_mailed_once() {
    let parameters = vec![("IntakeConcurrency".to_owned(), "7".to_owned())];
    let cloud = LocalCloud::start(Options { proxies: true, parameters, ..Options::default() }).await.unwrap();
    assert_eq!(reserved(&cloud, "NotifierFunction").await, 1);
    assert_eq!(reserved(&cloud, "IntakeFunction").await, 7);
    assert_eq!(reserved(&cloud, "RedeliveryFunction").await, Value::Null);

    write_lead(&cloud, "Zebedee").await;
    // The delay keeps one run at work until the other begins.
    cloud.table_proxy().unwrap().set_faults(|_| Some(Fault::Delay(Duration::from_millis(300))));
    let path = invocations(&cloud, "NotifierFunction");
    let headers = [("content-type", "application/json")];
    let run = || cloud.aws().send("lambda", Method::POST, &path, &headers, br#"{"command":"run"}"#.to_vec());
    let (first, second) = futures::join!(run(), run());
    let mut answers = [first.unwrap(), second.unwrap()];
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers[0].status, StatusCode::OK, "{}", answers[0].text());
    assert_eq!(answers[0].json()["mailed"], 1, "{}", answers[0].text());
    assert_eq!(answers[1].status, StatusCode::TOO_MANY_REQUESTS, "{}", answers[1].text());
    assert_eq!(mails_with(&cloud, "Zebedee").await, 1);
}

/// The emulator keeps a failed invocation in the form of a destination, with the event in `requestPayload`. Lambda keeps the
/// event alone. The emulator needs no permission for that. Lambda needs one, which the test of the roles tries.
#[tokio::test]
async fn a_run_that_keeps_failing_ends_in_the_dead_letter_queue_and_its_lead_in_the_next_runs_mail() {
    let cloud = borrow().await.unwrap();
    write_lead(&cloud, "Zebedee").await;
    let refused = Reply::table_error(403, "AuthorizationFailure", "This request is not authorized.");
    cloud.table_proxy().unwrap().set_faults(move |_| Some(Fault::Answer(refused.clone())));

    let path = invocations(&cloud, "NotifierFunction");
    let headers = [("content-type", "application/json"), ("x-amz-invocation-type", "Event")];
    let event = br#"{"command":"run"}"#.to_vec();
    let answer = cloud.aws().send("lambda", Method::POST, &path, &headers, event).await.unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED);

    let queue = json!({ "QueueUrl": cloud.output("NotifierDeadLetterQueueUrl").unwrap(), "WaitTimeSeconds": 1 });
    let since = Instant::now();
    let kept = loop {
        let answer = cloud.aws().json("sqs", "AmazonSQS.ReceiveMessage", queue.clone()).await.unwrap();
        if let Some(message) = answer["Messages"].get(0) {
            break message["Body"].as_str().unwrap().to_owned();
        }
        assert!(since.elapsed() < Duration::from_secs(60), "nothing in the dead-letter queue");
    };
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["requestPayload"], json!({ "command": "run" }), "{kept}");
    let failures = cloud.function_logs().await.unwrap().matches("the invocation failed").count();
    assert_eq!(failures, 3, "the run and the two further tries of the template");

    cloud.table_proxy().unwrap().clear_faults();
    let answer = cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap();
    assert_eq!((answer.function_error, &answer.payload["mailed"]), (None, &json!(1)));
    assert_eq!(mails_with(&cloud, "Zebedee").await, 1);
}
