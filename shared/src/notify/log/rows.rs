//! The rows of the log, as they stand in the state table. Each type here is one kind of row.

use super::bits::Bits;
use crate::table::{ETag, Entity, Value};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt;

/// The partition of everything here.
pub const PARTITION: &str = "notifier";

pub(super) const CORE: &str = "core";
pub(super) const COLLECT: &str = "collect";
pub(super) const CONTROL: &str = "control";
pub(super) const CHANNEL: &str = "channel-";
pub(super) const LOG: &str = "log-";
pub(super) const PARKED: &str = "parked-";
const OWED_BY: &str = "OwedBy_";

/// A channel's id: 16 hexadecimal digits, a hash of the route, the destination and the cadence.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelId(String);

impl ChannelId {
    /// The id of the channel of a route.
    pub(crate) fn of(route: &str) -> Self {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::digest(format!("mail\n{route}"));
        Self(hash[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// An id as somebody wrote it; `None` where it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        is_id.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the log: before the entry of this number in this row. The default is before everything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    /// The row's key.
    pub row: String,
    /// How many entries of the row are before it.
    pub index: usize,
}

impl Position {
    /// A place.
    pub(crate) fn new(row: impl Into<String>, index: usize) -> Self {
        Self { row: row.into(), index }
    }

    /// When the row was written.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        time_of(&self.row)
    }

    fn text(&self) -> String {
        format!("{}/{}", self.row, self.index)
    }

    fn parse(text: &str) -> Self {
        let (row, index) = text.split_once('/').unwrap_or_default();
        Self { row: row.to_owned(), index: index.parse().unwrap_or_default() }
    }
}

/// The row that every batch writes: it carries the version by which a run that was overtaken is stopped.
#[derive(Clone, Default, Debug)]
pub(crate) struct Core {
    /// Which run holds the lease, if any.
    pub(crate) lease_owner: Option<String>,
    /// Until when it does, by the clock of the run that took it.
    pub(crate) lease_until: Option<Timestamp>,
    /// Which write this is, to recognise one whose answer was lost.
    pub(crate) write_id: String,
    /// When what is too old was deleted last.
    pub(crate) maintained: Option<Timestamp>,
    /// For which newest lead the alert about silence was sent.
    pub(crate) alerted_for: Option<Timestamp>,
    /// From which person on the contact index is still to be searched for people who did nothing lately.
    pub(crate) people_at: Option<String>,
    /// When the row was written last, by the service's clock. `None` before it was.
    pub(crate) written: Option<Timestamp>,
    pub(super) etag: Option<ETag>,
}

impl Core {
    pub(super) fn to_entity(&self) -> Entity {
        let mut row = Entity::new(PARTITION, CORE).with("WriteId", self.write_id.as_str());
        set_time(&mut row, "LeaseUntil", self.lease_until);
        set_time(&mut row, "Maintained", self.maintained);
        set_time(&mut row, "AlertedFor", self.alerted_for);
        for (name, text) in [("LeaseOwner", &self.lease_owner), ("PeopleAt", &self.people_at)] {
            if let Some(text) = text {
                row.set(name, text.as_str());
            }
        }
        row
    }

    pub(super) fn from_entity(row: &Entity) -> Self {
        Self {
            people_at: row.string("PeopleAt").map(str::to_owned),
            lease_owner: row.string("LeaseOwner").map(str::to_owned),
            lease_until: row.time("LeaseUntil"),
            write_id: row.string("WriteId").unwrap_or_default().to_owned(),
            maintained: row.time("Maintained"),
            alerted_for: row.time("AlertedFor"),
            written: row.timestamp,
            etag: row.etag.clone(),
        }
    }

    /// Whether a run is at work.
    pub(crate) fn is_leased(&self, now: Timestamp) -> bool {
        self.lease_owner.is_some() && self.lease_until.is_some_and(|until| until > now)
    }
}

/// How far reading has come. It is written only together with the leads that it covers.
#[derive(Clone, Default, Debug, PartialEq)]
pub(crate) struct Progress {
    /// Every row that the service wrote before this time, under a day of the window, is recorded. `None` before the first
    /// run.
    pub(crate) watermark: Option<Timestamp>,
    /// Where the reading of a window goes on that one run could not finish.
    pub(crate) resume: Option<Resume>,
    /// Where the search for rows outside the window stands.
    pub(crate) patrol: Patrol,
    /// Partitions outside the window that are read in every run.
    pub(crate) extras: Vec<Extra>,
    /// When the newest lead was written that is no test; before the first one, when the notifier ran first.
    pub(crate) newest_lead: Option<Timestamp>,
    /// When the newest test lead was written.
    pub(crate) newest_test_lead: Option<Timestamp>,
}

/// Where the reading of a window goes on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resume {
    /// When the reading of this window began, by the service's clock.
    pub(crate) began: Option<Timestamp>,
    /// The partitions that were read to their end.
    pub(crate) done: Vec<String>,
    /// The partition that is being read.
    pub(crate) partition_key: String,
    /// The next page, in the text form of a continuation. `None`: the partition's first page.
    pub(crate) next: Option<String>,
}

/// A partition outside the window that is read in every run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extra {
    /// The partition.
    pub(crate) partition_key: String,
    /// When the newest row was found in it.
    pub(crate) newest: Timestamp,
}

