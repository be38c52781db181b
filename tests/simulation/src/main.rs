//! `cargo simulate`: lives worlds, and says what they found.

use clap::{Parser, ValueEnum as _};
use simulation::breakage::Breakage;
use simulation::model::Violation;
use simulation::proof::{WITHIN, found};
use simulation::shrink::{Small, shrink};
use simulation::tape::Tapes;
use simulation::total::Total;
use simulation::world::{Outcome, live, live_with};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Lives simulated worlds of the system, each made of one seed.
#[derive(Parser)]
struct Options {
    /// Lives the world of this seed.
    #[arg(long, conflicts_with_all = ["seeds", "years"])]
    seed: Option<u64>,
    /// Lives the worlds of these seeds: `A..B`.
    #[arg(long, value_parser = range, default_value = "0..100")]
    seeds: (u64, u64),
    /// Lives worlds, from the first of `--seeds` on, until so many years have passed in them.
    #[arg(long)]
    years: Option<f64>,
    /// Says who did what when.
    #[arg(long)]
    trace: bool,
    /// Makes a world that fails smaller, while it fails in the same way.
    #[arg(long)]
    shrink: bool,
    /// Goes on after a world has failed.
    #[arg(long)]
    keep_going: bool,
    /// Prints which lines and which ways of failing were tried, and fails where one was not.
    #[arg(long)]
    coverage: bool,
    /// How many worlds are lived at the same time; as many as there are processors, unless it is said.
    #[arg(long)]
    jobs: Option<NonZero<usize>>,
    /// Writes the tapes of the world that failed (made smaller, if that was asked for) into this file.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Lives the world of the tapes in this file.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "years"])]
    tapes: Option<PathBuf>,
    /// Breaks the system in each way, and says in which world that was found.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "years", "tapes"])]
    breakages: bool,
    /// Breaks the system around its ports, to see whether that is found.
    #[arg(long, value_enum, default_value_t)]
    breakage: Breakage,
}

/// How often what takes long says how far it is.
const PROGRESS: Duration = Duration::from_secs(15);

fn range(text: &str) -> Result<(u64, u64), String> {
    let numbers = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    numbers.ok_or_else(|| "is no range like 0..100".to_owned())
}

