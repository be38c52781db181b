//! The checks `notifier` and `silence`: what the notifier remembers, against what it should have done by now.

use super::findings::{Findings, count};
use super::settings::span;
use super::table::Tables;
use crate::lead::Day;
use crate::notify::{
    ChannelStatus, Delays, HEARTBEAT, NotifyError, Outcome, RunRecord, Status, Waiting, status, waiting,
};
use crate::quarantine;
use crate::settings::{PartialSchedule, ValidationSettings};
use crate::table::{Query, Table as _, TableError};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How many runs are looked at.
const RUNS: usize = 10;

/// Over how many runs it is measured how long leads take from their row to a mail. One request brings them all.
const MEASURED_RUNS: usize = 100;

/// How many waiting leads are counted.
const MOST_WAITING: usize = 5_000;

/// Quarantined bodies of so many days are warned of; older ones were in a digest long since.
const QUARANTINE_DAYS: i64 = 7;

const HOW_TO_INVOKE: &str =
    "aws lambda invoke --function-name <stack>-lead-notifier --cli-binary-format raw-in-base64-out";

/// What the notifier remembers.
pub(super) struct Memory {
    status: Option<Status>,
    waiting: Waiting,
}

pub(super) async fn check(
    tables: &Tables,
    settings: &ValidationSettings,
    now: Timestamp,
) -> (Findings, Option<Memory>) {
    let mut findings = Findings::default();
    match inspect(&mut findings, tables, settings, now).await {
        Ok(memory) => (findings, Some(memory)),
        Err(NotifyError::Table(error)) => {
            findings.fault(tables.account.explain(&error));
            (findings, None)
        }
        Err(error) => {
            findings.fail(
                error.to_string(),
                "look at the rows of partition `notifier` in LEADS_STATE_TABLE: somebody changed one",
            );
            (findings, None)
        }
    }
}

async fn inspect(
    findings: &mut Findings,
    tables: &Tables,
    settings: &ValidationSettings,
    now: Timestamp,
) -> Result<Memory, NotifyError> {
    let PartialSchedule { interval, overlap, first_lookback, sweep, .. } = &settings.schedule;
    if interval.is_none() || overlap.is_none() || first_lookback.is_none() || sweep.is_none() {
        findings
            .warn("the schedule in the settings is wrong, so the notifier is judged by the defaults", "see `settings`");
    }
    let schedule = settings.schedule.clone().or_defaults();
    let status = status(&tables.state, now).await?;
    match &status {
        None => never_ran(findings),
        Some(status) => {
            let recent = crate::notify::runs(&tables.state, MEASURED_RUNS).await?;
            runs(findings, &recent[..recent.len().min(RUNS)], schedule.interval, now);
            delays(findings, &recent);
            remembered(findings, status, schedule.sweep, now);
        }
    }
    match quarantined(findings, tables, now).await {
        // The first run creates the state table.
        Err(TableError::TableNotFound) => return Ok(Memory { status, waiting: Waiting::default() }),
        done => done?,
    }
    let window = (schedule.overlap, schedule.first_lookback);
    let waiting = waiting(&tables.leads, &tables.state, window, now, MOST_WAITING).await?;
    let Waiting { leads, tests, unreadable, quarantined, .. } = &waiting;
    let counts = [
        (*leads, "lead"),
        (*tests, "test lead"),
        (*unreadable, "unreadable row"),
        (*quarantined, "quarantined message"),
    ];
    let counts: Vec<_> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| count(*number, what)).collect();
    findings.saw(match counts.as_slice() {
        [] => "nothing waits for the next run".to_owned(),
        counts => format!("waiting for the next run: {}", counts.join(", ")),
    });
    Ok(Memory { status, waiting })
}

