//! How requests of the Azure crates travel: one pooled client instead of a new connection for every request.
//!
//! It also keeps secrets and personal data out of errors: addresses (which hold signatures), headers and bodies never get
//! into one.

use super::Limits;
use crate::table::limits::MAX_ANSWER_BYTES;
use azure_core::error::ErrorKind;
use azure_core::headers::{
    ACCEPT, CLIENT_REQUEST_ID, DATE, ERROR_CODE, ETAG, HeaderName, HeaderValue, Headers, REQUEST_ID, RETRY_AFTER,
    RETRY_AFTER_MS, SERVER, VERSION, X_MS_RETRY_AFTER_MS,
};
use azure_core::{Body, BytesStream, HttpClient, Method, Request, Response, RetryPolicy, StatusCode, to_json};
use bytes::{Bytes, BytesMut};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::Url;

/// The pooled client.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: reqwest::Client,
    requests: Arc<AtomicU64>,
    /// The largest answer that is read where it may have several rows, in bytes.
    page_bytes: usize,
    /// How far the service's clock was ahead of ours at its last answer; `None` before the first answer.
    clock_offset: Arc<Mutex<Option<SignedDuration>>>,
}

tokio::task_local! {
    /// Where the text of a page is put for whoever asked for it.
    static PAGE: RefCell<Option<Bytes>>;
}

/// What the crate gets in the place of a page.
const EMPTY_PAGE: &[u8] = br#"{"odata.metadata":"","value":[]}"#;

/// Makes a call of the crate that asks for a page, and gives the page's text besides. The crate would read a page as JSON to
/// its end before a row of it is looked at, and copy it twice; and half a surrogate pair in one row would cost the whole page.
pub(super) async fn with_page<R>(call: impl Future<Output = R>) -> (R, Option<Bytes>) {
    let call = async { (call.await, PAGE.with(RefCell::take)) };
    PAGE.scope(RefCell::default(), call).await
}

/// Why no answer came. Holds no address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(super) struct TransportFailure(pub(super) &'static str);

/// The answer is larger than it may be. It was not read to its end.
#[derive(Debug, thiserror::Error)]
#[error("the answer is too large")]
pub(super) struct AnswerTooLarge;

/// A single row as we hand it to the crate: the whole JSON of the row as one text. The crate would read the row itself by
/// way of `#[serde(flatten)]`, which fails for the whole row where a text holds half a surrogate pair.
#[derive(Serialize, Deserialize)]
pub(super) struct RowAsText {
    pub(super) row: String,
}

/// The pool of connections that requests travel over.
pub(super) fn pool(limits: Limits) -> Result<reqwest::Client, TransportFailure> {
    reqwest::Client::builder()
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(limits.connect)
        .timeout(limits.request)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|_| TransportFailure("the TLS client could not be set up"))
}

/// Has the pool hold a connection to this address: asks for it without any credential, and takes whatever it answers. Only
/// what is read to its end leaves its connection in the pool.
pub(super) async fn open(pool: &reqwest::Client, endpoint: Url) -> Result<(), TransportFailure> {
    let failure = |error: reqwest::Error| TransportFailure(category(&error));
    let mut answer = pool.get(endpoint).send().await.map_err(failure)?;
    let mut length = 0;
    while let Some(part) = answer.chunk().await.map_err(failure)? {
        length += part.len();
        if length > MAX_OPENING_BYTES {
            return Err(TransportFailure("the answer is too large"));
        }
    }
    Ok(())
}

/// The largest answer that is read to open a connection. The service's own has some hundred bytes.
const MAX_OPENING_BYTES: usize = 64 * 1024;

impl Transport {
    /// `requests` counts them.
    pub(super) fn new(client: reqwest::Client, limits: Limits, requests: Arc<AtomicU64>) -> Self {
        Self { client, requests, page_bytes: limits.page_bytes, clock_offset: Arc::default() }
    }

