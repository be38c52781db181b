//! The rows `channel-…`: what each destination is owed.

use super::{CHANNEL, PARTITION, set_time, time_of};
use crate::address::DestinationName;
use crate::table::Entity;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A channel's id: 16 hexadecimal digits, a hash of the route and the destination.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChannelId(String);

impl ChannelId {
    /// The id of the channel from a route, by its stable id, to a destination.
    pub(crate) fn of(route: &str, destination: &DestinationName) -> Self {
        let hash = Sha256::digest(format!("{destination}\n{route}"));
        Self(hex::encode(&hash[..8]))
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

/// To whom a channel sends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Target {
    /// The stable id of a route.
    pub(crate) route: String,
    /// One of the route's destinations.
    pub(crate) destination: DestinationName,
}

impl Target {
    /// The mail addresses of a route.
    pub(crate) fn mail(route: impl Into<String>) -> Self {
        Self { route: route.into(), destination: DestinationName::mail() }
    }

    /// The id of its channel.
    pub(crate) fn channel(&self) -> ChannelId {
        ChannelId::of(&self.route, &self.destination)
    }
}

/// Where one destination's mails come from: how far it has come, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Channel {
    pub(crate) id: ChannelId,
    /// Its route and its destination.
    pub(crate) target: Target,
    /// Everything that it owes is behind this place.
    pub(crate) cursor: Position,
    /// Everything that it owes is before this place.
    pub(crate) tail: Position,
    /// How many leads it owes to its destination.
    pub(crate) owed: usize,
    /// When the oldest of them was recorded.
    pub(crate) oldest: Option<Timestamp>,
    /// The urgent leads among them, if there are any.
    pub(crate) urgent: Option<Urgent>,
    /// Until when its mails are grouped, because the mail service has no quota left for more.
    pub(crate) grouped_until: Option<Timestamp>,
    /// What may be on its way.
    pub(crate) flight: Option<Flight>,
    /// Leads before this place may have been sent already.
    pub(crate) maybe: Position,
    /// The most leads of its next mail; `None`: as many as the settings say.
    pub(crate) limit: Option<usize>,
    /// Whether its next mail is one lead without its texts, because the mail service refused them.
    pub(crate) is_reduced: bool,
    /// Whether it gave up a lead, and nothing was accepted since.
    pub(crate) has_parked: bool,
    /// Leads, by a hash, that its destination failed on while it took others, and how often.
    pub(crate) suspects: Vec<(String, u32)>,
    /// How often in a row its destination could not be reached.
    pub(crate) attempts: u32,
    /// When it is tried again; `None`: now.
    pub(crate) next_attempt: Option<Timestamp>,
    /// What was wrong the last time.
    pub(crate) reason: Option<String>,
    /// What the operator was told of it since it last worked.
    pub(crate) told: Told,
}

/// What the operator was told of a channel that does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Told {
    /// Nothing.
    #[default]
    Nothing,
    /// That its destination refuses everything.
    Refusal,
    /// That its leads have waited for half of the time for which they are kept.
    Wait,
}