/// What the notifier remembers of its work.
fn remembered(findings: &mut Findings, status: &Status, sweep: Option<Duration>, now: Timestamp) {
    if status.is_at_work {
        findings.saw("a run is at work");
    }
    if status.is_paused {
        findings.warn(
            "the notifier is paused: no mails, though nothing is lost",
            format!("resume it: {HOW_TO_INVOKE} --payload '{{\"command\":\"resume\"}}' /dev/stdout"),
        );
    }
    status.channels.iter().for_each(|channel| owed(findings, channel, status.is_at_work, now));
    if status.parked > 0 {
        findings.fail(
            format!("{}: the mail service refused even their keys", count(status.parked, "lead given up")),
            format!("see which: {HOW_TO_INVOKE} --payload '{{\"command\":\"outbox\"}}' /dev/stdout; then `retry` or `discard`"),
        );
    }
    patrol(findings, status, sweep, now);
}

fn never_ran(findings: &mut Findings) {
    findings.warn(
        "the notifier has not run yet",
        format!(
            "wait for the schedule, or run it: {HOW_TO_INVOKE} --payload '{{\"command\":\"run\"}}' /dev/stdout; if it stays, see \
             that the schedule is enabled"
        ),
    );
}

/// The time between two times, as far as it is one.
fn since(earlier: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(earlier)).unwrap_or_default()
}

fn runs(findings: &mut Findings, runs: &[RunRecord], interval: Duration, now: Timestamp) {
    let ended_well = |run: &&RunRecord| matches!(run.outcome, Outcome::Complete | Outcome::Idle | Outcome::Stopped);
    let Some(last) = runs.first() else {
        findings.warn("no run is recorded", "see that the schedule is enabled, and its dead-letter queue");
        return;
    };
    let age = since(last.started, now);
    // Of the runs that find nothing to do, the first one after each heartbeat's time is recorded.
    let recorded = Duration::try_from(HEARTBEAT).unwrap_or_default() + interval;
    if age > recorded + interval {
        findings.fail(
            format!("the last recorded run was {} ago, though one is due every {}", span(age), span(interval)),
            "see that the schedule is enabled (EventBridge Scheduler) and its dead-letter queue is empty, and lead-notifier's \
             logs; the next run reads on from where the last one ended",
        );
        return;
    }
    match runs.iter().find(ended_well) {
        Some(good) if good.run == last.run => {
            findings.saw(format!("the last run, {} ago, ended well", span(age)));
        }
        good => {
            let error = last.error.as_deref().unwrap_or("it was paused or busy");
            let good = match good {
                Some(good) => format!("the last one that ended well was {} ago", span(since(good.started, now))),
                None => format!("none of the last {} ended well", runs.len()),
            };
            let seen = format!("the last run, {} ago, did not end well: {error}; {good}", span(age));
            match last.outcome {
                Outcome::Failed => findings.fail(seen, "do what the error says; the next run tries again by itself"),
                _ if runs.iter().all(|run| !ended_well(&run)) && runs.len() > 2 => {
                    findings
                        .warn(seen, "see that the notifier is not paused, and that no run by hand is always at work");
                }
                _ => findings.saw(seen),
            }
        }
    }
    // A run by hand makes a gap shorter, never longer: the shortest is at most that between two runs that must be recorded.
    let gaps = runs.windows(2).map(|pair| since(pair[1].started, pair[0].started));
    if let Some(gap) = gaps.min().filter(|gap| runs.len() > 2 && *gap > recorded + interval / 2) {
        findings.warn(
            format!("runs are {} apart at least, though LEADS_INTERVAL_MINUTES says {}", span(gap), span(interval)),
            "have the stack's schedule and LEADS_INTERVAL_MINUTES say the same",
        );
    }
}

/// How long leads took from their row to an accepted mail.
fn delays(findings: &mut Findings, runs: &[RunRecord]) {
    let mut delays = Delays::default();
    runs.iter().for_each(|run| delays.add_all(&run.delays));
    if let (Some(half), Some(most)) = (delays.percentile(50), delays.percentile(99)) {
        let leads = count(usize::try_from(delays.leads()).unwrap_or(usize::MAX), "lead");
        let [half, most] = [half, most].map(|seconds| span(Duration::from_secs(seconds)));
        findings.saw(format!("from row to mail: p50 {half}, p99 {most}, over {leads} to be sent at once"));
    }
}

