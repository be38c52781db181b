//! Mail by Amazon SES.
//!
//! Sending is not idempotent there: a mail whose answer was lost may have been accepted. So only those failures are retried
//! here that say that nothing was accepted: throttling, 503, and connections that were never made. Everything else that
//! may pass ends as [`MailError::Unavailable`], so that the caller can send again with a mark.

use super::{MailError, Mailer, Message};
use crate::aws::SdkConfig;
use crate::aws::error_code;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::config::interceptors::InterceptorContext;
use aws_sdk_sesv2::config::retry::{ClassifyRetry, RetryAction, RetryConfig};
use aws_sdk_sesv2::error::{BuildError, ConnectorError, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{
    Attachment, AttachmentContentDisposition, AttachmentContentTransferEncoding, Body, Content, Destination,
    EmailContent, Message as SesMessage, MessageHeader,
};
use std::error::Error as _;
use std::io;
use std::time::Duration;

/// How often a mail is tried, the first time included. Pauses between tries double, with jitter, from up to one second to at
/// most [`MAX_BACKOFF`].
const MAX_ATTEMPTS: u32 = 5;

const MAX_BACKOFF: Duration = Duration::from_secs(8);

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_max_backoff(MAX_BACKOFF)
}

/// Sends mails with Amazon SES (API v2).
#[derive(Clone)]
pub struct SesMailer {
    client: Client,
    configuration_set: Option<String>,
}

impl SesMailer {
    /// A mailer with the region, credentials and HTTP client of `config`. Every mail names the configuration set, if there
    /// is one.
    pub fn new(config: &SdkConfig, configuration_set: Option<String>) -> Self {
        Self::with_retries(config, configuration_set, retries())
    }

    fn with_retries(config: &SdkConfig, configuration_set: Option<String>, retries: RetryConfig) -> Self {
        let config =
            aws_sdk_sesv2::config::Builder::from(config).retry_config(retries).retry_classifier(NotAccepted).build();
        Self { client: Client::from_conf(config), configuration_set }
    }
}

impl Mailer for SesMailer {
    async fn send(&self, message: &Message) -> Result<String, MailError> {
        let content = content(message).map_err(|_| MailError::Refused {
            code: "NotBuilt".to_owned(),
            cure: "report this: the mail lacks a part that SES requires".to_owned(),
        })?;
        let answer = self
            .client
            .send_email()
            .from_email_address(&message.from)
            .destination(Destination::builder().set_to_addresses(Some(message.to.clone())).build())
            .set_reply_to_addresses(message.reply_to.clone().map(|address| vec![address]))
            .content(content)
            .set_configuration_set_name(self.configuration_set.clone())
            .send()
            .await
            .map_err(|error| mail_error(&error))?;
        Ok(answer.message_id.unwrap_or_default())
    }
}

/// The mail in SES's form: it builds the MIME message and encodes all headers itself.
fn content(message: &Message) -> Result<EmailContent, BuildError> {
    let utf8 = |text: &str| Content::builder().data(text).charset("UTF-8").build();
    let mut simple = SesMessage::builder()
        .subject(utf8(&message.subject)?)
        .body(Body::builder().html(utf8(&message.html)?).text(utf8(&message.text)?).build());
    for (name, value) in &message.headers {
        simple = simple.headers(MessageHeader::builder().name(name).value(value).build()?);
    }
    for attachment in &message.attachments {
        simple = simple.attachments(
            Attachment::builder()
                .file_name(&attachment.name)
                .content_type(&attachment.content_type)
                .content_disposition(AttachmentContentDisposition::Attachment)
                .content_transfer_encoding(AttachmentContentTransferEncoding::Base64)
                .raw_content(Blob::new(attachment.content.clone()))
                .build()?,
        );
    }
    Ok(EmailContent::builder().simple(simple.build()).build())
}

/// Forbids the SDK to try again after failures that leave open whether the mail was accepted.
#[derive(Debug)]
struct NotAccepted;

