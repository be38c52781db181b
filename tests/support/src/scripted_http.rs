//! An HTTP server that gives the answers that it was told to give, one after the other, and keeps the requests that came.
//!
//! It is for what no service says by itself: answers of something that stands in between, answers that are cut off, answers
//! that never come, and forms that a service may use and does not. Where a table service can say it, the faults of
//! [`strict_table`](crate::strict_table) are the shorter way.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, Uri};
use axum::serve::ListenerExt as _;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// For how long an answer that never comes does not come: longer than anybody waits.
const SILENCE: Duration = Duration::from_secs(60);

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    is_silent: bool,
    is_cut: bool,
}

impl Reply {
    /// With this status and body, and no header but those that every HTTP server adds.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), is_silent: false, is_cut: false }
    }

    /// With a content type, unless it is empty.
    pub fn text(status: u16, kind: &str, body: &str) -> Self {
        Self::new(status, body).with("content-type", kind)
    }

    /// No answer at all, for longer than anybody waits.
    pub fn silence() -> Self {
        Self { is_silent: true, ..Self::new(204, "") }
    }

    /// The same with this header; without it where the value is empty.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same without this header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    /// The same, ending in the middle of its body.
    #[must_use]
    pub fn cut(self) -> Self {
        Self { is_cut: true, ..self }
    }

    fn response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = if self.is_cut {
            let half = Bytes::copy_from_slice(&self.body.as_bytes()[..self.body.len() / 2]);
            Body::from_stream(futures::stream::iter([Ok(half), Err(io::Error::other("the answer is cut on purpose"))]))
        } else {
            Body::from(self.body)
        };
        response.body(body).unwrap_or_default()
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What follows the question mark of its address.
    pub query: String,
    /// Its body; bytes that are no UTF-8 are replaced.
    pub body: String,
    headers: HeaderMap,
}

impl Asked {
    /// A header that is a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[derive(Clone)]
struct Shared {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

/// The server, on a free port of the loopback interface. It ends with the runtime that it was started on.
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Shared,
}

impl ScriptedServer {
    /// Starts one with these answers. When they are used up, it answers 500.
    ///
    /// # Errors
    /// Where no port can be opened.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> io::Result<Self> {
        let replies = Arc::new(Mutex::new(replies.into_iter().collect()));
        let shared = Shared { replies, requests: Arc::default(), connections: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let connections = shared.connections.clone();
        let listener = listener.tap_io(move |_| {
            connections.fetch_add(1, Ordering::SeqCst);
        });
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, shared })
    }

    /// Such as `http://127.0.0.1:49152`.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that came, in their order.
    pub fn requests(&self) -> Vec<Asked> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

async fn answer(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let query = uri.query().unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { query, body, headers });
    let reply = shared.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let reply = reply.unwrap_or_else(|| Reply::new(500, "there are no more answers"));
    if reply.is_silent {
        tokio::time::sleep(SILENCE).await;
    }
    reply.response()
}
