//! What an export is asked for: the query of its address.

use super::range::{Hop, Range, Work};
use crate::columns::Preset;
use crate::lead::{Day, StoredLead, UnreadableRow};
use crate::lead::{days, time_or_day};
use crate::table::{Entity, Keys};
use jiff::{SignedDuration, Timestamp};
use url::form_urlencoded;

/// The parameters. All are optional; `offer` and `action` may be there several times.
const NAMES: [&str; 9] =
    ["format", "since", "until", "offer", "action", "include-tests", "preset", "whole-table", "after"];

/// The longest range that is read by the partitions of its days. Beyond, one query of the whole table is less work than
/// hundreds that each read a day.
const LONGEST_BY_DAYS: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The form of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Ndjson,
    Json,
}

impl Format {
    const ALL: [Self; 3] = [Self::Csv, Self::Ndjson, Self::Json];

    /// The parameter's value, and the file's ending.
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Json => "json",
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Json => "application/json",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) format: Format,
    pub(super) preset: Option<Preset>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    offers: Vec<String>,
    actions: Vec<String>,
    include_tests: bool,
    whole_table: bool,
    /// Only rows behind this one, in the order of the file.
    after: Option<Keys>,
}

impl Parameters {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// All that is wrong with it, in sentences that name what is right.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let fields: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let mut wrong = Vec::new();
        if fields.iter().any(|(name, _)| !NAMES.contains(&name.as_ref())) {
            wrong.push(format!("There are parameters that are not known; the known ones: {}.", NAMES.join(", ")));
        }
        let mut one = |name: &str, valid: &str, is_valid: &dyn Fn(&str) -> bool| {
            let mut values = fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_ref());
            let value = values.next()?;
            if values.next().is_some() {
                wrong.push(format!("{name} is there more than once."));
            } else if !is_valid(value) {
                wrong.push(format!("{name} is not valid; valid: {valid}."));
            }
            Some(value)
        };
        let names = Format::ALL.map(Format::name);
        let format = one("format", &names.join(", "), &|value| names.contains(&value));
        let format = Format::ALL.into_iter().find(|known| Some(known.name()) == format).unwrap_or(Format::Csv);
        let names = Preset::ALL.map(Preset::name);
        let preset = one("preset", &names.join(", "), &|value| names.contains(&value));
        let preset = Preset::ALL.into_iter().find(|known| Some(known.name()) == preset);
        let times = "a time like 2026-11-03T14:00:00Z, or a day like 2026-11-03";
        let is_time = |value: &str| time_or_day(value).is_some();
        let since = one("since", times, &is_time).and_then(time_or_day);
        let until = one("until", times, &is_time).and_then(time_or_day);
        let mut yes = |name| one(name, "true, false", &|value| ["true", "false"].contains(&value)) == Some("true");
        let (include_tests, whole_table) = (yes("include-tests"), yes("whole-table"));
        let keys = "the keys of a row with a slash between them, like 11:2F3:2F2026/65ede244";
        let after = one("after", keys, &|value| keys_of(value).is_some()).and_then(keys_of);
        if preset.is_some() && format != Format::Csv {
            wrong.push("preset goes with format=csv alone.".to_owned());
        }
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            wrong.push("since is not before until.".to_owned());
        }
        let several = |name: &str| -> Vec<String> {
            fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.trim().to_owned()).collect()
        };
        let (offers, actions) = (several("offer"), several("action"));
        if offers.iter().any(String::is_empty) {
            wrong.push("offer is empty; valid: an offer's title or id.".to_owned());
        }
        if actions.iter().any(String::is_empty) {
            wrong.push(
                "action is empty; valid: an action code, such as INS, PLT, DNC, Create, StartTestDrive.".to_owned(),
            );
        }
        if !wrong.is_empty() {
            return Err(wrong.join(" "));
        }
        let parameters = Self { format, preset, since, until, offers, actions, include_tests, whole_table, after };
        parameters.check_after().map(|()| parameters)
    }

    /// Whether a file can go on where this one is told to. The order of its rows must be that of the file before, and what
    /// the order is must not depend on the time at which it is asked for.
    fn check_after(&self) -> Result<(), String> {
        let Some(after) = &self.after else { return Ok(()) };
        if self.since.is_none() || self.whole_table {
            return Ok(());
        }
        let Some(until) = self.until else {
            return Err("after goes with until where there is since: a file goes on in the same range.".to_owned());
        };
        let is_of_range = |days: Vec<Day>| days.into_iter().any(|day| day.partition_key() == after.partition);
        if self.days(until).is_none_or(is_of_range) {
            return Ok(());
        }
        Err("after names a partition that is not of the range from since to until.".to_owned())
    }

    /// The days whose partitions are read; `None` where all partitions of the table are.
    fn days(&self, now: Timestamp) -> Option<Vec<Day>> {
        let since = self.since.filter(|_| !self.whole_table)?;
        let until = self.until.unwrap_or(now).max(since);
        (until.duration_since(since) <= LONGEST_BY_DAYS).then(|| days(since, until))
    }

    /// What finds the rows, in the order of the file: the days of a range that is not too long, or else hops through the
    /// whole table.
    pub(super) fn work(&self, now: Timestamp) -> Vec<Work> {
        let rows = |partition_key, after| Work::Rows(Range::partition(partition_key, after));
        let after = self.after.as_ref();
        let first = after.map(|after| rows(after.partition.clone(), Some(after.row.clone())));
        let rest: Vec<_> = match self.days(now) {
            Some(days) => {
                let partitions = days.into_iter().map(Day::partition_key);
                let is_read = |partition: &String| after.is_some_and(|after| *partition != after.partition);
                let behind = partitions.skip_while(is_read).skip(usize::from(after.is_some()));
                behind.map(|partition| rows(partition, None)).collect()
            }
            None => Hop::through_table(after.map(|after| after.partition.as_str())),
        };
        first.into_iter().chain(rest).collect()
    }

    /// Behind which row a file goes on that has no rows itself.
    pub(super) fn after(&self) -> Option<&Keys> {
        self.after.as_ref()
    }

    /// Whether a row belongs into the file. A row that is no lead has neither offer nor action nor time. It belongs into the
    /// file, unless the table's service wrote it outside of the range.
    pub(super) fn includes(&self, entity: &Entity, lead: &Result<StoredLead, UnreadableRow>) -> bool {
        let is_wanted = lead.as_ref().map_or(true, |StoredLead { lead, .. }| {
            !lead.is_validation() && (self.include_tests || !lead.is_test()) && lead.is_of(&self.offers, &self.actions)
        });
        let has_bounds = self.since.is_some() || self.until.is_some();
        let time = || lead.as_ref().map_or(entity.timestamp, StoredLead::time);
        let is_within =
            |time| self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until);
        is_wanted && (!has_bounds || time().is_none_or(is_within))
    }

    /// `marketplace-leads-<since>-<until>.csv`; without `since` there is none, without `until` it is today.
    pub(super) fn file_name(&self, now: Timestamp) -> String {
        let text = |time: Timestamp| match Day::of(time) {
            day if day.start() == time => day.to_string(),
            _ => time.strftime("%Y-%m-%dT%H%M%SZ").to_string(),
        };
        let since = self.since.map(|since| format!("{}-", text(since))).unwrap_or_default();
        let until = self.until.map_or_else(|| Day::of(now).to_string(), text);
        format!("marketplace-leads-{since}{until}.{}", self.format.name())
    }
}

/// Reads the keys of a row. Neither of them can hold a slash.
fn keys_of(text: &str) -> Option<Keys> {
    let (partition, row) = text.split_once('/')?;
    (!row.contains('/')).then(|| Keys::new(partition, row))
}
