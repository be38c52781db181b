//! Measures the functions beside peers in Python and Node.js that do the same job with the official libraries, and beside
//! what any function in Rust costs: an empty handler, and one that makes a bare insert.
//!
//! All subjects are processes started against one Runtime API ([`Lambda`]), one table service (Azurite) and one taker of
//! mails. Counts come from a proxy on the wire ([`Wire`]), times from the Runtime API, CPU time and memory from `/proc`.

mod lambda;
mod leads;
mod mail;
pub mod measure;
mod peers;
mod plot;
mod report;
mod ssm;
mod subjects;
mod tls;
mod wire;

pub use lambda::{Lambda, Outcome, Usage};
pub use leads::{Filler, body, function_url_event};
pub use mail::MailTaker;
pub use plot::Plot;
pub use report::{Report, Target, write_document};
pub use ssm::Ssm;
pub use subjects::{Build, Stage, Subject};
pub use tls::{Authority, Door};
pub use wire::{Wire, sequential};

/// What every fallible function of this crate answers: a bench that cannot measure ends with what happened.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
