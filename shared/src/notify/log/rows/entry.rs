//! The rows `log-…`, what they hold, and the rows `parked-…`.

use super::{ChannelId, PARKED, PARTITION, Position};
use crate::notify::log::bits::Bits;
use crate::table::{Entity, Keys, Value};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const OWED_BY: &str = "OwedBy_";

const ERASING: &str = "erasing";
const FOR: &str = "for";

/// Something that was found, by its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A row of the leads table.
    Lead(Keys),
    /// A quarantined body: its row key.
    Quarantined(String),
    /// What an erasure is about to delete: it is mailed to nobody, and found by nobody as something new, until the erasure
    /// ends.
    Erasing {
        /// What it is: a row or a body.
        entry: Box<Entry>,
        /// Whose erasure it is: the beginning of the key that the contact index has for them.
        person: String,
    },
    /// What was erased: nothing is known of it any more.
    Erased,
}

impl Entry {
    /// The entry as JSON: `["partition","row"]`, `["row"]`, `{"erasing":…,"for":"…"}` around one of them, or `null`.
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Lead(Keys { partition, row }) => json!([partition, row]),
            Self::Quarantined(row_key) => json!([row_key]),
            Self::Erasing { entry, person } => json!({ERASING: entry.json(), FOR: person}),
            Self::Erased => Json::Null,
        }
    }

    /// What is found by these keys, even while it is being erased.
    pub(crate) fn found(&self) -> &Self {
        match self {
            Self::Erasing { entry, .. } => entry,
            found => found,
        }
    }

    /// What may be told of it: nothing of what is being erased.
    pub(crate) fn told(&self) -> &Self {
        match self {
            Self::Erasing { .. } => &Self::Erased,
            told => told,
        }
    }

    pub(crate) fn from_json(json: &Json) -> Self {
        if let (Some(entry), Some(person)) = (json.get(ERASING), json.get(FOR).and_then(Json::as_str)) {
            let keys = entry.as_array().map(|_| Self::from_json(entry));
            return keys
                .map_or(Self::Erased, |entry| Self::Erasing { entry: Box::new(entry), person: person.to_owned() });
        }
        let text = |at: usize| json.get(at).and_then(Json::as_str).map(str::to_owned);
        match (text(0), text(1)) {
            (Some(partition), Some(row)) => Self::Lead(Keys { partition, row }),
            (Some(row_key), None) => Self::Quarantined(row_key),
            (None, _) => Self::Erased,
        }
    }

    /// The partition in which it is; for a body, a name that no partition has.
    pub(crate) fn partition_key(&self) -> &str {
        match self.found() {
            Self::Lead(keys) => &keys.partition,
            _ => "\u{0}quarantine",
        }
    }

    /// A hash of its keys.
    pub(crate) fn hash(&self) -> String {
        hex::encode(&Sha256::digest(self.found().json().to_string())[..8])
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
    pub(in crate::notify::log) fn to_entity(&self) -> Entity {
        let mut row = Entity::new(PARTITION, &self.key);
        let keys: Vec<_> = self.entries.iter().map(Entry::json).collect();
        row.set_text("Keys", &Json::from(keys).to_string());
        for (channel, bits) in &self.owed_by {
            row.set(&format!("{OWED_BY}{channel}"), bits.to_bytes());
        }
        row
    }

    /// Reads a row. `None` where somebody has written something else there.
    pub(in crate::notify::log) fn from_entity(row: &Entity) -> Option<Self> {
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
    /// Whether the destination may have it all the same.
    pub(crate) is_maybe: bool,
}

impl Parked {
    /// The row's key.
    pub(crate) fn row_key(&self) -> String {
        format!("{PARKED}{}-{}-{}", self.channel, self.at.row, self.at.index)
    }

    pub(in crate::notify::log) fn to_entity(&self) -> Entity {
        Entity::new(PARTITION, self.row_key())
            .with("Keys", self.entry.json().to_string())
            .with("Reason", self.reason.as_str())
            .with("IsMaybe", self.is_maybe)
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
            // Where it is not known, it may.
            is_maybe: row.boolean("IsMaybe").unwrap_or(true),
        })
    }
}
