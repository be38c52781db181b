//! The mailer in memory, for unit tests.

use super::{MailError, Mailer, Message};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A mailer that keeps what it accepts. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryMailer {
    state: Arc<Mutex<State>>,
}

/// When a send fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendFault {
    /// Before the mail was accepted.
    Before(MailError),
    /// After it was: the caller cannot know.
    After(MailError),
}

#[derive(Default)]
struct State {
    accepted: Vec<Message>,
    calls: usize,
    faults: VecDeque<SendFault>,
    decide: Option<Decide>,
}

/// Decides of each send whether it fails, and when.
pub type Decide = Box<dyn FnMut(&Message) -> Option<SendFault> + Send>;

impl MemoryMailer {
    /// A mailer that accepts everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `sends` fail, after those that are to fail already.
    pub fn fail_next(&self, sends: usize, fault: &SendFault) {
        self.lock().faults.extend(std::iter::repeat_n(fault.clone(), sends));
    }

    /// Asks before each send whether it should fail.
    pub fn set_fault(&self, decide: Option<Decide>) {
        self.lock().decide = decide;
    }

    /// The mails accepted so far, oldest first.
    pub fn accepted(&self) -> Vec<Message> {
        self.lock().accepted.clone()
    }

    /// How often sending was tried.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailer for MemoryMailer {
    async fn send(&self, message: &Message) -> Result<String, MailError> {
        let mut state = self.lock();
        state.calls += 1;
        let decided = state.decide.as_mut().and_then(|decide| decide(message));
        match decided.or_else(|| state.faults.pop_front()) {
            Some(SendFault::Before(error)) => Err(error),
            Some(SendFault::After(error)) => {
                state.accepted.push(message.clone());
                Err(error)
            }
            None => {
                state.accepted.push(message.clone());
                Ok(format!("memory-{}", state.accepted.len()))
            }
        }
    }
}
