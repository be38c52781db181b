//! The properties of the local cloud on which the other tests rely.

use local_cloud::proxy::{Fault, Reply};
use local_cloud::{LocalCloud, MAIL_FROM, MAIL_TO, Options, borrow};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::{Cursor, Read as _};

fn mail(from: &str) -> Vec<u8> {
    let body = json!({ "Text": { "Data": "A text" }, "Html": { "Data": "<p>A text</p>" } });
    let attachment = json!({ "FileName": "leads.csv", "ContentType": "text/csv", "RawContent": "YSxi" });
    let content = json!({
        "Subject": { "Data": "A subject" }, "Body": body, "Attachments": [attachment],
        "Headers": [{ "Name": "Auto-Submitted", "Value": "auto-generated" }],
    });
    let mail = json!({
        "FromEmailAddress": from, "Destination": { "ToAddresses": [MAIL_TO] }, "Content": { "Simple": content },
        "ConfigurationSetName": "leads-digests",
    });
    mail.to_string().into_bytes()
}

#[tokio::test]
async fn mail_is_sent_by_those_who_may_from_a_verified_sender_and_kept_whole() {
    let cloud = borrow().await.unwrap();
    let send = async |function: &str, from: &str| {
        let role = cloud.role_of(function).await.unwrap();
        let headers = [("content-type", "application/json")];
        role.send("ses", Method::POST, "/v2/email/outbound-emails", &headers, mail(from)).await.unwrap()
    };
    let sender = format!("Leads <{MAIL_FROM}>");
    assert_eq!(send("IntakeFunction", &sender).await.status, StatusCode::FORBIDDEN);
    let other = send("NotifierFunction", "leads@fabrikam.example").await;
    assert_eq!(other.status, StatusCode::FORBIDDEN, "the role may not send for another domain: {}", other.text());
    assert!(cloud.inbox().mails().await.unwrap().is_empty());

    let sent = send("NotifierFunction", &sender).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.text());
    let mails = cloud.inbox().mails().await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].message_id, sent.json()["MessageId"].as_str().unwrap());
    assert_eq!((mails[0].subject.as_str(), mails[0].body.text.as_str()), ("A subject", "A text"));
    assert_eq!(mails[0].header("auto-submitted"), Some("auto-generated"));
    assert_eq!(
        (mails[0].attachments[0].filename.as_str(), mails[0].attachments[0].bytes()),
        ("leads.csv", b"a,b".to_vec())
    );

    let identity = format!("/v2/email/identities/{MAIL_FROM}");
    cloud.aws().rest("ses", Method::DELETE, &identity, None).await.unwrap();
    let unverified = send("NotifierFunction", &sender).await;
    assert_eq!(unverified.status, StatusCode::BAD_REQUEST);
    assert!(unverified.text().contains("not verified"), "{}", unverified.text());
    assert_eq!(unverified.headers["x-amzn-errortype"], "MessageRejected");
}

#[tokio::test]
async fn secrets_are_read_by_those_who_may() {
    let cloud = borrow().await.unwrap();
    let read = async |function: &str, names: &[&str]| -> Option<Value> {
        let role = cloud.role_of(function).await.unwrap();
        let request = json!({ "Names": names, "WithDecryption": true });
        role.json("ssm", "AmazonSSM.GetParameters", request).await.ok()
    };
    let (storage, keys) = ("/marketplace-leads/storage-connection-string", "/marketplace-leads/intake-keys");
    let both = read("IntakeFunction", &[storage, keys]).await.unwrap();
    assert_eq!(both["Parameters"].as_array().map(Vec::len), Some(2));
    assert!(read("NotifierFunction", &[storage]).await.is_some());
    assert!(
        read("NotifierFunction", &[storage, keys]).await.is_none(),
        "the notifier has no business with intake keys"
    );
}

