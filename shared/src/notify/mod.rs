//! The notifier: finds new rows, whoever wrote them, and mails them; never misses one, and marks what it may repeat.
//!
//! - `collect` finds what is new and records it in the log. It sends nothing.
//! - `log` is the only memory of what was found: keys of leads, in order, and who owes them to somebody.
//! - `deliver` sends what lies beyond each channel's cursor into the log, and moves the cursor.
//!
//! [`Notifier::run`] has the order of one run. `docs/architecture.md` walks through every crash.

mod collect;
mod commands;
mod contacts;
mod delays;
mod deliver;
mod log;
mod notice;
mod routes_parameter;
mod routing;
mod run;
mod status;
mod summary;
#[cfg(test)]
mod tests;
mod times;
mod timing;
mod upkeep;

pub(crate) use collect::window_query;
pub use commands::{Command, CommandError, Receivers, Recipients};
pub use contacts::PARTITION as CONTACTS_PARTITION;
pub use delays::Delays;
pub use log::{ChannelId, Outcome, PARTITION, Position, RunRecord, runs};
pub use routes_parameter::{RoutesError, RoutesParameter, read_routes};
pub use status::{ChannelStatus, Recorded, Status, Waiting, recorded_since, status, waiting};

use crate::bug::Bug;
use crate::clock::{Chance, Clock};
use crate::destinations::Destinations;
use crate::mail::{Language, MailError, Mailer, RenderSettings};
use crate::settings::NotifierSettings;
use crate::table::{Table, TableError};
use contacts::People;
use jiff::{SignedDuration, Timestamp};
use log::{DigestIds, Log};
use run::{Recent, Run, Unreadable};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use times::{earlier, later, span, whole_days};

/// How often a run that has nothing to do moves the watermark and is recorded.
pub(crate) const HEARTBEAT: SignedDuration = SignedDuration::from_hours(1);

/// Why a run, or a command, could not be done. Holds no person and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The table with the leads, or the state table, failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A mail could not be sent.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Our own code failed on something.
    #[error(transparent)]
    Bug(#[from] Bug),
    /// Another run took the lease over.
    #[error("another run is at work")]
    LeaseLost,
    /// It is not known whether the last batch was written: this run writes nothing more.
    #[error("the state table did not say whether it wrote: the next run finds out and goes on from there")]
    Uncertain,
    /// Another run holds the lease; nothing was done.
    #[error("a run is at work: try again in some minutes; nothing was done")]
    Busy,
    /// A run failed; it is recorded as such.
    #[error("the run failed: {0}")]
    RunFailed(String),
    /// A backfill stopped before its deadline.
    #[error("time ran out after {digests} digests with {leads} leads were sent: ask for a shorter time")]
    Incomplete {
        /// Digests sent.
        digests: usize,
        /// Leads in them.
        leads: usize,
    },
    /// Some destinations did not take what was to be sent again.
    #[error("{digests} digests with {leads} leads were sent; these destinations did not take theirs: {}", .failed.join("; "))]
    Undelivered {
        /// Digests sent.
        digests: usize,
        /// Leads in them.
        leads: usize,
        /// The destinations, each with what it answered.
        failed: Vec<String>,
    },
    /// What the state table holds makes no sense, or what a command names is not in it.
    #[error("the state table: {0}")]
    State(String),
}

impl NotifyError {
    /// Whether a run can do nothing more after it.
    fn ends_run(&self) -> bool {
        matches!(self, Self::LeaseLost | Self::Uncertain)
    }
}

/// The notifier. `T` is the table, `M` the mail service.
#[derive(Clone)]
pub struct Notifier<T, M> {
    /// The table with the leads. Nothing but `erase` writes to it.
    pub leads: T,
    /// The state table.
    pub state: T,
    /// The mail service.
    pub mailer: M,
    /// Destinations beside mail.
    pub destinations: Destinations,
    /// The settings.
    pub settings: NotifierSettings,
    /// The language of the mails.
    pub language: &'static Language,
    /// Tells the time.
    pub clock: Clock,
    /// Gives random numbers.
    pub chance: Chance,
    /// How many requests were made to the table service so far.
    pub requests: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// How many runs of this process found nothing to do since it last wrote a heartbeat.
    pub idle_runs: Arc<AtomicU64>,
}

impl<T, M> Notifier<T, M> {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// One run, under this id. Begins nothing whose time-out passes the deadline.
    ///
    /// # Errors
    /// Where another run overtook this one, or not even the state could be read. A run that failed in a part is no error
    /// here: the caller has to look at [`RunRecord::outcome`].
    pub async fn run(&self, id: &str, deadline: Timestamp) -> Result<RunRecord, NotifyError> {
        let mut run = self.begin(id, deadline).await?;
        if run.log.is_busy() {
            return Ok(self.nothing_done(run, Outcome::Busy));
        }
        if !run.log.is_to_be_moved() && run.log.progress().watermark.is_none() {
            match self.answer_from_now_on(&mut run).await {
                Err(NotifyError::LeaseLost) => return Ok(self.nothing_done(run, Outcome::Busy)),
                written => written?,
            }
        }
        if run.log.is_paused() {
            tracing::warn!(run = id, "the notifier is paused: nothing is read, nothing is lost");
            return Ok(self.nothing_done(run, Outcome::Paused));
        }
        match self.work(&mut run).await {
            Err(NotifyError::LeaseLost) if !run.log.is_held() => Ok(self.nothing_done(run, Outcome::Busy)),
            Err(error) => Err(error),
            Ok(()) => self.end(run).await,
        }
    }

