//! A mail service that keeps which leads are in the mails that it accepts.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use marketplace_leads::mail::MAX_MESSAGE_BYTES;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long the service takes for its answer, so that a function can die between the two.
const ANSWER: Duration = Duration::from_millis(40);

/// A mail service. Dropping it ends it.
pub(crate) struct MailService {
    port: u16,
    kept: Arc<Mutex<Kept>>,
    server: JoinHandle<()>,
}

/// A mail that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedMail {
    /// When, in the steps that all parts of a test share.
    pub(crate) step: u64,
    /// Whether it says that it may be a repeat.
    pub(crate) is_marked: bool,
    /// The numbers of the leads in it.
    pub(crate) leads: BTreeSet<usize>,
}

struct Kept {
    steps: Arc<AtomicU64>,
    is_refusing: bool,
    mails: Vec<AcceptedMail>,
}

impl MailService {
    /// Starts one that accepts everything.
    pub(crate) async fn start(steps: Arc<AtomicU64>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::new(Mutex::new(Kept { steps, is_refusing: false, mails: Vec::new() }));
        // https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
        let app = Router::new()
            .route("/v2/email/outbound-emails", post(send_email))
            .route("/v2/email/suppression/addresses/{address}", get(suppressed))
            .layer(DefaultBodyLimit::max(2 * MAX_MESSAGE_BYTES))
            .with_state(kept.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, kept, server }
    }

    /// Its address, for `AWS_ENDPOINT_URL_SESV2`.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Has it refuse all mails of the account, or accept them again.
    pub(crate) fn refuse(&self, is_refusing: bool) {
        self.kept.lock().unwrap().is_refusing = is_refusing;
    }

    /// What it accepted, oldest first.
    pub(crate) fn mails(&self) -> Vec<AcceptedMail> {
        self.kept.lock().unwrap().mails.clone()
    }
}

impl Drop for MailService {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The text by which a lead or a body is found in a mail.
pub(crate) fn name(number: usize) -> String {
    format!("Lead{number:07}x")
}

/// No address is on the list.
///
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetSuppressedDestination.html>
async fn suppressed() -> (StatusCode, HeaderMap, &'static str) {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static("NotFoundException"));
    (StatusCode::NOT_FOUND, headers, r#"{"message":"The address is not on the list."}"#)
}

async fn send_email(State(kept): State<Arc<Mutex<Kept>>>, mail: Bytes) -> (StatusCode, HeaderMap, String) {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if kept.lock().unwrap().is_refusing {
        let code = HeaderValue::from_static("AccountSuspendedException");
        headers.insert(HeaderName::from_static("x-amzn-errortype"), code);
        return (StatusCode::BAD_REQUEST, headers, r#"{"message":"The account is suspended."}"#.to_owned());
    }
    let mail: serde_json::Value = serde_json::from_slice(&mail).unwrap();
    let text = mail["Content"]["Simple"]["Body"]["Text"]["Data"].as_str().unwrap();
    let number = |word: &str| word.strip_prefix("Lead")?.strip_suffix('x')?.parse().ok();
    let leads = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter_map(number).collect();
    let message_id = {
        let mut kept = kept.lock().unwrap();
        let step = kept.steps.fetch_add(1, Ordering::SeqCst);
        kept.mails.push(AcceptedMail { step, is_marked: text.contains("may be a repeat"), leads });
        kept.mails.len()
    };
    // From here on the mail is accepted, whether its sender hears of it or not.
    tokio::time::sleep(ANSWER).await;
    (StatusCode::OK, headers, format!(r#"{{"MessageId":"{message_id}"}}"#))
}
