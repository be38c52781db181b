//! The main job. `strict_service.rs` has it done once more.

use local_cloud::{LocalCloud, MAIL_FROM, MAIL_TO, Options, Progress, prove};
use serde_json::{Value, json};

#[tokio::test]
async fn leads_from_both_sources_end_in_one_mail_and_are_not_mailed_again() {
    let cloud = LocalCloud::start(Options { destinations: true, ..Options::default() }).await.unwrap();
    both_sources_end_in_one_mail(&cloud).await;
    a_lead_is_received_in_four_places(&cloud).await;
}

/// What `cargo local` proposes to try: a lead that is posted shows on the page of the receivers in all four places.
async fn a_lead_is_received_in_four_places(cloud: &LocalCloud) {
    let receivers = cloud.receivers().unwrap();
    receivers.clear().await.unwrap();
    cloud.inbox().clear().await.unwrap();
    let lead = include_str!("../../../fixtures/leads/campaign.json");
    let posted = reqwest::Client::new().post(cloud.intake_url().unwrap()).body(lead).send().await.unwrap();
    assert_eq!(posted.status(), 201);
    let run = cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap();
    assert_eq!(run.function_error, None, "{}", run.payload);

    let lead: Value = serde_json::from_str(lead).unwrap();
    let address = lead["UserDetails"]["Email"].as_str().unwrap();
    let received = receivers.messages().await.unwrap();
    let [webhook, teams, slack] = ["webhook", "teams", "slack"].map(|kind| {
        let mut of_kind = received.iter().filter(|message| message.kind == kind);
        let first = of_kind.next().unwrap_or_else(|| panic!("nothing for {kind}"));
        assert!(of_kind.next().is_none(), "one message for {kind}");
        first
    });
    assert_eq!((webhook.verified, webhook.id.is_some()), (Some(true), true), "the library verified the signature");
    assert_eq!(webhook.body["type"], "lead.created");
    assert_eq!(webhook.body["data"]["lead"]["customer"]["email"], address);
    let card = &teams.body["attachments"][0]["content"];
    assert!(card["type"] == "AdaptiveCard" && card["body"].to_string().contains(address), "{card}");
    assert!(slack.body["blocks"].to_string().contains(address), "{}", slack.body);

    let http = reqwest::Client::new();
    let get = async |path: &str| http.get(format!("{}{path}", receivers.address())).send().await.unwrap();
    let page = get("").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(page.text().await.unwrap().contains("page.mjs"));
    assert!(get("adaptivecards.js").await.text().await.unwrap().contains("AdaptiveCard"));
    let mails: Value = get("mails").await.json().await.unwrap();
    assert!(mails["emails"][0]["body"]["html"].as_str().unwrap().contains(address), "the page shows the mail, too");

    let forged = http.post(format!("{}webhook", receivers.address())).body(webhook.body.to_string());
    let forged = forged.header("webhook-id", "lead_1").header("webhook-signature", "v1,AAAA");
    assert_eq!(forged.send().await.unwrap().status(), 401, "an event without a valid signature is refused");
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
