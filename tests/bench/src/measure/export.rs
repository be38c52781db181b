//! The export: a whole table as a file.

use crate::leads::event;
use crate::report::{median, ms, number, ratios, spread};
use crate::{Filler, Lambda, Report, Result, Stage, Subject};
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;
use support::strict_table::{Settings, StrictTable};

/// Over how many days the leads are spread.
const DAYS: usize = 30;

/// What an export cost.
#[derive(Debug)]
pub struct Exported {
    /// Lines of the file, its head included; none where the answer is one JSON text.
    pub lines: usize,
    /// Bytes of it.
    pub bytes: usize,
    /// Requests to the table.
    pub requests: usize,
    /// To the first byte of the file.
    pub first_byte: Duration,
    /// To its end.
    pub took: Duration,
    /// The most memory, in KiB.
    pub peak_kib: u64,
}

/// A strict table service with so many leads.
pub fn table(leads: usize) -> Result<StrictTable> {
    let (service, now) = (StrictTable::start(Settings::default())?, Timestamp::now());
    service.fill("Leads", Filler { rows: leads, days: DAYS, days_ago: 0, first: 0 }.entities(now), now);
    Ok(service)
}

/// Has a subject export the table.
pub async fn run(stage: &Stage, subject: &Subject, service: &StrictTable) -> Result<Exported> {
    let mut environment = stage.environment(stage.table.table().port(), "Leads", "State");
    environment.push(("LEADS_STORAGE_CONNECTION_STRING".to_owned(), service.connection_string()));
    let mut lambda = Lambda::start(subject, &environment).await?;
    lambda.ready().await?;
    service.reset_counters();
    let outcome = lambda.invoke(&event("GET", "format=csv", &json!({ "format": "csv" }), "")).await?;
    Ok(Exported {
        lines: outcome.lines,
        bytes: outcome.length,
        requests: usize::try_from(service.counters().requests)?,
        first_byte: outcome.first_byte,
        took: outcome.took,
        peak_kib: lambda.usage()?.peak_kib,
    })
}

/// Exports so many leads with each subject, in turns.
pub async fn measure(stage: &Stage, leads: usize, rounds: usize) -> Result<Report> {
    let service = table(leads)?;
    let subjects = stage.all("export")?;
    let mut times = vec![Vec::new(); subjects.len()];
    let mut first = vec![Vec::new(); subjects.len()];
    let mut last = Vec::new();
    for _ in 0..rounds {
        last.clear();
        for (number, subject) in subjects.iter().enumerate() {
            let exported = run(stage, subject, &service).await?;
            times[number].push(exported.took.as_secs_f64());
            first[number].push(ms(exported.first_byte));
            last.push(exported);
        }
    }
    if last[0].lines != leads + 1 {
        return Err(format!("{} lines instead of {}", last[0].lines, leads + 1).into());
    }
    let mut report = Report::new("Export");
    report.say(format!(
        "{} leads as CSV, over the streaming Runtime API, out of the strict table service (`tests/support`), whose \
         pages end after 1,000 rows and at a partition's end: median and range of {rounds} exports each, taken in \
         turns. Python's runtime client cannot stream an answer, and holds the whole file.",
        number(leads)
    ));
    let rows: Vec<_> = (0..subjects.len())
        .map(|n| {
            vec![
                subjects[n].name.to_owned(),
                spread(&times[n], 2),
                number((leads as f64 / median(&times[n])) as usize),
                spread(&first[n], 1),
                format!("{:.1}", last[n].peak_kib as f64 / 1024.0),
                number(last[n].requests),
                number(last[n].bytes),
            ]
        })
        .collect();
    let head = ["", "time, s", "rows a second", "first byte, ms", "peak memory, MiB", "requests", "bytes"];
    report.table(&head, &rows);
    let names = subjects.iter().map(|subject| subject.name.to_owned());
    let bars = names.zip(times.iter().cloned()).collect();
    report.plot("export", &format!("An export of {} leads: s", number(leads)), bars, 2);
    let peak = last[0].peak_kib as f64;
    report.target(
        &format!("export of {} leads: peak memory", number(leads)),
        "≤ 40 MB",
        format!("{:.1} MB", peak * 1.024e-3),
        peak * 1024.0 <= 40e6,
    );
    let page = median(&times[0]) * 1e3 / last[0].requests as f64;
    report.target(
        "the same: first byte",
        "after the first page",
        format!("{} ms; a page takes {page:.1} ms", spread(&first[0], 1)),
        median(&first[0]) < median(&times[0]) * 1e3 / 10.0,
    );
    let (node, python) = (ratios(&times[1], &times[0]), ratios(&times[2], &times[0]));
    report.target(
        "the same: rows a second",
        "≥ 3× the peers'",
        format!("{}× (Node.js), {}× (Python)", spread(&node, 2), spread(&python, 2)),
        median(&node) >= 3.0 && median(&python) >= 3.0,
    );
    Ok(report)
}
