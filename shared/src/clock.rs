//! What use cases take from outside instead of asking the system: the time, and chance.

use jiff::Timestamp;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Gives random numbers, to tell one attempt from another one with the same id.
pub type Chance = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Random numbers of the operating system.
pub fn chance() -> Chance {
    Arc::new(|| RandomState::new().build_hasher().finish())
}
