//! Intake and redelivery from outside: requests in, answers, rows and messages out. Tables are in memory, SQS is a stub
//! server.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod answers;
mod counted;
mod golden;
mod hostile;
mod kept;
mod measured;
mod recorded;
mod redelivery;
mod same_request;
mod stubs;
mod together;
