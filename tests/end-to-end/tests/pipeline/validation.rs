//! Validation as it is deployed. First all is well, and then one thing after the other is really broken.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac as _};
use local_cloud::proxy::{Fault, Reply};
use local_cloud::{Borrowed, LocalCloud, MAIL_FROM, MAIL_TO, MicrosoftLead, borrow};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The answer of one validation.
struct Answer(Value);

impl Answer {
    fn check(&self, id: &str) -> &Value {
        let checks = self.0["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {}", self.0))
    }

    fn report(&self) -> &str {
        self.0["report"].as_str().unwrap()
    }

    /// Asserts the status of a check, and that its text contains `words`.
    fn assert(&self, id: &str, status: &str, words: &str) {
        let check = self.check(id);
        assert_eq!(check["status"], status, "{id}\n{}", self.report());
        assert!(check["seen"].as_str().unwrap().contains(words), "{id}: {words}\n{}", self.report());
        assert_eq!(check["cure"].is_null(), status == "ok", "{}", self.report());
    }
}

async fn validate(cloud: &LocalCloud, event: Value) -> Answer {
    let invocation = cloud.invoke(cloud.output("ValidationFunction").unwrap(), &event).await.unwrap();
    assert_eq!(invocation.function_error, None, "{}", invocation.payload);
    let shown = invocation.payload.to_string();
    for hidden in [KEY, cloud.intake_key(), MAIL_TO, MAIL_FROM, "Fabiola"] {
        assert!(!shown.contains(hidden), "{hidden}: {shown}");
    }
    Answer(invocation.payload)
}

async fn set_connection_string(cloud: &LocalCloud, value: &str) {
    let parameter = json!({
        "Name": "/marketplace-leads/storage-connection-string", "Value": value, "Type": "SecureString", "Overwrite": true,
    });
    cloud.aws().json("ssm", "AmazonSSM.PutParameter", parameter).await.unwrap();
}

/// A connection string with an account's shared access signature.
///
/// <https://learn.microsoft.com/rest/api/storageservices/create-account-sas#construct-the-signature-string>
fn signed(cloud: &LocalCloud, permissions: &str, expires: &str) -> String {
    let version = "2019-02-02";
    // Azure wants the resource type `o` for queries, and the emulator `c`.
    let text = format!("{ACCOUNT}\n{permissions}\nt\nco\n\n{expires}\n\nhttps,http\n{version}\n");
    let mut hmac = Hmac::<Sha256>::new_from_slice(&BASE64_STANDARD.decode(KEY).unwrap()).unwrap();
    hmac.update(text.as_bytes());
    let signature = BASE64_STANDARD.encode(hmac.finalize().into_bytes());
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("sv", version), ("ss", "t"), ("srt", "co"), ("sp", permissions), ("se", expires)])
        .extend_pairs([("spr", "https,http"), ("sig", signature.as_str())])
        .finish();
    let port = cloud.table_proxy().unwrap().port();
    format!("TableEndpoint=http://127.0.0.1:{port}/{ACCOUNT};SharedAccessSignature={query}")
}

