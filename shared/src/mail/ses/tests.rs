//! The mailer against a stub of SES.

use super::SesMailer;
use super::send::retries;
use crate::aws::SdkConfig;
use crate::mail::{self, MailError, Mailer as _, Message};
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::{BehaviorVersion, Region};
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
use std::time::Duration;

/// An answer of the stub: status, error code and message; none cuts the connection without an answer.
type Answer = Option<(u16, &'static str, &'static str)>;

#[derive(Clone, Default)]
struct Stub {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Value>>>,
    /// The header of the same name in every answer that is an error.
    retry_after: Arc<Mutex<Option<&'static str>>>,
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
            let mut answer =
                (status, [("x-amzn-errortype", code)], Json(json!({ "message": message }))).into_response();
            if let Some(seconds) = *stub.retry_after.lock().unwrap() {
                answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
            }
            answer
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
    assert!(
        matches!(&error, MailError::Busy { code, retry_after: None, .. } if code == "TooManyRequestsException"),
        "{error:?}"
    );
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
        assert!(matches!(&error, MailError::Unavailable { may_be_accepted: true, .. }), "{code}: {error:?}");
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
    assert_eq!(error, MailError::Unavailable { code: "not reached".into(), may_be_accepted: false });
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_shows_no_address() {
    const UNVERIFIED: &str = "Email address is not verified. The following identities failed the check in region \
                              EU-WEST-1: leads@contoso.com";
    /// Whether the message or the destination is refused.
    #[derive(Debug, PartialEq)]
    enum Refused {
        Message,
        Destination,
    }
    use Refused::{Destination, Message};
    for (status, code, said, refused, cure) in [
        (400, "MessageRejected", UNVERIFIED, Destination, "verify the sender in LEADS_MAIL_FROM"),
        (400, "MessageRejected", "a@contoso.com is on the suppression list", Destination, "suppression list"),
        (400, "MessageRejected", "Sending paused for this account. For more", Destination, "sending is paused"),
        (400, "MessageRejected", "Sending suspended for this account.", Destination, "AWS Support"),
        (400, "MessageRejected", "Message length is more than allowed", Message, "SES refuses the mail's content"),
        (400, "MessageRejected", "Email contains a virus", Message, "SES refuses the mail's content"),
        (400, "BadRequestException", "Attachments exceeds the maximum size", Message, "lower LEADS_DIGEST_SIZE"),
        (413, "RequestEntityTooLarge", "", Message, "lower LEADS_DIGEST_SIZE"),
        (400, "BadRequestException", "Illegal address a@contoso.com", Message, "typing errors"),
        (400, "SendingPausedException", "", Destination, "sending is paused"),
        (400, "AccountSuspendedException", "", Destination, "AWS Support"),
        (400, "MailFromDomainNotVerifiedException", "", Destination, "MAIL FROM"),
        (
            404,
            "NotFoundException",
            "Configuration set <leads> does not exist.",
            Destination,
            "LEADS_MAIL_CONFIGURATION_SET",
        ),
        (400, "ConfigurationSetDoesNotExistException", "", Destination, "LEADS_MAIL_CONFIGURATION_SET"),
        (403, "AccessDeniedException", "not authorized: leads@contoso.com", Destination, "ses:SendEmail"),
        (400, "AccessDeniedException", "not authorized: leads@contoso.com", Destination, "ses:SendEmail"),
        (403, "UnrecognizedClientException", "", Destination, "AWS credentials"),
        (400, "RequestExpired", "", Destination, "AWS credentials"),
        (401, "SomethingNew", "", Destination, "AWS credentials"),
        (403, "SomethingNew", "", Destination, "AWS credentials"),
        (404, "SomethingNew", "", Destination, "SES API reference"),
        (410, "SomethingNew", "", Destination, "SES API reference"),
        (400, "SomethingNew", "about a@contoso.com", Message, "SES API reference"),
    ] {
        let (stub, mailer) = Stub::start([Some((status, code, said))]).await;
        let error = mailer.send(&message()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        let (found, known) = match &error {
            MailError::Message { code, .. } => (Message, code),
            MailError::Destination { code, .. } => (Destination, code),
            MailError::Busy { .. } | MailError::Unavailable { .. } => panic!("{code}: {shown}"),
        };
        // What is about the account or the sender is known by its code.
        let expected = match said {
            UNVERIFIED => "SenderNotVerified",
            _ if said.starts_with("Sending paused") => "SendingPausedException",
            _ if said.starts_with("Sending suspended") => "AccountSuspendedException",
            _ => code,
        };
        assert_eq!((found, known.as_str()), (refused, expected), "{status} {said}");
        assert!(error.is_refusal(), "{code}: {shown}");
        assert!(shown.contains(cure), "{code}: {shown}");
        assert!(!shown.contains('@'), "{code}: {shown}");
        assert_eq!(stub.requests().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn an_address_that_ses_does_not_take_is_the_fault_of_a_mail_only_if_it_brings_one() {
    let answer = || [Some((400, "BadRequestException", "Illegal address"))];
    let (_stub, mailer) = Stub::start(answer()).await;
    let error = mailer.send(&message()).await.unwrap_err();
    assert!(matches!(error, MailError::Message { .. }), "{error:?}");
    let (_stub, mailer) = Stub::start(answer()).await;
    let error = mailer.send(&Message { reply_to: None, ..message() }).await.unwrap_err();
    assert!(matches!(error, MailError::Destination { .. }), "{error:?}");
}

#[tokio::test]
async fn a_service_that_is_unavailable_by_its_own_word_has_accepted_nothing() {
    let answers = std::iter::repeat_n(Some((503, "ServiceUnavailable", "")), 9);
    let (stub, mailer) = Stub::start(answers).await;
    let error = mailer.send(&message()).await.unwrap_err();
    assert_eq!(error, MailError::Unavailable { code: "ServiceUnavailable".into(), may_be_accepted: false });
    assert_eq!(stub.requests().len(), 5);
}

#[tokio::test]
async fn a_mail_that_is_larger_than_ses_takes_is_not_even_sent() {
    let (stub, mailer) = Stub::start([]).await;
    let mut message = message();
    message.attachments[0].content = vec![b'x'; 30_000_000];
    let error = mailer.send(&message).await.unwrap_err();
    assert!(matches!(&error, MailError::Message { cure, .. } if cure.contains("larger")), "{error:?}");
    assert_eq!(stub.requests(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_busy_service_is_waited_for_as_long_as_it_asks() {
    for (header, expected) in [("120", Some(Duration::from_secs(120))), ("soon", None), ("-1", None)] {
        let answers = std::iter::repeat_n(Some((400, "ThrottlingException", "Daily message quota exceeded.")), 9);
        let (stub, mailer) = Stub::start(answers).await;
        *stub.retry_after.lock().unwrap() = Some(header);
        let error = mailer.send(&message()).await.unwrap_err();
        assert!(
            matches!(&error, MailError::Busy { retry_after, .. } if *retry_after == expected),
            "{header}: {error:?}"
        );
        assert!(error.to_string().contains("quota"), "{error}");
        assert!(!error.is_refusal());
    }
}

#[tokio::test]
async fn a_used_up_quota_is_tried_again_and_then_refused() {
    let answers = std::iter::repeat_n(Some((400, "LimitExceededException", "Daily message quota exceeded.")), 9);
    let (stub, mailer) = Stub::start(answers).await;
    let error = mailer.send(&message()).await.unwrap_err();
    assert!(matches!(error, MailError::Busy { .. }), "{error:?}");
    assert!(error.to_string().contains("quota"), "{error}");
    assert_eq!(stub.requests().len(), 5);
}

#[test]
fn a_send_with_all_that_is_tried_again_ends_within_its_time() {
    let mailer = mailer("http://127.0.0.1:1");
    let timeouts = mailer.client.config().timeout_config().expect("there are time-outs").clone();
    assert_eq!(timeouts.operation_timeout(), Some(crate::mail::MAX_SEND));
}

#[tokio::test]
async fn whether_an_address_is_suppressed_is_asked_once_and_each_answer_is_told_apart() {
    let listed = json!({"SuppressedDestination": {"EmailAddress": "a+b@contoso.com", "Reason": "BOUNCE",
        "LastUpdateTime": 1_700_000_000.0}});
    for (status, code, body, expected) in [
        (200, "", listed, Ok(true)),
        (404, "NotFoundException", json!({"message": "a+b@contoso.com does not exist"}), Ok(false)),
        (403, "AccessDeniedException", json!({"message": "not authorized: a+b@contoso.com"}), Err("AccessDenied")),
        (429, "TooManyRequestsException", json!({"message": "Rate exceeded"}), Err("TooManyRequests")),
        (500, "InternalFailure", json!({}), Err("InternalFailure")),
    ] {
        let paths: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = paths.clone();
        let router = Router::new().fallback(any(move |uri: axum::http::Uri| async move {
            seen.lock().unwrap().push(uri.to_string());
            (StatusCode::from_u16(status).unwrap(), [("x-amzn-errortype", code)], Json(body)).into_response()
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mailer = mailer(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let answer = mailer.is_suppressed("a+b@contoso.com").await;
        assert_eq!(*paths.lock().unwrap(), ["/v2/email/suppression/addresses/a%2Bb%40contoso.com"], "{code}");
        match expected {
            Ok(expected) => assert_eq!(answer, Ok(expected), "{code}"),
            Err(expected) => {
                let error = answer.unwrap_err();
                let shown = format!("{error} {error:?}");
                assert!(shown.contains(expected) && !shown.contains('@'), "{code}: {shown}");
                assert!(matches!(error, MailError::Unavailable { may_be_accepted: false, .. }), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_about_an_address_that_takes_long_is_not_waited_for() {
    let router = Router::new().fallback(any(|| async { std::future::pending::<()>().await }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mailer = mailer(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let waiting = mailer.is_suppressed("a@contoso.com");
    let answer = tokio::time::timeout(mail::MAX_QUESTION * 10, waiting).await.expect("it answers by itself");
    assert!(matches!(answer, Err(MailError::Unavailable { .. })), "{answer:?}");
}
