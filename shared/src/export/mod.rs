//! The export: the leads as a file, streamed page by page.
//!
//! Pages are read side by side, and written in their order. Memory is bounded by their bytes, however many there are. What a
//! client gets is whole or visibly broken off: a failure in mid-stream is an error of [`Download::body`], never an early
//! end.

mod file;
mod parameters;
mod range;
mod reader;
#[cfg(test)]
mod tests;

use crate::function_url::{Answer, Request};
use crate::table::{Entity, Table, TableError};
use bytes::Bytes;
use file::File;
use futures::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use parameters::Parameters;
use reader::Reader;
use tokio::time::Instant;
use tracing::Span;

pub use reader::MAX_PAGE_BYTES;

/// Where the leads are.
const PATH: &str = "/leads";

/// How they are asked for.
const METHOD: &str = "GET";

/// How many seconds a client should wait after a 503.
const RETRY_AFTER_SECONDS: &str = "60";

/// The use case.
#[derive(Clone)]
pub struct Export<T> {
    /// The table with the leads.
    pub leads: T,
}

/// An answer whose body is streamed.
pub struct Download {
    /// Status.
    pub status: u16,
    /// Headers: name and value.
    pub headers: Vec<(&'static str, String)>,
    /// Body. After an error there is no more.
    pub body: BoxStream<'static, Result<Bytes, BrokenOff>>,
}

/// Why a body is not whole.
#[derive(Debug, thiserror::Error)]
pub enum BrokenOff {
    /// A page could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The task that reads pages ended before its time.
    #[error("reading ended before its time")]
    Reader,
    /// A page could not be put into the file's form.
    #[error("a page could not be written")]
    Writer,
}

impl<T: Table> Export<T> {
    /// Answers a request that came at `now`. The status is decided when the first page is there; the body says in the
    /// logs, once, how it ended. `request_id` is what a person can ask about.
    pub async fn answer(&self, request: &Request<'_>, request_id: &str, now: Timestamp) -> Download {
        let started = Instant::now();
        let problem = |status, title, detail: &str| Answer::problem(status, title, detail, request_id);
        if request.path != PATH {
            return refused(problem(404, "Not Found", "Leads are at /leads."));
        }
        if request.method != METHOD {
            let answer = problem(405, "Method Not Allowed", "Leads are asked for with GET.");
            return refused(answer.with("allow", METHOD));
        }
        let parameters = match Parameters::parse(request.query) {
            Ok(parameters) => parameters,
            Err(wrong) => return refused(problem(400, "Bad Request", &wrong)),
        };
        let mut reader = Reader::new(self.leads.clone(), parameters.work(now));
        let page = match reader.next().await {
            Ok(page) => page,
            Err(error) => {
                let answer = match &error {
                    BrokenOff::Table(error) if error.is_transient() => {
                        problem(503, "Service Unavailable", "The leads cannot be read now. Please try again.")
                            .with("retry-after", RETRY_AFTER_SECONDS)
                    }
                    _ => problem(500, "Internal Server Error", "The leads cannot be read."),
                };
                tracing::error!(outcome = "failed", status = answer.status, error = %error, "answered");
                return answer.into();
            }
        };
        let headers = vec![
            ("content-type", parameters.format.content_type().to_owned()),
            ("content-disposition", format!("attachment; filename=\"{}\"", parameters.file_name(now))),
            ("cache-control", "no-store".to_owned()),
        ];
        let file = File::new(parameters);
        let body = Body { file, reader, next: Next::Page(page), started, span: Span::current() };
        let body = stream::try_unfold(body, |mut body| async move {
            let bytes = body.bytes().await.inspect_err(|error| body.broken_off(error))?;
            Ok(bytes.map(|bytes| (bytes, body)))
        });
        Download { status: 200, headers, body: body.boxed() }
    }
}

/// An answer to a request that cannot be met, with one event in the logs.
fn refused(answer: Answer) -> Download {
    tracing::info!(outcome = "refused", status = answer.status, "answered");
    answer.into()
}

impl From<Answer> for Download {
    fn from(answer: Answer) -> Self {
        let body = stream::iter([Ok(Bytes::from(answer.body))]).boxed();
        let headers = answer.headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        Self { status: answer.status, headers, body }
    }
}

/// A body that is being streamed.
struct Body<T> {
    file: File,
    reader: Reader<T>,
    next: Next,
    started: Instant,
    span: Span,
}

enum Next {
    /// This page; `None` is the end.
    Page(Option<Vec<Entity>>),
    /// The reader's next page.
    Read,
    Nothing,
}

impl<T: Table> Body<T> {
    /// The next bytes, at least one; `None` at the end.
    async fn bytes(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        loop {
            let page = match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::Page(page) => page,
                Next::Read => self.reader.next().await?,
                Next::Nothing => return Ok(None),
            };
            let is_last = page.is_none();
            match page {
                Some(rows) => {
                    self.file.write(&rows)?;
                    self.next = Next::Read;
                }
                None => self.file.finish()?,
            }
            let bytes = self.file.next_bytes();
            if is_last {
                self.finished();
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    fn finished(&self) {
        let File { rows, unreadable, bytes, .. } = self.file;
        self.span.in_scope(|| tracing::info!(rows, unreadable, bytes, duration_ms = self.duration_ms(), "exported"));
    }

    fn broken_off(&self, error: &BrokenOff) {
        let File { rows, bytes, .. } = self.file;
        let duration_ms = self.duration_ms();
        self.span.in_scope(|| tracing::error!(rows, bytes, duration_ms, error = %error, "the export broke off"));
    }

    fn duration_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
