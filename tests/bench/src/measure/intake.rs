//! Intake: starts, warm invocations, CPU time, memory, instructions.

use crate::report::{median, ms, number, percentile, ratios, spread};
use crate::subjects::FUNCTIONS;
use crate::{Lambda, Report, Result, Stage, Subject, function_url_event};
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

const TABLE: &str = "MarketplaceLeads";
const STATE: &str = "MarketplaceLeadsState";

pub(super) fn check(body: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(body);
    if text.contains("201") && text.contains("stored") { Ok(()) } else { Err(format!("not stored: {text}").into()) }
}

/// Starts of every function, and first answers of intake. Every subject starts once in each of `rounds`.
pub async fn cold(stage: &Stage, rounds: usize) -> Result<Report> {
    let (table, state) = ("ColdLeads", "ColdState");
    stage.create(table).await?;
    stage.create(state).await?;
    let port = stage.table.table().port();
    let [rust, node, python] = stage.all("intake")?;
    let subjects = [stage.empty()?, stage.bare_insert()?, rust, node, python];
    let mut ready = vec![Vec::new(); subjects.len()];
    let mut first = vec![Vec::new(); subjects.len()];
    // What starts after an interpreter has ended pays for that; so the first of these does not count.
    let mut starts = vec![stage.empty()?, stage.empty()?];
    starts.extend(FUNCTIONS.into_iter().map(|name| stage.ours(name)).collect::<Result<Vec<_>>>()?);
    let mut init = vec![Vec::new(); starts.len()];
    let mut events = (0..).map(function_url_event);
    // The first round warms the page cache.
    for round in 0..=rounds {
        for (number, subject) in subjects.iter().enumerate() {
            let mut lambda = stage.start(subject, port, table, state).await?;
            let outcome = lambda.first(&events.next().unwrap_or_default()).await?;
            check(&outcome.body)?;
            if round > 0 {
                ready[number].push(ms(lambda.ready().await?));
                first[number].push(ms(outcome.took));
            }
        }
        for (number, subject) in starts.iter().enumerate() {
            let took = stage.start(subject, port, table, state).await?.ready().await?;
            if round > 0 {
                init[number].push(ms(took));
            }
        }
    }
    let mut report = Report::new("Cold start");
    report.say(format!(
        "From the start of the process to the first request for an event (ready), and to the first answer, which for \
         intake holds its first insert into the table: median and range of {rounds} starts each, taken in turns, in \
         milliseconds. Lambda's own time (the sandbox, loading the package) comes on top for everyone."
    ));
    let rows = |names: &[&str], values: &[&[Vec<f64>]]| -> Vec<Vec<String>> {
        names
            .iter()
            .enumerate()
            .map(|(n, name)| {
                std::iter::once((*name).to_owned()).chain(values.iter().map(|values| spread(&values[n], 1))).collect()
            })
            .collect()
    };
    let names = subjects.each_ref().map(|subject| subject.name);
    report.table(&["intake", "ready", "first answer"], &rows(&names, &[&ready, &first]));
    let functions: Vec<_> = std::iter::once("empty handler").chain(FUNCTIONS).collect();
    let init = &init[1..];
    report.table(&["function", "ready"], &rows(&functions, &[init]));
    report.plot("cold", "Cold start of intake: process start to first answer, ms", bars(&names, &first), 1);
    let (node, python) = (ratios(&first[3], &first[2]), ratios(&first[4], &first[2]));
    let floor = ratios(&first[2], &first[1]);
    report.target(
        "cold start of intake with its first insert",
        "≥ 20× faster than both peers",
        format!("{}× (Node.js), {}× (Python)", spread(&node, 1), spread(&python, 1)),
        median(&node) >= 20.0 && median(&python) >= 20.0,
    );
    report.target(
        "the same beside the empty handler with one bare insert",
        "≤ 2.5×",
        format!("{}×", spread(&floor, 2)),
        median(&floor) <= 2.5,
    );
    let inits: Vec<_> = FUNCTIONS.iter().zip(&init[1..]).map(|(name, own)| (name, ratios(own, &init[0]))).collect();
    let shown: Vec<_> = inits.iter().map(|(name, init)| format!("{name} {:.2}×", median(init))).collect();
    let is_met = inits.iter().all(|(_, init)| median(init) <= 2.0);
    report.target("init of each function beside the empty handler", "≤ 2×", shown.join(", "), is_met);
    Ok(report)
}

fn bars(names: &[&str], values: &[Vec<f64>]) -> Vec<(String, Vec<f64>)> {
    names.iter().zip(values).map(|(name, values)| ((*name).to_owned(), values.clone())).collect()
}

