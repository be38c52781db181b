//! The notifier against tables and a mail service in memory.

mod breakit;
