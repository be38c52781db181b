//! What the tests of several packages need.
//!
//! - [`development_account`]: the account of every table service on this machine.
//! - [`strict_table`]: a table service over HTTP that keeps the limits of Azure Table storage which its emulator does not keep.

pub mod development_account;
pub mod strict_table;