/// What one channel owes, and why.
fn owed(findings: &mut Findings, channel: &ChannelStatus, is_at_work: bool, now: Timestamp) {
    let age = channel.oldest.map(|oldest| format!(", the oldest for {}", span(since(oldest, now)))).unwrap_or_default();
    let reason = channel.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let to = if channel.destination.is_mail() { String::new() } else { format!(" to `{}`", channel.destination) };
    let seen = format!("route `{}` owes {}{to}{age}{reason}", channel.route, count(channel.owed, "lead"));
    if channel.owed != channel.counted && !is_at_work {
        findings.fail(
            format!("{seen}; by its rows it owes {}", channel.counted),
            "report this: the state of the notifier contradicts itself; no lead is passed over because of it",
        );
    } else if channel.attempts == 0 {
        findings.saw(seen);
    } else {
        findings.fail(
            seen,
            "do what the reason says, and see `mail`; it is tried again by itself, after pauses of up to an hour",
        );
    }
}

/// When everything was searched last.
fn patrol(findings: &mut Findings, status: &Status, interval: Option<Duration>, now: Timestamp) {
    let interval = interval.unwrap_or(Duration::from_secs(7 * 86_400));
    match status.last_full_patrol {
        Some(last) if since(last, now) > interval * 3 => findings.warn(
            format!(
                "the whole table was searched {} ago, though that is due every {}",
                span(since(last, now)),
                span(interval)
            ),
            "see the errors of the last runs: `history`",
        ),
        Some(last) => findings.saw(format!("the whole table was searched {} ago", span(since(last, now)))),
        None => findings.saw("the whole table has not been searched yet"),
    }
    if status.extra_partitions > 0 {
        findings.warn(
            format!(
                "leads come under keys that are no days: {} read in every run",
                count(status.extra_partitions, "partition is")
            ),
            "nothing is lost; see who writes them, if it is not Microsoft",
        );
    }
}

async fn quarantined(findings: &mut Findings, tables: &Tables, now: Timestamp) -> Result<(), TableError> {
    let since = Day::of(now - SignedDuration::from_hours(24 * QUARANTINE_DAYS));
    let query = Query {
        row_key_from: Some(since.to_string()),
        select: vec!["Size"],
        ..Query::partition(quarantine::PARTITION)
    };
    let bodies = tables.state.all(&query).await?.len();
    if bodies > 0 {
        findings.warn(
            format!("{} in quarantine since {since}: sent with a valid key, and in no row of the leads table", count(bodies, "message")),
            "read them in LEADS_STATE_TABLE, partition `quarantine`, and enter the leads by hand; the digests name them too",
        );
    }
    Ok(())
}

pub(super) fn silence(memory: &Memory, settings: &ValidationSettings, now: Timestamp) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    let status = memory.status.as_ref();
    let newest = status.and_then(|status| status.newest_lead).max(memory.waiting.newest_lead);
    let test = status.and_then(|status| status.newest_test_lead).max(memory.waiting.newest_test_lead);
    let ago = |time: Timestamp| format!("{} ago", span(since(time, now)));
    match newest {
        None => {
            let seen = "nobody has looked for leads yet: the notifier has not run, and nothing waits for it";
            return (Findings::skip(seen, "see `notifier`"), None);
        }
        Some(newest) => {
            let age = since(newest, now);
            // Before the first lead the notifier counts from its first run.
            let seen = format!("the newest lead (or else the first run) was {}", ago(newest));
            match settings.schedule.silence {
                None => findings.warn(
                    format!("{seen}; LEADS_SILENCE_DAYS is wrong, so nobody knows whether that is long"),
                    "see `settings`",
                ),
                Some(Some(limit)) if age >= limit => findings.warn(
                    seen,
                    "see in Partner Center that its lead destination is this table or the intake URL, and click Validate there; \
                     compare its own list of leads with `reconcile`",
                ),
                _ => findings.saw(seen),
            }
        }
    }
    findings.saw(match test {
        Some(test) => format!("the newest test lead came {}", ago(test)),
        None => "no test lead has come from Partner Center yet".to_owned(),
    });
    (findings, None)
}