impl Told {
    const NAMES: [(Self, &'static str); 2] = [(Self::Refusal, "refusal"), (Self::Wait, "wait")];

    fn name(self) -> Option<&'static str> {
        Self::NAMES.into_iter().find(|(told, _)| *told == self).map(|(_, name)| name)
    }

    fn parse(text: &str) -> Self {
        Self::NAMES.into_iter().find(|(_, name)| *name == text).map_or(Self::Nothing, |(told, _)| told)
    }
}

/// Urgent leads that a channel owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Urgent {
    /// The last of them is before this place.
    pub(crate) until: Position,
    /// When the first of them was recorded.
    pub(crate) since: Timestamp,
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
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            id: target.channel(),
            target: target.clone(),
            cursor: Position::default(),
            tail: Position::default(),
            owed: 0,
            oldest: None,
            urgent: None,
            grouped_until: None,
            flight: None,
            maybe: Position::default(),
            limit: None,
            is_reduced: false,
            has_parked: false,
            suspects: Vec::new(),
            attempts: 0,
            next_attempt: None,
            reason: None,
            told: Told::Nothing,
        }
    }

    pub(in crate::notify::log) fn to_entity(&self) -> Entity {
        let mut row = Entity::new(PARTITION, format!("{CHANNEL}{}", self.id))
            .with("Route", self.target.route.as_str())
            .with("Destination", self.target.destination.as_str())
            .with("Cursor", self.cursor.text())
            .with("Tail", self.tail.text())
            .with("Owed", i64::try_from(self.owed).unwrap_or(i64::MAX))
            .with("Maybe", self.maybe.text())
            .with("IsReduced", self.is_reduced)
            .with("HasParked", self.has_parked)
            .with("Attempts", i64::from(self.attempts));
        set_time(&mut row, "Oldest", self.oldest);
        set_time(&mut row, "NextAttempt", self.next_attempt);
        set_time(&mut row, "GroupedUntil", self.grouped_until);
        if let Some(Urgent { until, since }) = &self.urgent {
            row.set("UrgentUntil", until.text());
            set_time(&mut row, "UrgentSince", Some(*since));
        }
        if !self.suspects.is_empty() {
            let suspects: Vec<_> = self.suspects.iter().map(|(hash, times)| format!("{hash}:{times}")).collect();
            row.set("Suspects", suspects.join(" "));
        }
        if let Some(limit) = self.limit {
            row.set("Limit", i64::try_from(limit).unwrap_or(i64::MAX));
        }
        if let Some(reason) = &self.reason {
            row.set("Reason", reason.as_str());
        }
        if let Some(told) = self.told.name() {
            row.set("Told", told);
        }
        if let Some(Flight { until, id, done }) = &self.flight {
            row.set("FlightUntil", until.text());
            row.set("FlightId", id.as_str());
            row.set_text("FlightDone", &done.join(" "));
        }
        row
    }

    pub(in crate::notify::log) fn from_entity(row: &Entity) -> Option<Self> {
        let number = |name: &str| row.integer(name).and_then(|number| usize::try_from(number).ok());
        let position = |name: &str| row.string(name).map(Position::parse).unwrap_or_default();
        Some(Self {
            id: ChannelId::parse(row.row_key.strip_prefix(CHANNEL)?)?,
            target: Target {
                route: row.string("Route").unwrap_or_default().to_owned(),
                // Channels of the version before this one have none: they were for mail alone.
                destination: row
                    .string("Destination")
                    .and_then(|name| DestinationName::parse(name).ok())
                    .unwrap_or_else(DestinationName::mail),
            },
            cursor: position("Cursor"),
            tail: position("Tail"),
            owed: number("Owed").unwrap_or_default(),
            oldest: row.time("Oldest"),
            urgent: row.time("UrgentSince").map(|since| Urgent { until: position("UrgentUntil"), since }),
            grouped_until: row.time("GroupedUntil"),
            flight: row.string("FlightUntil").map(|until| Flight {
                until: Position::parse(until),
                id: row.string("FlightId").unwrap_or_default().to_owned(),
                done: row.text("FlightDone").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            }),
            maybe: position("Maybe"),
            limit: number("Limit"),
            is_reduced: row.boolean("IsReduced").unwrap_or_default(),
            has_parked: row.boolean("HasParked").unwrap_or_default(),
            suspects: suspects(row.string("Suspects").unwrap_or_default()),
            attempts: number("Attempts").and_then(|number| number.try_into().ok()).unwrap_or_default(),
            next_attempt: row.time("NextAttempt"),
            reason: row.string("Reason").map(str::to_owned),
            told: row.string("Told").map(Told::parse).unwrap_or_default(),
        })
    }
}

fn suspects(text: &str) -> Vec<(String, u32)> {
    let suspect =
        |part: &str| part.split_once(':').and_then(|(hash, times)| Some((hash.to_owned(), times.parse().ok()?)));
    text.split(' ').filter_map(suspect).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_of_a_routes_mails_keeps_the_id_that_it_had_before_there_were_other_destinations() {
        assert_eq!(Target::mail("default").channel().as_str(), "bdc43103d4149a0d");
        assert_eq!(Target::mail("name sales").channel().as_str(), "c6a4104141a862c3");
        let destination = DestinationName::parse("crm").unwrap();
        assert_eq!(ChannelId::of("name sales", &destination).as_str(), "28e8a353fbe3874a");
    }

    #[test]
    fn a_channel_is_read_as_it_was_written_and_one_without_a_destination_is_for_mail() {
        let target = Target { route: "sales".to_owned(), destination: DestinationName::parse("crm").unwrap() };
        let now = "2026-11-03T14:00:00Z".parse().unwrap();
        let channel = Channel {
            urgent: Some(Urgent { until: Position::new("log-1", 3), since: now }),
            grouped_until: Some(now),
            suspects: vec![("0123456789abcdef".to_owned(), 2)],
            ..Channel::new(&target)
        };
        assert_eq!(Channel::from_entity(&channel.to_entity()), Some(channel));
        let before =
            Entity::new(PARTITION, format!("{CHANNEL}{}", Target::mail("default").channel())).with("Route", "default");
        assert_eq!(Channel::from_entity(&before).map(|channel| channel.target), Some(Target::mail("default")));
    }
}
