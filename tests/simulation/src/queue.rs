//! The simulated queue: a standard queue of SQS with its dead-letter queue, and Lambda's event source on it.
//!
//! Messages are delivered at least once and in no order. One that was received is hidden for a while; if nobody deleted it
//! until then, it is received again, and after too many times it moves to the dead-letter queue, from where the operator
//! sends it back.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues.html>

use crate::breakage::Breakage;
use crate::desk::{Desk, Kind, Service, Verdict};
use crate::tape::Tape;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::aws::{BodyQueue, QueueError};
use marketplace_leads::queued_body::QueuedBody;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long a message is hidden after it was received, as it is deployed.
pub const VISIBILITY: SignedDuration = SignedDuration::from_secs(121);

/// After how many receptions a message moves to the dead-letter queue. It is deployed as 1000; a world would take too long
/// to get there.
const MOST_RECEIVED: u32 = 100;

/// The most messages that one invocation gets, as it is deployed.
pub const BATCH: u32 = 100;

/// How many invocations get messages at the same time, as it is deployed.
pub const CONCURRENCY: usize = 5;

/// The largest message of SQS, in bytes.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// Its number.
    pub id: u64,
    /// What was sent.
    pub body: String,
    received: u32,
    visible_from: Timestamp,
}

/// The queue as the service has it. Clones share it.
#[derive(Clone, Default)]
pub struct QueueService(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sent: u64,
    messages: Vec<QueueMessage>,
    dead: Vec<QueueMessage>,
    refused: Vec<String>,
    /// How often a message stays although it was deleted.
    stays: f64,
    /// Whether each third message is not kept.
    forgets: bool,
}

impl QueueService {
    /// A queue on which messages stay at this rate although they were deleted.
    pub fn new(stays: f64, breakage: Breakage) -> Self {
        let queue = Self::default();
        queue.lock().stays = stays;
        queue.lock().forgets = breakage == Breakage::QueueForgets;
        queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message.
    pub fn put(&self, body: String, now: Timestamp) {
        let mut state = self.lock();
        if body.len() > MAX_MESSAGE_BYTES {
            state.refused.push(format!("a message of {} bytes", body.len()));
            return;
        }
        let id = state.sent;
        state.sent += 1;
        if state.forgets && id % 3 == 1 {
            return;
        }
        state.messages.push(QueueMessage { id, body, received: 0, visible_from: now });
    }

    /// Gives some messages, as many as come while a batch fills, in any order, and hides them. Those that were received too
    /// often move to the dead-letter queue.
    pub fn receive(&self, now: Timestamp, order: &mut Tape) -> Vec<QueueMessage> {
        let mut state = self.lock();
        let (dead, alive): (Vec<_>, Vec<_>) = std::mem::take(&mut state.messages)
            .into_iter()
            .partition(|message| message.visible_from <= now && message.received >= MOST_RECEIVED);
        state.messages = alive;
        state.dead.extend(dead);
        let mut visible: Vec<_> =
            (0..state.messages.len()).filter(|place| state.messages[*place].visible_from <= now).collect();
        let most = (BATCH - order.below(BATCH)) as usize;
        let mut received = Vec::new();
        while received.len() < most && !visible.is_empty() {
            let place = visible.swap_remove(order.below(u32::try_from(visible.len()).unwrap_or(1)) as usize);
            let message = &mut state.messages[place];
            message.received += 1;
            message.visible_from = now + VISIBILITY;
            received.push(message.clone());
        }
        received
    }

    /// Deletes a message. It may stay nevertheless. Says whether it did.
    pub fn delete(&self, id: u64, faults: &mut Tape) -> bool {
        let mut state = self.lock();
        let stays = state.stays > 0.0 && faults.chance(state.stays);
        if !stays {
            state.messages.retain(|message| message.id != id);
        }
        stays
    }

    /// When the next message can be received; `None` where there is none.
    pub fn next(&self) -> Option<Timestamp> {
        self.lock().messages.iter().map(|message| message.visible_from).min()
    }

    /// Whether no message waits, dead ones included.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        state.messages.is_empty() && state.dead.is_empty()
    }

    /// Sends the dead letters back to the queue. Gives how many there were.
    pub fn redrive(&self, now: Timestamp) -> usize {
        let mut state = self.lock();
        let dead = std::mem::take(&mut state.dead);
        let count = dead.len();
        state.messages.extend(dead.into_iter().map(|dead| QueueMessage { received: 0, visible_from: now, ..dead }));
        count
    }

    /// The messages that went beyond a limit since this was asked last.
    pub fn refused(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().refused)
    }
}

/// The queue as one invocation sees it.
#[derive(Clone)]
pub struct SimQueue {
    /// The service.
    pub service: QueueService,
    /// Where calls wait.
    pub desk: Desk,
    /// Tells the time.
    pub clock: crate::desk::SimClock,
}

impl BodyQueue for SimQueue {
    #[track_caller]
    fn send(&self, body: &QueuedBody) -> impl Future<Output = Result<(), QueueError>> + Send {
        let (site, message) = (Location::caller(), body.to_json());
        async move {
            let what: Arc<str> = "send a message".into();
            let error = |code: &str| Err(QueueError(code.to_owned()));
            match self.desk.verdict((Service::Queue, Kind::Send), site, what.clone(), false).await {
                Verdict::Act | Verdict::ShortPage(_) => {
                    self.service.put(message, self.clock.now());
                    Ok(())
                }
                Verdict::FailBefore => error("simulated"),
                Verdict::Throttle => error("ThrottlingException"),
                Verdict::FailAfter => {
                    self.service.put(message, self.clock.now());
                    error("simulated")
                }
                Verdict::ActAndWait => {
                    self.service.put(message, self.clock.now());
                    self.desk.verdict((Service::Queue, Kind::Send), site, what, true).await;
                    Ok(())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_nobody_deletes_comes_again_and_moves_to_the_dead_letters_and_back() {
        let queue = QueueService::default();
        let mut tape = Tape::played(Vec::new());
        let mut now: Timestamp = "2026-11-03T14:00:00Z".parse().unwrap();
        queue.put("lead".to_owned(), now);
        for _ in 0..MOST_RECEIVED {
            assert_eq!(queue.receive(now, &mut tape).len(), 1);
            assert!(queue.receive(now, &mut tape).is_empty(), "it is hidden");
            now += VISIBILITY;
        }
        assert!(queue.receive(now, &mut tape).is_empty());
        assert_eq!(queue.next(), None);
        assert_eq!(queue.redrive(now), 1);
        let [message] = queue.receive(now, &mut tape).try_into().unwrap();
        assert_eq!(message.body, "lead");
        assert!(!queue.delete(message.id, &mut tape));
        assert!(queue.is_empty());
    }
}
