//! Lambda's Runtime API: what a function's process asks for events and gives its answers to.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use futures::StreamExt as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// How long a function may take: the longest that Lambda allows.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const LONGEST_INVOCATION: Duration = Duration::from_secs(900);

/// The API for one function's process. Dropping it ends it.
pub struct RuntimeApi {
    address: String,
    events: mpsc::UnboundedSender<Event>,
    happenings: mpsc::UnboundedReceiver<Happening>,
    server: JoinHandle<()>,
}

struct Event {
    request_id: String,
    body: String,
}

/// What the process did, and when.
#[derive(Debug)]
pub struct Happening {
    /// When the API saw it.
    pub at: Instant,
    /// What it was.
    pub what: What,
}

/// What a process does with the API.
#[derive(Debug)]
pub enum What {
    /// It asks for its next event.
    Asks,
    /// It begins to answer, with these headers.
    Answers(HeaderMap),
    /// It sends a part of its answer.
    Sends(Bytes),
    /// Its answer is whole.
    Ends,
    /// The connection broke before the answer was whole.
    Breaks,
    /// It says that it failed, at its start or with an event.
    Fails(String),
}

struct Shared {
    function: String,
    events: Mutex<mpsc::UnboundedReceiver<Event>>,
    happenings: mpsc::UnboundedSender<Happening>,
}

impl Shared {
    fn note(&self, what: What) {
        let _ = self.happenings.send(Happening { at: Instant::now(), what });
    }
}

impl RuntimeApi {
    /// Starts one for a function of this name.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn start(function: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (events, waiting) = mpsc::unbounded_channel();
        let (sender, happenings) = mpsc::unbounded_channel();
        let shared = Shared { function: function.to_owned(), events: Mutex::new(waiting), happenings: sender };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(error))
            .with_state(Arc::new(shared));
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, events, happenings, server })
    }

    /// Host and port, for `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Has the process handle an event, as soon as it asks for one.
    pub fn hand_over(&self, request_id: &str, event: &str) {
        let _ = self.events.send(Event { request_id: request_id.to_owned(), body: event.to_owned() });
    }

    /// What the process does next; `None` once the API has ended.
    pub async fn happening(&mut self) -> Option<Happening> {
        self.happenings.recv().await
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Hands out the next event, once there is one.
async fn next(State(shared): State<Arc<Shared>>) -> Response<Body> {
    shared.note(What::Asks);
    let Some(Event { request_id, body }) = shared.events.lock().await.recv().await else {
        return status(StatusCode::GONE);
    };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + LONGEST_INVOCATION;
    let function = format!("arn:aws:lambda:eu-west-1:000000000000:function:{}", shared.function);
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", request_id)
        .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", function)
        .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        .body(Body::from(body));
    response.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
}

async fn response(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Response<Body> {
    shared.note(What::Answers(headers));
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        match part {
            Ok(bytes) => shared.note(What::Sends(bytes)),
            Err(_) => {
                shared.note(What::Breaks);
                return status(StatusCode::BAD_REQUEST);
            }
        }
    }
    shared.note(What::Ends);
    status(StatusCode::ACCEPTED)
}

async fn error(State(shared): State<Arc<Shared>>, body: String) -> Response<Body> {
    shared.note(What::Fails(body));
    status(StatusCode::ACCEPTED)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
