//! `cargo bench --package bench`: measures everything and writes `docs/performance.md`. Names of measurements as arguments
//! measure those alone; what others measured before stays in the document.

#![expect(clippy::print_stdout, reason = "it tells how far it is")]

use bench::measure::{digest, export, intake, network, notifier, package, tls};
use bench::{Build, Report, Result, Stage, write_document};
use std::time::Instant;

/// In the order in which they stand in the document.
const MEASUREMENTS: [&str; 10] =
    ["cold", "warm", "instructions", "network", "tls", "growth", "backlog", "digest", "export", "package"];

#[tokio::main]
async fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|name| *name != "document" && !MEASUREMENTS.contains(&name.as_str())) {
        return Err(format!("there is no `{unknown}`; there are document, {}", MEASUREMENTS.join(", ")).into());
    }
    if wanted.iter().all(|name| name != "document") {
        let stage = Stage::set(Build::Release).await?;
        for name in MEASUREMENTS.iter().filter(|name| wanted.is_empty() || wanted.iter().any(|wanted| wanted == *name))
        {
            let since = Instant::now();
            match measure(&stage, name).await? {
                Some(report) => report.keep(name)?,
                None => println!("{name}: skipped, valgrind is not installed"),
            }
            println!("{name}: {:.0} s", since.elapsed().as_secs_f64());
        }
    }
    write_document(&MEASUREMENTS)
}

async fn measure(stage: &Stage, name: &str) -> Result<Option<Report>> {
    Ok(Some(match name {
        "cold" => intake::cold(stage, 15).await?,
        "warm" => intake::warm(stage, 20, 50).await?,
        "instructions" if !intake::has_callgrind().await => return Ok(None),
        "instructions" => intake::instructions(stage, 100).await?,
        "network" => network::measure(stage, 1000).await?,
        "tls" => tls::measure(stage, 15, 20).await?,
        "growth" => notifier::growth(stage, &[1_000, 10_000, 100_000, 1_000_000]).await?,
        "backlog" => notifier::backlog(stage, 100_000, 1).await?,
        "export" => export::measure(stage, 200_000, 365, 3).await?,
        "digest" => digest::measure(200)?,
        _ => package::measure(stage).await?,
    }))
}
