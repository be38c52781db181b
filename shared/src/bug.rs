//! Where a bug of ours ends: at the one lead that it is about, and not with all that are handled beside it. The log line
//! `panicked` says where in the code it is.

use futures::FutureExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Our own code failed on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bug: the log line `panicked` says where")]
pub struct Bug;

/// What work for a lead gives. Where it panics, nothing that it was changing may be read again.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, Bug> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Bug)
}

/// The same of work that waits for something.
pub(crate) async fn caught_while<R>(work: impl Future<Output = R>) -> Result<R, Bug> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| Bug)
}

/// Texts on which our code fails in its own tests: there is no other that is known.
#[cfg(test)]
pub(crate) mod texts {
    /// Where it is read as a part of a lead.
    pub(crate) const READ: &str = "this text cannot be read without a bug";
    /// Where it is shown.
    pub(crate) const SHOWN: &str = "this text cannot be shown without a bug";
}
