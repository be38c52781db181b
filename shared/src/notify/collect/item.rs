//! What is found: a lead, a row that is none, or a quarantined body.

use crate::lead::StoredLead;
use crate::mail::{QuarantinedBody, UnreadableLead};
use crate::notify::log::Entry;
use crate::quarantine::{self, Quarantined};
use crate::table::{Entity, Keys, Value};

/// How much of a quarantined body stands in a digest.
const EXCERPT_CHARACTERS: usize = 500;

/// How much of one column of a row that cannot be read is kept for a digest.
const COLUMN_CHARACTERS: usize = 2_000;

/// The most columns of such a row that are kept.
const COLUMNS: usize = 40;

/// Something that was found.
#[derive(Clone)]
pub(crate) enum Item {
    /// A lead.
    Lead(Box<StoredLead>),
    /// A row of the leads table that is no lead.
    Unreadable(UnreadableLead),
    /// A body that intake could not read.
    Quarantined(QuarantinedBody),
}

impl Item {
    /// What a row of the leads table is: never an error, so that one bad row stops no other.
    pub(crate) fn of_row(row: &Entity) -> Self {
        match StoredLead::from_entity(row) {
            Ok(stored) => Self::Lead(Box::new(stored)),
            Err(reason) => Self::Unreadable(UnreadableLead {
                keys: row.keys(),
                timestamp: row.timestamp,
                reason: reason.to_string(),
                columns: row
                    .properties
                    .iter()
                    .take(COLUMNS)
                    .map(|(name, value)| (name.to_string(), cut(value)))
                    .collect(),
            }),
        }
    }

    /// A quarantined body as a digest names it.
    pub(crate) fn of_body(row: &Entity) -> Self {
        let quarantined = Quarantined::from_entity(row);
        let beginning = &quarantined.body[..quarantined.body.len().min(4 * EXCERPT_CHARACTERS)];
        Self::Quarantined(QuarantinedBody {
            keys: row.keys(),
            received: quarantined.received,
            reason: quarantined.reason,
            size: quarantined.size,
            excerpt: String::from_utf8_lossy(beginning).chars().take(EXCERPT_CHARACTERS).collect(),
        })
    }

    /// A row that was deleted since it was recorded. `None` for what is erased: nobody is told of it.
    pub(crate) fn gone(entry: &Entry) -> Option<Self> {
        let keys = match entry {
            Entry::Lead(keys) => keys.clone(),
            Entry::Quarantined(row_key) => Keys::new(quarantine::PARTITION, row_key),
            Entry::Erasing { .. } | Entry::Erased => return None,
        };
        let reason = "it was deleted after this digest was recorded".to_owned();
        Some(Self::Unreadable(UnreadableLead { keys, timestamp: None, reason, columns: Vec::new() }))
    }

    /// The lead, if it is one.
    pub(crate) fn lead(&self) -> Option<&StoredLead> {
        match self {
            Self::Lead(stored) => Some(stored),
            Self::Unreadable(_) | Self::Quarantined(_) => None,
        }
    }

    /// Its keys, as the log holds them.
    pub(crate) fn entry(&self) -> Entry {
        match self {
            Self::Lead(stored) => Entry::Lead(stored.keys.clone()),
            Self::Unreadable(row) => Entry::Lead(row.keys.clone()),
            Self::Quarantined(body) => Entry::Quarantined(body.keys.row.clone()),
        }
    }

    /// About how many bytes it takes in memory and in a mail.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Lead(stored) => {
                let lead = &stored.lead;
                let customer = lead.customer.known().iter().map(|(_, text)| text.len()).sum::<usize>();
                let unknown = lead.unknown.iter().chain(&lead.customer.unknown);
                let unknown = unknown.map(|field| field.name.len() + field.json.len()).sum::<usize>();
                let texts = [
                    &lead.lead_source,
                    &lead.action_code,
                    &lead.offer_title,
                    &lead.description,
                    &lead.created_time,
                    &stored.keys.partition,
                    &stored.keys.row,
                ];
                customer + unknown + texts.iter().map(|text| text.len()).sum::<usize>() + 256
            }
            Self::Unreadable(row) => {
                row.columns.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>()
                    + row.keys.partition.len()
                    + row.keys.row.len()
                    + 256
            }
            Self::Quarantined(body) => body.excerpt.len() + body.reason.len() + 256,
        }
    }
}

/// The beginning of a column's text.
fn cut(value: &Value) -> String {
    let text = value.text();
    match text.char_indices().nth(COLUMN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