    /// Writes down from when on the notifier is answerable for every lead. The very first run does so before anything else,
    /// even where it is paused or fails: later runs look back as far.
    async fn answer_from_now_on(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let now = self.now();
        let mut progress = run.log.progress().clone();
        progress.watermark = Some(self.first_watermark(now));
        progress.newest_lead.get_or_insert(now);
        run.log.write_progress(progress).await
    }

    /// The parts of a run, in their order: what is new first. A part that fails keeps none that follows from its work.
    async fn work(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        if !self.move_over(run).await? {
            return Ok(());
        }
        let collected = self.collect(run).await;
        run.part("collect", collected)?;
        let delivered = self.deliver(run).await;
        run.part("deliver", delivered)?;
        let told = self.summarize(run).await;
        run.part("summary", told)?;
        let patrolled = self.patrol(run).await;
        run.part("patrol", patrolled)?;
        let kept = self.upkeep(run).await;
        run.part("upkeep", kept)
    }

    /// What there is before a run does anything.
    async fn begin(&self, id: &str, deadline: Timestamp) -> Result<Run<T>, NotifyError> {
        let started = self.now();
        let requests_before = (self.requests)();
        // One invocation can be delivered twice, so its id alone is no name of a run.
        let owner = format!("{id} {:016x}", (self.chance)());
        let log = Log::open(&self.state, &self.clock, owner, deadline).await?;
        Ok(Run {
            id: id.to_owned(),
            started,
            deadline,
            log,
            record: RunRecord::new(id, started),
            requests_before,
            ids: DigestIds::new(id, started),
            recent: Recent::default(),
            has_read: false,
            unreadable: Unreadable::default(),
            people: People::default(),
            is_stopped: false,
            questions: deliver::Questions::default(),
            failed_channels: Vec::new(),
        })
    }

    /// Moves over what the version before this one remembers, in batches. Says whether all of it is moved.
    async fn move_over(&self, run: &mut Run<T>) -> Result<bool, NotifyError> {
        let routes = self.labelled_routes();
        while run.log.is_to_be_moved() {
            if !run.has_time(self.now(), run::TABLE_CALL * 3) {
                run.is_stopped = true;
                return Ok(false);
            }
            run.log.move_on(span(self.settings.schedule.overlap), &routes).await?;
        }
        Ok(true)
    }

    fn nothing_done(&self, mut run: Run<T>, outcome: Outcome) -> RunRecord {
        tracing::info!(run = run.id, outcome = ?outcome, "nothing was done");
        self.sum_up(&mut run);
        run.record.outcome = outcome;
        run.record
    }

    fn sum_up(&self, run: &mut Run<T>) {
        let record = &mut run.record;
        record.duration_ms = self.now().duration_since(run.started).as_millis().try_into().unwrap_or(i64::MAX);
        record.requests = (self.requests)().saturating_sub(run.requests_before);
        record.owed = run.log.channels().map(|channel| channel.owed).sum();
        record.oldest_owed = run.log.channels().filter_map(|channel| channel.oldest).min();
        let now = self.now();
        record.overdue_since =
            run.log.channels().filter_map(|channel| self.due(channel)).min().filter(|due| *due <= now);
        let patrol = &run.log.progress().patrol;
        record.last_full_patrol = patrol.last_full;
        record.patrolled_since = patrol.last_full.or(patrol.last_began);
        record.outcome = match (&record.error, run.is_stopped, run.log.is_held()) {
            (Some(_), ..) => Outcome::Failed,
            (None, true, _) => Outcome::Stopped,
            (None, false, true) => Outcome::Complete,
            (None, false, false) => Outcome::Idle,
        };
    }

    /// Gives the lease back and records the run, where there is something to record.
    async fn end(&self, mut run: Run<T>) -> Result<RunRecord, NotifyError> {
        self.sum_up(&mut run);
        if run.record.outcome == Outcome::Idle {
            self.idle_runs.fetch_add(1, Ordering::Relaxed);
            self.heartbeat(&mut run).await?;
            return Ok(run.record);
        }
        match run.log.finish(&run.record).await {
            Err(error) if run.record.outcome != Outcome::Failed => Err(error),
            _ => Ok(run.record),
        }
    }

    /// Once an hour, or where the watermark is far behind, moves it to where it is known that everything was read. Whoever
    /// wrote at the same moment has done so already.
    async fn heartbeat(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        let now = self.now();
        let written = run.log.core().written;
        let mut progress = run.log.progress().clone();
        let watermark = *progress.watermark.get_or_insert_with(|| self.first_watermark(now));
        let lag = HEARTBEAT + span(self.settings.schedule.overlap);
        let is_due = written.is_none_or(|written| now >= later(written, HEARTBEAT) || written >= later(watermark, lag));
        if !is_due {
            return Ok(());
        }
        let from = earlier(watermark, span(self.settings.schedule.overlap));
        progress.patrol.others_from.get_or_insert(from);
        progress.patrol.days_from.get_or_insert(from);
        progress.watermark = progress.watermark.max(written);
        progress.newest_lead.get_or_insert(now);
        let idle_runs = Some(self.idle_runs.swap(0, Ordering::Relaxed));
        let idle = RunRecord { idle_runs, ..run.record.clone() };
        match run.log.heartbeat(progress, &idle).await {
            Ok(()) | Err(NotifyError::LeaseLost) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn render_settings(&self) -> RenderSettings {
        RenderSettings {
            language: self.language,
            time_zone: self.settings.mail.time_zone.clone(),
            contact_window_days: whole_days(self.settings.contact_window),
            replies: self.settings.mail.replies.clone(),
            crm_search: self.settings.mail.crm_search.clone(),
        }
    }
}
