//! Leads as rows of the Azure table: Microsoft's own, and those of our intake in the same form.

use super::day::Day;
use super::parse::{Content, Field, Fields, json_string, text_of};
use super::time::{DateOrder, plausible, read, to_millisecond};
use super::{Customer, Lead, UnknownField};
use crate::bug::{Bug, caught};
use crate::table::{Damage, Entity, Keys, Value};
use jiff::Timestamp;
use std::borrow::Cow;

/// The columns of a lead's row. The first six are Microsoft's.
pub mod column {
    /// What the customer did, as a code.
    pub const ACTION_CODE: &str = "ActionCode";
    /// When the lead was made.
    pub const CREATED_TIME: &str = "CreatedTime";
    /// The customer, as a JSON text.
    pub const CUSTOMER_INFO: &str = "CustomerInfo";
    /// Free text, or campaign parameters as a JSON text.
    pub const DESCRIPTION: &str = "Description";
    /// `Source-Action|Offer`
    pub const LEAD_SOURCE: &str = "LeadSource";
    /// The offer's display name.
    pub const OFFER_DISPLAY_NAME: &str = "OfferDisplayName";
    /// Ours: when intake received the lead (RFC 3339, UTC, milliseconds).
    pub const RECEIVED_TIME: &str = "ReceivedTime";
    /// Ours: when the same request came at another time (RFC 3339, UTC, milliseconds). Most rows lack it.
    pub const SAME_REQUEST_TIME: &str = "SameRequestTime";
    /// Ours: `https`.
    pub const SOURCE: &str = "Source";
    /// Ours: fields of the body that have no column, as a JSON text of an object.
    pub const UNKNOWN_FIELDS: &str = "UnknownFields";
}

const SOURCE_HTTPS: &str = "https";

/// Who wrote a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Microsoft, or anybody else who writes like Microsoft.
    Table,
    /// Our intake, from a lead by HTTPS.
    Https,
}

impl Origin {
    /// A short stable name: `table` or `https`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Https => SOURCE_HTTPS,
        }
    }
}

/// A lead with the place where it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLead {
    /// The lead.
    pub lead: Lead,
    /// The row's keys: the partition is mostly the day.
    pub keys: Keys,
    /// When the table's service wrote the row last. `None` before it did.
    pub timestamp: Option<Timestamp>,
    /// When our intake received the lead. `None` for rows of others.
    pub received: Option<Timestamp>,
    /// When our intake received a request with the same content that was no retry: the nearest one in time that it knew
    /// of. `None` where it knew of none, and for rows of others.
    pub same_request: Option<Timestamp>,
    /// Who wrote the row.
    pub origin: Origin,
}

/// When a lead came about, as people should see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownTime<'a> {
    /// A time that is known.
    Known(Timestamp),
    /// What Microsoft wrote, where it could not be read as a time.
    AsItCame(&'a str),
    /// There is no time, or one that cannot be a lead's.
    Unknown,
}

/// Why a row is no lead. Holds nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableRow {
    /// `CustomerInfo` is neither empty nor a JSON text of an object.
    #[error("its CustomerInfo is not a JSON object")]
    CustomerInfo,
    /// None of a lead's columns has a value.
    #[error("none of a lead's columns has a value")]
    NotALead,
    /// The service gave the row with values that could not be read.
    #[error("its values could not be read")]
    Damaged,
    /// Our own code fails on it.
    #[error(transparent)]
    Bug(#[from] Bug),
}

impl StoredLead {
    /// A lead that intake received, with the row under which it belongs: the partition is the UTC day on which it was
    /// received, the key is [`Lead::id`]. The time is kept to the millisecond.
    pub fn received(lead: Lead, received: Timestamp) -> Self {
        let received = to_millisecond(received);
        Self {
            keys: Keys::new(Day::of(received).partition_key(), lead.id()),
            lead,
            timestamp: None,
            received: Some(received),
            same_request: None,
            origin: Origin::Https,
        }
    }

    /// When the lead came about: when it was received, or else Microsoft's `CreatedTime`, or else when the row was
    /// written. A time outside of the years 2000 to 2100 counts as unknown. For calculations and for the order of leads;
    /// people are shown [`StoredLead::shown_time`].
    pub fn time(&self) -> Option<Timestamp> {
        let created = || read(&self.lead.created_time, DateOrder::MonthFirst).and_then(plausible);
        self.received.and_then(plausible).or_else(created).or_else(|| self.timestamp.and_then(plausible))
    }

