//! Requests to destinations over the network.

use super::answer::meaning;
use super::reach::{NotPublic, PublicResolver, Reach};
use super::{Post, PostError, Poster};
use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::header::RETRY_AFTER;
use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

/// The longest that one request takes.
pub const MAX_POST: Duration = Duration::from_secs(20);

/// The longest that a connection takes to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// The most bytes of an answer that are read. Its status alone decides; a short body is read so that the connection can be
/// used again.
const MAX_ANSWER_BYTES: usize = 4_096;

/// The longest that the body of an answer is waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends requests over HTTPS, to public addresses only. It follows no redirects, and asks no proxy.
#[derive(Clone)]
pub struct HttpPoster {
    reach: Reach,
    client: Arc<OnceLock<reqwest::Client>>,
    /// When the next request may go to an address.
    next: Arc<Mutex<HashMap<String, Instant>>>,
}

impl HttpPoster {
    /// A client that goes as far as `reach` allows. It is built with the first request.
    pub fn new(reach: Reach) -> Self {
        Self { reach, client: Arc::default(), next: Arc::default() }
    }

    fn client(&self) -> Option<&reqwest::Client> {
        if self.client.get().is_none() {
            let client = reqwest::Client::builder()
                .https_only(self.reach == Reach::Public)
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(MAX_POST)
                .dns_resolver(Arc::new(PublicResolver(self.reach)))
                .user_agent("marketplace-leads")
                .build()
                .ok()?;
            // Where two requests build a client at the same time, both go on with the one that was set first.
            let _ = self.client.set(client);
        }
        self.client.get()
    }

    /// Waits until a request may go to this address, if that is within the limit. Says how long that took.
    async fn keep_pace(&self, post: &Post, limit: Duration) -> Option<Duration> {
        if post.pace.is_zero() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let wait = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            next.retain(|_, time| *time > now);
            let time = next.get(post.url.expose()).copied().unwrap_or(now);
            let wait = time - now;
            if wait >= limit {
                return None;
            }
            next.insert(post.url.expose().to_owned(), time + post.pace);
            wait
        };
        tokio::time::sleep(wait).await;
        Some(wait)
    }

    async fn send(&self, post: &Post, limit: Duration) -> Result<(), PostError> {
        let limit = limit.min(MAX_POST);
        let not_sent = |code: &str, cure| PostError::Destination { code: code.to_owned(), cure };
        // It was looked at when the destination was read. What is sent is looked at again.
        let url = Url::parse(post.url.expose()).ok().filter(|url| self.reach.check(url).is_ok());
        let url = url.ok_or_else(|| not_sent("its address is not allowed", "check its parameter"))?;
        let client = self.client().ok_or_else(|| PostError::Unavailable {
            code: "the TLS client could not be set up".to_owned(),
            may_be_accepted: false,
        })?;
        let waited = self.keep_pace(post, limit).await;
        let its_turn_is_later =
            || PostError::Busy { code: "its turn is later".to_owned(), retry_after: None, may_be_accepted: false };
        let waited = waited.ok_or_else(its_turn_is_later)?;
        let mut request = client.post(url).timeout(limit.saturating_sub(waited));
        for (name, value) in &post.headers {
            request = request.header(name, value.expose());
        }
        let request = request.body(post.body.clone()).build();
        let request = request.map_err(|_| not_sent("the request could not be built", "check its parameter"))?;
        let mut answer = client.execute(request).await.map_err(|error| failure(&error))?;
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|text| text.to_str().ok());
        let meaning = meaning(answer.status().as_u16(), retry_after, Timestamp::now());
        // The status has said what counts, whatever becomes of the body.
        let rest = async {
            let mut read = 0;
            while read < MAX_ANSWER_BYTES
                && let Ok(Some(part)) = answer.chunk().await
            {
                read += part.len();
            }
        };
        let _ = tokio::time::timeout(BODY_TIMEOUT, rest).await;
        meaning
    }
}

/// What it means that no answer came. Nothing of the address gets into it.
fn failure(error: &reqwest::Error) -> PostError {
    let causes = || std::iter::successors(error.source(), |&error| error.source());
    if causes().any(|cause| cause.is::<NotPublic>()) {
        let cure = "its host's name must lead to a public address: check its parameter";
        return PostError::Destination { code: NotPublic.to_string(), cure };
    }
    let was_refused = causes().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    });
    let (code, may_be_accepted) = match () {
        () if error.is_builder() => ("the request could not be built", false),
        () if error.is_connect() && error.is_timeout() => ("no connection in time", false),
        () if was_refused || error.is_connect() => ("not reached", false),
        () if error.is_timeout() => ("timed out", true),
        () => ("no answer that makes sense", true),
    };
    PostError::Unavailable { code: code.to_owned(), may_be_accepted }
}

impl Poster for HttpPoster {
    fn post<'a>(&'a self, post: &'a Post, limit: Duration) -> BoxFuture<'a, Result<(), PostError>> {
        Box::pin(self.send(post, limit))
    }
}
