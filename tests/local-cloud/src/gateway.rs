//! A gateway between the functions and the AWS emulator, which mends three of the emulator's faults.
//!
//! The emulator authorizes some requests on `*`, although they name resources, and does not know whose mails are sent. So it
//! denies what a policy allows for certain resources or senders. When it has denied such a request, the gateway asks the
//! emulator's IAM whether the role's policies allow this for the named resources, and repeats the request with all rights
//! if they do.
//!
//! The emulator drops attachments and headers of mails. The inbox keeps them, but it accepts every mail. So the gateway
//! has each mail checked by the emulator first, and then delivers it to the inbox.
//!
//! The emulator gives a function URL another name at each start. So the gateway has an address for the intake that stays.

use crate::aws::{Aws, client, xml_values};
use crate::failure::Result;
use crate::mail_files::MailFiles;
use crate::proxy::{Reply, answer, forward};
use crate::servers;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode, Uri};
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use tokio::task::JoinHandle;
use url::form_urlencoded;

const SEND: &str = "/v2/email/outbound-emails";
/// Where the gateway has the intake.
const INTAKE: &str = "/leads";
const GET_PARAMETERS: &str = "AmazonSSM.GetParameters";

/// The gateway, on a port of the loopback interface. Dropping it ends it.
pub(crate) struct Gateway {
    port: u16,
    intake: Arc<OnceLock<String>>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Behind {
    http: reqwest::Client,
    /// The AWS emulator, with all rights.
    aws: Aws,
    inbox: String,
    mails: Option<Arc<MailFiles>>,
    /// Where the emulator has the intake, once it is deployed.
    intake: Arc<OnceLock<String>>,
}

impl Gateway {
    /// Starts it on a port, or a free one where that is zero. Mails are written as files, too, if that is asked for.
    pub(crate) async fn start(port: u16, aws: Aws, inbox: &str, mails: Option<MailFiles>) -> Result<Self> {
        const STEP: &str = "start the gateway to the AWS emulator";
        let (listener, port) = servers::listen(STEP, port)?;
        let (inbox, intake) = (inbox.trim_end_matches('/').to_owned(), Arc::<OnceLock<String>>::default());
        let behind = Behind { http: client(), aws, inbox, mails: mails.map(Arc::new), intake: intake.clone() };
        let app = axum::Router::new().fallback(handle).with_state(behind);
        let server = servers::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, intake, server })
    }

    /// Has the intake at [`intake_address`](Self::intake_address) from now on, given its path on the emulator.
    pub(crate) fn show_intake(&self, path: String) {
        let _ = self.intake.set(path);
    }

    /// The intake's address, which depends on the port alone. It has no key in it.
    pub(crate) fn intake_address(&self) -> String {
        format!("{}{INTAKE}", self.address())
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(State(behind): State<Behind>, request: Request) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    if let Some(path) = behind.intake.get()
        && parts.uri.path() == INTAKE
    {
        let query = parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
        parts.uri = format!("{path}{query}").parse::<Uri>().unwrap_or_default();
    }
    let Ok(body) = to_bytes(body, usize::MAX).await else { return reject(400, "BadRequestException", "no body") };
    let mut answered = forward(&behind.http, behind.aws.endpoint(), &parts, body.clone()).await;
    // A service with a JSON protocol denies with status 400, one with a REST protocol with 403.
    if let Some(question) = Question::of(&parts, &body, behind.aws.region())
        && matches!(answered.status(), StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST)
    {
        answered = repeat_if_granted(&behind.aws, &parts, answered, &body, &question).await;
    }
    if answered.status() == StatusCode::OK && is_send(&parts) {
        let delivered = forward(&behind.http, &behind.inbox, &parts, body.clone()).await;
        if let Some(mails) = &behind.mails
            && delivered.status().is_success()
        {
            mails.write(&body);
        }
        return delivered;
    }
    answered
}

