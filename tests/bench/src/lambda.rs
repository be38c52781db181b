//! What Lambda is to a function: the Runtime API, and a process under it.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use crate::{Result, Subject};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use futures::StreamExt as _;
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How long an answer may take; the whole work of a notifier is one.
const LIMIT: Duration = Duration::from_secs(900);

/// How much of an answer is kept.
const KEPT_BYTES: usize = 64 * 1024;

/// A running function. Dropping it ends its process.
pub struct Lambda {
    child: Child,
    api: Arc<Api>,
    events: mpsc::Sender<String>,
    ready: watch::Receiver<Option<Ready>>,
    started: Instant,
    invocations: usize,
    server: JoinHandle<()>,
}

/// An invocation's answer.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The answer's beginning; all of it, if it is short.
    pub body: Vec<u8>,
    /// Its length in bytes.
    pub length: usize,
    /// Its lines.
    pub lines: usize,
    /// From the same moment to the first byte of its content; in a stream, that comes after the metadata.
    pub first_byte: Duration,
    /// From the moment the event was handed over (for a cold start: the process was started) to the whole answer.
    pub took: Duration,
}

/// What a process has used since it was started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// The most memory that was resident at once, in KiB: shared libraries and its own code included.
    pub peak_kib: u64,
}

/// When a process asked for an event first, and how often it did.
#[derive(Debug, Clone, Copy)]
struct Ready {
    first: Instant,
    asked: usize,
}

struct Api {
    events: tokio::sync::Mutex<mpsc::Receiver<String>>,
    answer: Mutex<Option<oneshot::Sender<Result<Outcome>>>>,
    handed_over: Mutex<Instant>,
    ready: watch::Sender<Option<Ready>>,
}

impl Lambda {
    /// Starts a function's process. `LEADS_…` and the endpoints of AWS come with `environment`.
    pub async fn start(subject: &Subject, environment: &[(String, String)]) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (events, receiver) = mpsc::channel(1);
        let (ready_sender, ready) = watch::channel(None);
        let api = Arc::new(Api {
            events: tokio::sync::Mutex::new(receiver),
            answer: Mutex::default(),
            handed_over: Mutex::new(Instant::now()),
            ready: ready_sender,
        });
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(error))
            .with_state(api.clone());
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });

        let mut command = Command::new(&subject.program);
        let kept = ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .args(&subject.arguments)
            .current_dir(&subject.folder)
            .env_clear()
            .envs(kept)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "measured")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "measured")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "measured")
            .env("LAMBDA_TASK_ROOT", &subject.folder)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", subject.program.display()))?;
        Ok(Self { child, api, events, ready, started, invocations: 0, server })
    }

    /// Waits until the process asks for its first event: how long that took from its start.
    pub async fn ready(&mut self) -> Result<Duration> {
        self.asked(1).await?;
        let ready = *self.ready.borrow();
        Ok(ready.map_or(Duration::ZERO, |ready| ready.first - self.started))
    }

    async fn asked(&mut self, times: usize) -> Result<()> {
        let is_asked = |ready: &Option<Ready>| ready.is_some_and(|ready| ready.asked >= times);
        tokio::select! {
            waited = tokio::time::timeout(LIMIT, self.ready.wait_for(is_asked)) => drop(waited??),
            ended = self.child.wait() => return Err(format!("the function ended with {}", ended?).into()),
        }
        Ok(())
    }

    /// Has the process handle its first event, which it may not even be ready for: the time counts from its start.
    pub async fn first(&mut self, event: &str) -> Result<Outcome> {
        let started = self.started;
        self.send(event, Some(started)).await
    }

    /// Has the process, once it is ready, handle an event.
    pub async fn invoke(&mut self, event: &str) -> Result<Outcome> {
        self.asked(self.invocations + 1).await?;
        self.send(event, None).await
    }

    async fn send(&mut self, event: &str, since: Option<Instant>) -> Result<Outcome> {
        let (sender, answer) = oneshot::channel();
        *lock(&self.api.answer) = Some(sender);
        self.invocations += 1;
        let since = since.unwrap_or_else(Instant::now);
        *lock(&self.api.handed_over) = since;
        self.events.send(event.to_owned()).await?;
        tokio::select! {
            answer = tokio::time::timeout(LIMIT, answer) => answer??,
            ended = self.child.wait() => Err(format!("the function ended with {}", ended?).into()),
        }
    }

    /// What the process has used so far.
    pub fn usage(&self) -> Result<Usage> {
        let pid = self.child.id().ok_or("the function has ended")?;
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            // A thread may have ended since.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            nanoseconds += text.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        Ok(Usage { cpu: Duration::from_nanos(nanoseconds), peak_kib: peak.ok_or("no VmHWM")? })
    }

    /// Ends the process the way that lets it write down what a profiler collected.
    pub async fn terminate(mut self) -> Result<()> {
        let pid = self.child.id().ok_or("the function has ended")?;
        Command::new("kill").arg(pid.to_string()).status().await?;
        tokio::time::timeout(LIMIT, self.child.wait()).await??;
        Ok(())
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn next(State(api): State<Arc<Api>>) -> Response<Body> {
    api.ready.send_modify(|ready| {
        let first = ready.map_or_else(Instant::now, |ready| ready.first);
        *ready = Some(Ready { first, asked: ready.map_or(0, |ready| ready.asked) + 1 });
    });
    let event = api.events.lock().await.recv().await;
    let Some(event) = event else { return status(StatusCode::GONE) };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + LIMIT;
    let id = {
        let mut bytes = [0; 16];
        let random =
            fs::File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
        assert!(random.is_ok(), "the operating system gives no random numbers");
        bytes.map(|byte| format!("{byte:02x}")).concat()
    };
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:000000000000:function:measured")
        .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        .body(Body::from(event));
    response.unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
}

async fn response(
    State(api): State<Arc<Api>>,
    Path(_): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let is_stream = headers.contains_key("lambda-runtime-function-response-mode");
    let outcome = read(&api, is_stream, body).await;
    if let Some(answer) = lock(&api.answer).take() {
        let _ = answer.send(outcome);
    }
    status(StatusCode::ACCEPTED)
}

async fn read(api: &Api, is_stream: bool, body: Body) -> Result<Outcome> {
    let since = *lock(&api.handed_over);
    let mut parts = body.into_data_stream();
    let (mut kept, mut length, mut lines, mut first_byte) = (Vec::new(), 0, 0, None);
    while let Some(part) = parts.next().await {
        let part = part?;
        length += part.len();
        lines += part.iter().filter(|byte| **byte == b'\n').count();
        if kept.len() < KEPT_BYTES {
            kept.extend_from_slice(&part);
        }
        // In a stream the content comes after eight zeros.
        let content =
            if is_stream { kept.windows(8).position(|zeros| zeros == [0; 8]).map(|at| at + 8) } else { Some(0) };
        if content.is_some_and(|start| length > start) {
            first_byte.get_or_insert_with(Instant::now);
        }
    }
    let end = Instant::now();
    Ok(Outcome { body: kept, length, lines, first_byte: first_byte.unwrap_or(end) - since, took: end - since })
}

async fn error(State(api): State<Arc<Api>>, body: String) -> Response<Body> {
    if let Some(answer) = lock(&api.answer).take() {
        let _ = answer.send(Err(format!("the function failed: {body}").into()));
    }
    status(StatusCode::ACCEPTED)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