#[tokio::test]
async fn the_table_keeps_its_rows_over_a_restart_and_faults_strike_the_functions_alone() {
    let cloud = borrow().await.unwrap();
    let table = cloud.table();
    let row = json!({ "PartitionKey": "p", "RowKey": "r", "Column": "value" });
    table.insert(cloud.leads_table(), &row).await.unwrap();
    cloud.stop_table().await.unwrap();
    assert!(table.rows(cloud.leads_table()).await.is_err());
    cloud.start_table().await.unwrap();
    assert_eq!(table.rows(cloud.leads_table()).await.unwrap()[0]["Column"], "value");

    let proxy = cloud.table_proxy().unwrap();
    proxy.set_faults(|_| Some(Fault::Answer(Reply::server_busy())));
    let lead = include_str!("../../../fixtures/leads/documented.json");
    let answer = reqwest::Client::new().post(cloud.intake_url().unwrap()).body(lead).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
    assert!(!proxy.requests().is_empty());
    let sent = cloud.aws_proxy().unwrap().requests();
    assert!(sent.iter().any(|seen| seen.operation.as_deref() == Some("AmazonSQS.SendMessage")), "{sent:?}");
    assert_eq!(table.rows(cloud.leads_table()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reset_leaves_nothing_of_what_a_test_did() {
    let mut cloud = LocalCloud::start(Options { proxies: true, ..Options::default() }).await.unwrap();
    let lead = include_str!("../../../fixtures/leads/documented.json");
    let post = async |cloud: &LocalCloud| {
        reqwest::Client::new().post(cloud.intake_url().unwrap()).body(lead).send().await.unwrap().status().as_u16()
    };
    let queues = ["LeadQueueUrl", "LeadDeadLetterQueueUrl", "NotifierDeadLetterQueueUrl"];
    assert_eq!(post(&cloud).await, 201);
    let run = cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap();
    assert_eq!((run.function_error, cloud.inbox().mails().await.unwrap().len()), (None, 1));
    // The first queue is left out: redelivery would take the message.
    for queue in &queues[1..] {
        let message = json!({ "QueueUrl": cloud.output(queue).unwrap(), "MessageBody": "{}" });
        cloud.aws().json("sqs", "AmazonSQS.SendMessage", message).await.unwrap();
    }
    let identity = format!("/v2/email/identities/{MAIL_FROM}");
    cloud.aws().rest("ses", Method::DELETE, &identity, None).await.unwrap();
    cloud.set_secret("intake-keys", "another-key.0123456789").await.unwrap();
    cloud.set_secret("storage-connection-string", "none").await.unwrap();
    cloud.table().delete(cloud.leads_table()).await.unwrap();
    cloud.table_proxy().unwrap().set_faults(|_| Some(Fault::Cut));
    cloud.aws_proxy().unwrap().set_faults(|_| Some(Fault::Cut));
    cloud.stop_table().await.unwrap();

    cloud.reset().await.unwrap();
    for table in [cloud.leads_table(), cloud.state_table()] {
        assert!(cloud.table().rows(table).await.unwrap().is_empty(), "{table} has rows");
    }
    assert!(cloud.inbox().mails().await.unwrap().is_empty());
    assert_eq!(cloud.function_logs().await.unwrap(), "");
    for queue in queues {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let request = json!({ "QueueUrl": cloud.output(queue).unwrap(), "AttributeNames": names });
        let held = cloud.aws().json("sqs", "AmazonSQS.GetQueueAttributes", request).await.unwrap();
        assert!(names.iter().all(|name| held["Attributes"][name] == "0"), "{queue}: {held}");
    }
    for proxy in [cloud.table_proxy(), cloud.aws_proxy()] {
        assert_eq!((proxy.unwrap().requests().len(), proxy.unwrap().connections()), (0, 0));
    }
    assert_eq!(post(&cloud).await, 201, "the lead is new, and the first key opens again");
    let run = cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap();
    assert_eq!((run.function_error, cloud.inbox().mails().await.unwrap().len()), (None, 1));
}

/// `sam build` and `sam deploy` make such zips for AWS. AWS leaves the file's mode as it is, unlike the emulator.
#[tokio::test]
async fn each_function_is_deployed_as_a_zip_with_the_executable_bootstrap_and_nothing_else() {
    let cloud = borrow().await.unwrap();
    for (function, name) in [
        ("IntakeFunction", "lead-intake"),
        ("RedeliveryFunction", "lead-redelivery"),
        ("NotifierFunction", "lead-notifier"),
        ("ValidationFunction", "lead-validation"),
        ("ExportFunction", "lead-export"),
    ] {
        let path = format!("/functions/{name}.zip");
        let uploaded = cloud.aws().send("s3", Method::GET, &path, &[], Vec::new()).await.unwrap();
        assert_eq!(uploaded.status, StatusCode::OK, "{name}");
        let path = format!("/2015-03-31/functions/{}/configuration", cloud.output(function).unwrap());
        let deployed = cloud.aws().rest("lambda", Method::GET, &path, None).await.unwrap();
        assert_eq!(deployed["CodeSize"], uploaded.body.len(), "{name} runs another zip");

        let mut zip = zip::ZipArchive::new(Cursor::new(uploaded.body)).unwrap();
        assert_eq!(zip.len(), 1, "{name}");
        let mut bootstrap = zip.by_name("bootstrap").unwrap();
        assert_eq!(bootstrap.unix_mode().map(|mode| mode & 0o7777), Some(0o755), "{name}");
        let mut magic = [0; 4];
        bootstrap.read_exact(&mut magic).unwrap();
        assert_eq!(&magic, b"\x7fELF", "{name}");
    }
}