fn is_send(parts: &Parts) -> bool {
    parts.method == Method::POST && parts.uri.path() == SEND
}

/// What a role must be allowed for a request to be granted.
struct Question {
    service: &'static str,
    action: &'static str,
    /// In each list, one resource must be allowed. A resource is an ARN without its beginning `arn:aws:`.
    resources: Vec<Vec<String>>,
    /// Whom a mail is from.
    sender: Option<String>,
}

impl Question {
    /// The question for a request of an action that the emulator authorizes on `*`.
    ///
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsesv2.html>,
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html>
    fn of(parts: &Parts, body: &[u8], region: &str) -> Option<Self> {
        let arn = |service: &str, resource: &str| format!("{service}:{region}:ACCOUNT:{resource}");
        if is_send(parts) {
            let mail: Value = serde_json::from_slice(body).unwrap_or_default();
            let from = mail["FromEmailAddress"].as_str().unwrap_or_default();
            let address = from.rsplit_once('<').map_or(from, |(_, address)| address.trim_end_matches('>')).trim();
            let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
            let identity = |name: &str| arn("ses", &format!("identity/{name}"));
            let mut resources = vec![vec![identity(address), identity(domain)]];
            if let Some(set) = mail["ConfigurationSetName"].as_str() {
                resources.push(vec![arn("ses", &format!("configuration-set/{set}"))]);
            }
            return Some(Self { service: "ses", action: "ses:SendEmail", resources, sender: Some(address.to_owned()) });
        }
        if parts.headers.get("x-amz-target").is_some_and(|target| target == GET_PARAMETERS) {
            let request: Value = serde_json::from_slice(body).unwrap_or_default();
            let names = request["Names"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let parameter = |name: &str| arn("ssm", &format!("parameter/{}", name.trim_start_matches('/')));
            let resources = names.map(|name| vec![parameter(name)]).collect();
            return Some(Self { service: "ssm", action: "ssm:GetParameters", resources, sender: None });
        }
        None
    }

    /// Asks the emulator's IAM.
    async fn is_granted(&self, aws: &Aws, account: &str, role: &str) -> bool {
        let policies = policies(aws, role).await;
        let policies: Vec<_> =
            policies.into_iter().map(|policy| for_sender(policy, self.sender.as_deref()).to_string()).collect();
        let names: Vec<_> = (1..=policies.len()).map(|number| format!("PolicyInputList.member.{number}")).collect();
        let may = async |resource: &str| {
            let resource = format!("arn:aws:{}", resource.replacen("ACCOUNT", account, 1));
            let mut parameters =
                vec![("ActionNames.member.1", self.action), ("ResourceArns.member.1", resource.as_str())];
            parameters.extend(names.iter().map(String::as_str).zip(policies.iter().map(String::as_str)));
            let xml = aws.query("iam", "SimulateCustomPolicy", "2010-05-08", &parameters).await.unwrap_or_default();
            xml_values(&xml, "EvalDecision").iter().any(|decision| decision == "allowed")
        };
        for alternatives in &self.resources {
            let mut granted = false;
            for resource in alternatives {
                granted = granted || may(resource).await;
            }
            if !granted {
                return false;
            }
        }
        !self.resources.is_empty()
    }
}

/// The inline policies of a role.
async fn policies(aws: &Aws, role: &str) -> Vec<Value> {
    const VERSION: &str = "2010-05-08";
    let names = aws.query("iam", "ListRolePolicies", VERSION, &[("RoleName", role)]).await.unwrap_or_default();
    let mut found = Vec::new();
    for name in xml_values(&names, "member") {
        let which = [("RoleName", role), ("PolicyName", name.as_str())];
        let xml = aws.query("iam", "GetRolePolicy", VERSION, &which).await.unwrap_or_default();
        for document in xml_values(&xml, "PolicyDocument") {
            // IAM gives it percent-encoded.
            let encoded = format!("document={document}");
            let decoded: String =
                form_urlencoded::parse(encoded.as_bytes()).map(|(_, value)| value.into_owned()).collect();
            found.push(serde_json::from_str::<Value>(&decoded).unwrap_or_default());
        }
    }
    found
}

/// A policy with its conditions on the sender decided, since the emulator does not know the sender: the condition is taken
/// away where it is met, and else the statement.
fn for_sender(mut policy: Value, sender: Option<&str>) -> Value {
    let Some(statements) = policy["Statement"].as_array_mut() else { return policy };
    statements.retain_mut(|statement| {
        let condition = &statement["Condition"]["StringEqualsIgnoreCase"]["ses:FromAddress"];
        let Some(expected) = condition.as_str() else { return true };
        let is_met = sender.is_some_and(|sender| sender.eq_ignore_ascii_case(expected));
        if let Some(statement) = statement.as_object_mut() {
            statement.remove("Condition");
        }
        is_met
    });
    policy
}

/// Repeats a denied request with all rights if IAM grants it to its sender. Else gives the denial back.
async fn repeat_if_granted(
    aws: &Aws,
    parts: &Parts,
    denial: Response<Body>,
    body: &Bytes,
    question: &Question,
) -> Response<Body> {
    let (denial_parts, denial) = denial.into_parts();
    let denial = to_bytes(denial, usize::MAX).await.unwrap_or_default();
    let granted = match caller(&String::from_utf8_lossy(&denial)) {
        Some((account, role)) => question.is_granted(aws, &account, &role).await,
        None => false,
    };
    if !granted {
        return Response::from_parts(denial_parts, Body::from(denial));
    }
    let headers = ["content-type", "x-amz-target"];
    let headers = headers.into_iter().filter_map(|name| Some((name, parts.headers.get(name)?.to_str().ok()?)));
    let headers: Vec<(&str, &str)> = headers.collect();
    match aws.send(question.service, parts.method.clone(), parts.uri.path(), &headers, body.to_vec()).await {
        Ok(answered) => {
            let headers = answered
                .headers
                .iter()
                .filter(|(name, _)| name.as_str() == "content-type" || name.as_str().starts_with("x-amzn"));
            let headers =
                headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
            answer(Reply { status: answered.status.as_u16(), headers: headers.collect(), body: answered.body })
        }
        Err(_) => reject(503, "ServiceUnavailable", "the AWS emulator cannot be reached"),
    }
}

/// Account and role of the assumed role that an access-denied message names.
fn caller(message: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once("arn:aws:sts::")?;
    let (account, rest) = rest.split_once(":assumed-role/")?;
    let (role, _) = rest.split_once('/')?;
    message.contains("not authorized to perform").then(|| (account.to_owned(), role.to_owned()))
}

fn reject(status: u16, code: &str, message: &str) -> Response<Body> {
    answer(Reply::aws_error(status, code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_on_the_sender_is_decided_here() {
        let policy = serde_json::json!({"Statement": [
            {"Sid": "Send", "Condition": {"StringEqualsIgnoreCase": {"ses:FromAddress": "a@contoso.example"}}},
            {"Sid": "Read"},
        ]});
        let left = |sender| for_sender(policy.clone(), sender)["Statement"].as_array().unwrap().clone();
        assert_eq!(
            left(Some("A@contoso.example")),
            [serde_json::json!({"Sid": "Send"}), serde_json::json!({"Sid": "Read"})]
        );
        assert_eq!(left(Some("b@contoso.example")), [serde_json::json!({"Sid": "Read"})]);
        assert_eq!(left(None), [serde_json::json!({"Sid": "Read"})]);
    }

    #[test]
    fn the_role_is_read_from_a_denial() {
        let message = "User: arn:aws:sts::000000000000:assumed-role/leads-x/session is not authorized to perform: a";
        assert_eq!(caller(message), Some(("000000000000".to_owned(), "leads-x".to_owned())));
        assert_eq!(caller("User: arn:aws:iam::000000000000:user/x is not authorized"), None);
    }
}
