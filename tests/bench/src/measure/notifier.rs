//! The notifier: what a run costs on a table that grows, and on a backlog.

use crate::report::{median, ms, number, ratios, spread};
use crate::{Filler, Report, Result, Stage, Wire};
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::table::{Query, Table};
use std::collections::BTreeMap;
use std::time::Duration;
use support::strict_table::{Settings, StrictTable};

const EVENT: &str = r#"{"command":"run"}"#;

const LEADS: &str = "Leads";

/// What a run cost.
#[derive(Debug, Clone)]
pub struct Run {
    /// Rows that were in the table before the new ones.
    pub old: usize,
    /// Requests to the table service.
    pub requests: usize,
    /// Rows in its answers, of both tables.
    pub rows: usize,
    /// Bytes both ways.
    pub bytes: usize,
    /// Mails.
    pub mails: usize,
    /// Time of the invocation.
    pub took: Duration,
    /// What was asked, and how often.
    pub kinds: BTreeMap<String, usize>,
}

/// First runs that look back one minute and find `new` leads, on strict table services with so many old rows, spread over a
/// year up to today; a request takes so long.
pub async fn runs(stage: &Stage, old: &[usize], new: usize, latency: Duration) -> Result<Vec<Run>> {
    let subject = stage.ours("lead-notifier")?;
    let mut runs = Vec::new();
    for size in old {
        let now = Timestamp::now();
        let service = grown(*size, new, latency, now)?;
        service.open("State")?.create().await?;
        let mut run = run(stage, &subject, service.port(), &service.connection_string(), "State", "1", new).await?.0;
        run.old = *size;
        runs.push(run);
    }
    Ok(runs)
}

/// A strict table service with so many old leads and so many that were written now.
fn grown(old: usize, new: usize, latency: Duration, now: Timestamp) -> Result<StrictTable> {
    let service = StrictTable::start(Settings { latency, ..Settings::default() })?;
    let entities = Filler { rows: old, days: 365, days_ago: 0, first: 0 }.entities(now);
    service.fill(LEADS, entities, now - SignedDuration::from_hours(24));
    service.fill(LEADS, Filler { rows: new, days: 1, days_ago: 0, first: 10_000_000 }.entities(now), now);
    Ok(service)
}

/// One run of a subject on a table service: what it cost, and the most memory it held, in KiB.
async fn run(
    stage: &Stage,
    subject: &crate::Subject,
    port: u16,
    connection_string: &str,
    state: &str,
    lookback: &str,
    expected: usize,
) -> Result<(Run, u64)> {
    let wire = Wire::start(port, Duration::ZERO).await?;
    let mut environment = stage.environment(wire.port(), LEADS, state);
    let connection = connection_string.replace(&format!(":{port}/"), &format!(":{}/", wire.port()));
    environment.push(("LEADS_STORAGE_CONNECTION_STRING".to_owned(), connection));
    environment.push(("LEADS_FIRST_LOOKBACK_MINUTES".to_owned(), lookback.to_owned()));
    let mut lambda = crate::Lambda::start(subject, &environment).await?;
    stage.mail.taken();
    let outcome = lambda.invoke(EVENT).await?;
    let answer: serde_json::Value = serde_json::from_slice(&outcome.body)?;
    if answer["outcome"] != "complete" || answer["leads"] != expected {
        return Err(format!("{}: not what was expected: {answer}", subject.name).into());
    }
    let requests = wire.requests();
    let mut kinds = BTreeMap::new();
    for (_, request) in &requests {
        *kinds.entry(kind(request)).or_default() += 1;
    }
    let run = Run {
        old: 0,
        requests: requests.len(),
        rows: wire.rows(),
        bytes: wire.bytes(),
        mails: stage.mail.taken().0,
        took: outcome.took,
        kinds,
    };
    Ok((run, lambda.usage()?.peak_kib))
}

/// What a request does, without its keys.
fn kind(request: &str) -> String {
    let table = if request.contains("State") { "state" } else { "leads" };
    if request.ends_with("$batch") {
        "write a batch".to_owned()
    } else if request.contains("PartitionKey=") {
        let partition = if request.contains("contacts") { "contact" } else { "row of the state" };
        format!("read one {partition}")
    } else if request.starts_with("GET") {
        format!("query the {table} table")
    } else {
        request.to_owned()
    }
}

