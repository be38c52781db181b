//! What the notifier remembers, in the state table: the checkpoint with the lease, the digests, the runs.
//!
//! All of it is in one partition, so that one atomic batch can change any of it together. Every write carries the
//! checkpoint and needs its version: whoever lost the lease cannot write any more.

use super::NotifyError;
use super::find::KnownRows;
use crate::quarantine;
use crate::table::{ETag, Entity, Operation, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The partition of everything here.
pub const PARTITION: &str = "notifier";
const CHECKPOINT: &str = "checkpoint";
const DIGEST_PREFIX: &str = "digest-";
const RUN_PREFIX: &str = "run-";

/// How often a write is tried again that another write got in the way of.
const COMMIT_ATTEMPTS: usize = 5;

/// Where the notifier stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// The newest `Timestamp` up to which every row was handled. `None` before the first run.
    pub watermark: Option<Timestamp>,
    /// Up to when the whole table was swept for rows under keys of another form.
    pub swept: Option<Timestamp>,
    /// Whether every run reads the whole table, because a sweep found such rows.
    pub full_reads: bool,
    /// Whether runs do nothing.
    pub paused: bool,
    /// Which run holds the lease, if any.
    pub lease_owner: Option<String>,
    /// Until when it does.
    pub lease_until: Option<Timestamp>,
    /// The digests that were recorded and not yet seen to be sent, oldest first.
    pub pending: Vec<String>,
    /// When the newest lead was written that is no test; before the first one, when the notifier ran first.
    pub newest_lead: Option<Timestamp>,
    /// When the newest test lead was written.
    pub newest_test_lead: Option<Timestamp>,
    /// Whether the alert about the present silence was sent.
    pub silence_alerted: bool,
    /// When what is too old was deleted last.
    pub maintained: Option<Timestamp>,
    /// Which write this is, to recognise a write whose answer was lost.
    write_id: String,
    etag: Option<ETag>,
}

impl Checkpoint {
    fn to_entity(&self) -> Entity {
        let mut entity = Entity::new(PARTITION, CHECKPOINT)
            .with("FullReads", self.full_reads)
            .with("Paused", self.paused)
            .with("SilenceAlerted", self.silence_alerted)
            .with("WriteId", self.write_id.as_str());
        for (name, time) in [
            ("Watermark", self.watermark),
            ("Swept", self.swept),
            ("LeaseUntil", self.lease_until),
            ("NewestLead", self.newest_lead),
            ("NewestTestLead", self.newest_test_lead),
            ("Maintained", self.maintained),
        ] {
            if let Some(time) = time {
                entity.set(name, time);
            }
        }
        if let Some(owner) = &self.lease_owner {
            entity.set("LeaseOwner", owner.as_str());
        }
        entity.set_text("Pending", &self.pending.join(" "));
        entity
    }

    pub(super) fn from_entity(entity: &Entity) -> Self {
        Self {
            watermark: entity.time("Watermark"),
            swept: entity.time("Swept"),
            full_reads: entity.boolean("FullReads").unwrap_or_default(),
            paused: entity.boolean("Paused").unwrap_or_default(),
            lease_owner: entity.string("LeaseOwner").map(str::to_owned),
            lease_until: entity.time("LeaseUntil"),
            pending: entity.text("Pending").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            newest_lead: entity.time("NewestLead"),
            newest_test_lead: entity.time("NewestTestLead"),
            silence_alerted: entity.boolean("SilenceAlerted").unwrap_or_default(),
            maintained: entity.time("Maintained"),
            write_id: entity.string("WriteId").unwrap_or_default().to_owned(),
            etag: entity.etag.clone(),
        }
    }

    /// Whether a run is at work.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.lease_owner.is_some() && self.lease_until.is_some_and(|until| until > now)
    }
}