/// The search for rows that others may have written outside the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Patrol {
    /// The rows of old days that were written before this time were searched for.
    pub(crate) days_from: Option<Timestamp>,
    /// The rows of partitions that are no days and were written before this time were searched for.
    pub(crate) others_from: Option<Timestamp>,
    /// When the last pass over everything ended.
    pub(crate) last_full: Option<Timestamp>,
    /// When the last pass of either kind began, by our clock.
    pub(crate) last_began: Option<Timestamp>,
    /// The pass that is under way.
    pub(crate) pass: Option<Pass>,
}

/// A pass of the patrol over all partitions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pass {
    /// Whether old days are read as well as partitions that are no days.
    pub(crate) is_full: bool,
    /// When it began, by the service's clock.
    pub(crate) began: Timestamp,
    /// The last partition that was found; its key can be empty. `None`: none was found yet.
    pub(crate) at: Option<String>,
    /// The next page of that partition, in the text form of a continuation; `None` where it is done.
    pub(crate) next: Option<String>,
    /// Whether only the quarantine is left.
    pub(crate) is_at_quarantine: bool,
    /// How often in a row the partition at which it is could not be read.
    pub(crate) failures: u32,
    /// Whether a partition was passed over, because it could not be read: the next pass begins to read where this one did.
    pub(crate) is_partial: bool,
}

impl Progress {
    pub(super) fn to_entity(&self, last_log: &str) -> Entity {
        let mut row = Entity::new(PARTITION, COLLECT).with("LastLog", last_log);
        let Patrol { days_from, others_from, last_full, last_began, pass } = &self.patrol;
        for (name, time) in [
            ("Watermark", self.watermark),
            ("NewestLead", self.newest_lead),
            ("NewestTestLead", self.newest_test_lead),
            ("PatrolDaysFrom", *days_from),
            ("PatrolOthersFrom", *others_from),
            ("PatrolLastFull", *last_full),
            ("PatrolLastBegan", *last_began),
        ] {
            set_time(&mut row, name, time);
        }
        if let Some(Resume { began, done, partition_key, next }) = &self.resume {
            set_time(&mut row, "ResumeBegan", *began);
            row.set_text("ResumeDone", &json!(done).to_string());
            row.set("ResumePartition", partition_key.as_str());
            row.set("ResumeNext", next.clone().unwrap_or_default());
        }
        if let Some(Pass { is_full, began, at, next, is_at_quarantine, failures, is_partial }) = pass {
            row.set("PassIsFull", *is_full);
            row.set("PassBegan", *began);
            if let Some(at) = at {
                row.set("PassAt", at.as_str());
            }
            row.set("PassNext", next.clone().unwrap_or_default());
            row.set("PassIsAtQuarantine", *is_at_quarantine);
            row.set("PassFailures", i64::from(*failures));
            row.set("PassIsPartial", *is_partial);
        }
        let extras: Vec<_> = self.extras.iter().map(|extra| json!([extra.partition_key, extra.newest])).collect();
        row.set_text("Extras", &Json::from(extras).to_string());
        row
    }

