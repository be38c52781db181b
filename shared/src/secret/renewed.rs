//! What is made of a secret that can be rotated while a function runs.

use super::Secret;
use futures::future::{BoxFuture, FutureExt as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Reads a secret from where it is kept. An error says what happened, and shows nothing of the secret.
pub type ReadSecret = Arc<dyn Fn() -> BoxFuture<'static, Result<Secret, String>> + Send + Sync>;

/// Makes something of a secret. An error says what is wrong with it, and shows nothing of it.
type Make<T> = Box<dyn Fn(&Secret) -> Result<T, String> + Send + Sync>;

/// How long one reading may take.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// How long after a reading that succeeded the secret counts as read.
const PAUSE: Duration = Duration::from_secs(60);

/// How long after a reading that failed nothing is read.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What was made of a secret, kept for the life of the instance. Where it turns out not to be right any more, the secret is
/// read again, at most once a minute. What cannot be read, or is malformed, takes the place of nothing. Clones share all.
pub struct Renewed<T>(Arc<Inner<T>>);

struct Inner<T> {
    read: ReadSecret,
    /// How long one reading may take.
    limit: Duration,
    make: Make<T>,
    state: Mutex<State<T>>,
    /// Held while the secret is read, so that several callers at once read it once.
    reading: tokio::sync::Mutex<()>,
}

struct State<T> {
    current: Option<(Secret, Current<T>)>,
    /// When the last reading ended, and what went wrong.
    last: Option<(Instant, Option<String>)>,
    /// When the last reading began.
    begun: Option<Instant>,
}

/// What was made of the secret that was read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current<T> {
    /// What was made of it.
    pub value: T,
    /// Counts the secrets, from 1.
    pub version: u64,
}

/// Whether there is another secret than the one of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Newer<T> {
    /// There is another one.
    Changed(Current<T>),
    /// There was none a minute ago, or later.
    Unchanged,
    /// It could not be read, for this reason.
    Unknown(String),
}

/// In the place of a secret that cannot be had at all, for this reason.
pub fn no_secret(reason: &'static str) -> ReadSecret {
    Arc::new(move || async move { Err(reason.to_owned()) }.boxed())
}

impl<T: Clone + Send + 'static> Renewed<T> {
    /// Reads nothing yet.
    pub fn new(read: ReadSecret, make: impl Fn(&Secret) -> Result<T, String> + Send + Sync + 'static) -> Self {
        Self::with_limit(read, READ_LIMIT, make)
    }

    fn with_limit(
        read: ReadSecret,
        limit: Duration,
        make: impl Fn(&Secret) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        let state = Mutex::new(State { current: None, last: None, begun: None });
        Self(Arc::new(Inner { read, limit, make: Box::new(make), state, reading: tokio::sync::Mutex::default() }))
    }

    /// Takes a secret that was read just now.
    ///
    /// # Errors
    /// Where it is malformed. It is read again when it is asked for.
    pub fn hold(&self, secret: Secret) -> Result<(), String> {
        self.0.ended(Instant::now(), Ok(secret)).map_or(Ok(()), Err)
    }

    /// What was made of the secret that was read last. Where none has been read, it is read now.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn current(&self) -> Result<Current<T>, String> {
        let known = self.0.lock().current.as_ref().map(|(_, current)| current.clone());
        match known {
            Some(current) => Ok(current),
            None => match self.newer_than(0).await {
                Newer::Changed(current) => Ok(current),
                Newer::Unchanged => Err("there is no secret".to_owned()),
                Newer::Unknown(reason) => Err(reason),
            },
        }
    }

    /// Whether there is another secret than the one of this version. It is read again where that was not done in the last
    /// minute. A caller that gives up waiting does not end the reading.
    pub async fn newer_than(&self, version: u64) -> Newer<T> {
        self.newer(version, None).await
    }

    /// The same, but a reading that succeeded counts only where it began at this time or later.
    pub async fn newer_than_read_since(&self, version: u64, since: Instant) -> Newer<T> {
        self.newer(version, Some(since)).await
    }

    async fn newer(&self, version: u64, since: Option<Instant>) -> Newer<T> {
        let inner = self.0.clone();
        let read = tokio::spawn(async move { inner.newer_than(version, since).await });
        read.await.unwrap_or_else(|_| Newer::Unknown("the reading ended early".to_owned()))
    }
}