/// Warm invocations in blocks that alternate between the subjects.
pub async fn warm(stage: &Stage, rounds: usize, block: usize) -> Result<Report> {
    let (table, state) = ("WarmLeads", "WarmState");
    stage.create(table).await?;
    stage.create(state).await?;
    let port = stage.table.table().port();
    let [rust, node, python] = stage.all("intake")?;
    let subjects = [stage.empty()?, stage.bare_insert()?, rust, node, python];
    let names = subjects.each_ref().map(|subject| subject.name);
    let mut events = (0..).map(function_url_event);
    let mut lambdas = Vec::new();
    for subject in &subjects {
        let mut lambda = stage.start(subject, port, table, state).await?;
        // Compilers that work at run time have done so by then.
        for _ in 0..block.max(300) {
            check(&lambda.invoke(&events.next().unwrap_or_default()).await?.body)?;
        }
        lambdas.push(lambda);
    }
    let mut times = vec![Vec::new(); subjects.len()];
    let mut p50 = vec![Vec::new(); subjects.len()];
    let mut p99 = vec![Vec::new(); subjects.len()];
    let mut cpu = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (number, lambda) in lambdas.iter_mut().enumerate() {
            let before = lambda.usage()?.cpu;
            let mut round = Vec::new();
            for _ in 0..block {
                let outcome = lambda.invoke(&events.next().unwrap_or_default()).await?;
                check(&outcome.body)?;
                round.push(ms(outcome.took));
            }
            cpu[number].push(ms(lambda.usage()?.cpu - before) * 1e3 / block as f64);
            p50[number].push(median(&round));
            p99[number].push(percentile(&round, 99.0));
            times[number].extend(round);
        }
    }
    let peaks = lambdas.iter().map(|lambda| Ok(lambda.usage()?.peak_kib)).collect::<Result<Vec<_>>>()?;
    let mut report = Report::new("Warm intake");
    report.say(format!(
        "{} invocations of each, in {rounds} rounds of {block} that alternate between the subjects, after at least 300 to \
         warm up. Time from the event to the whole answer, the insert into Azurite included; CPU time of the process; peak \
         resident memory, the program's own pages included. In brackets: the range of the rounds.",
        number(rounds * block)
    ));
    let rows: Vec<_> = (0..subjects.len())
        .map(|n| {
            vec![
                names[n].to_owned(),
                spread(&p50[n], 3),
                format!("{:.3}", percentile(&times[n], 99.0)),
                spread(&cpu[n], 0),
                format!("{:.1}", peaks[n] as f64 / 1024.0),
            ]
        })
        .collect();
    report.table(&["", "p50, ms", "p99, ms", "CPU, µs a lead", "peak memory, MiB"], &rows);
    report.plot("warm", "Warm intake with its insert: p50, ms", bars(&names, &p50), 3);
    report.plot("cpu", "CPU time for a warm lead, µs", bars(&names, &cpu), 0);
    let beyond: Vec<_> = p50[2].iter().zip(&p50[1]).map(|(ours, bare)| (ours - bare) * 1e3).collect();
    let (node, python) = (ratios(&p50[3], &p50[2]), ratios(&p50[4], &p50[2]));
    let (node99, python99) = (ratios(&p99[3], &p99[2]), ratios(&p99[4], &p99[2]));
    report.target(
        "warm intake at p50",
        "≥ 2× (Node.js), ≥ 3× (Python) faster",
        format!(
            "{}× (Node.js), {}× (Python); at p99 {:.1}× and {:.1}×",
            spread(&node, 2),
            spread(&python, 2),
            median(&node99),
            median(&python99)
        ),
        median(&node) >= 2.0 && median(&python) >= 3.0,
    );
    report.target(
        "our share of it beyond the bare insert",
        "≤ 80 µs",
        format!("{} µs", spread(&beyond, 0)),
        median(&beyond) <= 80.0,
    );
    let (node, python) = (ratios(&cpu[2], &cpu[3]), ratios(&cpu[2], &cpu[4]));
    report.target(
        "CPU time for a warm lead",
        "≤ 1/6 of each peer",
        format!("1/{:.1} (Node.js), 1/{:.1} (Python)", 1.0 / median(&node), 1.0 / median(&python)),
        median(&node) <= 1.0 / 6.0 && median(&python) <= 1.0 / 6.0,
    );
    report.target(
        "peak memory, warm intake",
        "≤ 12 MB",
        format!("{:.1} MB", peaks[2] as f64 * 1.024e-3),
        peaks[2] as f64 * 1024.0 <= 12e6,
    );
    cost(&mut report, &names, &p50, &peaks);
    Ok(report)
}