    pub(super) fn from_entity(row: &Entity) -> Self {
        let text = |name: &str| row.string(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let extras: Vec<(String, Timestamp)> =
            serde_json::from_str(&row.text("Extras").unwrap_or_default()).unwrap_or_default();
        Self {
            watermark: row.time("Watermark"),
            resume: row.string("ResumePartition").map(|partition_key| Resume {
                began: row.time("ResumeBegan"),
                done: serde_json::from_str(&row.text("ResumeDone").unwrap_or_default()).unwrap_or_default(),
                partition_key: partition_key.to_owned(),
                next: text("ResumeNext"),
            }),
            patrol: Patrol {
                days_from: row.time("PatrolDaysFrom"),
                others_from: row.time("PatrolOthersFrom"),
                last_full: row.time("PatrolLastFull"),
                last_began: row.time("PatrolLastBegan"),
                pass: row.time("PassBegan").map(|began| Pass {
                    is_full: row.boolean("PassIsFull").unwrap_or_default(),
                    began,
                    at: row.string("PassAt").map(str::to_owned),
                    next: text("PassNext"),
                    is_at_quarantine: row.boolean("PassIsAtQuarantine").unwrap_or_default(),
                    failures: row.integer("PassFailures").and_then(|number| number.try_into().ok()).unwrap_or_default(),
                    is_partial: row.boolean("PassIsPartial").unwrap_or_default(),
                }),
            },
            extras: extras.into_iter().map(|(partition_key, newest)| Extra { partition_key, newest }).collect(),
            newest_lead: row.time("NewestLead"),
            newest_test_lead: row.time("NewestTestLead"),
        }
    }
}

/// Where one destination's mails come from: how far it has come, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Channel {
    pub(crate) id: ChannelId,
    /// The stable id of its route.
    pub(crate) route: String,
    /// Everything that it owes is behind this place.
    pub(crate) cursor: Position,
    /// Everything that it owes is before this place.
    pub(crate) tail: Position,
    /// How many leads it owes to its destination.
    pub(crate) owed: usize,
    /// When the oldest of them was recorded.
    pub(crate) oldest: Option<Timestamp>,
    /// What may be on its way.
    pub(crate) flight: Option<Flight>,
    /// Leads before this place may have been sent already.
    pub(crate) maybe: Position,
    /// The most leads of its next mail; `None`: as many as the settings say.
    pub(crate) limit: Option<usize>,
    /// Whether its next mail is one lead without its texts, because the mail service refused them.
    pub(crate) is_reduced: bool,
    /// How often in a row its destination could not be reached.
    pub(crate) attempts: u32,
    /// When it is tried again; `None`: now.
    pub(crate) next_attempt: Option<Timestamp>,
    /// What was wrong the last time.
    pub(crate) reason: Option<String>,
}

/// What may be on its way to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flight {
    /// It holds what the channel owes before this place.
    pub(crate) until: Position,
    /// The digest's id.
    pub(crate) id: String,
    /// Hashes of the recipients whose mail was accepted, where it takes several mails.
    pub(crate) done: Vec<String>,
}

impl Channel {
    /// A channel that owes nothing.
    pub(crate) fn new(route: &str) -> Self {
        Self {
            id: ChannelId::of(route),
            route: route.to_owned(),
            cursor: Position::default(),
            tail: Position::default(),
            owed: 0,
            oldest: None,
            flight: None,
            maybe: Position::default(),
            limit: None,
            is_reduced: false,
            attempts: 0,
            next_attempt: None,
            reason: None,
        }
    }

    pub(super) fn to_entity(&self) -> Entity {
        let mut row = Entity::new(PARTITION, format!("{CHANNEL}{}", self.id))
            .with("Route", self.route.as_str())
            .with("Cursor", self.cursor.text())
            .with("Tail", self.tail.text())
            .with("Owed", i64::try_from(self.owed).unwrap_or(i64::MAX))
            .with("Maybe", self.maybe.text())
            .with("IsReduced", self.is_reduced)
            .with("Attempts", i64::from(self.attempts));
        set_time(&mut row, "Oldest", self.oldest);
        set_time(&mut row, "NextAttempt", self.next_attempt);
        if let Some(limit) = self.limit {
            row.set("Limit", i64::try_from(limit).unwrap_or(i64::MAX));
        }
        if let Some(reason) = &self.reason {
            row.set("Reason", reason.as_str());
        }
        if let Some(Flight { until, id, done }) = &self.flight {
            row.set("FlightUntil", until.text());
            row.set("FlightId", id.as_str());
            row.set_text("FlightDone", &done.join(" "));
        }
        row
    }

    pub(super) fn from_entity(row: &Entity) -> Option<Self> {
        let number = |name: &str| row.integer(name).and_then(|number| usize::try_from(number).ok());
        let position = |name: &str| row.string(name).map(Position::parse).unwrap_or_default();
        Some(Self {
            id: ChannelId::parse(row.row_key.strip_prefix(CHANNEL)?)?,
            route: row.string("Route").unwrap_or_default().to_owned(),
            cursor: position("Cursor"),
            tail: position("Tail"),
            owed: number("Owed").unwrap_or_default(),
            oldest: row.time("Oldest"),
            flight: row.string("FlightUntil").map(|until| Flight {
                until: Position::parse(until),
                id: row.string("FlightId").unwrap_or_default().to_owned(),
                done: row.text("FlightDone").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            }),
            maybe: position("Maybe"),
            limit: number("Limit"),
            is_reduced: row.boolean("IsReduced").unwrap_or_default(),
            attempts: number("Attempts").and_then(|number| number.try_into().ok()).unwrap_or_default(),
            next_attempt: row.time("NextAttempt"),
            reason: row.string("Reason").map(str::to_owned),
        })
    }
}

/// Something that was found, by its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A row of the leads table.
    Lead { partition_key: String, row_key: String },
    /// A quarantined body: its row key.
    Quarantined(String),
    /// What was erased: nothing is known of it any more.
    Erased,
}

