//! Entities: the rows of an Azure table, free of any vendor's types.

use super::TableError;
use super::limits::MAX_STRING_UNITS;
use compact_str::CompactString;
use jiff::Timestamp;
use litemap::LiteMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A row of an Azure table.
#[derive(Clone, PartialEq)]
pub struct Entity {
    /// The key of the partition that it is in.
    pub partition_key: String,
    /// Its key within the partition.
    pub row_key: String,
    /// When the service wrote it last, by the service's clock, to 100 ns. `None` before it was written.
    pub timestamp: Option<Timestamp>,
    /// Its version, for conditional writes. `None` before it was written.
    pub etag: Option<ETag>,
    /// Its columns, without the system's.
    pub properties: Properties,
    /// What was wrong with it as the service gave it. `None` for a row that was read as it is.
    pub damage: Option<Damage>,
}

/// The columns of a row, by name. A row has few, with short names: so they are one piece of memory.
pub type Properties = LiteMap<CompactString, Value>;

/// What was wrong with a row as the service gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A text held half a surrogate pair, which U+FFFD replaces. Everything else is as it is stored.
    ReplacedCharacters,
    /// A type or time could not be read: an `Edm.Int64` that is no number, an array, a missing or impossible timestamp.
    /// The row has its keys, its timestamp if that could be read, and every column as raw text in a [`Value::String`].
    Unreadable,
}

/// A version of an entity, opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// The value of a column, one variant for each type of the service.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `Edm.String`
    String(String),
    /// `Edm.Boolean`
    Bool(bool),
    /// `Edm.Int32`
    Int32(i32),
    /// `Edm.Int64`
    Int64(i64),
    /// `Edm.Double`
    Double(f64),
    /// `Edm.DateTime`, as the service writes it: `2018-09-28T18:24:18.7117715Z`
    DateTime(String),
    /// `Edm.Guid`
    Guid(String),
    /// `Edm.Binary`
    Binary(Vec<u8>),
}

impl Entity {
    /// A row that was not written yet.
    pub fn new(partition_key: impl Into<String>, row_key: impl Into<String>) -> Self {
        Self {
            partition_key: partition_key.into(),
            row_key: row_key.into(),
            timestamp: None,
            etag: None,
            properties: Properties::new(),
            damage: None,
        }
    }

    /// The row, if it was read as it is. For rows of our own: a value that could not be read must not count as one that
    /// is missing.
    ///
    /// # Errors
    /// [`TableError::Unavailable`] where anything of the row could not be read.
    pub fn undamaged(self) -> Result<Self, TableError> {
        match self.damage {
            None => Ok(self),
            Some(_) => Err(TableError::Unavailable { reason: "a row could not be read".to_owned() }),
        }
    }

    /// The row's columns as a JSON object, each as [`Value`] is serialised.
    pub fn columns(&self) -> impl Serialize {
        struct Columns<'a>(&'a Properties);
        impl Serialize for Columns<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_str(), value)))
            }
        }
        Columns(&self.properties)
    }

    /// How many bytes the row takes of [`MAX_ENTITY_BYTES`](super::MAX_ENTITY_BYTES), by the formula that Microsoft gives
    /// in "Understanding Windows Azure Storage Billing": names, keys and texts count as UTF-16.
    ///
    /// <https://learn.microsoft.com/archive/blogs/avkashchauhan/how-the-size-of-an-entity-is-caclulated-in-windows-azure-table-storage>
    pub fn bytes(&self) -> usize {
        let keys = 4 + 2 * (utf16_units(&self.partition_key) + utf16_units(&self.row_key));
        let column = |(name, value): (&CompactString, &Value)| 8 + 2 * utf16_units(name) + value.bytes();
        keys + self.properties.iter().map(column).sum::<usize>()
    }

    /// The row with one more column.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a column.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.properties.insert(name.into(), value.into());
    }

    /// Sets a text of any length: what one column cannot hold goes on in `name_2`, `name_3`, …
    pub fn set_text(&mut self, name: &str, text: &str) {
        let mut rest = text;
        for number in 1.. {
            let mut units = 0;
            let end = rest
                .char_indices()
                .find(|(_, character)| {
                    units += character.len_utf16();
                    units > MAX_STRING_UNITS
                })
                .map_or(rest.len(), |(at, _)| at);
            let (part, next) = rest.split_at(end);
            self.set(&part_name(name, number), part);
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
    }

    /// The text of a column and of the columns in which it goes on; `None` where the column is missing or no text.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut text = Cow::Borrowed(self.string(name)?);
        let place = self.properties.find_index(name).ok()?;
        if self.properties.get_indexed(place + 1).is_none_or(|(next, _)| !next.starts_with(name)) {
            return Some(text);
        }
        for number in 2.. {
            match self.string(&part_name(name, number)) {
                Some(part) => text.to_mut().push_str(part),
                None => break,
            }
        }
        Some(text)
    }

    /// The text of just this column; `None` where it is missing or no text.
    pub fn string(&self, name: &str) -> Option<&str> {
        match self.properties.get(name)? {
            Value::String(text) | Value::DateTime(text) | Value::Guid(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number; `None` where the column is missing or has another type.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.properties.get(name)? {
            Value::Int32(number) => Some((*number).into()),
            Value::Int64(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of an `Edm.Boolean` column; `None` where the column is missing or has another type.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.properties.get(name)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A time; `None` where the column is missing or holds no time.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        self.string(name)?.parse().ok()
    }
}

/// The column in which part `number` (from 1) of a long text stands.
pub(crate) fn part_name(name: &str, number: usize) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}_{number}") }
}

/// How long a text is for the service.
pub(super) fn utf16_units(text: &str) -> usize {
    text.encode_utf16().count()
}

impl Value {
    /// How many bytes the value takes of its row.
    fn bytes(&self) -> usize {
        match self {
            Self::String(text) => 4 + 2 * utf16_units(text),
            Self::Bool(_) => 1,
            Self::Int32(_) => 4,
            Self::Int64(_) | Self::Double(_) | Self::DateTime(_) => 8,
            Self::Guid(_) => 16,
            Self::Binary(bytes) => 4 + bytes.len(),
        }
    }

    /// The value as text, whatever its type; Base64 for binary.
    pub fn text(&self) -> String {
        match self {
            Self::String(text) | Self::DateTime(text) | Self::Guid(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Int32(number) => number.to_string(),
            Self::Int64(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Binary(bytes) => base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes),
        }
    }
}

/// As JSON: finite numbers and booleans as such, everything else as the text that [`Value::text`] gives.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(text) | Self::DateTime(text) | Self::Guid(text) => serializer.serialize_str(text),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int32(number) => serializer.serialize_i32(*number),
            Self::Int64(number) => serializer.serialize_i64(*number),
            Self::Double(number) if number.is_finite() => serializer.serialize_f64(*number),
            Self::Double(_) | Self::Binary(_) => serializer.serialize_str(&self.text()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int64(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

/// Times are written as `Edm.DateTime` with all the digits that the service keeps.
impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::DateTime(format!("{time:.7}"))
    }
}

/// Shows no content: rows hold people.
impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entity").field("properties", &self.properties.len()).finish_non_exhaustive()
    }
}

/// Shows the type, not the content.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String(_) => "String(..)",
            Self::Bool(_) => "Bool(..)",
            Self::Int32(_) => "Int32(..)",
            Self::Int64(_) => "Int64(..)",
            Self::Double(_) => "Double(..)",
            Self::DateTime(_) => "DateTime(..)",
            Self::Guid(_) => "Guid(..)",
            Self::Binary(_) => "Binary(..)",
        })
    }
}