fn with_key(cloud: &LocalCloud, key: &str) -> String {
    let port = cloud.table_proxy().unwrap().port();
    format!(
        "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};TableEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    )
}

/// A cloud in which one lead has arrived and was mailed.
async fn start() -> Borrowed {
    let cloud = borrow().await.unwrap();
    let lead = MicrosoftLead {
        source: "AzureMarketplace".to_owned(),
        action: "INS".to_owned(),
        offer: "contoso.backup-suite".to_owned(),
        offer_name: "Backup Suite".to_owned(),
        customer: json!({ "FirstName": "Fabiola", "LastName": "Doe", "Email": "fabiola@fabrikam.example" }),
        description: String::new(),
    };
    cloud.table().insert_microsoft_lead(cloud.leads_table(), &lead, jiff::Timestamp::now()).await.unwrap();
    let run = cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap();
    assert_eq!(run.function_error, None);
    cloud
}

async fn leads(cloud: &LocalCloud) -> usize {
    cloud.table().rows(cloud.leads_table()).await.unwrap().len()
}

#[tokio::test]
async fn a_deployment_that_runs_is_found_to_be_well_and_left_as_it_was() {
    let cloud = start().await;
    let state = cloud.table().rows(cloud.state_table()).await.unwrap();
    let answer = validate(&cloud, json!({})).await;
    println!("{}", answer.report());
    assert_eq!(answer.0["ok"], true, "{}", answer.report());
    for check in answer.0["checks"].as_array().unwrap() {
        // The emulator does not sign mails, and the tests run the notifier by hand, so that the schedule is slower than the
        // cadence. The warnings about that are true, and they are the only ones.
        if check["id"] == "mail" {
            answer.assert("mail", "warning", "not signed with DKIM");
            assert!(
                check["cure"].as_str().unwrap().starts_with("Verify the sender's whole domain"),
                "{}",
                answer.report()
            );
        } else if check["id"] == "settings" {
            answer.assert("settings", "warning", "LEADS_CADENCE is more often than LEADS_INTERVAL_MINUTES");
        } else {
            assert_eq!(check["status"], "ok", "{}", answer.report());
        }
    }
    assert_eq!(leads(&cloud).await, 1, "the test leads are gone");
    assert_eq!(cloud.table().rows(cloud.state_table()).await.unwrap(), state);

    let mails = cloud.inbox().mails().await.unwrap().len();
    let answer = validate(&cloud, json!({ "checks": ["mail", "round-trip"], "send": true, "leave": true })).await;
    answer.assert("mail", "warning", "a digest with a test lead sent");
    answer.assert("round-trip", "ok", "left in partition");
    let sent = cloud.inbox().mails().await.unwrap();
    assert_eq!(sent.len(), mails + 1);
    assert!(sent.iter().any(|mail| mail.body.text.contains("MSFT_TEST_")));
    assert_eq!(leads(&cloud).await, 2);
    let run = cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap();
    assert_eq!((run.payload["leads"].as_u64(), run.payload["mails"].as_u64()), (Some(1), Some(0)), "{}", run.payload);

    let today = jiff::Timestamp::now().strftime("%m/%d/%Y").to_string();
    let csv =
        format!("Email,Offer,Date\nfabiola@fabrikam.example,Backup Suite,{today}\nzoe@fabrikam.example,X,{today}\n");
    let event = json!({ "checks": ["reconcile"], "reconcile": { "csv": csv } });
    let payload = cloud.invoke(cloud.output("ValidationFunction").unwrap(), &event).await.unwrap().payload;
    let answer = Answer(payload);
    answer.assert("reconcile", "failed", "in the table: 1 of 2 leads");
    assert!(answer.check("reconcile")["details"].to_string().contains("zoe@fabrikam.example"), "{}", answer.report());

    let wrong = cloud.invoke(cloud.output("ValidationFunction").unwrap(), &json!({ "check": "zoe@x.example" })).await;
    let wrong = wrong.unwrap();
    assert!(wrong.function_error.is_some());
    let message = wrong.payload["errorMessage"].as_str().unwrap();
    assert!(message.contains("`checks`") && !message.contains("zoe"), "{message}");
    let logs = cloud.function_logs().await.unwrap();
    for hidden in [KEY, cloud.intake_key(), MAIL_TO, MAIL_FROM, "fabiola", "zoe", "MSFT_TEST_"] {
        assert!(!logs.contains(hidden), "{hidden} is in a log");
    }
}

#[tokio::test]
async fn what_is_really_broken_is_found_where_it_is() {
    let cloud = start().await;
    let proxy = cloud.table_proxy().unwrap();

    set_connection_string(&cloud, &with_key(&cloud, &KEY.replace("Eby8", "Eby9"))).await;
    let answer = validate(&cloud, json!({ "checks": ["round-trip"] })).await;
    answer.assert("storage", "failed", "refuses the account key");
    answer.assert("round-trip", "skipped", "`table`");

    set_connection_string(&cloud, &signed(&cloud, "r", "2099-01-01T00:00:00Z")).await;
    let answer = validate(&cloud, json!({ "checks": ["round-trip"] })).await;
    answer.assert("connection-string", "failed", "a (add), u (update), d (delete)");
    answer.assert("storage", "ok", "shared access signature");
    answer.assert("round-trip", "failed", "does not allow this");

    set_connection_string(&cloud, &signed(&cloud, "raud", "2020-01-01T00:00:00Z")).await;
    let answer = validate(&cloud, json!({ "checks": ["storage"] })).await;
    answer.assert("connection-string", "failed", "expired on 2020-01-01");
    answer.assert("storage", "failed", "has expired");

    set_connection_string(&cloud, &signed(&cloud, "raud", "2099-01-01T00:00:00Z")).await;
    let answer = validate(&cloud, json!({ "checks": ["round-trip", "notifier"] })).await;
    answer.assert("round-trip", "ok", "the same in every field");
    answer.assert("notifier", "ok", "ended well");

    set_connection_string(&cloud, &with_key(&cloud, KEY)).await;
    proxy.set_faults(|_| Some(Fault::Answer(Reply::server_busy())));
    validate(&cloud, json!({ "checks": ["storage"] })).await.assert(
        "storage",
        "failed",
        "asks to slow down (ServerBusy)",
    );
    proxy.clear_faults();

    cloud.table().delete(cloud.leads_table()).await.unwrap();
    validate(&cloud, json!({ "checks": ["table"] })).await.assert("table", "failed", "does not exist");
    let answer = validate(&cloud, json!({ "checks": ["round-trip"], "create": true })).await;
    answer.assert("table", "ok", "created");
    answer.assert("round-trip", "ok", "deleted");

    let queue = cloud.output("LeadDeadLetterQueueUrl").unwrap();
    let message = json!({ "QueueUrl": queue, "MessageBody": "no lead" });
    cloud.aws().json("sqs", "AmazonSQS.SendMessage", message).await.unwrap();
    validate(&cloud, json!({ "checks": ["queue"] })).await.assert("queue", "failed", "dead-letter queue: 1");

    let pause = json!({ "command": "pause" });
    cloud.invoke(cloud.output("NotifierFunction").unwrap(), &pause).await.unwrap();
    validate(&cloud, json!({ "checks": ["notifier"] })).await.assert("notifier", "warning", "is paused");

    let identity = format!("/v2/email/identities/{MAIL_FROM}");
    cloud.aws().rest("ses", Method::DELETE, &identity, None).await.unwrap();
    validate(&cloud, json!({ "checks": ["mail"] })).await.assert("mail", "failed", "SES does not know the sender");

    cloud.stop_table().await.unwrap();
    let answer = validate(&cloud, json!({ "checks": ["storage", "queue"] })).await;
    assert_eq!(answer.check("storage")["status"], "failed", "{}", answer.report());
    cloud.start_table().await.unwrap();
    assert_eq!(leads(&cloud).await, 0, "no test lead is left");
}
