//! Moving over from the version before this one: its checkpoint, its digests that wait, and what it sent lately.
//!
//! Digests that wait become rows of the log that their channels owe, as possible repeats, 40 in a batch, in which the
//! checkpoint's list of them shrinks. Recent digests become rows that nobody owes, so that their leads are known. At the
//! end the checkpoint is leased for ever: the version before this one, if somebody puts it back, says that another run is
//! at work, and loses nothing.

use super::rows::{self, Channel, Entry, LogRow, PARTITION, Position, Progress, Target};
use super::{Log, page_of};
use crate::notify::NotifyError;
use crate::table::{ETag, Entity, Keys, Operation, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const DIGEST: &str = "digest-";

/// The most digests that one batch moves over.
const DIGESTS: usize = 40;

/// About how many bytes of keys one batch moves over: half of what the service takes.
const MOVED_BYTES: usize = 2 * 1024 * 1024;

/// How far the clocks of the service's servers and ours may be apart.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_hours(1);

/// How long before the run's deadline no more digests are read: a batch, what follows it, and the end of the run take time.
const BEFORE_DEADLINE: SignedDuration = SignedDuration::from_secs(55);

const OWNER: &str = "moved to a newer version";

/// The routes under the labels by which the version before this one knew them.
pub(crate) struct LabelledRoutes {
    /// Label and id of each.
    pub(crate) routes: Vec<(String, String)>,
    /// The id of the route for everything else.
    pub(crate) default: String,
}

impl LabelledRoutes {
    fn id(&self, label: Option<&str>) -> String {
        let found = label.and_then(|label| self.routes.iter().find(|(known, _)| known == label));
        found.map_or_else(|| self.default.clone(), |(_, id)| id.clone())
    }
}

/// The checkpoint, unless it was moved over before.
pub(super) fn unmoved(row: &Entity) -> Option<Entity> {
    (row.string("LeaseOwner") != Some(OWNER)).then(|| row.clone())
}

pub(super) fn is_leased(row: &Entity, now: Timestamp) -> bool {
    row.string("LeaseOwner").is_some() && row.time("LeaseUntil").is_some_and(|until| until > now)
}

pub(super) fn is_paused(row: &Entity) -> bool {
    row.boolean("Paused").unwrap_or_default()
}

impl<T: Table> Log<T> {
    /// Whether the state of the version before this one is still to be moved over.
    pub(crate) fn is_to_be_moved(&self) -> bool {
        self.previous.is_some()
    }

    /// Whether no more is to be read before what was read is written.
    fn is_short_of_time(&self) -> bool {
        (self.clock)().saturating_add(BEFORE_DEADLINE).map_or(true, |time| time > self.deadline)
    }

    /// Moves one batch over; says whether everything is.
    pub(crate) async fn move_on(
        &mut self,
        overlap: SignedDuration,
        routes: &LabelledRoutes,
    ) -> Result<bool, NotifyError> {
        let Some(checkpoint) = self.previous.clone() else { return Ok(true) };
        let pending = checkpoint.text("Pending").unwrap_or_default();
        let pending: Vec<&str> = pending.split_whitespace().collect();
        if !pending.is_empty() {
            return self.move_waiting(&checkpoint, &pending, routes).await.map(|()| false);
        }
        let moved = checkpoint.string("MovedTo").unwrap_or_default().to_owned();
        let read = [checkpoint.time("Watermark"), checkpoint.time("Swept")].into_iter().flatten().min();
        let oldest = read.map(|read| earlier(earlier(read, overlap), CLOCK_MARGIN));
        let oldest = oldest.map(|time| format!("{DIGEST}{}", time.strftime("%Y%m%dT%H%M%SZ"))).unwrap_or_default();
        let query = Query {
            row_key_from: Some(oldest.max(format!("{moved}!")).max(DIGEST.to_owned())),
            page_size: Some(DIGESTS.try_into().unwrap_or(40)),
            ..super::previous_digests()
        };
        let rows = page_of(&self.table, &query).await?;
        match rows.as_slice() {
            [_, ..] => self.move_sent(&checkpoint, &rows).await.map(|()| false),
            [] => self.end_moving(&checkpoint, overlap).await.map(|()| true),
        }
    }

    async fn move_waiting(
        &mut self,
        checkpoint: &Entity,
        pending: &[&str],
        routes: &LabelledRoutes,
    ) -> Result<(), NotifyError> {
        let mut channels = self.channels.clone();
        let mut operations = Vec::new();
        let mut last_log = self.last_log.clone();
        let (mut moved, mut bytes) = (0, 0);
        for id in pending.iter().take(DIGESTS) {
            if bytes > MOVED_BYTES || (moved > 0 && self.is_short_of_time()) {
                break;
            }
            moved += 1;
            let digest = match self.table.get(&Keys::new(PARTITION, format!("{DIGEST}{id}"))).await {
                Ok(digest) => digest,
                Err(TableError::NotFound) => continue,
                Err(error) => return Err(error.into()),
            };
            bytes += bytes_of(&digest);
            let target = Target::mail(routes.id(digest.string("Route")));
            let mut row = self.log_row(&digest, &mut last_log);
            let id = target.channel();
            let channel = channels.entry(id.clone()).or_insert_with(|| Channel::new(&target));
            if channel.cursor >= channel.tail {
                channel.cursor = Position::new(&row.key, 0);
                channel.oldest = Some((self.clock)());
            }
            let bits = row.owed_by.entry(id).or_default();
            (0..row.entries.len()).for_each(|index| bits.set(index));
            channel.owed += row.entries.len();
            channel.tail = Position::new(&row.key, row.entries.len());
            channel.maybe = channel.tail.clone();
            // It was to go out with the next run.
            channel.hurry((self.clock)());
            operations.push(Operation::Insert(row.to_entity()));
        }
        operations.extend(channels.values().map(|channel| Operation::InsertOrReplace(channel.to_entity())));
        let mut left = checkpoint.clone();
        left.set_text("Pending", &pending[moved..].join(" "));
        self.move_batch(left, operations, last_log, self.progress.clone()).await?;
        self.channels = channels;
        Ok(())
    }

    async fn move_sent(&mut self, checkpoint: &Entity, digests: &[Entity]) -> Result<(), NotifyError> {
        let mut last_log = self.last_log.clone();
        let mut bytes = 0;
        let fits = |digest: &&Entity| {
            bytes += bytes_of(digest);
            bytes < MOVED_BYTES
        };
        let digests: Vec<_> = digests[..1].iter().chain(digests[1..].iter().take_while(fits)).collect();
        let Some(last) = digests.last().map(|digest| digest.row_key.clone()) else { return Ok(()) };
        let sent = digests.iter().filter(|digest| digest.string("Status") != Some("pending"));
        let operations: Vec<_> =
            sent.map(|digest| Operation::Insert(self.log_row(digest, &mut last_log).to_entity())).collect();
        let mut left = checkpoint.clone();
        left.set("MovedTo", last);
        self.move_batch(left, operations, last_log, self.progress.clone()).await
    }

    async fn end_moving(&mut self, checkpoint: &Entity, overlap: SignedDuration) -> Result<(), NotifyError> {
        let mut progress = self.progress.clone();
        progress.watermark = checkpoint.time("Watermark");
        progress.newest_lead = checkpoint.time("NewestLead");
        progress.newest_test_lead = checkpoint.time("NewestTestLead");
        let swept = checkpoint.time("Swept").or(progress.watermark).map(|time| earlier(time, overlap));
        progress.patrol.days_from = swept;
        progress.patrol.others_from = swept;
        let mut left = checkpoint.clone();
        left.set("LeaseOwner", OWNER);
        left.set("LeaseUntil", "9999-11-30T00:00:00Z".parse::<Timestamp>().unwrap_or(Timestamp::MAX));
        let last_log = self.last_log.clone();
        self.move_batch(left, Vec::new(), last_log, progress).await?;
        self.previous = None;
        Ok(())
    }

    /// Writes a batch of what is moved over, with the checkpoint as it is then.
    async fn move_batch(
        &mut self,
        checkpoint: Entity,
        mut operations: Vec<Operation>,
        last_log: String,
        progress: Progress,
    ) -> Result<(), NotifyError> {
        let etag = checkpoint.etag.clone().unwrap_or(ETag("*".to_owned()));
        operations.push(Operation::Replace(checkpoint, etag));
        operations.push(Operation::InsertOrReplace(progress.to_entity(&last_log)));
        self.commit(operations, true).await?;
        let moved = self.table.get(&Keys::new(PARTITION, CHECKPOINT)).await?;
        self.previous = Some(moved);
        (self.last_log, self.progress) = (last_log, progress);
        Ok(())
    }

    /// The row of the log for a digest's leads and bodies.
    fn log_row(&self, digest: &Entity, last_log: &mut String) -> LogRow {
        let key = rows::next_log_key((self.clock)(), last_log);
        last_log.clone_from(&key);
        let list = |name: &str| -> Vec<Json> {
            serde_json::from_str(&digest.text(name).unwrap_or_default()).unwrap_or_default()
        };
        let leads = list("Leads").iter().map(Entry::from_json).collect::<Vec<_>>();
        let bodies = list("Quarantined");
        let bodies = bodies.iter().filter_map(Json::as_str).map(|row_key| Entry::Quarantined(row_key.to_owned()));
        LogRow { key, entries: leads.into_iter().chain(bodies).collect(), owed_by: Default::default() }
    }
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

/// About how many bytes a digest's keys take.
fn bytes_of(digest: &Entity) -> usize {
    ["Leads", "Quarantined"].iter().filter_map(|name| digest.text(name)).map(|text| text.len()).sum()
}
