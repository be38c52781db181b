//! The strict table service as a program.

use clap::Parser;
use std::process::ExitCode;
use support::strict_table::{Settings, StrictTable};

/// A table service that keeps the limits of Azure Table storage which its emulator does not keep. In memory.
#[derive(Parser)]
struct Arguments {
    /// The port on 127.0.0.1; 0 for a free one.
    #[arg(long)]
    port: u16,
    /// How many rows a query looks at before its page ends.
    #[arg(long, default_value_t = Settings::default().rows_looked_at)]
    rows_looked_at: usize,
    /// Begin every query with an empty page.
    #[arg(long)]
    queries_begin_empty: bool,
    /// How many entities of a partition may be written or read in a second; any number without it.
    #[arg(long)]
    entities_per_second: Option<u32>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { port, rows_looked_at, queries_begin_empty, entities_per_second } = Arguments::parse();
    let settings = Settings { port, rows_looked_at, queries_begin_empty, entities_per_second, ..Settings::default() };
    match StrictTable::start(settings) {
        Ok(table) => {
            println!("the strict table service listens\n{}", table.connection_string());
            let _ = tokio::signal::ctrl_c().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the strict table service cannot listen on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}
