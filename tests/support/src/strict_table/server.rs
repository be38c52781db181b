//! The service on a port.

use super::answer::{Answer, Cost};
use super::clock::{DateHeader, ticks};
use super::faults::{Asked, Fault, Faults};
use super::query::PageLimits;
use super::refusal::Refusal;
use super::request::Request;
use super::store::Store;
use super::{Access, Counters, Settings};
use crate::development_account::ACCOUNT;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::serve::ListenerExt as _;
use jiff::Timestamp;
use marketplace_leads::table::MAX_BATCH_BYTES;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What all requests share.
pub(crate) struct Service {
    pub(crate) settings: Settings,
    state: Mutex<Changing>,
}

/// What changes from request to request.
#[derive(Default)]
pub(crate) struct Changing {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) date: DateHeader,
    /// Requests since the start, for their ids.
    requests: u64,
    /// Requests that came and are not answered yet.
    in_flight: u64,
}

/// A request that is in flight, until it is answered or its client is gone.
struct InFlight(Arc<Service>);

impl InFlight {
    fn begin(service: &Arc<Service>) -> Self {
        let mut state = service.lock();
        state.in_flight += 1;
        let in_flight = state.in_flight;
        state.counters.most_in_flight = state.counters.most_in_flight.max(in_flight);
        state.counters.in_flight_met += in_flight;
        Self(service.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

impl Service {
    pub(crate) fn new(settings: Settings) -> Self {
        let store = Store::new(settings.clock, settings.entities_per_second);
        Self { settings, state: Mutex::new(Changing { store, ..Changing::default() }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Changing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that listens, on a thread of its own: tests with runtimes of their own can share one. Dropping it closes its port
/// and cuts its connections.
pub(crate) struct Server {
    pub(crate) port: u16,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl Server {
    pub(crate) fn start(service: Arc<Service>, port: u16) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stop_wanted) = oneshot::channel::<()>();
        let (sender, stopped) = oneshot::channel();
        std::thread::Builder::new().name("strict-table".to_owned()).spawn(move || {
            let counting = service.clone();
            let listener = listener.tap_io(move |stream| {
                let _ = stream.set_nodelay(true);
                counting.lock().counters.connections += 1;
            });
            let router = Router::new().fallback(answer).with_state(service);
            runtime.block_on(async {
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = stop_wanted => {}
                }
            });
            // Connections are tasks of this runtime, and end with it.
            drop(runtime);
            let _ = sender.send(());
        })?;
        Ok(Self { port, stop, stopped })
    }

    /// Closes the port, and waits until no connection is open any more.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        let _ = self.stopped.await;
    }
}

async fn answer(State(service): State<Arc<Service>>, request: axum::extract::Request) -> Response<Body> {
    let _in_flight = InFlight::begin(&service);
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BATCH_BYTES).await;
    let (number, request_id) = {
        let mut state = service.lock();
        state.requests += 1;
        state.counters.requests += 1;
        state.counters.bytes_received += body.as_ref().map_or(0, Bytes::len) as u64;
        (state.requests - 1, format!("00000000-0000-0000-0000-{:012x}", state.requests))
    };
    let parsed = body.map_err(|_| Refusal::body_too_large()).and_then(|body| {
        let query = parts.uri.query().unwrap_or_default();
        let (account, path) = parts.uri.path().trim_start_matches('/').split_once('/').unwrap_or_default();
        service.settings.access.check(account, query, &parts.headers)?;
        Request::parse(&parts.method, path, query, &parts.headers, &body)
    });
    let client_request_id = parts.headers.get("x-ms-client-request-id").cloned();
    let (answer, is_cut) = match parsed {
        Ok(request) => run(&service, number, request, &request_id).await,
        Err(refusal) => (Answer::refusal(&refusal, &request_id, service.lock().store.now()), false),
    };
    let date = {
        let mut state = service.lock();
        state.counters.bytes_sent += answer.body.len() as u64;
        state.date.value(state.store.clock)
    };
    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status).unwrap_or_default())
        .header("date", date)
        .header("server", "Windows-Azure-Table/1.0 Microsoft-HTTPAPI/2.0")
        .header("x-ms-version", "2019-02-02")
        .header("x-ms-request-id", &request_id);
    if let Some(id) = client_request_id {
        response = response.header("x-ms-client-request-id", id);
    }
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    let body = if is_cut {
        let half = Bytes::copy_from_slice(&answer.body.as_bytes()[..answer.body.len() / 2]);
        let pieces = [Ok(half), Err(io::Error::other("the connection is cut on purpose"))];
        // A status without a body could not be cut.
        response = response.status(StatusCode::OK);
        Body::from_stream(futures::stream::iter(pieces))
    } else {
        Body::from(answer.body)
    };
    response.body(body).unwrap_or_default()
}

/// Does what is asked for, with the fault that is due. The answer, and whether the connection breaks before its end.
async fn run(service: &Service, number: u64, request: Request, request_id: &str) -> (Answer, bool) {
    let settings = &service.settings;
    let operation = request.operation();
    let fault = {
        let mut state = service.lock();
        *state.counters.operations.entry(operation).or_default() += 1;
        let (table, partition_key) = request.place();
        let (table, partition_key) = (table.map(str::to_owned), partition_key.map(str::to_owned));
        state.faults.next(&Asked { number, operation, table, partition_key })
    };
    let wait = match &fault {
        Some(Fault::Wait(longer)) => settings.latency + *longer,
        _ => settings.latency,
    };
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let mut state = service.lock();
    let now = state.store.now();
    let refused = |refusal: &Refusal| Answer::refusal(refusal, request_id, now);
    match &fault {
        Some(Fault::Before(refusal)) => return (refused(refusal), false),
        Some(Fault::CutBefore) => return (refused(&Refusal::internal_error()), true),
        _ => {}
    }
    let hidden = match &fault {
        Some(Fault::VisibleAfter(later)) => ticks_of(*later),
        _ => 0,
    };
    let limits = PageLimits { looked_at: settings.rows_looked_at, begins_empty: settings.queries_begin_empty };
    let request = match &fault {
        Some(Fault::Changed { property, json }) => request.changed(property, json),
        _ => request,
    };
    let answer = match Answer::to(request, &mut state.store, limits, hidden, request_id) {
        Ok((answer, Cost { looked_at, returned })) => {
            state.counters.rows_looked_at += looked_at as u64;
            state.counters.rows_returned += returned as u64;
            answer
        }
        Err(refusal) => refused(&refusal),
    };
    match fault {
        Some(Fault::After(refusal)) => (refused(&refusal), false),
        Some(Fault::CutAfter) => (answer, true),
        _ => (answer, false),
    }
}

fn ticks_of(duration: Duration) -> i64 {
    ticks(Timestamp::UNIX_EPOCH.saturating_add(duration).unwrap_or(Timestamp::MAX))
}

impl Access {
    /// Whether a request has credentials. Signatures are not checked: the clients' own are tested elsewhere.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>
    fn check(self, account: &str, query: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
        let has_signature = url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "sig");
        let is_let_in = match (self, authorization) {
            (Self::Any, authorization) => authorization.is_some() || has_signature,
            (Self::DevelopmentAccount, None) => account == ACCOUNT && has_signature,
            (Self::DevelopmentAccount, Some(authorization)) => {
                let named = authorization
                    .strip_prefix("SharedKeyLite ")
                    .or_else(|| authorization.strip_prefix("SharedKey "))
                    .and_then(|rest| rest.split_once(':'));
                account == ACCOUNT && named.is_some_and(|(name, _)| name == ACCOUNT)
            }
        };
        if is_let_in { Ok(()) } else { Err(Refusal::authentication_failed()) }
    }
}