/// How many requests a query takes under the service's own rules, and how many rows it looks at.
async fn cost(service: &StrictTable, table: &impl Table, query: &Query) -> Result<[usize; 2]> {
    service.reset_counters();
    table.all(query).await?;
    let counters = service.counters();
    Ok([usize::try_from(counters.requests)?, usize::try_from(counters.rows_looked_at)?])
}

/// A run that finds 20 new leads among more and more old ones, in a table far away.
pub async fn growth(stage: &Stage, sizes: &[usize]) -> Result<Report> {
    let new = 20;
    let latency = Duration::from_millis(20);
    let runs = runs(stage, sizes, new, latency).await?;
    let mut report = Report::new("The notifier on a table that grows");
    report.say(format!(
        "A first run that looks back one minute and finds {new} new leads among old ones, spread evenly over a year up to \
         today, in the strict table service (`tests/support`); a request takes {} ms. Requests, rows and bytes are counted on \
         the wire, both tables together; the first slice of the patrol, which follows the mail, is among them.",
        latency.as_millis()
    ));
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            let cells = [run.old, run.requests, run.rows, run.bytes, run.mails];
            let cells = cells.map(number);
            cells.into_iter().chain([format!("{:.0}", ms(run.took))]).collect()
        })
        .collect();
    report.table(&["old rows", "requests", "rows", "bytes", "mails", "time, ms"], &rows);

    let mut model_rows = Vec::new();
    let mut flow_ratio = 0.0;
    for size in sizes {
        let now = Timestamp::now();
        let service = grown(*size, new, Duration::ZERO, now)?;
        let table = service.open(LEADS)?;
        let written_from = Some(now - SignedDuration::from_mins(10));
        let flow = cost(&service, &table, &Query { written_from, ..Query::default() }).await?;
        let mut ours = [0, 0];
        for day in -1..=1 {
            let day = local_cloud::partition_of(now + SignedDuration::from_hours(24 * day));
            let query = Query { written_from, ..Query::partition(day) };
            let [requests, rows] = cost(&service, &table, &query).await?;
            ours = [ours[0] + requests, ours[1] + rows];
        }
        flow_ratio = flow[0] as f64 / ours[0] as f64;
        let cells = [*size, flow[0], flow[1], ours[0], ours[1]].map(number);
        model_rows.push(cells.into_iter().chain([format!("{flow_ratio:.0}×")]).collect());
    }
    report.say(
        "The flow's filter, `Timestamp` alone, beside what the notifier asks to find new rows, one partition for each day \
         of its window. A page ends after 1,000 rows looked at, and at a partition's end, as in the service:",
    );
    report.table(
        &[
            "old rows",
            "flow: requests",
            "flow: rows looked at",
            "notifier: requests",
            "rows looked at",
            "fewer requests",
        ],
        &model_rows,
    );
    let (fewest, most) =
        runs.iter().fold((usize::MAX, 0), |(low, high), run| (low.min(run.requests), high.max(run.requests)));
    report.target(
        &format!(
            "notifier, {new} new leads on {} old rows: table requests",
            sizes.iter().map(|n| number(*n)).collect::<Vec<_>>().join(" / ")
        ),
        "constant ± 1",
        runs.iter().map(|run| run.requests.to_string()).collect::<Vec<_>>().join(" / "),
        most - fewest <= 2,
    );
    report.target(
        "the same: rows read",
        "≤ 2× the new rows",
        runs.iter().map(|run| run.rows.to_string()).collect::<Vec<_>>().join(" / "),
        runs.iter().all(|run| run.rows <= 2 * new),
    );
    report.target(
        "the same beside the flow's `Timestamp` filter, at the largest",
        "≥ 30× fewer requests",
        format!("{flow_ratio:.0}×"),
        flow_ratio >= 30.0,
    );
    Ok(report)
}