impl ClassifyRetry for NotAccepted {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let is_open = match context.response().map(|response| response.status().as_u16()) {
            // SES says so itself where it throttles or is unavailable. A 500, or a gateway's 502 or 504, says nothing.
            Some(status) => status >= 500 && status != 503,
            None => !error.as_connector_error().is_some_and(was_never_connected),
        };
        if is_open { RetryAction::RetryForbidden } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "only what was not accepted"
    }
}

/// Whether there was nobody at the other end, so that nothing was sent.
fn was_never_connected(error: &ConnectorError) -> bool {
    std::iter::successors(error.source(), |&error| error.source()).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| {
            use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
            matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
        })
    })
}

/// What a failure means for the mail. Of SES's messages nothing is passed on: they hold addresses.
fn mail_error(error: &SdkError<SendEmailError, HttpResponse>) -> MailError {
    let code = error_code(error);
    let cure = match error {
        SdkError::ServiceError(answer) => {
            let message = answer.err().message().unwrap_or_default().to_lowercase();
            cure(&code, answer.raw().status().as_u16(), &message)
        }
        SdkError::ConstructionFailure(_) => Some("check the function's AWS region, credentials and endpoint"),
        _ => None,
    };
    match cure {
        Some(cure) => MailError::Refused { code, cure: cure.to_owned() },
        None => MailError::Unavailable { code },
    }
}

