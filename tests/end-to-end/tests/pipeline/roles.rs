//! What each role of the template may do, and what it is denied, with permissions enforced.

use local_cloud::{Answer, Aws, LocalCloud, MAIL_FROM, MAIL_TO, Options, borrow, xml_values};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FUNCTIONS: [&str; 5] =
    ["IntakeFunction", "RedeliveryFunction", "NotifierFunction", "ValidationFunction", "ExportFunction"];
const STORAGE: &str = "/marketplace-leads/storage-connection-string";
const KEYS: &str = "/marketplace-leads/intake-keys";
const OTHER: &str = "/somebody-elses/parameter";

/// Something that a role tries.
struct Attempt {
    name: &'static str,
    service: &'static str,
    method: Method,
    path: String,
    target: Option<&'static str>,
    body: Value,
    /// The error code that those get who may do it, if the thing that they ask for does not exist.
    not_found: Option<&'static str>,
}

impl Attempt {
    /// At a service with a JSON protocol; `target` names the action.
    fn json(name: &'static str, service: &'static str, target: &'static str, body: Value) -> Self {
        Self { name, service, method: Method::POST, path: "/".to_owned(), target: Some(target), body, not_found: None }
    }

    /// At a service with a REST protocol.
    fn rest(name: &'static str, service: &'static str, method: Method, path: String, body: Value) -> Self {
        Self { name, service, method, path, target: None, body, not_found: None }
    }

    async fn by(&self, role: &Aws) -> Answer {
        let kind = if self.target.is_some() { "application/x-amz-json-1.1" } else { "application/json" };
        let headers: Vec<_> =
            [("content-type", kind)].into_iter().chain(self.target.map(|target| ("x-amz-target", target))).collect();
        let body = if self.body.is_null() { Vec::new() } else { self.body.to_string().into_bytes() };
        role.send(self.service, self.method.clone(), &self.path, &headers, body).await.unwrap()
    }

    /// Whether the role may do it. Any failure but a denial fails the test.
    async fn is_granted_to(&self, who: &str, role: &Aws) -> bool {
        let answer = self.by(role).await;
        if answer.status.is_success() || self.not_found.is_some_and(|code| answer.text().contains(code)) {
            return true;
        }
        let denied = answer.text().contains("not authorized to perform");
        assert!(denied, "{who} tries to {}: {} {}", self.name, answer.status, answer.text());
        false
    }
}

fn attempts(cloud: &LocalCloud) -> Vec<Attempt> {
    let output = |name: &str| cloud.output(name).unwrap().to_owned();
    let (leads, dead, failed_runs) =
        (output("LeadQueueUrl"), output("LeadDeadLetterQueueUrl"), output("NotifierDeadLetterQueueUrl"));
    let send = |queue: &str| json!({ "QueueUrl": queue, "MessageBody": "{}" });
    let read = |name: &str| json!({ "Names": [name], "WithDecryption": true });
    let identity = format!("/v2/email/identities/{MAIL_FROM}");
    let configuration_set = format!("/v2/email/configuration-sets/{}", output("MailConfigurationSetName"));
    let mail = json!({
        "FromEmailAddress": MAIL_FROM, "Destination": { "ToAddresses": [MAIL_TO] },
        "Content": { "Simple": { "Subject": { "Data": "A" }, "Body": { "Text": { "Data": "A" } } } },
        "ConfigurationSetName": output("MailConfigurationSetName"),
    });
    let mut as_another = mail.clone();
    as_another["FromEmailAddress"] = json!(MAIL_TO);
    let mut attempts = vec![
        Attempt::rest("send mail", "ses", Method::POST, "/v2/email/outbound-emails".to_owned(), mail),
        Attempt::rest("send mail as another", "ses", Method::POST, "/v2/email/outbound-emails".to_owned(), as_another),
        Attempt::rest("look at the mail account", "ses", Method::GET, "/v2/email/account".to_owned(), Value::Null),
        Attempt::rest("look at the configuration set", "ses", Method::GET, configuration_set, Value::Null),
        Attempt::rest("look at the sender", "ses", Method::GET, identity.clone(), Value::Null),
        Attempt::rest("delete the sender", "ses", Method::DELETE, identity, Value::Null),
        Attempt {
            not_found: Some("NotFoundException"),
            ..Attempt::rest(
                "look for a suppressed recipient",
                "ses",
                Method::GET,
                format!("/v2/email/suppression/addresses/{MAIL_TO}"),
                Value::Null,
            )
        },
        Attempt::json("read the connection string", "ssm", "AmazonSSM.GetParameters", read(STORAGE)),
        Attempt::json("read the intake keys", "ssm", "AmazonSSM.GetParameters", read(KEYS)),
        Attempt::json("read another parameter", "ssm", "AmazonSSM.GetParameters", read(OTHER)),
        Attempt::json(
            "change the intake keys",
            "ssm",
            "AmazonSSM.PutParameter",
            json!({ "Name": KEYS, "Value": "a", "Type": "SecureString", "Overwrite": true }),
        ),
        Attempt::json("queue a lead", "sqs", "AmazonSQS.SendMessage", send(&leads)),
        Attempt::json("put something among the dead leads", "sqs", "AmazonSQS.SendMessage", send(&dead)),
        Attempt::json("keep a failed run", "sqs", "AmazonSQS.SendMessage", send(&failed_runs)),
    ];
    for (names, queue) in [
        (["receive leads", "delete a lead", "look at the queue", "purge the queue"], &leads),
        (["receive dead leads", "delete a dead lead", "look at the dead leads", "purge the dead leads"], &dead),
        (
            ["receive failed runs", "delete a failed run", "look at the failed runs", "purge the failed runs"],
            &failed_runs,
        ),
    ] {
        let queue = json!({ "QueueUrl": queue });
        let mut delete = queue.clone();
        delete["ReceiptHandle"] = json!("none");
        let [receive, remove, inspect, purge] = names;
        attempts.extend([
            Attempt::json(receive, "sqs", "AmazonSQS.ReceiveMessage", queue.clone()),
            Attempt {
                not_found: Some("ReceiptHandleIsInvalid"),
                ..Attempt::json(remove, "sqs", "AmazonSQS.DeleteMessage", delete)
            },
            Attempt::json(inspect, "sqs", "AmazonSQS.GetQueueAttributes", queue.clone()),
            Attempt::json(purge, "sqs", "AmazonSQS.PurgeQueue", queue),
        ]);
    }
    for (name, function) in [("run intake", "IntakeFunction"), ("run the notifier", "NotifierFunction")] {
        let path = format!("/2015-03-31/functions/{}/invocations", output(function));
        attempts.push(Attempt::rest(name, "lambda", Method::POST, path, json!({ "command": "history" })));
    }
    let settings = format!("/2015-03-31/functions/{}/configuration", output("NotifierFunction"));
    attempts.push(Attempt::rest("read the notifier's settings", "lambda", Method::GET, settings, Value::Null));
    attempts
}

