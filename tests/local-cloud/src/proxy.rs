//! A reverse proxy that counts, remembers and, when told so, fails: before or after the service has acted.

use crate::aws::client;
use crate::failure::{OrFail, Result};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State, connect_info::Connected};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Response, StatusCode, header};
use axum::serve::{IncomingStream, Listener};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request that the proxy has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its place, from 1, since the start or the last [`Proxy::forget`].
    pub number: usize,
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// What an AWS service is asked, for instance `AmazonSQS.SendMessage`, where a header says so.
    pub operation: Option<String>,
}

/// What is done to a request instead of just forwarding it.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The service never sees the request; the caller gets this answer.
    Answer(Reply),
    /// The service acts; then the caller gets this answer instead of the service's.
    AnswerAfter(Reply),
    /// The service never sees the request; the connection is cut.
    Cut,
    /// The service acts; then the connection is cut.
    CutAfter,
    /// The request waits before the service sees it, which it does although the caller may have given up meanwhile.
    Delay(Duration),
    /// The service acts at once; its answer waits.
    DelayAfter(Duration),
}

/// An answer that does not come from the service.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers: name and value.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Azure Table storage's answer when it is over its limits: 503 `ServerBusy`.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes>
    pub fn server_busy() -> Self {
        Self::table_error(503, "ServerBusy", "The server is busy.")
    }

    /// An error as Azure Table storage words it.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2>
    pub fn table_error(status: u16, code: &str, message: &str) -> Self {
        let message = serde_json::json!({ "lang": "en-US", "value": message });
        let body = serde_json::json!({ "odata.error": { "code": code, "message": message } });
        let headers = [("content-type", "application/json"), ("x-ms-error-code", code)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { status, headers: headers.to_vec(), body: body.to_string().into_bytes() }
    }

    /// A page of the answer to the query of this address with no row in it and with a continuation token, such as the
    /// service gives when it ran out of time or came to another partition server. The token leads to where the query
    /// asked to go on, or to before the first row.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination>
    pub fn empty_page(target: &str, with_row_key: bool) -> Self {
        // U+0001 in Base64, as Azurite encodes keys in its tokens: before any other key.
        const FIRST: &str = "AQ==";
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let asked: HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut headers = vec![
            ("content-type", "application/json;odata=minimalmetadata"),
            ("server", "Windows-Azure-Table/1.0 Microsoft-HTTPAPI/2.0"),
            ("x-ms-request-id", "f9b4d0b0-0002-0010-5b7c-5c6d4a000000"),
            ("x-ms-version", "2019-02-02"),
        ];
        let row_key = asked.get("NextRowKey").map(String::as_str);
        let (partition_key, row_key) = match asked.get("NextPartitionKey") {
            Some(partition_key) => (partition_key.as_str(), row_key),
            None => (FIRST, with_row_key.then_some(FIRST)),
        };
        headers.push(("x-ms-continuation-NextPartitionKey", partition_key));
        headers.extend(row_key.map(|row_key| ("x-ms-continuation-NextRowKey", row_key)));
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = serde_json::json!({ "odata.metadata": "http://127.0.0.1/$metadata#Leads", "value": [] });
        Self { status: 200, headers, body: body.to_string().into_bytes() }
    }

    /// An error as an AWS service with a JSON protocol words it.
    pub fn aws_error(status: u16, code: &str, message: &str) -> Self {
        let headers = [("content-type", "application/json"), ("x-amzn-errortype", code)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let body = serde_json::json!({ "message": message });
        Self { status, headers: headers.to_vec(), body: body.to_string().into_bytes() }
    }
}

type Faults = Arc<dyn Fn(&Seen) -> Option<Fault> + Send + Sync>;

#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    faults: Option<Faults>,
}

