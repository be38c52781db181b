//! Validation against stubs of both clouds: all well, and one fault at a time.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod cloud;
mod comfort;
mod faults;
mod reconcile;