#[cfg(test)]
impl<T> Renewed<T> {
    /// Has the last reading be so long ago that it does not count.
    pub(crate) fn forget_when_it_was_read(&self) {
        self.0.lock().last = None;
    }
}

impl<T: Clone> Inner<T> {
    async fn newer_than(&self, version: u64, since: Option<Instant>) -> Newer<T> {
        let _one_at_a_time = self.reading.lock().await;
        if let Some(known) = self.known(version, since) {
            return known;
        }
        let begun = Instant::now();
        let read = timeout(self.limit, (self.read)()).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        self.ended(begun, read);
        self.known(version, since).unwrap_or(Newer::Unchanged)
    }

    /// What is known without another reading; `None` where the secret has to be read.
    fn known(&self, version: u64, since: Option<Instant>) -> Option<Newer<T>> {
        let state = self.lock();
        let is_late_enough = since.is_none_or(|since| state.begun.is_some_and(|begun| begun >= since));
        match (&state.current, &state.last) {
            (Some((_, current)), _) if current.version > version => Some(Newer::Changed(current.clone())),
            (_, Some((at, None))) if at.elapsed() < PAUSE && is_late_enough => Some(Newer::Unchanged),
            (_, Some((at, Some(wrong)))) if at.elapsed() < PAUSE_AFTER_FAILURE => Some(Newer::Unknown(wrong.clone())),
            _ => None,
        }
    }

    /// Notes how a reading ended that began at this time; gives what went wrong.
    fn ended(&self, begun: Instant, read: Result<Secret, String>) -> Option<String> {
        let mut state = self.lock();
        let is_known = |secret: &Secret| state.current.as_ref().is_some_and(|(known, _)| known == secret);
        let made = match read {
            Ok(secret) if is_known(&secret) => Ok(None),
            Ok(secret) => (self.make)(&secret).map(|value| Some((secret, value))),
            Err(wrong) => Err(wrong),
        };
        let wrong = match made {
            Ok(changed) => {
                if let Some((secret, value)) = changed {
                    let version = state.current.as_ref().map_or(0, |(_, current)| current.version) + 1;
                    state.current = Some((secret, Current { value, version }));
                    if version > 1 {
                        tracing::info!("a secret has changed; the new one counts");
                    }
                }
                None
            }
            Err(wrong) => {
                tracing::error!(wrong, is_another_kept = state.current.is_some(), "a secret could not be had");
                Some(wrong)
            }
        };
        (state.last, state.begun) = (Some((Instant::now(), wrong.clone())), Some(begun));
        wrong
    }
}