    /// When the lead came about, for people. Where Microsoft's `CreatedTime` cannot be read, it is shown as it came, so
    /// that the time at which the row was written does not stand in its place.
    pub fn shown_time(&self) -> ShownTime<'_> {
        let created = self.lead.created_time.trim();
        if created.is_empty() || self.received.and_then(plausible).is_some() {
            return self.time().map_or(ShownTime::Unknown, ShownTime::Known);
        }
        match read(created, DateOrder::MonthFirst) {
            Some(time) => plausible(time).map_or(ShownTime::Unknown, ShownTime::Known),
            None => ShownTime::AsItCame(created),
        }
    }

    /// The row: Microsoft's columns and types, and ours beside them. A text longer than a column goes on in `Name_2`,
    /// `Name_3`, …
    pub fn to_entity(&self) -> Entity {
        let Lead { customer, lead_source, action_code, offer_title, description, created_time, unknown } = &self.lead;
        let mut entity = Entity::new(&self.keys.partition, &self.keys.row);
        let received = self.received.map(format_received);
        let created_time = match (&received, created_time.as_str()) {
            (Some(received), "") => received,
            _ => created_time,
        };
        entity.set_text(column::ACTION_CODE, action_code);
        entity.set_text(column::CREATED_TIME, created_time);
        entity.set_text(column::CUSTOMER_INFO, &customer.to_json());
        entity.set_text(column::DESCRIPTION, description);
        entity.set_text(column::LEAD_SOURCE, lead_source);
        entity.set_text(column::OFFER_DISPLAY_NAME, offer_title);
        if let Some(received) = &received {
            entity.set(column::RECEIVED_TIME, received.as_str());
            entity.set(column::SOURCE, SOURCE_HTTPS);
            if let Some(same_request) = self.same_request {
                entity.set(column::SAME_REQUEST_TIME, format_received(same_request));
            }
            if !unknown.is_empty() {
                let fields = unknown.iter().map(|field| (field.name.as_str(), Cow::Borrowed(field.json.as_str())));
                entity.set_text(column::UNKNOWN_FIELDS, &object(fields));
            }
        } else {
            for UnknownField { name, json } in unknown {
                entity.set_text(name, &text_of(json));
            }
        }
        entity
    }

    /// Reads a row, whoever wrote it.
    ///
    /// # Errors
    /// Where it is no lead, or our own code fails on it; the row's keys still tell which one it is.
    pub fn from_entity(entity: &Entity) -> Result<Self, UnreadableRow> {
        caught(|| Self::read(entity))?
    }

    fn read(entity: &Entity) -> Result<Self, UnreadableRow> {
        if entity.damage == Some(Damage::Unreadable) {
            return Err(UnreadableRow::Damaged);
        }
        let received = match entity.string(column::SOURCE) {
            Some(SOURCE_HTTPS) => entity.time(column::RECEIVED_TIME),
            _ => None,
        };
        let lead = if received.is_some() {
            let microsofts = [
                column::ACTION_CODE,
                column::CREATED_TIME,
                column::CUSTOMER_INFO,
                column::DESCRIPTION,
                column::LEAD_SOURCE,
                column::OFFER_DISPLAY_NAME,
            ];
            let fields = microsofts.into_iter().filter_map(|name| {
                let text = entity.text(name).unwrap_or_default();
                let is_ours = name == column::CREATED_TIME && entity.string(column::RECEIVED_TIME) == Some(&text);
                (!is_ours).then_some(Field { name: name.into(), value: Content::Text(text) })
            });
            let unknown = entity.text(column::UNKNOWN_FIELDS).unwrap_or_default();
            let unknown = Fields::read(unknown.as_bytes()).map(|fields| fields.0).unwrap_or_default();
            Lead::from_fields(fields.chain(unknown))
        } else {
            Lead::from_fields(entity.properties.iter().map(|(name, value)| {
                let value = match value {
                    Value::String(text) | Value::DateTime(text) | Value::Guid(text) => Content::Text(text.into()),
                    Value::Bool(value) => Content::Made(value.to_string()),
                    Value::Int32(number) => Content::Made(number.to_string()),
                    Value::Int64(number) => Content::Made(number.to_string()),
                    // JSON has no NaN and no infinity.
                    Value::Double(number) if !number.is_finite() => Content::Text(number.to_string().into()),
                    Value::Double(number) => Content::Made(number.to_string()),
                    Value::Binary(bytes) => Content::Text(String::from_utf8_lossy(bytes)),
                };
                Field { name: name.into(), value }
            }))
        };
        if received.is_none() && lead.unknown.iter().any(|f| f.name.eq_ignore_ascii_case(column::CUSTOMER_INFO)) {
            return Err(UnreadableRow::CustomerInfo);
        }
        if !lead.has_content() {
            return Err(UnreadableRow::NotALead);
        }
        Ok(Self {
            lead,
            keys: entity.keys(),
            timestamp: entity.timestamp,
            origin: if received.is_some() { Origin::Https } else { Origin::Table },
            same_request: received.and_then(|_| entity.time(column::SAME_REQUEST_TIME)),
            received,
        })
    }
}

impl Customer {
    /// Microsoft's `CustomerInfo`: a flat JSON object of texts.
    fn to_json(&self) -> String {
        let known = self.known().map(|(name, text)| (name, Cow::Owned(json_string(text))));
        let unknown = self.unknown.iter().map(|field| (field.name.as_str(), Cow::Borrowed(field.json.as_str())));
        object(known.into_iter().chain(unknown))
    }
}

/// A JSON object of values that are JSON already. Names may repeat.
fn object<'a>(fields: impl Iterator<Item = (&'a str, Cow<'a, str>)>) -> String {
    let mut object = String::from("{");
    for (name, json) in fields {
        if object.len() > 1 {
            object.push(',');
        }
        object.push_str(&json_string(name));
        object.push(':');
        object.push_str(&json);
    }
    object.push('}');
    object
}

fn format_received(time: Timestamp) -> String {
    format!("{time:.3}")
}