/// <https://aws.amazon.com/lambda/pricing/>
fn cost(report: &mut Report, names: &[&str], p50: &[Vec<f64>], peaks: &[u64]) {
    const GB_SECOND: f64 = 0.000_013_333_4;
    const REQUEST: f64 = 0.20e-6;
    report.say(format!(
        "What a million leads cost at list prices (US dollars; Lambda on arm64: {GB_SECOND} a GB-second and 0.20 a million \
         requests; the least memory that Lambda gives, 128 MB, where the peak leaves a seventh of it free, else twice \
         that), with the durations above, rounded up to a millisecond as Lambda bills them. On top, and the same for all: \
         a million table transactions, and 720 runs of the notifier a month with their mails."
    ));
    let mut rows = Vec::new();
    let mut totals = Vec::new();
    for n in 2..names.len() {
        let billed = median(&p50[n]).ceil();
        let memory = if peaks[n] < 110 * 1024 { 0.125 } else { 0.25 };
        let (time, requests) = (1e6 * billed / 1e3 * memory * GB_SECOND, 1e6 * REQUEST);
        totals.push(time + requests);
        let cells = [format!("{billed:.0}"), format!("{:.0}", memory * 1024.0)];
        let dollars = [time, requests, time + requests].map(|dollars| format!("{dollars:.4}"));
        rows.push(std::iter::once(names[n].to_owned()).chain(cells).chain(dollars).collect());
    }
    report.table(&["", "billed, ms", "memory, MB", "time, $", "requests, $", "together, $"], &rows);
    report.target(
        "Lambda's price for a million leads by HTTPS",
        "computed, beside the peers'",
        format!("${:.4}; Node.js ${:.4}, Python ${:.4}", totals[0], totals[1], totals[2]),
        totals[0] <= totals[1].min(totals[2]),
    );
}

/// Instructions for a warm lead, counted by callgrind: the same on every run but for what the insert's timing changes.
pub async fn instructions(stage: &Stage, leads: usize) -> Result<Report> {
    let (table, state) = ("CountedLeads", "CountedState");
    stage.create(table).await?;
    stage.create(state).await?;
    let mut rows = Vec::new();
    for subject in [stage.empty()?, stage.bare_insert()?, stage.ours("lead-intake")?] {
        let few = collected(stage, &subject, table, state, 10).await?;
        let many = collected(stage, &subject, table, state, 10 + leads).await?;
        rows.push(vec![
            subject.name.to_owned(),
            number(collected(stage, &subject, table, state, 1).await?),
            number((many - few) / leads),
        ]);
    }
    let mut report = Report::new("Instructions");
    report.say(format!(
        "Counted by callgrind: up to the first answer, and for each of {leads} warm leads. These repeat within a percent \
         whatever else the machine does."
    ));
    report.table(&["", "first answer", "warm lead"], &rows);
    Ok(report)
}

/// All instructions of a process that handles so many leads.
async fn collected(stage: &Stage, subject: &Subject, table: &str, state: &str, leads: usize) -> Result<usize> {
    let file = PathBuf::from(format!("{}/callgrind.out", crate::subjects::target()?.join("bench").display()));
    let mut arguments: Vec<String> = vec!["--tool=callgrind".to_owned(), "--quiet".to_owned()];
    arguments.push(format!("--callgrind-out-file={}", file.display()));
    arguments.push(subject.program.display().to_string());
    let valgrind = Subject { program: PathBuf::from("valgrind"), arguments, ..subject.clone() };
    let mut lambda: Lambda = stage.start(&valgrind, stage.table.table().port(), table, state).await?;
    for _ in 0..leads {
        let unique = jiff::Timestamp::now().as_nanosecond();
        let event = function_url_event(usize::try_from(unique).unwrap_or_default());
        check(&lambda.invoke(&event).await?.body)?;
    }
    lambda.ready().await?;
    lambda.terminate().await?;
    let text = tokio::fs::read_to_string(&file).await?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    Ok(totals.ok_or("callgrind wrote no totals")?.trim().parse()?)
}

/// Whether callgrind is there.
pub async fn has_callgrind() -> bool {
    Command::new("valgrind").arg("--version").output().await.is_ok_and(|output| output.status.success())
}

/// Counts of some leads through a proxy: connections, requests, and rows in the table after.
#[derive(Debug, PartialEq, Eq)]
pub struct Counts {
    /// TCP connections to the table service.
    pub connections: usize,
    /// Requests to it.
    pub requests: usize,
    /// New rows.
    pub rows: usize,
}

/// Has a subject take some leads, and counts.
pub async fn count(stage: &Stage, subject: &Subject, leads: usize) -> Result<Counts> {
    let wire = crate::Wire::start(stage.table.table().port(), Duration::ZERO).await?;
    let before = stage.table.table().rows(TABLE).await.map_or(0, |rows| rows.len());
    if before == 0 {
        // It may be there already, empty.
        let _ = (stage.create(TABLE).await, stage.create(STATE).await);
    }
    let mut lambda = stage.start(subject, wire.port(), TABLE, STATE).await?;
    for number in 0..leads {
        check(&lambda.invoke(&function_url_event(before + number)).await?.body)?;
    }
    let rows = stage.table.table().rows(TABLE).await?.len() - before;
    Ok(Counts { connections: wire.connections(), requests: wire.requests().len(), rows })
}