impl<T> Inner<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Renewed<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    /// A place for a secret that can change, and how often it was read.
    #[derive(Clone)]
    struct Place(Arc<Mutex<Result<&'static str, &'static str>>>, Arc<AtomicUsize>);

    impl Place {
        fn new(text: Result<&'static str, &'static str>) -> Self {
            Self(Arc::new(Mutex::new(text)), Arc::default())
        }

        fn set(&self, text: Result<&'static str, &'static str>) {
            *self.0.lock().unwrap() = text;
        }

        fn reads(&self) -> usize {
            self.1.load(Ordering::SeqCst)
        }

        /// The number of characters of the secret; one without any is malformed.
        fn length(&self) -> Renewed<usize> {
            let place = self.clone();
            let read: ReadSecret = Arc::new(move || {
                place.1.fetch_add(1, Ordering::SeqCst);
                let text = *place.0.lock().unwrap();
                async move { text.map(Secret::new).map_err(str::to_owned) }.boxed()
            });
            Renewed::new(read, |secret| match secret.expose().len() {
                0 => Err("malformed".to_owned()),
                length => Ok(length),
            })
        }
    }

    /// Has time pass since the last reading.
    fn pass(secret: &Renewed<usize>, time: Duration) {
        let mut state = secret.0.lock();
        let (at, _) = state.last.as_mut().unwrap();
        *at = at.checked_sub(time).unwrap();
    }

    #[tokio::test]
    async fn a_secret_is_read_once_and_again_at_most_once_a_minute() {
        let place = Place::new(Ok("one"));
        let length = place.length();
        let first = length.current().await.unwrap();
        assert_eq!((first.value, first.version, length.current().await.unwrap().value, place.reads()), (3, 1, 3, 1));
        place.set(Ok("three"));
        assert_eq!((length.newer_than(1).await, place.reads()), (Newer::Unchanged, 1), "it was read just now");
        pass(&length, PAUSE);
        let newer = Newer::Changed(Current { value: 5, version: 2 });
        assert_eq!(futures::join!(length.newer_than(1), length.newer_than(1)), (newer.clone(), newer.clone()));
        assert_eq!((length.newer_than(1).await, length.current().await.unwrap().value, place.reads()), (newer, 5, 2));
        pass(&length, PAUSE);
        assert_eq!((length.newer_than(2).await, length.newer_than(2).await), (Newer::Unchanged, Newer::Unchanged));
        assert_eq!(place.reads(), 3);
    }

    #[tokio::test]
    async fn what_cannot_be_read_or_is_malformed_takes_the_place_of_nothing_and_is_asked_for_again() {
        for wrong in [Err("down"), Ok("")] {
            let reason = wrong.err().unwrap_or("malformed").to_owned();
            let place = Place::new(wrong);
            let length = place.length();
            assert_eq!((length.current().await, length.current().await), (Err(reason.clone()), Err(reason.clone())));
            assert_eq!(place.reads(), 1, "not with each request");
            place.set(Ok("one"));
            pass(&length, PAUSE_AFTER_FAILURE);
            assert_eq!(length.current().await.unwrap().value, 3);
            place.set(wrong);
            pass(&length, PAUSE);
            assert_eq!(length.newer_than(1).await, Newer::Unknown(reason));
            assert_eq!(length.current().await.unwrap().value, 3, "the last good one is kept");
        }
    }

    #[tokio::test]
    async fn a_reading_has_a_limit_and_outlives_the_caller_who_gives_up() {
        let answers = Arc::new(Notify::new());
        let waiting = answers.clone();
        let read: ReadSecret = Arc::new(move || {
            let waiting = waiting.clone();
            async move {
                waiting.notified().await;
                Ok(Secret::new("one"))
            }
            .boxed()
        });
        let make = |secret: &Secret| Ok(secret.expose().len());
        let length = Renewed::new(read, make);
        assert!(timeout(Duration::from_millis(5), length.current()).await.is_err());
        answers.notify_one();
        assert_eq!(length.current().await.unwrap(), Current { value: 3, version: 1 });
        let hanging: ReadSecret = Arc::new(|| futures::future::pending().boxed());
        let length = Renewed::with_limit(hanging, Duration::from_millis(5), make);
        assert_eq!(length.current().await, Err("no answer in time".to_owned()));
    }

    #[tokio::test]
    async fn a_secret_that_was_read_before_is_taken_as_it_is() {
        let place = Place::new(Ok("three"));
        let length = place.length();
        assert_eq!(length.hold(Secret::new("")), Err("malformed".to_owned()));
        assert_eq!(length.hold(Secret::new("one")), Ok(()));
        assert_eq!((length.current().await.unwrap().value, place.reads()), (3, 0));
    }
}