/// A digest: which rows go out in one mail.
#[derive(Debug, Clone, PartialEq)]
pub struct DigestRecord {
    /// Its id, in the mail's headers too.
    pub id: String,
    /// Whether it was sent.
    pub status: DigestStatus,
    /// When it was recorded.
    pub created: Timestamp,
    /// Who gets it: a route's name, `None` for the default recipients.
    pub route: Option<String>,
    /// The rows of the leads table in it: partition and row key.
    pub leads: Vec<(String, String)>,
    /// The quarantined bodies in it: row keys.
    pub quarantined: Vec<String>,
    /// The ids under which SES accepted its mails; one for every 50 recipients.
    pub messages: Vec<String>,
}

/// Whether a digest was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestStatus {
    /// Recorded; whether it was sent is not known.
    Pending,
    /// SES accepted it.
    Sent,
    /// The settings say that its leads are not mailed.
    Dropped,
}

impl DigestRecord {
    fn to_entity(&self) -> Entity {
        let status = match self.status {
            DigestStatus::Pending => "pending",
            DigestStatus::Sent => "sent",
            DigestStatus::Dropped => "dropped",
        };
        let mut entity = Entity::new(PARTITION, format!("{DIGEST_PREFIX}{}", self.id))
            .with("Status", status)
            .with("Created", self.created)
            .with("Messages", self.messages.join(" "));
        if let Some(route) = &self.route {
            entity.set("Route", route.as_str());
        }
        entity.set_text("Leads", &serde_json::json!(self.leads).to_string());
        entity.set_text("Quarantined", &serde_json::json!(self.quarantined).to_string());
        entity
    }

    fn from_entity(entity: &Entity) -> Result<Self, NotifyError> {
        let unreadable = || NotifyError::State(format!("the digest in row {} cannot be read", entity.row_key));
        if entity.damage.is_some() {
            return Err(unreadable());
        }
        let list = |name: &str| entity.text(name).unwrap_or_else(|| "[]".to_owned());
        Ok(Self {
            id: entity.row_key.strip_prefix(DIGEST_PREFIX).ok_or_else(unreadable)?.to_owned(),
            status: match entity.string("Status") {
                Some("sent") => DigestStatus::Sent,
                Some("dropped") => DigestStatus::Dropped,
                _ => DigestStatus::Pending,
            },
            created: entity.time("Created").or(entity.timestamp).unwrap_or_default(),
            route: entity.string("Route").map(str::to_owned),
            leads: serde_json::from_str(&list("Leads")).map_err(|_| unreadable())?,
            quarantined: serde_json::from_str(&list("Quarantined")).map_err(|_| unreadable())?,
            messages: entity.string("Messages").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        })
    }

    /// The write that records it, or records it anew.
    pub fn operation(&self) -> Operation {
        Operation::InsertOrReplace(self.to_entity())
    }
}

/// What one run did. Times are UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct RunRecord {
    /// The run's id.
    pub run: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Leads found, those that could not be read included.
    pub leads: usize,
    /// Those of them that our intake stored.
    pub leads_by_https: usize,
    /// Quarantined bodies found.
    pub quarantined: usize,
    /// Leads in the digests sent; a lead that goes to two routes counts twice.
    pub mailed: usize,
    /// Digests sent.
    pub digests: usize,
    /// Mails that SES accepted.
    pub mails: usize,
    /// Digests that are still to be sent.
    pub pending: usize,
    /// Requests made to the table service until the record was written.
    pub requests: u64,
    /// What went wrong, if anything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything new was sent.
    Complete,
    /// Time ran out; the next run reads on.
    Stopped,
    /// Something could not be done; the next run tries again.
    Failed,
    /// The notifier is paused; nothing was read.
    Paused,
    /// Another run is at work; nothing was read.
    Busy,
}

/// The state table.
#[derive(Clone)]
pub struct State<T> {
    table: T,
}

impl<T: Table> State<T> {
    /// What the notifier remembers in this table.
    pub fn new(table: T) -> Self {
        Self { table }
    }