/// A backlog of so many leads, mailed by one run of each subject in each round.
///
/// The strict table service holds it: it answers in a fraction of the time that Azurite takes, most of which would be in
/// everybody's figures.
pub async fn backlog(stage: &Stage, leads: usize, rounds: usize) -> Result<Report> {
    let subjects = stage.all("notifier")?;
    let mut times = vec![Vec::new(); subjects.len()];
    let mut lines = vec![None; subjects.len()];
    for _ in 0..rounds {
        for (number, subject) in subjects.iter().enumerate() {
            // What one subject leaves behind must not slow the next one down.
            let service = grown(0, leads, Duration::ZERO, Timestamp::now())?;
            service.open("State")?.create().await?;
            let (port, connection) = (service.port(), service.connection_string());
            let (run, peak) = run(stage, subject, port, &connection, "State", "1440", leads).await?;
            times[number].push(run.took.as_secs_f64());
            lines[number] = Some((run, peak));
        }
    }
    let mut report = Report::new("The notifier on a backlog");
    report.say(format!(
        "One run that mails {} leads of as many people in digests of 100, out of the strict table service (`tests/support`), \
         which takes no longer than it needs, on the same machine. All three do the same for each digest: read what \
         is known of its people, write that back with what is new, record the digest, mail it, record that it was sent.",
        number(leads)
    ));
    let mut rows = Vec::new();
    let mut ours = None;
    for ((subject, times), line) in subjects.iter().zip(&times).zip(&lines) {
        let Some((run, peak)) = line else { continue };
        rows.push(vec![
            subject.name.to_owned(),
            spread(times, 1),
            format!("{:.1}", *peak as f64 / 1024.0),
            number(run.requests),
            format!("{:.1}", run.requests as f64 / run.mails as f64),
            number(run.mails),
            number(run.bytes),
        ]);
        ours = ours.or(Some((run.clone(), *peak)));
    }
    report.table(&["", "time, s", "peak memory, MiB", "requests", "requests a digest", "mails", "bytes"], &rows);
    let names: Vec<_> = subjects.iter().map(|subject| subject.name.to_owned()).collect();
    report.plot(
        "backlog",
        &format!("A backlog of {} leads, mailed in one run: s", number(leads)),
        names.into_iter().zip(times.iter().cloned()).collect(),
        1,
    );
    let (ours, peak) = ours.ok_or("nothing was measured")?;
    report.say("What our requests are:");
    let rows: Vec<_> = ours
        .kinds
        .iter()
        .map(|(kind, count)| vec![kind.clone(), number(*count), format!("{:.2}", *count as f64 / ours.mails as f64)])
        .collect();
    report.table(&["request", "in all", "a digest"], &rows);
    report.say(
        "A digest needs: one batch that writes what is known of its people, one that records the digest before it is sent, \
         and one that records that it was. Who is in the contact index is read in pages of 1,000 keys, so that only people \
         who are there are looked up; the peers look up everybody. 500 leads come with one query.",
    );
    let (node, python) = (ratios(&times[1], &times[0]), ratios(&times[2], &times[0]));
    report.target(
        &format!("notifier, a backlog of {} leads: peak memory", number(leads)),
        "≤ 48 MB",
        format!("{:.1} MB", peak as f64 * 1.024e-3),
        peak as f64 * 1024.0 <= 48e6,
    );
    report.target(
        "the same: time",
        "≥ 6× (Node.js), ≥ 20× (Python) faster",
        format!("{}× (Node.js), {}× (Python)", spread(&node, 2), spread(&python, 2)),
        median(&node) >= 6.0 && median(&python) >= 20.0,
    );
    report.target(
        "the same: requests a digest",
        "counted and justified",
        format!("{:.1}", ours.requests as f64 / ours.mails as f64),
        true,
    );
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_filter_on_the_time_alone_costs_a_request_for_every_1000_rows_and_every_partition() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let service = StrictTable::start(Settings::default()).unwrap();
        service.fill("Leads", Filler { rows: 2500, days: 2, days_ago: 0, first: 0 }.entities(now), now);
        let table = service.open("Leads").unwrap();
        assert_eq!(table.all(&Query::default()).await.unwrap().len(), 2500);
        assert_eq!(cost(&service, &table, &Query::default()).await.unwrap(), [4, 2500]);
        let later = Query { written_from: Some("2026-11-22T10:00:01Z".parse().unwrap()), ..Query::default() };
        assert_eq!(table.all(&later).await.unwrap().len(), 0);
        assert_eq!(cost(&service, &table, &later).await.unwrap(), [4, 2500], "empty pages have continuations, too");
    }
}
