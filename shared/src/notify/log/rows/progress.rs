//! The row `collect`: how far reading has come.

use super::{COLLECT, PARTITION, set_time};
use crate::table::Entity;
use jiff::Timestamp;
use serde_json::{Value as Json, json};

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
    pub(in crate::notify::log) fn to_entity(&self, last_log: &str) -> Entity {
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

    pub(in crate::notify::log) fn from_entity(row: &Entity) -> Self {
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
