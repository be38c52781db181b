//! A table service that gives the answers that it was told to give, in the form of the REST documentation.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, Uri};
use axum::serve::ListenerExt as _;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An account key, in the form that Azure gives them.
pub(crate) const KEY: &str = "bm90LWEtc2VjcmV0LWJ1dC1hcy1sb25nLWFzLW9uZS1vZi1henVyZS1rZXlzLTAxMjM0NTY3ODk=";

/// A version, as the service writes it.
pub(crate) const ETAG: &str = "W/\"datetime'2026-11-22T10%3A00%3A00.1234567Z'\"";

/// The column that every row of the service has.
pub(crate) const TIMESTAMP: &str = "\"Timestamp\":\"2026-11-22T10:00:00.1234567Z\"";

/// What the service answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    is_silent: bool,
    is_cut: bool,
}

impl Reply {
    /// With the headers that every answer of the service has.
    fn new(status: u16, body: String) -> Self {
        let reply = Self { status, headers: Vec::new(), body, is_silent: false, is_cut: false };
        reply
            .with("server", "Windows-Azure-Table/1.0 Microsoft-HTTPAPI/2.0")
            .with("x-ms-request-id", "f9b4d0b0-0002-0010-5b7c-5c6d4a000000")
            .with("x-ms-version", "2019-02-02")
            .with("content-type", "application/json;odata=minimalmetadata;streaming=true;charset=utf-8")
    }

    /// An answer that does not come from the service.
    pub(crate) fn text(status: u16, kind: &str, body: &str) -> Self {
        let reply = Self { status, headers: Vec::new(), body: body.to_owned(), is_silent: false, is_cut: false };
        reply.with("content-type", kind)
    }

    /// Insert Entity with `Prefer: return-no-content`.
    pub(crate) fn inserted() -> Self {
        Self::new(204, String::new()).with("etag", ETAG).with("preference-applied", "return-no-content")
    }

    pub(crate) fn deleted() -> Self {
        Self::new(204, String::new())
    }

    /// An error with its code in the body alone. Its message holds what must not get out.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::new(status, problem(code))
    }

    /// One row.
    pub(crate) fn entity() -> Self {
        let body =
            format!("{{\"odata.metadata\":\"https://contoso.table.core.windows.net/$metadata#Leads/@Element\",{ROW}}}");
        Self::new(200, body).with("etag", ETAG)
    }

    /// A page with so many rows.
    pub(crate) fn page(rows: usize) -> Self {
        let rows = vec![format!("{{{ROW}}}"); rows].join(",");
        let metadata = "https://contoso.table.core.windows.net/$metadata#Leads";
        Self::new(200, format!("{{\"odata.metadata\":\"{metadata}\",\"value\":[{rows}]}}"))
    }

    /// A page with a row of each of these columns beside its keys, the row keys being 0, 1, 2, …
    pub(crate) fn page_of(rows: &[&str]) -> Self {
        let row = |(number, columns): (usize, &&str)| {
            format!("{{\"odata.etag\":{ETAG:?},\"PartitionKey\":\"p\",\"RowKey\":\"{number}\",{columns}}}")
        };
        let rows: Vec<_> = rows.iter().enumerate().map(row).collect();
        Self::new(200, format!("{{\"odata.metadata\":\"x\",\"value\":[{}]}}", rows.join(",")))
    }

    /// One row with these columns beside its keys.
    pub(crate) fn entity_of(columns: &str) -> Self {
        let body = format!("{{\"odata.metadata\":\"x\",\"PartitionKey\":\"p\",\"RowKey\":\"0\",{columns}}}");
        Self::new(200, body).with("etag", ETAG)
    }

    /// A page of more than 8 MiB.
    pub(crate) fn large_page() -> Self {
        let text = "x".repeat(1024 * 1024);
        let large = format!("{TIMESTAMP},\"Text\":\"{text}\"");
        Self::page_of(&[large.as_str(); 9])
    }

    /// A page that ends before its end: fewer bytes than the header says.
    pub(crate) fn cut_page() -> Self {
        Self { is_cut: true, ..Self::page(3) }
    }

    /// A batch: status and code of each part.
    pub(crate) fn batch(parts: &[(u16, &str)]) -> Self {
        let mut body =
            "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n\r\n".to_owned();
        for (status, code) in parts {
            body +=
                "--changesetresponse_2\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n";
            body +=
                &format!("HTTP/1.1 {status} Status\r\nX-Content-Type-Options: nosniff\r\nDataServiceVersion: 3.0;\r\n");
            body += &match *status {
                204 => format!("ETag: {ETAG}\r\n\r\n\r\n"),
                _ => format!("Content-Type: application/json\r\n\r\n{}\r\n", problem(code)),
            };
        }
        body += "--changesetresponse_2--\r\n--batchresponse_1--\r\n";
        Self::new(202, body)
    }

    /// No answer at all, for longer than anybody waits.
    pub(crate) fn silence() -> Self {
        Self { is_silent: true, ..Self::deleted() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    fn response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        if self.is_cut {
            let half = Bytes::from(self.body.as_bytes()[..self.body.len() / 2].to_vec());
            let pieces = [Ok(half), Err(std::io::Error::other("cut"))];
            return response.body(Body::from_stream(futures::stream::iter(pieces))).unwrap();
        }
        response.body(Body::from(self.body)).unwrap()
    }
}

const ROW: &str =
    "\"PartitionKey\":\"p\",\"RowKey\":\"r\",\"Timestamp\":\"2026-11-22T10:00:00.1234567Z\",\"Text\":\"x\"";

/// An error's body in JSON.
///
/// <https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2>
pub(crate) fn problem(code: &str) -> String {
    let message = format!("hidden-text of contoso, signed with {KEY}\nRequestId:f9b4d0b0-0002-0010-5b7c-5c6d4a000000");
    let message = serde_json::json!({ "lang": "en-US", "value": message });
    serde_json::json!({ "odata.error": { "code": code, "message": message } }).to_string()
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) query: String,
    pub(crate) body: String,
    headers: HeaderMap,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
struct Shared {
    answers: Arc<Mutex<VecDeque<Reply>>>,
    requests: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

/// The stub, on a free port of the loopback interface.
pub(crate) struct Stub {
    address: SocketAddr,
    shared: Shared,
}

impl Stub {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Reply>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        let shared = Shared { answers, requests: Arc::default(), connections: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = shared.connections.clone();
        let listener = listener.tap_io(move |_| {
            connections.fetch_add(1, Ordering::SeqCst);
        });
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

async fn answer(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let query = uri.query().unwrap_or_default().to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    shared.requests.lock().unwrap().push(Asked { query, body, headers });
    let reply = shared.answers.lock().unwrap().pop_front();
    let reply = reply.unwrap_or_else(|| Reply::text(500, "", "the stub has no more answers"));
    if reply.is_silent {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    reply.response()
}
