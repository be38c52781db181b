//! The desk of one invocation: every call on a service waits there until the driver lets it through.

use futures::channel::oneshot;
use jiff::{SignedDuration, Timestamp};
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use tokio::time::Instant;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The service does what it is asked, and answers.
    Act,
    /// It fails and does nothing.
    FailBefore,
    /// It acts, and the answer is lost.
    FailAfter,
    /// It asks to slow down.
    Throttle,
    /// It acts, but gives so many rows of a page at most.
    ShortPage(u32),
    /// It acts, and the answer comes later: the call waits at the desk once more.
    ActAndWait,
}

/// Which service is called, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A row or a page of a partition is read.
    Read,
    /// A page of a whole table is read.
    Scan,
    /// Rows are written.
    Write,
    /// A mail is sent.
    Mail,
    /// The mail service is asked about a recipient.
    Question,
    /// A message is put onto the queue.
    Send,
    /// A message is posted to a destination beside mail.
    Post,
}

/// Which of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The table with the leads.
    Leads,
    /// The state table.
    State,
    /// The mail service.
    Mail,
    /// The queue for leads that the table did not take.
    Queue,
    /// A destination beside mail.
    Receiver,
    /// The parameters that say where destinations are.
    Parameters,
}

/// A call that waits.
pub struct Waiting {
    /// What it is.
    pub call: Call,
    /// Where it gets its verdict.
    sender: oneshot::Sender<Verdict>,
}

/// What the driver knows of a call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which call of the invocation it is.
    pub number: u64,
    /// The service.
    pub service: Service,
    /// How it is called.
    pub kind: Kind,
    /// The line of the code under test that calls.
    pub site: &'static Location<'static>,
    /// What is asked, for the trace.
    pub what: Arc<str>,
    /// Whether the service has acted already, and only the answer is still to come.
    pub has_acted: bool,
}

/// The calls of one invocation that wait for a verdict.
#[derive(Clone, Default)]
pub struct Desk(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    waiting: Vec<Waiting>,
    /// How many of them the driver knows.
    known: u64,
    made: u64,
    is_closed: bool,
    /// Woken with each call, where an invocation has tasks of its own that call.
    waker: Option<Waker>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what becomes of a call.
    pub async fn verdict(
        &self,
        (service, kind): (Service, Kind),
        site: &'static Location<'static>,
        what: Arc<str>,
        has_acted: bool,
    ) -> Verdict {
        let receiver = {
            let mut calls = self.lock();
            // What a dead invocation left running gets no answer any more.
            if calls.is_closed {
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                let number = calls.made;
                calls.made += 1;
                if let Some(waker) = &calls.waker {
                    waker.wake_by_ref();
                }
                calls.waiting.push(Waiting { call: Call { number, service, kind, site, what, has_acted }, sender });
                Some(receiver)
            }
        };
        match receiver {
            Some(receiver) => match receiver.await {
                Ok(verdict) => verdict,
                Err(_) => futures::future::pending().await,
            },
            None => futures::future::pending().await,
        }
    }

    /// Has this woken with each call.
    pub fn wake(&self, waker: Waker) {
        self.lock().waker = Some(waker);
    }

    /// The calls that came since this was asked last.
    pub fn new_calls(&self) -> Vec<Call> {
        let mut calls = self.lock();
        let known = calls.known;
        calls.known = calls.made;
        calls.waiting.iter().map(|waiting| &waiting.call).filter(|call| call.number >= known).cloned().collect()
    }

    /// Whether any call waits that somebody still wants answered.
    pub fn is_anything_waiting(&self) -> bool {
        let mut calls = self.lock();
        calls.waiting.retain(|waiting| !waiting.sender.is_canceled());
        !calls.waiting.is_empty()
    }

    /// Gives a call its verdict. Says whether anybody still wanted it.
    pub fn decide(&self, number: u64, verdict: Verdict) -> bool {
        let mut calls = self.lock();
        let Some(place) = calls.waiting.iter().position(|waiting| waiting.call.number == number) else {
            return false;
        };
        calls.waiting.swap_remove(place).sender.send(verdict).is_ok()
    }

    /// The invocation is dead: nothing of it is answered any more.
    pub fn close(&self) {
        let mut calls = self.lock();
        calls.is_closed = true;
        calls.waiting.clear();
    }
}

/// The clock of a world: tokio's paused one, counted from the world's beginning.
#[derive(Clone, Copy)]
pub struct SimClock {
    began: Instant,
    at: Timestamp,
}

impl SimClock {
    /// A clock that says `at` now. Only within a runtime whose time is paused.
    pub fn starting(at: Timestamp) -> Self {
        Self { began: Instant::now(), at }
    }

    /// What it says.
    pub fn now(&self) -> Timestamp {
        self.at + SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX)
    }

    /// When it says this, by tokio's clock.
    pub fn instant(&self, time: Timestamp) -> Instant {
        let since = std::time::Duration::try_from(time.duration_since(self.at)).unwrap_or_default();
        self.began + since
    }
}

impl Verdict {
    /// A number for the rolling hash.
    pub fn number(self) -> u64 {
        match self {
            Self::Act => 0,
            Self::FailBefore => 1,
            Self::FailAfter => 2,
            Self::Throttle => 3,
            Self::ActAndWait => 4,
            Self::ShortPage(rows) => 5 + u64::from(rows),
        }
    }
}