    /// The checkpoint; `None` where no run has been yet.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn checkpoint(&self) -> Result<Option<Checkpoint>, TableError> {
        match self.table.get(PARTITION, CHECKPOINT).await {
            Ok(entity) => Ok(Some(Checkpoint::from_entity(&entity.undamaged()?))),
            Err(TableError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The checkpoint, or a fresh one with this watermark; creates the state table where it is missing, since it is ours
    /// alone.
    pub(super) async fn checkpoint_or_new(&self, watermark: Timestamp) -> Result<Checkpoint, TableError> {
        let fresh = || Checkpoint { watermark: Some(watermark), ..Checkpoint::default() };
        match self.checkpoint().await {
            Ok(checkpoint) => Ok(checkpoint.unwrap_or_else(fresh)),
            Err(TableError::TableNotFound) => match self.table.create().await {
                Ok(()) | Err(TableError::Exists) => Ok(fresh()),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// When the checkpoint was written last, by the service's clock.
    pub(super) async fn written(&self) -> Result<Option<Timestamp>, TableError> {
        Ok(self.table.get(PARTITION, CHECKPOINT).await?.timestamp)
    }

    /// Writes the checkpoint and whatever goes with it, all or nothing, and only if nobody but `owner` has the lease, or
    /// takes it.
    ///
    /// An answer that was lost is no harm: what stands in the table afterwards tells whether this write was done. A
    /// command (such as `pause`) that wrote meanwhile is kept.
    pub(super) async fn commit(
        &self,
        checkpoint: &mut Checkpoint,
        mut operations: Vec<Operation>,
        owner: &str,
        write_id: String,
    ) -> Result<(), NotifyError> {
        checkpoint.write_id = write_id;
        let with_checkpoint = operations.len();
        for _ in 0..COMMIT_ATTEMPTS {
            operations.truncate(with_checkpoint);
            operations.push(match &checkpoint.etag {
                Some(etag) => Operation::Replace(checkpoint.to_entity(), etag.clone()),
                None => Operation::Insert(checkpoint.to_entity()),
            });
            let error = match self.table.submit(PARTITION, &operations).await {
                Ok(etags) => {
                    checkpoint.etag = etags.into_iter().next_back().flatten();
                    return Ok(());
                }
                Err(error) => error,
            };
            let lost_or_overtaken = error.is_transient()
                || matches!(error, TableError::Precondition | TableError::Exists | TableError::NotFound);
            if !lost_or_overtaken {
                return Err(error.into());
            }
            match self.checkpoint().await? {
                Some(there) if there.write_id == checkpoint.write_id => {
                    checkpoint.etag = there.etag;
                    return Ok(());
                }
                Some(there) if there.etag == checkpoint.etag => {}
                Some(there) if there.lease_owner.as_deref() == Some(owner) => {
                    checkpoint.paused = there.paused;
                    checkpoint.etag = there.etag;
                }
                None if checkpoint.etag.is_none() => {}
                _ => return Err(NotifyError::LeaseLost),
            }
        }
        Err(NotifyError::State("the checkpoint could not be written: others kept writing it".to_owned()))
    }

    /// Writes a command's change, if nothing else was written meanwhile.
    pub(super) async fn overwrite(&self, mut checkpoint: Checkpoint, write_id: String) -> Result<(), NotifyError> {
        checkpoint.write_id = write_id;
        let operation = match checkpoint.etag.clone() {
            Some(etag) => Operation::Replace(checkpoint.to_entity(), etag),
            None => Operation::Insert(checkpoint.to_entity()),
        };
        match self.table.submit(PARTITION, &[operation]).await {
            Ok(_) => Ok(()),
            Err(TableError::Precondition | TableError::Exists) => {
                Err(NotifyError::State("a run wrote the checkpoint at the same moment: try again".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One digest; `None` where it is not there.
    pub(super) async fn digest(&self, id: &str) -> Result<Option<DigestRecord>, NotifyError> {
        match self.table.get(PARTITION, &format!("{DIGEST_PREFIX}{id}")).await {
            Ok(entity) => DigestRecord::from_entity(&entity).map(Some),
            Err(TableError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All digests that were written at this time or later.
    ///
    /// # Errors
    /// Where the table, or a digest in it, cannot be read.
    pub async fn digests_since(&self, time: Timestamp) -> Result<Vec<DigestRecord>, NotifyError> {
        let query = Query { written_from: Some(time), ..rows_with_prefix(DIGEST_PREFIX) };
        self.table.all(&query).await?.iter().map(DigestRecord::from_entity).collect()
    }

    /// The rows that digests hold which can hold rows written from `from` on.
    pub(super) async fn known_rows(&self, from: Timestamp) -> Result<KnownRows, NotifyError> {
        let mut known = KnownRows::default();
        for digest in self.digests_since(from - CLOCK_MARGIN).await? {
            for (partition_key, row_key) in &digest.leads {
                known.insert(partition_key, row_key);
            }
            for row_key in &digest.quarantined {
                known.insert(quarantine::PARTITION, row_key);
            }
        }
        Ok(known)
    }

    /// The write that records a run. Its key sorts the newest run first.
    pub(super) fn run_operation(run: &RunRecord) -> Operation {
        let mut entity = Entity::new(PARTITION, run_key(run.started, &run.run)).with("Started", run.started);
        entity.set_text("Run", &serde_json::json!(run).to_string());
        Operation::InsertOrReplace(entity)
    }

    /// Records a run that did not have the lease.
    pub(super) async fn record(&self, run: &RunRecord) -> Result<(), TableError> {
        self.table.submit(PARTITION, &[Self::run_operation(run)]).await.map(drop)
    }

    /// The last runs, newest first.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub async fn runs(&self, count: usize) -> Result<Vec<RunRecord>, TableError> {
        let page_size = u32::try_from(count.clamp(1, 1000)).unwrap_or(1000);
        let query = Query { page_size: Some(page_size), ..rows_with_prefix(RUN_PREFIX) };
        let mut runs = Vec::new();
        let mut next = None;
        while runs.len() < count {
            let page = self.table.page(&query, next.as_ref()).await?;
            let texts = page.entities.iter().filter_map(|entity| entity.text("Run"));
            runs.extend(texts.filter_map(|text| serde_json::from_str::<RunRecord>(&text).ok()));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        runs.truncate(count);
        Ok(runs)
    }
}

/// The query for the digests that were written before this time, sent or not.
pub(super) fn digests_before(time: Timestamp) -> Query {
    Query { written_before: Some(time), ..rows_with_prefix(DIGEST_PREFIX) }
}

/// The query for the runs that were recorded before this time.
pub(super) fn runs_before(time: Timestamp) -> Query {
    Query { written_before: Some(time), ..rows_with_prefix(RUN_PREFIX) }
}

fn rows_with_prefix(prefix: &str) -> Query {
    // The prefixes end with '-'; '.' is the character after it.
    let end = format!("{}.", prefix.trim_end_matches('-'));
    Query { row_key_from: Some(prefix.to_owned()), row_key_before: Some(end), ..Query::partition(PARTITION) }
}

fn run_key(started: Timestamp, run: &str) -> String {
    const FAR: i64 = 9_999_999_999_999;
    format!("{RUN_PREFIX}{:013}-{run}", FAR - started.as_millisecond())
}

/// The id of the n-th digest of a run: sorts by time, and names its run.
pub(super) fn digest_id(created: Timestamp, run: &str, number: usize) -> String {
    format!("{}-{run}-{number:04}", created.strftime("%Y%m%dT%H%M%SZ"))
}

/// How far the clocks of the service's servers may be apart from each other and from ours.
pub(super) const CLOCK_MARGIN: SignedDuration = SignedDuration::from_hours(1);
