//! The measurements. Each one gives a report; what it counts can also be asked for alone, in small, by a test.

pub mod digest;
pub mod export;
pub mod intake;
pub mod network;
pub mod notifier;
pub mod package;
pub mod tls;
