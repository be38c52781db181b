//! A reverse proxy that counts and remembers requests. On request it fails, before or after the service has acted.

mod connection;
mod forward;
mod reply;

pub use reply::Reply;

pub(crate) use forward::forward;
pub(crate) use reply::answer;

use crate::aws::client;
use crate::failure::Result;
use crate::servers;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Response;
use connection::{CountingListener, Cut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A request that the proxy has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number among the requests since the start or the last [`Proxy::forget`]; the first is 1.
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
    connections: Arc<AtomicUsize>,
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
        let (inner, port) = servers::listen(STEP, 0)?;
        let connections = Arc::new(AtomicUsize::new(0));
        let listener = CountingListener::new(inner, connections.clone());
        let shared = Arc::new(Shared { upstream: upstream.into(), http: client(), log: Mutex::default(), connections });
        let app = axum::Router::new().fallback(handle).with_state(shared.clone());
        let app = app.into_make_service_with_connect_info::<Cut>();
        let server = servers::spawn(async move {
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

    /// Calls `faults` from now on for every request. It answers with the fault for the request, or with `None` to forward it.
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
    // The whole body is read before anything is decided, so that no fault comes before the caller has sent all of it.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return cut.now() };
    let operation = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (seen, faults) = {
        let mut log = shared.log();
        let seen = Seen { number: log.seen.len() + 1, method: parts.method.to_string(), target, operation };
        log.seen.push(seen.clone());
        (seen, log.faults.clone())
    };
    // A task of its own forwards the request: it reaches the service even if the caller gives up meanwhile.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

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
}