#[tokio::test]
async fn each_function_may_do_what_it_has_to_and_nothing_else() {
    let cloud = borrow().await.unwrap();
    let other = json!({ "Name": OTHER, "Value": "a", "Type": "String" });
    cloud.aws().json("ssm", "AmazonSSM.PutParameter", other).await.unwrap();
    let may: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("IntakeFunction", ["read the connection string", "read the intake keys", "queue a lead"].as_slice()),
        (
            "RedeliveryFunction",
            &[
                "read the connection string",
                "read the intake keys",
                "receive leads",
                "delete a lead",
                "look at the queue",
            ],
        ),
        (
            "NotifierFunction",
            &["send mail", "look for a suppressed recipient", "read the connection string", "keep a failed run"],
        ),
        (
            "ValidationFunction",
            &[
                "send mail",
                "look at the mail account",
                "look at the configuration set",
                "look at the sender",
                "look for a suppressed recipient",
                "read the connection string",
                "read the intake keys",
                "look at the queue",
                "look at the dead leads",
            ],
        ),
        ("ExportFunction", &["read the connection string"]),
    ]);
    for function in FUNCTIONS {
        let role = cloud.role_of(function).await.unwrap();
        let mut granted = Vec::new();
        for attempt in attempts(&cloud) {
            if attempt.is_granted_to(function, &role).await {
                granted.push(attempt.name);
            }
        }
        let mut expected = may[function].to_vec();
        expected.sort_unstable();
        granted.sort_unstable();
        assert_eq!(granted, expected, "{function}");
    }
    let mails = cloud.inbox().mails().await.unwrap();
    assert_eq!(mails.len(), 2, "one of the notifier, one of validation");
}

/// This asks IAM instead of trying: the emulator authorizes such requests on the name of the log group alone, AWS on the
/// stream's.
#[tokio::test]
async fn each_function_may_write_its_own_logs_and_no_others() {
    let cloud = borrow().await.unwrap();
    for function in FUNCTIONS {
        let path = format!("/2015-03-31/functions/{}/configuration", cloud.output(function).unwrap());
        let configuration = cloud.aws().rest("lambda", Method::GET, &path, None).await.unwrap();
        let role = configuration["Role"].as_str().unwrap();
        let account = role.trim_start_matches("arn:aws:iam::").split(':').next().unwrap();
        for of in FUNCTIONS {
            let region = cloud.aws().region();
            let group = format!("/aws/lambda/{}", cloud.output(of).unwrap());
            let stream = format!("arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:a");
            let question = [
                ("PolicySourceArn", role),
                ("ActionNames.member.1", "logs:CreateLogStream"),
                ("ActionNames.member.2", "logs:PutLogEvents"),
                ("ResourceArns.member.1", stream.as_str()),
            ];
            let answer = cloud.aws().query("iam", "SimulatePrincipalPolicy", "2010-05-08", &question).await.unwrap();
            let expected = if of == function { "allowed" } else { "implicitDeny" };
            let decisions: Vec<_> =
                xml_values(&answer, "EvalDecision").into_iter().filter(|decision| decision == expected).collect();
            assert_eq!(decisions.len(), 2, "{function} on the logs of {of}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_schedule_may_run_the_notifier_and_keep_failed_runs_and_nothing_else() {
    // It changes a role, which no reset undoes.
    let cloud = LocalCloud::start(Options::default()).await.unwrap();
    let path = format!("/schedules/{}", cloud.output("ScheduleName").unwrap());
    let schedule = cloud.aws().rest("scheduler", Method::GET, &path, None).await.unwrap();
    let arn = schedule["Target"]["RoleArn"].as_str().unwrap();
    let taken = cloud.aws().assume_role(arn).await;
    assert!(taken.unwrap_err().to_string().contains("AccessDenied"), "the scheduler alone may take the role");

    let (account, name) = arn.trim_start_matches("arn:aws:iam::").split_once(":role/").unwrap();
    let principal = json!({ "AWS": format!("arn:aws:iam::{account}:root") });
    let statement = json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" });
    let trust = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    let change = [("RoleName", name), ("PolicyDocument", trust.as_str())];
    cloud.aws().query("iam", "UpdateAssumeRolePolicy", "2010-05-08", &change).await.unwrap();
    let role = cloud.aws().assume_role(arn).await.unwrap();
    let mut granted = Vec::new();
    for attempt in attempts(&cloud) {
        if attempt.is_granted_to("the schedule", &role).await {
            granted.push(attempt.name);
        }
    }
    assert_eq!(granted, ["keep a failed run", "run the notifier"]);
}
