//! The export: a whole table as a file.

use crate::leads::event;
use crate::report::{median, ms, number, ratios, spread};
use crate::{Filler, Lambda, Report, Result, Stage, Subject};
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;
use support::strict_table::{Settings, StrictTable};

/// How long a request takes where the table is far away.
const FAR: Duration = Duration::from_millis(20);

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
    /// CPU time of the process for it.
    pub cpu: Duration,
    /// The most memory, in KiB.
    pub peak_kib: u64,
}

/// A strict table service with so many leads, spread evenly over so many days, which takes so long for each request.
pub fn table(leads: usize, days: usize, latency: Duration) -> Result<StrictTable> {
    let (service, now) = (StrictTable::start(Settings { latency, ..Settings::default() })?, Timestamp::now());
    service.fill("Leads", Filler { rows: leads, days, days_ago: 0, first: 0 }.entities(now), now);
    Ok(service)
}

/// Has a subject export the table.
pub async fn run(stage: &Stage, subject: &Subject, service: &StrictTable) -> Result<Exported> {
    let mut environment = stage.environment(stage.table.table().port(), "Leads", "State");
    environment.push(("LEADS_STORAGE_CONNECTION_STRING".to_owned(), service.connection_string()));
    let mut lambda = Lambda::start(subject, &environment).await?;
    lambda.ready().await?;
    service.reset_counters();
    let before = lambda.usage()?.cpu;
    let outcome = lambda.invoke(&event("GET", "format=csv", &json!({ "format": "csv" }), "")).await?;
    Ok(Exported {
        lines: outcome.lines,
        bytes: outcome.length,
        requests: usize::try_from(service.counters().requests)?,
        first_byte: outcome.first_byte,
        took: outcome.took,
        cpu: lambda.usage()?.cpu - before,
        peak_kib: lambda.usage()?.peak_kib,
    })
}

/// Exports so many leads of so many days with each subject, in turns: from a table far away, and from one that is near.
pub async fn measure(stage: &Stage, leads: usize, days: usize, rounds: usize) -> Result<Report> {
    let subjects = stage.all("export")?;
    let far = rounds_of(stage, &subjects, &table(leads, days, FAR)?, rounds).await?;
    let near = rounds_of(stage, &subjects, &table(leads, days, Duration::ZERO)?, rounds).await?;
    for of_ours in far[0].iter().chain(&near[0]) {
        if of_ours.lines != leads + 1 {
            return Err(format!("{} lines instead of {}", of_ours.lines, leads + 1).into());
        }
    }
    let mut report = Report::new("Export");
    report.say(format!(
        "{} leads of {days} days as CSV, over the streaming Runtime API, out of the strict table service (`tests/support`), \
         whose pages end after 1,000 rows and at a partition's end: median and range of {rounds} exports each, taken in \
         turns. Our file has 22 columns and theirs 14. Python's runtime client cannot stream an answer, and holds the \
         whole file.",
        number(leads)
    ));
    report.say(format!("A request takes {} ms:", FAR.as_millis()));
    let head = ["", "time, s", "rows a second", "first byte, ms", "peak memory, MiB", "requests", "bytes"];
    let rows = subjects.iter().zip(&far).map(|(subject, exports)| {
        let last = &exports[exports.len() - 1];
        vec![
            subject.name.to_owned(),
            spread(&seconds(exports), 2),
            number((leads as f64 / median(&seconds(exports))) as usize),
            spread(&exports.iter().map(|export| ms(export.first_byte)).collect::<Vec<_>>(), 1),
            format!("{:.1}", last.peak_kib as f64 / 1024.0),
            number(last.requests),
            number(last.bytes),
        ]
    });
    report.table(&head, &rows.collect::<Vec<_>>());
    report.say(
        "Ours finds the days by hopping, a request each, and reads many pages side by side, in the order of the file: at \
         most 24 MiB of them.",
    );
    report.say("A request takes no longer than the service needs, on the same machine:");
    let per_million = |exports: &[Exported]| -> Vec<f64> {
        exports.iter().map(|export| export.cpu.as_secs_f64() * 1e6 / leads as f64).collect()
    };
    let rows = subjects.iter().zip(&near).map(|(subject, exports)| {
        vec![subject.name.to_owned(), spread(&seconds(exports), 2), spread(&per_million(exports), 1)]
    });
    report.table(&["", "time, s", "CPU seconds for a million rows"], &rows.collect::<Vec<_>>());
    let names = subjects.iter().map(|subject| subject.name.to_owned());
    let bars = names.clone().zip(far.iter().map(|exports| seconds(exports))).collect();
    let title = format!("An export of {} leads, {} ms a request: s", number(leads), FAR.as_millis());
    report.plot("export", &title, bars, 2);
    let bars = names.zip(near.iter().map(|exports| per_million(exports))).collect();
    report.plot("export-cpu", "CPU seconds for a million exported rows", bars, 1);
    let ratio = |of: &[Vec<Exported>], measure: &dyn Fn(&[Exported]) -> Vec<f64>| {
        [1, 2].map(|peer| ratios(&measure(&of[peer]), &measure(&of[0])))
    };
    let [node, python] = ratio(&far, &seconds);
    report.target(
        &format!("export of {} leads over {days} days, {} ms a request", number(leads), FAR.as_millis()),
        "≥ 6× faster than both peers",
        format!("{}× (Node.js), {}× (Python)", spread(&node, 2), spread(&python, 2)),
        median(&node) >= 6.0 && median(&python) >= 6.0,
    );
    let peak = far[0].iter().chain(&near[0]).map(|export| export.peak_kib).max().unwrap_or_default() as f64;
    report.target("the same: peak memory", "≤ 64 MB", format!("{:.1} MB", peak * 1.024e-3), peak * 1024.0 <= 64e6);
    let [node, python] = ratio(&near, &per_million);
    report.target(
        "the same without latency: CPU time for a million rows",
        "≤ 1/4 of Node.js, ≤ 1/15 of Python",
        format!("1/{:.1} (Node.js), 1/{:.1} (Python)", median(&node), median(&python)),
        median(&node) >= 4.0 && median(&python) >= 15.0,
    );
    Ok(report)
}

/// The exports of each subject, which take turns.
async fn rounds_of(
    stage: &Stage,
    subjects: &[Subject],
    service: &StrictTable,
    rounds: usize,
) -> Result<Vec<Vec<Exported>>> {
    let mut exports: Vec<_> = subjects.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (subject, exports) in subjects.iter().zip(&mut exports) {
            exports.push(run(stage, subject, service).await?);
        }
    }
    Ok(exports)
}

fn seconds(exports: &[Exported]) -> Vec<f64> {
    exports.iter().map(|export| export.took.as_secs_f64()).collect()
}
