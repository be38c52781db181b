//! What the tests of several packages need.
//!
//! - [`development_account`]: the account of every table service on this machine.
//! - [`python`]: environments of Python, installed once.
//! - [`runtime_api`]: what Lambda is to a function's process.
//! - [`scripted_http`]: a server that gives the answers that it was told to give.
//! - [`strict_table`]: a table service over HTTP that keeps the limits of Azure Table storage which its emulator does not keep.

pub mod development_account;
pub mod runtime_api;
pub mod scripted_http;
pub mod strict_table;

pub use pack::python;