    /// How many requests were sent, retries included.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How large the answer to a request may be.
    fn most_bytes(&self, request: &Request) -> usize {
        let is_page = is_page(request);
        let is_of_one_row = request.url().query_pairs().any(|(name, value)| name == "$top" && value == "1");
        if is_page && !is_of_one_row { self.page_bytes } else { MAX_ANSWER_BYTES }
    }

    /// How far the service's clock was ahead of ours at its last answer, to about a second.
    pub(super) fn clock_offset(&self) -> Option<SignedDuration> {
        *self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the time that an answer bears (RFC 9110, 6.6.1).
    fn note_time(&self, answer: &reqwest::Response) {
        let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
            let offset = date.timestamp().duration_since(Timestamp::now());
            *self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner) = Some(offset);
        }
    }

    async fn send(&self, request: &Request) -> azure_core::Result<Response> {
        let failure = |reason: &'static str| azure_core::Error::new(ErrorKind::Io, TransportFailure(reason));
        let method = request.method().as_ref().parse().map_err(|_| failure("unknown HTTP method"))?;
        let is_single_row = *request.method() == Method::Get && request.url().path().ends_with("')");
        let mut outgoing = self.client.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            // The crate asks for full metadata, which takes three times the bytes. We need types and versions alone, and
            // minimal metadata has them.
            let value = match value.as_str() {
                FULL_METADATA if *name == ACCEPT && *request.method() == Method::Get => MINIMAL_METADATA,
                value => value,
            };
            outgoing = outgoing.header(name.as_str(), value);
        }
        if let Body::Bytes(bytes) = request.body() {
            outgoing = outgoing.body(bytes.clone());
        }
        let outgoing = outgoing.build().map_err(|_| failure("the request could not be built"))?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut answer = self.client.execute(outgoing).await.map_err(|error| failure(category(&error)))?;
        self.note_time(&answer);

        let mut status = answer.status().as_u16();
        let kept = |name: HeaderName| {
            let value = answer.headers().get(name.as_str())?.to_str().ok()?;
            Some((name, HeaderValue::from(value.to_owned())))
        };
        let mut headers: HashMap<_, _> = KEPT_HEADERS.into_iter().filter_map(kept).collect();
        let most_bytes = self.most_bytes(request);
        let mut body = BytesMut::new();
        while let Some(part) = answer.chunk().await.map_err(|error| failure(category(&error)))? {
            if body.len() + part.len() > most_bytes {
                // The crate's retries leave errors of this kind alone: the same request would get the same answer.
                return Err(azure_core::Error::new(ErrorKind::DataConversion, AnswerTooLarge));
            }
            body.extend_from_slice(&part);
        }
        let mut body = body.freeze();
        // The crate fails without this header. It says nothing that we need, and proxies often remove it.
        headers.entry(SERVER).or_insert_with(|| String::new().into());
        // The service answers a batch with 202 even where it failed. The status that counts is that of the failed part.
        if status == 202
            && let Some((failed, part)) = failed_part(&body)
        {
            (status, body) = (failed, part);
        }
        let status = StatusCode::try_from(status).map_err(|_| failure(UNREADABLE))?;
        if !status.is_success() {
            // The crate looks for the code where the table service does not write it, and would put the whole body
            // into its error.
            if let Some(code) = problem_code(&body) {
                headers.insert(ERROR_CODE, code.into());
            }
            body = Bytes::new();
        } else if is_single_row {
            let row = String::from_utf8_lossy(&body).into_owned();
            body = to_json(&Envelope { metadata: "", row: RowAsText { row } })?;
        } else if is_page(request) {
            let _ =
                PAGE.try_with(|page| page.replace(Some(std::mem::replace(&mut body, Bytes::from_static(EMPTY_PAGE)))));
        }
        Ok(Response::new(status, Headers::from(headers), Box::pin(BytesStream::new(body))))
    }
}

fn is_page(request: &Request) -> bool {
    *request.method() == Method::Get && request.url().path().ends_with("()")
}

/// The part of a single row's answer that the crate insists on.
#[derive(Serialize)]
struct Envelope {
    #[serde(rename = "odata.metadata")]
    metadata: &'static str,
    #[serde(flatten)]
    row: RowAsText,
}

