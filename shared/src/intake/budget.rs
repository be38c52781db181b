//! How the time in which intake answers is shared out.

use crate::table::azure::Limits;
use std::time::Duration;
use tokio::time::Instant;

/// The share of the budget after which intake goes on without keys that have to be read. Mostly they are known.
const KEYS_SHARE: f64 = 0.3;

/// The share of the budget after which the table is given up.
const TABLE_SHARE: f64 = 0.6;

/// The share of the budget after which the queue is given up, too. The rest is for sending the answer.
const QUEUE_SHARE: f64 = 0.95;

/// The time in which one request is answered.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    pub(super) started: Instant,
    pub(super) whole: Duration,
}

impl Budget {
    pub(super) fn keys_until(self) -> Instant {
        self.started + self.whole.mul_f64(KEYS_SHARE)
    }

    pub(super) fn table_until(self) -> Instant {
        self.started + self.whole.mul_f64(TABLE_SHARE)
    }

    pub(super) fn queue_until(self) -> Instant {
        self.started + self.whole.mul_f64(QUEUE_SHARE)
    }
}

/// How long a start may wait for the secrets, out of the budget of the request that caused it. They are asked for again when
/// they are needed.
pub fn start_limit(budget: Duration) -> Duration {
    budget.mul_f64(KEYS_SHARE)
}

/// How long the table may take in a budget: two attempts, with the pause between them, fit into its share. In the smallest
/// budget that is permitted, 2 s, a request has 500 ms. Over a network of 20 ms a request with a new connection takes some
/// 80 ms: a round trip for TCP, one or two for TLS, one for the request.
pub fn table_limits(budget: Duration) -> Limits {
    let request = budget / 4;
    let connect = request.min(Duration::from_secs(1));
    // Whoever calls ends the whole call at its share.
    Limits { connect, request, retries: 2, total: Duration::MAX, ..Limits::default() }
}