/// What to do about a refusal. `None` where it passes by itself.
///
/// The codes are those of <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors> and
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html>.
fn cure(code: &str, status: u16, message: &str) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    Some(match code {
        "TooManyRequestsException" => return None,
        "AccountSuspendedException" => {
            "SES has stopped this account's sending for good: answer the case that AWS Support opened about it"
        }
        "SendingPausedException" => {
            "sending is paused for the account or the configuration set: see the reputation page of the SES console, remove \
             the cause, and resume sending"
        }
        "LimitExceededException" => {
            "the sending quota is used up: wait until it renews within 24 hours, or request a higher one in the SES console"
        }
        "MailFromDomainNotVerifiedException" => {
            "the sender's custom MAIL FROM domain is not verified: publish the DNS records that the SES console shows for \
             the identity, or remove the MAIL FROM domain from it"
        }
        _ if says(&["suppress"]) => {
            "a recipient is on the suppression list: remove it there (SES console, Suppression list) once its mailbox works, \
             or take it out of the recipients"
        }
        _ if says(&["not verified"]) => {
            "an address is not verified in SES in this region: verify the sender in LEADS_MAIL_FROM; while the account is in \
             the sandbox, verify every recipient too, or request production access"
        }
        _ if status == 413 || says(&["too large", "too long", "exceeds", "maximum size", "length greater than"]) => {
            "the mail is larger than SES takes: lower LEADS_DIGEST_SIZE"
        }
        "NotFoundException" | "ConfigurationSetDoesNotExistException" => {
            "the configuration set in LEADS_MAIL_CONFIGURATION_SET does not exist in this region: create it, or clear the \
             setting"
        }
        "AccessDeniedException" | "AccessDenied" => {
            "the function's role may not send: allow it ses:SendEmail for the sender's identity and the configuration set"
        }
        "MessageRejected" => "SES refuses the mail's content: see the account's status in the SES console",
        "BadRequestException" => {
            "SES does not take an address or a header as it is: check LEADS_MAIL_FROM and the recipients for typing errors"
        }
        _ if status == 401 || status == 403 => {
            "SES does not accept the function's AWS credentials: check its role and region"
        }
        // What SES may call its throttling besides, and its own faults.
        _ if status == 429 || status >= 500 || code.contains("Throttl") || code.contains("Unavailable") => return None,
        _ => "SES does not take the mail: look the code up in the SES API reference, SendEmail",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail;
    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_sesv2::config::{Credentials, SharedCredentialsProvider};
    use axum::extract::State;
    use axum::http::StatusCode;
    use axum::response::{IntoResponse, Response};
    use axum::routing::any;
    use axum::{Json, Router};
    use base64::Engine as _;
    use serde_json::{Value, json};
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    /// An answer of the stub: status, error code and message; none cuts the connection without an answer.
    type Answer = Option<(u16, &'static str, &'static str)>;

    #[derive(Clone, Default)]
    struct Stub {
        answers: Arc<Mutex<VecDeque<Answer>>>,
        requests: Arc<Mutex<Vec<Value>>>,
    }

    impl Stub {
        /// Gives these answers, then accepts everything.
        async fn start(answers: impl IntoIterator<Item = Answer>) -> (Self, SesMailer) {
            let stub = Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new().fallback(any(answer)).with_state(stub.clone());
            tokio::spawn(async move { axum::serve(listener, router).await });
            (stub, mailer(&format!("http://{address}")))
        }

        fn requests(&self) -> Vec<Value> {
            self.requests.lock().unwrap().clone()
        }
    }

    async fn answer(State(stub): State<Stub>, Json(request): Json<Value>) -> Response {
        stub.requests.lock().unwrap().push(request);
        let answer = stub.answers.lock().unwrap().pop_front();
        match answer {
            None => Json(json!({ "MessageId": "0102" })).into_response(),
            // A panic in the handler cuts the connection.
            Some(None) => std::panic::resume_unwind(Box::new("cut")),
            Some(Some((status, code, message))) => {
                let status = StatusCode::from_u16(status).unwrap();
                (status, [("x-amzn-errortype", code)], Json(json!({ "message": message }))).into_response()
            }
        }
    }

    fn mailer(endpoint: &str) -> SesMailer {
        mailer_with(endpoint, retries().with_initial_backoff(Duration::from_millis(1)))
    }

    fn mailer_with(endpoint: &str, retries: RetryConfig) -> SesMailer {
        let credentials = Credentials::new("AKIDEXAMPLE", "not-a-secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(crate::aws::http_client())
            .build();
        SesMailer::with_retries(&config, Some("leads".into()), retries)
    }

    fn message() -> Message {
        Message {
            from: "Leads <leads@contoso.com>".into(),
            to: vec!["a@contoso.com".into(), "b@contoso.com".into()],
            reply_to: Some("ada@fabrikam.com".into()),
            subject: "1 new lead: Contoso VM — 试用".into(),
            html: "<p>Hello</p>".into(),
            text: "Hello".into(),
            headers: vec![("Auto-Submitted".into(), "auto-generated".into())],
            attachments: vec![mail::Attachment {
                name: "leads.csv".into(),
                content_type: "text/csv".into(),
                content: b"\xef\xbb\xbfA,B\r\n".to_vec(),
            }],
        }
    }

    #[tokio::test]
    async fn a_mail_goes_out_with_all_its_parts() {
        let (stub, mailer) = Stub::start([]).await;
        assert_eq!(mailer.send(&message()).await, Ok("0102".into()));
        let content = base64::prelude::BASE64_STANDARD.encode(b"\xef\xbb\xbfA,B\r\n");
        let expected = json!({
            "FromEmailAddress": "Leads <leads@contoso.com>",
            "Destination": { "ToAddresses": ["a@contoso.com", "b@contoso.com"] },
            "ReplyToAddresses": ["ada@fabrikam.com"],
            "ConfigurationSetName": "leads",
            "Content": { "Simple": {
                "Subject": { "Data": "1 new lead: Contoso VM — 试用", "Charset": "UTF-8" },
                "Body": {
                    "Html": { "Data": "<p>Hello</p>", "Charset": "UTF-8" },
                    "Text": { "Data": "Hello", "Charset": "UTF-8" },
                },
                "Headers": [{ "Name": "Auto-Submitted", "Value": "auto-generated" }],
                "Attachments": [{
                    "FileName": "leads.csv",
                    "ContentType": "text/csv",
                    "ContentDisposition": "ATTACHMENT",
                    "ContentTransferEncoding": "BASE64",
                    "RawContent": content,
                }],
            } },
        });
        assert_eq!(stub.requests(), [expected]);
    }

    #[tokio::test]
    async fn throttling_and_unavailability_are_tried_again() {
        let answers = [
            Some((429, "TooManyRequestsException", "Maximum sending rate exceeded.")),
            Some((503, "ServiceUnavailable", "")),
            Some((400, "ThrottlingException", "")),
        ];
        let (stub, mailer) = Stub::start(answers).await;
        assert_eq!(mailer.send(&message()).await, Ok("0102".into()));
        assert_eq!(stub.requests().len(), 4);
    }

    #[tokio::test]
    async fn tries_end_after_five() {
        let (stub, mailer) = Stub::start(std::iter::repeat_n(Some((429, "TooManyRequestsException", "")), 9)).await;
        let error = mailer.send(&message()).await.unwrap_err();
        assert_eq!(error, MailError::Unavailable { code: "TooManyRequestsException".into() });
        assert_eq!(stub.requests().len(), 5);
    }

    #[tokio::test]
    async fn a_mail_that_may_have_been_accepted_is_not_sent_again_unmarked() {
        for (answer, code) in [
            (Some((500, "InternalFailure", "")), "InternalFailure"),
            (Some((502, "", "")), "HTTP 502"),
            (Some((504, "", "")), "HTTP 504"),
            (None, "not reached"),
        ] {
            let (stub, mailer) = Stub::start([answer]).await;
            let error = mailer.send(&message()).await.unwrap_err();
            assert!(matches!(&error, MailError::Unavailable { .. }), "{code}: {error}");
            assert_eq!(stub.requests().len(), 1, "{code}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_never_made_is_tried_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let stub = Stub::default();
        let router = Router::new().fallback(any(answer)).with_state(stub.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            axum::serve(tokio::net::TcpListener::bind(address).await.unwrap(), router).await
        });
        let patient = retries().with_initial_backoff(Duration::from_millis(400));
        let mailer = mailer_with(&format!("http://{address}"), patient);
        assert_eq!(mailer.send(&message()).await, Ok("0102".into()));
        assert_eq!(stub.requests().len(), 1);
    }

    #[tokio::test]
    async fn nobody_at_the_other_end_is_unavailable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = mailer(&endpoint).send(&message()).await.unwrap_err();
        assert_eq!(error, MailError::Unavailable { code: "not reached".into() });
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do_and_shows_no_address() {
        const UNVERIFIED: &str = "Email address is not verified. The following identities failed the check in region \
                                  EU-WEST-1: leads@contoso.com";
        for (status, code, said, cure) in [
            (400, "MessageRejected", UNVERIFIED, "verify the sender in LEADS_MAIL_FROM"),
            (400, "MessageRejected", "a@contoso.com is on the suppression list", "suppression list"),
            (400, "MessageRejected", "Message length is more than allowed", "SES refuses the mail's content"),
            (400, "BadRequestException", "Attachments exceeds the maximum size", "lower LEADS_DIGEST_SIZE"),
            (413, "RequestEntityTooLarge", "", "lower LEADS_DIGEST_SIZE"),
            (400, "BadRequestException", "Illegal address a@contoso.com", "typing errors"),
            (400, "SendingPausedException", "", "sending is paused"),
            (400, "AccountSuspendedException", "", "AWS Support"),
            (400, "MailFromDomainNotVerifiedException", "", "MAIL FROM"),
            (404, "NotFoundException", "Configuration set <leads> does not exist.", "LEADS_MAIL_CONFIGURATION_SET"),
            (403, "AccessDeniedException", "not authorized: leads@contoso.com", "ses:SendEmail"),
            (403, "UnrecognizedClientException", "", "AWS credentials"),
            (400, "SomethingNew", "about a@contoso.com", "SES API reference"),
        ] {
            let (stub, mailer) = Stub::start([Some((status, code, said))]).await;
            let error = mailer.send(&message()).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(matches!(&error, MailError::Refused { code: known, .. } if known == code), "{code}: {shown}");
            assert!(shown.contains(cure), "{code}: {shown}");
            assert!(!shown.contains('@'), "{code}: {shown}");
            assert_eq!(stub.requests().len(), 1, "{code}");
        }
    }

    #[tokio::test]
    async fn a_used_up_quota_is_tried_again_and_then_refused() {
        let answers = std::iter::repeat_n(Some((400, "LimitExceededException", "Daily message quota exceeded.")), 9);
        let (stub, mailer) = Stub::start(answers).await;
        let error = mailer.send(&message()).await.unwrap_err();
        assert!(error.to_string().contains("quota"), "{error}");
        assert_eq!(stub.requests().len(), 5);
    }
}
