//! The main job. `strict_service.rs` has it done once more.

use local_cloud::{LocalCloud, MAIL_FROM, MAIL_TO, Options, Progress, prove};
use serde_json::json;

#[tokio::test]
async fn leads_from_both_sources_end_in_one_mail_and_are_not_mailed_again() {
    both_sources_end_in_one_mail(&LocalCloud::start(Options::default()).await.unwrap()).await;
}

#[tokio::test]
async fn a_lead_without_a_valid_key_is_refused_and_the_same_lead_again_is_known() {
    keys_are_checked_and_repeats_known(&LocalCloud::start(Options::default()).await.unwrap()).await;
}

pub(crate) async fn both_sources_end_in_one_mail(cloud: &LocalCloud) {
    prove(cloud, &Progress::default()).await.unwrap();

    let mails = cloud.inbox().mails().await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].destination.to, [MAIL_TO]);
    assert!(mails[0].from.contains(MAIL_FROM), "{}", mails[0].from);
    assert!(mails[0].body.html.contains("Backup Suite"));

    let again = cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap();
    assert_eq!(again.function_error, None, "{}", again.payload);
    assert_eq!(cloud.inbox().mails().await.unwrap().len(), 1, "no new leads, no mail");
}

pub(crate) async fn keys_are_checked_and_repeats_known(cloud: &LocalCloud) {
    let http = reqwest::Client::new();
    let lead = include_str!("../../../fixtures/leads/documented.json");
    let post = async |url: String| http.post(url).body(lead).send().await.unwrap().status().as_u16();

    let url = cloud.intake_url().unwrap();
    let without_key = url.split_once('?').unwrap().0;
    assert_eq!(post(without_key.to_owned()).await, 401);
    assert_eq!(post(format!("{without_key}?code=0123456789abcdef")).await, 401);
    assert_eq!(post(url.clone()).await, 201);
    assert_eq!(post(url).await, 200);

    let rows = cloud.table().rows(cloud.leads_table()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["PartitionKey"], local_cloud::partition_of(std::time::SystemTime::now().try_into().unwrap()));
    assert!(rows[0]["CustomerInfo"].as_str().unwrap().contains("someone@contoso.com"));
    let logs = cloud.logs().await.unwrap();
    for secret in [cloud.intake_key(), "someone@contoso.com", "16175555555"] {
        assert!(!logs.contains(secret), "a log holds {secret}");
    }
}