/// The headers of answers that the crate reads. It would fail where one of the others, such as `Location`, is malformed,
/// though what was asked is done.
const KEPT_HEADERS: [HeaderName; 13] = [
    CLIENT_REQUEST_ID,
    DATE,
    ERROR_CODE,
    ETAG,
    REQUEST_ID,
    RETRY_AFTER,
    RETRY_AFTER_MS,
    SERVER,
    VERSION,
    X_MS_RETRY_AFTER_MS,
    HeaderName::from_static("preference-applied"),
    HeaderName::from_static("x-ms-continuation-nextpartitionkey"),
    HeaderName::from_static("x-ms-continuation-nextrowkey"),
];

const FULL_METADATA: &str = "application/json;odata=fullmetadata";
const MINIMAL_METADATA: &str = "application/json;odata=minimalmetadata";
const UNREADABLE: &str = "the answer could not be read";

/// <https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes>
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "odata.error")]
    error: ProblemCode,
}

#[derive(Deserialize)]
struct ProblemCode {
    code: String,
}

/// The error code in a body: JSON, or else the XML of intermediate servers and of refusals.
///
/// <https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2>
fn problem_code(body: &[u8]) -> Option<String> {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return Some(problem.error.code);
    }
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("code>").or_else(|| text.split_once("Code>"))?;
    Some(rest.split_once('<')?.0.trim().to_owned())
}

/// Status and body of the part of a batch's answer that failed. The content of a row cannot be mistaken for such a part,
/// because JSON has no line breaks within its texts.
///
/// <https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions#sample-response>
fn failed_part(body: &Bytes) -> Option<(u16, Bytes)> {
    let text = std::str::from_utf8(body).ok()?;
    let mut lines = text.lines();
    let status = lines.find_map(|line| {
        let status = line.strip_prefix("HTTP/1.1 ")?.split_whitespace().next()?.parse::<u16>().ok()?;
        (status >= 400).then_some(status)
    })?;
    let part: Vec<_> = lines
        .skip_while(|line| !line.is_empty())
        .take_while(|line| !line.starts_with("--changesetresponse_"))
        .collect();
    Some((status, part.join("\n").trim().to_owned().into()))
}

impl HttpClient for Transport {
    // What `#[async_trait]` on the crate's trait expands to.
    fn execute_request<'life0, 'life1, 'async_trait>(
        &'life0 self,
        request: &'life1 Request,
    ) -> Pin<Box<dyn Future<Output = azure_core::Result<Response>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.send(request))
    }
}

/// What went wrong, in words and without the address that `reqwest` would name.
fn category(error: &reqwest::Error) -> &'static str {
    let mut texts = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return "the connection was refused";
        }
        texts.push(cause.to_string());
        source = cause.source();
    }
    let any = |word: &str| texts.iter().any(|text| text.contains(word));
    if any("dns error") {
        "the account's name does not resolve"
    } else if ["certificate", "handshake", "HandshakeFailure", "corrupt message"].into_iter().any(any) {
        "the TLS handshake failed"
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

/// A bounded number of retries after failures that may pass, with pauses that double from 100 ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retries {
    pub(super) most: u32,
}

/// The longest pause before a retry. Where the service asks for a longer one it is cut to this, because a caller is waiting.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl RetryPolicy for Retries {
    fn is_expired(&self, _since_start: Duration, count: u32) -> bool {
        count >= self.most
    }

    fn sleep_duration(&self, count: u32) -> Duration {
        Duration::from_millis(50) * 2u32.saturating_pow(count.min(10))
    }

    // What `#[async_trait]` on the crate's trait expands to. The crate's own way would start a thread to sleep.
    fn wait<'life0, 'life1, 'async_trait>(
        &'life0 self,
        _error: &'life1 azure_core::Error,
        count: u32,
        retry_after: Option<Duration>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        let pause = self.sleep_duration(count).max(retry_after.unwrap_or_default()).min(LONGEST_PAUSE);
        Box::pin(tokio::time::sleep(pause))
    }
}
