//! What the tests of several packages need.
//!
//! - [`strict_table`]: a table service over HTTP that keeps the limits of Azure Table storage which its emulator does not keep.

pub mod strict_table;