fn main() -> io::Result<ExitCode> {
    let options = Options::parse();
    let mut out = io::stdout().lock();
    if options.breakages {
        return show_breakages(&mut out);
    }
    let mut total = Total::default();
    let began = Instant::now();
    if let Some(file) = &options.tapes {
        let records = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        let outcome = live(Tapes::played(records), options.breakage, options.trace);
        show(&mut out, &options, &outcome, &format!("--tapes {}", file.display()))?;
        total.add(&outcome);
    }
    let (from, to) = match (options.seed, options.years) {
        _ if options.tapes.is_some() => (0, 0),
        (Some(seed), _) => (seed, seed + 1),
        (None, Some(_)) => (options.seeds.0, u64::MAX),
        (None, None) => options.seeds,
    };
    let mut error = None;
    let mut told = began;
    live_all(from..to, &options, |seed, world| {
        let Lived { outcome, is_same_again } = world;
        total.add(&outcome);
        if !is_same_again {
            total.failed += 1;
        }
        let shown = if is_same_again {
            show(&mut out, &options, &outcome, &format!("--seed {seed}"))
        } else {
            writeln!(out, "seed {seed}: lived again, or without skipping, it was another world")
        };
        error = shown.err();
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let _ = writeln!(
                io::stderr(),
                "{:.1} years in {} worlds, {} failed",
                total.years(),
                total.worlds,
                total.failed
            );
        }
        let is_enough = options.years.is_some_and(|years| total.years() >= years);
        error.is_none() && !is_enough && (outcome.violation.is_none() || options.keep_going)
    });
    if let Some(error) = error {
        return Err(error);
    }
    writeln!(out, "{}, in {} s", total.report(), began.elapsed().as_secs())?;
    let mut untried = Vec::new();
    if options.coverage {
        writeln!(out, "{}", total.coverage.report())?;
        let (lines, cells, least) = total.coverage.cells();
        writeln!(
            out,
            "{lines} lines call a service; of {cells} ways of ending each was tried {least} times or more, but for:"
        )?;
        untried = total.coverage.untried();
        for untried in &untried {
            writeln!(out, "{untried}")?;
        }
    }
    Ok(if total.failed == 0 && untried.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A world that was lived.
struct Lived {
    outcome: Outcome,
    /// Whether it was the same world when it was lived again, as one in twenty is.
    is_same_again: bool,
}

/// Lives the worlds of these seeds, several at a time, and gives them on in the order of their seeds, until `next` says
/// that it is enough.
fn live_all(seeds: Range<u64>, options: &Options, mut next: impl FnMut(u64, Lived) -> bool) {
    let jobs = options.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let (to_begin, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Both ends are gone when this ends, so that nobody waits for the other.
        let (sender, receiver) = mpsc::sync_channel(2 * jobs);
        for _ in 0..jobs {
            let (sender, to_begin, is_over, end) = (sender.clone(), &to_begin, &is_over, seeds.end);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = to_begin.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send((seed, live_twice(seed, options))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = seeds.start;
        for (seed, lived) in receiver.iter() {
            early.insert(seed, lived);
            while let Some(lived) = early.remove(&expected) {
                if !next(expected, lived) {
                    is_over.store(true, Ordering::Relaxed);
                    return;
                }
                expected += 1;
            }
        }
    });
}

/// Lives the world of a seed. Determinism is checked, not believed: one seed in twenty is lived again.
fn live_twice(seed: u64, options: &Options) -> Lived {
    let outcome = live(Tapes::of(seed), options.breakage, options.trace);
    let is_same_again = !seed.is_multiple_of(20) || live(Tapes::of(seed), options.breakage, false).hash == outcome.hash;
    // Of the worlds in which runs are skipped a part is lived again without that. Where faults are drawn they become others
    // then, and only what is promised can be compared.
    let is_compared = outcome.counts.skipped > 0 && seed.is_multiple_of(10);
    let is_same_unskipped = !is_compared || {
        let whole = live_with(Tapes::of(seed), options.breakage, false, false);
        let is_same = !outcome.config.is_kind || whole.summary == outcome.summary;
        whole.violation.is_none() == outcome.violation.is_none() && is_same
    };
    Lived { outcome, is_same_again: is_same_again && is_same_unskipped }
}

/// Shows a world: all of it where it is the only one, and else only that it failed.
fn show(out: &mut impl io::Write, options: &Options, outcome: &Outcome, which: &str) -> io::Result<()> {
    if options.seed.is_some() || options.tapes.is_some() {
        writeln!(out, "{:?}\n{:?}\nhash {:016x}", outcome.config, outcome.counts, outcome.hash)?;
    }
    for line in &outcome.trace {
        writeln!(out, "{line}")?;
    }
    let Some(violation) = &outcome.violation else { return Ok(()) };
    writeln!(out, "{which}: {violation}")?;
    writeln!(out, "    cargo simulate {which}{} --trace", breakage(options.breakage))?;
    let small = options.shrink.then(|| shrink(outcome, options.breakage));
    if let Some(small) = &small {
        show_small(out, small)?;
    }
    if let Some(file) = &options.keep {
        let records = small.as_ref().map_or(&outcome.records, |small| &small.outcome.records);
        std::fs::write(file, serde_json::to_string(records)?)?;
    }
    Ok(())
}

fn breakage(breakage: Breakage) -> String {
    if breakage == Breakage::None { String::new() } else { format!(" --breakage {}", name(breakage)) }
}

fn name(breakage: Breakage) -> String {
    breakage.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// What a breakage is, in words.
fn meaning(breakage: Breakage) -> String {
    let value = breakage.to_possible_value();
    let help = value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default();
    let text = help.split_once(". ").map_or(help.as_str(), |(first, _)| first).trim_end_matches('.');
    text.get(..1).map_or_else(String::new, |first| first.to_lowercase() + &text[1..])
}

/// The table of the breakages: each with the number of the world in which it was found, its seed, and what was seen.
fn show_breakages(out: &mut impl io::Write) -> io::Result<ExitCode> {
    writeln!(out, "| the system is broken so | found in world | by seed | what is seen |\n|---|---|---|---|")?;
    let mut code = ExitCode::SUCCESS;
    for breakage in Breakage::ALL {
        let name = meaning(breakage);
        match found(breakage).and_then(|found| Some((found.worlds, found.seed, found.outcome.violation?))) {
            Some((worlds, seed, Violation { promise, .. })) => {
                writeln!(out, "| {name} | {worlds} | {seed} | {} |", promise.broken())?;
            }
            None => {
                code = ExitCode::FAILURE;
                writeln!(out, "| {name} | not within {WITHIN} | | |")?;
            }
        }
    }
    Ok(code)
}

fn show_small(out: &mut impl io::Write, small: &Small) -> io::Result<()> {
    writeln!(out, "made smaller in {} worlds: {:?}\nwhat still deviates:", small.worlds, small.outcome.config)?;
    for (name, record) in ["world", "workload", "faults", "order"].iter().zip(&small.outcome.records) {
        let deviations: Vec<_> = record.iter().enumerate().filter(|(_, choice)| **choice > 0).collect();
        let shown: Vec<_> = deviations.iter().take(60).map(|(place, choice)| format!("{place}:{choice}")).collect();
        writeln!(out, "    {name:<9}{:>6} of {:<7} {}", deviations.len(), record.len(), shown.join(" "))?;
    }
    for line in &small.outcome.trace {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