struct Shared {
    upstream: String,
    http: reqwest::Client,
    log: Mutex<Log>,
    connections: AtomicUsize,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy on a free port of the loopback interface. Dropping it ends it.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`, for instance `http://127.0.0.1:10002`.
    pub async fn start(upstream: impl Into<String>) -> Result<Self> {
        const STEP: &str = "start a proxy";
        let inner = TcpListener::bind(("127.0.0.1", 0)).await.or_fail(STEP)?;
        let port = inner.local_addr().or_fail(STEP)?.port();
        let (log, connections) = (Mutex::default(), AtomicUsize::new(0));
        let shared = Arc::new(Shared { upstream: upstream.into(), http: client(), log, connections });
        let listener = CountingListener { inner, shared: shared.clone() };
        let app = axum::Router::new().fallback(handle).with_state(shared.clone());
        let app = app.into_make_service_with_connect_info::<Cut>();
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, shared, server })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens, as `http://127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every request since the start or the last [`forget`](Self::forget), in order of arrival.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.log().seen.clone()
    }

    /// How many TCP connections were accepted since the start or the last [`forget`](Self::forget).
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Forgets all requests and connections, so that counting begins anew.
    pub fn forget(&self) {
        self.shared.log().seen.clear();
        self.shared.connections.store(0, Ordering::SeqCst);
    }

    /// From now on asks `faults` for every request what to do to it; `None` forwards it.
    pub fn set_faults(&self, faults: impl Fn(&Seen) -> Option<Fault> + Send + Sync + 'static) {
        self.shared.log().faults = Some(Arc::new(faults));
    }

    /// From now on forwards every request.
    pub fn clear_faults(&self) {
        self.shared.log().faults = None;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    // Read whole before anything is decided: a caller must have had the chance to send all of it.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return cut.now() };
    let operation = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (seen, faults) = {
        let mut log = shared.log();
        let seen = Seen { number: log.seen.len() + 1, method: parts.method.to_string(), target, operation };
        log.seen.push(seen.clone());
        (seen, log.faults.clone())
    };
    // A task of its own: what was sent arrives, although the caller may have given up or be gone.
    let act = |pause: Duration| {
        let cut = cut.clone();
        let acting = tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            forward(&shared.http, &shared.upstream, &parts, body).await
        });
        async move { acting.await.unwrap_or_else(|_| cut.now()) }
    };
    match faults.and_then(|faults| faults(&seen)) {
        None => act(Duration::ZERO).await,
        Some(Fault::Answer(reply)) => answer(reply),
        Some(Fault::AnswerAfter(reply)) => {
            act(Duration::ZERO).await;
            answer(reply)
        }
        Some(Fault::Cut) => cut.now(),
        Some(Fault::CutAfter) => {
            act(Duration::ZERO).await;
            cut.now()
        }
        Some(Fault::Delay(time)) => act(time).await,
        Some(Fault::DelayAfter(time)) => {
            let answer = act(Duration::ZERO).await;
            tokio::time::sleep(time).await;
            answer
        }
    }
}

/// Passes a request on as it came, its `Host` included: a signature may cover it.
pub(crate) async fn forward(http: &reqwest::Client, upstream: &str, parts: &Parts, body: Bytes) -> Response<Body> {
    let target = parts.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
    let request = http
        .request(parts.method.clone(), format!("{upstream}{target}"))
        .headers(end_to_end(&parts.headers))
        .body(body);
    let answered = async {
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), end_to_end(answer.headers()));
        Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
    };
    match answered.await {
        Ok((status, headers, body)) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(_) => answer(Reply { status: 502, headers: Vec::new(), body: b"the service cannot be reached".to_vec() }),
    }
}

/// Headers without those that belong to one connection, or say a length that is computed anew.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const OWN: [HeaderName; 4] =
        [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, HeaderName::from_static("keep-alive")];
    let kept = headers.iter().filter(|(name, _)| !OWN.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(crate) fn answer(reply: Reply) -> Response<Body> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

struct CountingListener {
    inner: TcpListener,
    shared: Arc<Shared>,
}

impl Listener for CountingListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.inner).await;
        let _ = stream.set_nodelay(true);
        self.shared.connections.fetch_add(1, Ordering::SeqCst);
        (Connection { stream, cut: Cut::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// Set by a handler to have its connection closed without an answer.
#[derive(Debug, Clone, Default)]
struct Cut(Arc<AtomicBool>);

impl Cut {
    /// Closes the connection: the answer given back is never written.
    fn now(&self) -> Response<Body> {
        self.0.store(true, Ordering::SeqCst);
        Response::new(Body::empty())
    }
}

impl Connected<IncomingStream<'_, CountingListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CountingListener>) -> Self {
        stream.io().cut.clone()
    }
}

struct Connection {
    stream: TcpStream,
    cut: Cut,
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        if self.cut.0.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An upstream that counts what reaches it and answers `pong`.
    async fn upstream() -> (String, Arc<AtomicUsize>) {
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = reached.clone();
        let app = axum::Router::new().fallback(move || async move {
            counter.fetch_add(1, Ordering::SeqCst);
            "pong"
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (address, reached)
    }

    #[tokio::test]
    async fn requests_are_forwarded_and_remembered_and_connections_counted() {
        let (address, reached) = upstream().await;
        let proxy = Proxy::start(address).await.unwrap();
        let http = client();
        for n in 1..=3 {
            let answer = http.put(format!("{}/row?n={n}", proxy.address())).body("x").send().await.unwrap();
            assert_eq!(answer.text().await.unwrap(), "pong");
        }
        let last = Seen { number: 3, method: "PUT".to_owned(), target: "/row?n=3".to_owned(), operation: None };
        assert_eq!(proxy.requests().last(), Some(&last));
        assert_eq!(proxy.connections(), 1, "the client keeps its connection");
        assert_eq!(reached.load(Ordering::SeqCst), 3);
        proxy.forget();
        assert!(proxy.requests().is_empty());
    }

    #[tokio::test]
    async fn a_fault_strikes_before_or_after_the_service_has_acted() {
        let (address, reached) = upstream().await;
        let proxy = Proxy::start(address).await.unwrap();
        let busy = Reply::server_busy;
        for (fault, status, acted) in [
            (Fault::Answer(busy()), Some(503), 0),
            (Fault::AnswerAfter(busy()), Some(503), 1),
            (Fault::Cut, None, 0),
            (Fault::CutAfter, None, 1),
            (Fault::Delay(Duration::from_millis(50)), Some(200), 1),
            (Fault::DelayAfter(Duration::from_millis(50)), Some(200), 1),
        ] {
            reached.store(0, Ordering::SeqCst);
            let shown = format!("{fault:?}");
            proxy.set_faults(move |_| Some(fault.clone()));
            let answer = client().post(proxy.address()).send().await;
            assert_eq!(answer.ok().map(|answer| answer.status().as_u16()), status, "{shown}");
            assert_eq!(reached.load(Ordering::SeqCst), acted, "{shown}");
        }
        proxy.clear_faults();
        assert_eq!(client().get(proxy.address()).send().await.unwrap().status(), 200);
    }

    #[tokio::test]
    async fn a_late_request_reaches_the_service_though_its_caller_gave_up() {
        let (address, reached) = upstream().await;
        let proxy = Proxy::start(address).await.unwrap();
        proxy.set_faults(|_| Some(Fault::Delay(Duration::from_millis(200))));
        let request = client().post(proxy.address()).timeout(Duration::from_millis(50)).send().await;
        assert!(request.unwrap_err().is_timeout());
        assert_eq!(reached.load(Ordering::SeqCst), 0);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(reached.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn faults_can_pick_a_request_by_its_number() {
        let (address, _) = upstream().await;
        let proxy = Proxy::start(address).await.unwrap();
        proxy.set_faults(|seen| (seen.number == 2).then(|| Fault::Answer(Reply::server_busy())));
        let http = client();
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(http.get(proxy.address()).send().await.unwrap().status().as_u16());
        }
        assert_eq!(statuses, [200, 503, 200]);
    }

    #[test]
    fn an_empty_page_leads_to_where_the_query_asked_to_go_on() {
        let tokens = |target, with_row_key| {
            let headers = Reply::empty_page(target, with_row_key).headers.into_iter();
            headers.filter(|(name, _)| name.contains("continuation")).map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(tokens("/Leads()?$top=9", true), ["AQ==", "AQ=="]);
        assert_eq!(tokens("/Leads()", false), ["AQ=="]);
        assert_eq!(tokens("/Leads()?NextPartitionKey=cA%3D%3D&NextRowKey=cg==", false), ["cA==", "cg=="]);
        assert_eq!(tokens("/Leads()?NextPartitionKey=cA%3D%3D", true), ["cA=="]);
    }
}