impl Entry {
    /// The entry as JSON: `["partition","row"]`, `["row"]`, or `null`.
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Lead { partition_key, row_key } => json!([partition_key, row_key]),
            Self::Quarantined(row_key) => json!([row_key]),
            Self::Erased => Json::Null,
        }
    }

    pub(crate) fn from_json(json: &Json) -> Self {
        let text = |at: usize| json.get(at).and_then(Json::as_str).map(str::to_owned);
        match (text(0), text(1)) {
            (Some(partition_key), Some(row_key)) => Self::Lead { partition_key, row_key },
            (Some(row_key), None) => Self::Quarantined(row_key),
            (None, _) => Self::Erased,
        }
    }

    /// How many UTF-16 units it takes in a row of the log.
    pub(crate) fn units(&self) -> usize {
        self.json().to_string().encode_utf16().count() + 1
    }
}

/// A row of the log: what was found at one time, and who owes it to somebody.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogRow {
    pub(crate) key: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) owed_by: BTreeMap<ChannelId, Bits>,
}

impl LogRow {
    pub(super) fn to_entity(&self) -> Entity {
        let mut row = Entity::new(PARTITION, &self.key);
        let keys: Vec<_> = self.entries.iter().map(Entry::json).collect();
        row.set_text("Keys", &Json::from(keys).to_string());
        for (channel, bits) in &self.owed_by {
            row.set(&format!("{OWED_BY}{channel}"), bits.to_bytes());
        }
        row
    }

    /// Reads a row. `None` where somebody has written something else there.
    pub(super) fn from_entity(row: &Entity) -> Option<Self> {
        let keys: Vec<Json> = serde_json::from_str(&row.text("Keys")?).ok()?;
        let owed_by = row.properties.iter().filter_map(|(name, value)| match value {
            Value::Binary(bytes) => Some((ChannelId::parse(name.strip_prefix(OWED_BY)?)?, Bits::from_bytes(bytes))),
            _ => None,
        });
        Some(Self {
            key: row.row_key.clone(),
            entries: keys.iter().map(Entry::from_json).collect(),
            owed_by: owed_by.collect(),
        })
    }

    /// The places behind a place of what a channel owes.
    pub(crate) fn owed<'a>(&'a self, channel: &ChannelId, from: &'a Position) -> impl Iterator<Item = usize> + 'a {
        let first = match self.key.cmp(&from.row) {
            std::cmp::Ordering::Less => self.entries.len(),
            std::cmp::Ordering::Equal => from.index,
            std::cmp::Ordering::Greater => 0,
        };
        let bits = self.owed_by.get(channel);
        (first..self.entries.len()).filter(move |index| bits.is_some_and(|bits| bits.has(*index)))
    }
}

/// A lead that a channel gave up, because its destination refused even its keys.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) channel: ChannelId,
    pub(crate) at: Position,
    pub(crate) entry: Entry,
    pub(crate) reason: String,
}

impl Parked {
    /// The row's key.
    pub(crate) fn row_key(&self) -> String {
        format!("{PARKED}{}-{}-{}", self.channel, self.at.row, self.at.index)
    }

    pub(super) fn to_entity(&self) -> Entity {
        Entity::new(PARTITION, self.row_key())
            .with("Keys", self.entry.json().to_string())
            .with("Reason", self.reason.as_str())
    }

    /// Reads a row; `None` where it is no such row.
    pub(crate) fn from_entity(row: &Entity) -> Option<Self> {
        let rest = row.row_key.strip_prefix(PARKED)?;
        let (channel, rest) = rest.split_once('-')?;
        let (log, index) = rest.rsplit_once('-')?;
        Some(Self {
            channel: ChannelId::parse(channel)?,
            at: Position::new(log, index.parse().ok()?),
            entry: Entry::from_json(&serde_json::from_str(row.string("Keys")?).ok()?),
            reason: row.string("Reason").unwrap_or_default().to_owned(),
        })
    }
}

/// The key of a row of the log: it sorts by time. Milliseconds since 1970, 13 digits.
pub(crate) fn log_key(time: Timestamp) -> String {
    format!("{LOG}{:013}", time.as_millisecond().max(0))
}

/// The key of a new row: after the last one, whatever the clock says.
pub(super) fn next_log_key(now: Timestamp, last: &str) -> String {
    let last = time_of(last).map_or(-1, |time| time.as_millisecond());
    format!("{LOG}{:013}", now.as_millisecond().max(last + 1).max(0))
}

fn time_of(key: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(key.strip_prefix(LOG)?.parse().ok()?).ok()
}

fn set_time(row: &mut Entity, name: &str, time: Option<Timestamp>) {
    if let Some(time) = time {
        row.set(name, time);
    }
}
