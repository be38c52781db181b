//! The operations guide shows what the notifier really answers.

use local_cloud::proxy::{Fault, Reply};
use local_cloud::{MicrosoftLead, borrow};
use serde_json::{Value, json};

const GUIDE: &str = include_str!("../../../../docs/operations.md");

/// The examples of the guide, each with its event and its answer.
fn examples() -> Vec<(Value, Value)> {
    let parts = GUIDE.split("$ notifier '").skip(1);
    let parts = parts.map(|part| {
        let (sent, rest) = part.split_once("'\n").unwrap();
        let answered = rest.split("```").next().unwrap();
        (serde_json::from_str(sent).unwrap(), serde_json::from_str(answered).unwrap())
    });
    parts.collect()
}

/// A value's form: the names and kinds of its fields, those of a list's first entry, and the kind of anything else.
fn form(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("truth value"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(entries) => entries.iter().take(1).map(form).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), form(value))).collect(),
    }
}

/// An answer without the partitions in which `erase` found something. They are days, and their number varies.
fn without_partitions(mut answer: Value) -> Value {
    if let Some(removed) = answer.get_mut("removed").and_then(Value::as_object_mut) {
        for counts in removed.values_mut() {
            assert!(counts.as_object().unwrap().values().all(Value::is_u64), "{counts}");
            *counts = json!({});
        }
    }
    answer
}

#[tokio::test]
async fn every_answer_in_the_operations_guide_has_the_form_of_a_real_one() {
    let cloud = borrow().await.unwrap();
    let notifier = cloud.output("NotifierFunction").unwrap();
    let write_lead = async |email: &str| {
        let lead = MicrosoftLead {
            source: "AzureMarketplace".to_owned(),
            action: "INS".to_owned(),
            offer: "contoso.backup-suite".to_owned(),
            offer_name: "Backup Suite".to_owned(),
            customer: json!({ "FirstName": "Ana", "LastName": "Lima", "Email": email }),
            description: String::new(),
        };
        cloud.table().insert_microsoft_lead(cloud.leads_table(), &lead, jiff::Timestamp::now()).await.unwrap();
    };

    // A run whose mail is refused, so that its lead is still owed.
    let refuse = async || {
        write_lead("ana.lima@fabrikam.example").await;
        let refused = Reply::aws_error(400, "MessageRejected", "Email address is not verified.");
        cloud.aws_proxy().unwrap().set_faults(move |_| Some(Fault::Answer(refused.clone())));
        let failed = cloud.invoke(notifier, &json!({ "command": "run" })).await.unwrap();
        assert!(failed.function_error.is_some(), "{}", failed.payload);
        cloud.aws_proxy().unwrap().clear_faults();
    };

    // The first run begins the notifier's memory, and the second one searches the whole table.
    for _ in 0..2 {
        let answer = cloud.invoke(notifier, &json!({ "command": "run" })).await.unwrap();
        assert_eq!(answer.function_error, None, "{}", answer.payload);
    }

    let (mut shown, mut channel) = (Vec::new(), Value::Null);
    for (mut sent, answered) in examples() {
        let command = sent["command"].as_str().unwrap().to_owned();
        let command = command.as_str();
        // The route of the guide's example is not one of the local cloud's.
        if command == "test" {
            sent["route"] = "default".into();
        }
        // The channel that owes something here has another id than the one in the guide.
        if sent["channel"].is_string() {
            sent["channel"] = channel.clone();
        }
        // These steps make sure that the answer holds all that the guide shows.
        match command {
            "run" | "dry-run" => write_lead("ana.lima@fabrikam.example").await,
            "erase" => write_lead("someone@contoso.com").await,
            "outbox" | "history" => refuse().await,
            _ => (),
        }
        let real = cloud.invoke(notifier, &sent).await.unwrap().payload;
        let forms = [&real, &answered].map(|answer| form(&without_partitions(answer.clone())));
        assert_eq!(forms[0], forms[1], "{sent}: {real}");
        if command == "outbox" {
            channel = real["channels"][0]["channel"].clone();
        }
        if command == "erase" {
            let removed = real["removed"][cloud.leads_table()].as_object().unwrap();
            assert_eq!(removed.values().filter_map(Value::as_u64).sum::<u64>(), 1, "{real}");
        }
        if answered["errorMessage"].is_string() {
            assert_eq!(real, answered);
        }
        shown.push(command.to_owned());
    }
    assert_eq!(
        shown,
        [
            "runn", "run", "dry-run", "backfill", "test", "pause", "resume", "outbox", "retry", "discard", "history",
            "erase"
        ]
    );
}
