//! Rows as JSON: what a request may bring, and what an answer shows.
//!
//! Limits: <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model>.
//! Types: <https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations>.

use super::clock::{Ticks, timestamp};
use super::refusal::Refusal;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use marketplace_leads::table::{
    Entity, MAX_BINARY_BYTES, MAX_ENTITY_BYTES, MAX_KEY_UNITS, MAX_PROPERTIES, MAX_STRING_UNITS, Value,
};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt::Write as _;

const TYPE: &str = "@odata.type";

/// The longest name of a property, in characters.
const MAX_NAME_CHARACTERS: usize = 255;

/// 1601-01-01T00:00:00Z: no time is earlier.
const EARLIEST_SECOND: i64 = -11_644_473_600;

/// A property as it came: its value is JSON text. A string may hold half a surrogate pair, which a `String` could not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) json: String,
}

/// The body of a write.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) partition_key: Option<String>,
    pub(crate) row_key: Option<String>,
    /// Names, values and annotations, without those of the system.
    pub(crate) properties: Vec<Property>,
}

impl Incoming {
    /// Reads a body and holds it against every limit of a property.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let invalid = || Refusal::invalid_input("The request body could not be read as a JSON object.");
        let text = std::str::from_utf8(body).map_err(|_| invalid())?;
        let mut incoming = Self::default();
        for Property { name, json } in properties(text).ok_or_else(invalid)? {
            let key = || {
                serde_json::from_str::<String>(&json)
                    .map_err(|_| Refusal::invalid_input("A key of the entity is no string."))
            };
            match name.as_str() {
                "PartitionKey" => incoming.partition_key = Some(key()?),
                "RowKey" => incoming.row_key = Some(key()?),
                // The service sets its own.
                "Timestamp" => {}
                // No property has the value null: it is as if it had not been named.
                _ if json == "null" => {}
                _ if name.starts_with("odata.") => {}
                _ => match name.split_once('@') {
                    Some(("PartitionKey" | "RowKey" | "Timestamp", _)) => {}
                    Some((_, annotation)) if annotation != "odata.type" => {}
                    _ => incoming.properties.push(Property { name, json }),
                },
            }
        }
        incoming.check()?;
        Ok(incoming)
    }

    fn check(&self) -> Result<(), Refusal> {
        let is_value = |property: &&Property| !property.name.ends_with(TYPE);
        if self.properties.iter().filter(is_value).count() > MAX_PROPERTIES {
            let message = "The entity contains more properties than allowed.";
            return Err(Refusal::new(400, "TooManyProperties", message));
        }
        for (index, Property { name, json }) in self.properties.iter().enumerate() {
            if self.properties[..index].iter().any(|earlier| earlier.name == *name) {
                let message = "A property is specified more than one time.";
                return Err(Refusal::new(400, "DuplicatePropertiesSpecified", message));
            }
            if name.ends_with(TYPE) {
                continue;
            }
            if name.chars().count() > MAX_NAME_CHARACTERS {
                let message = "The property name exceeds the maximum allowed length.";
                return Err(Refusal::new(400, "PropertyNameTooLong", message));
            }
            let is_name = name.starts_with(|first: char| first.is_alphabetic() || first == '_')
                && name.chars().all(|character| character.is_alphanumeric() || character == '_');
            if !is_name {
                return Err(Refusal::new(400, "PropertyNameInvalid", "The property name is invalid."));
            }
            size(json, self.kind(name))?;
        }
        Ok(())
    }

    /// The annotated type of a property; empty where there is none.
    fn kind(&self, name: &str) -> &str {
        let annotation = |property: &&Property| property.name.strip_suffix(TYPE) == Some(name);
        self.properties.iter().find(annotation).map_or("", |property| property.json.trim_matches('"'))
    }

    /// The size of the entity in bytes.
    ///
    /// The formula: 4 bytes, two for each UTF-16 unit of both keys, and for each property 8 bytes, two for each unit of its
    /// name, and its value.
    pub(crate) fn check_size(&self, partition_key: &str, row_key: &str) -> Result<(), Refusal> {
        let mut bytes = 4 + 2 * (units(partition_key) + units(row_key));
        for Property { name, json } in self.properties.iter().filter(|property| !property.name.ends_with(TYPE)) {
            bytes += 8 + 2 * units(name) + size(json, self.kind(name))?;
        }
        if bytes > MAX_ENTITY_BYTES {
            let message = "The entity is larger than the maximum size permitted.";
            return Err(Refusal::new(400, "EntityTooLarge", message));
        }
        Ok(())
    }

    /// The properties as they are kept and shown: the inside of a JSON object.
    pub(crate) fn text(&self) -> Box<str> {
        join(self.properties.iter().map(|Property { name, json }| (name.as_str(), json.as_str())))
    }

    /// The properties of a row with these written over them.
    pub(crate) fn merged_onto(self, row: &str) -> Self {
        let mut properties = properties(&format!("{{{row}}}")).unwrap_or_default();
        let base = |name: &str| name.strip_suffix(TYPE).unwrap_or(name).to_owned();
        let replaced: Vec<_> = self.properties.iter().map(|property| base(&property.name)).collect();
        properties.retain(|property| !replaced.contains(&base(&property.name)));
        properties.extend(self.properties);
        Self { properties, ..Self::default() }
    }
}

/// The inside of a JSON object with these names and values.
fn join<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Box<str> {
    let mut text = String::new();
    for (name, json) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{}:{json}", quoted(name));
    }
    text.into_boxed_str()
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Names and values of a JSON object; `None` where it is none.
pub(crate) fn properties(text: &str) -> Option<Vec<Property>> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<Property>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                pairs.push(Property { name, json: value.get().to_owned() });
            }
            Ok(pairs)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let pairs = deserializer.deserialize_map(Pairs).ok()?;
    deserializer.end().ok()?;
    Some(pairs)
}

/// The size of a value in an entity, in bytes; an error where it is too large or not of its type.
fn size(json: &str, kind: &str) -> Result<usize, Refusal> {
    let invalid = || Refusal::invalid_input("The value of a property is not of its type.");
    let too_large = || {
        let message = "The property value is larger than the maximum size permitted.";
        Refusal::new(400, "PropertyValueTooLarge", message)
    };
    let text = || json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(invalid);
    match (kind, json) {
        ("" | "Edm.String", _) if json.starts_with('"') => {
            let units = string_units(text()?);
            if units > MAX_STRING_UNITS { Err(too_large()) } else { Ok(2 * units + 4) }
        }
        ("" | "Edm.Boolean", "true" | "false") => Ok(1),
        ("Edm.Binary", _) => {
            let bytes = BASE64_STANDARD.decode(text()?).map_err(|_| invalid())?.len();
            if bytes > MAX_BINARY_BYTES { Err(too_large()) } else { Ok(bytes + 4) }
        }
        ("Edm.Int64", _) => text()?.parse::<i64>().map(|_| 8).map_err(|_| invalid()),
        ("Edm.DateTime", _) => {
            let time: Timestamp = text()?.parse().map_err(|_| invalid())?;
            let is_in_range = time.as_second() >= EARLIEST_SECOND;
            if is_in_range { Ok(8) } else { Err(Refusal::out_of_range("A time is before the year 1601.")) }
        }
        ("Edm.Guid", _) => {
            let text = text()?;
            let is_guid = text.len() == 36
                && text.char_indices().all(|(at, character)| match at {
                    8 | 13 | 18 | 23 => character == '-',
                    _ => character.is_ascii_hexdigit(),
                });
            if is_guid { Ok(16) } else { Err(invalid()) }
        }
        ("Edm.Double", "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"") => Ok(8),
        ("" | "Edm.Int32", _) if json.parse::<i32>().is_ok() => Ok(4),
        ("Edm.Double", _) if !json.starts_with(['"', '[', '{']) => {
            json.parse::<f64>().map(|_| 8).map_err(|_| invalid())
        }
        // A number with a fraction or an exponent is a double without any annotation.
        ("", _) if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            let is_double = json.contains(['.', 'e', 'E']);
            if is_double { Ok(8) } else { Err(invalid()) }
        }
        _ => Err(invalid()),
    }
}

/// How many UTF-16 units the inside of a JSON string stands for.
fn string_units(json: &str) -> usize {
    let mut characters = json.chars();
    let mut units = 0;
    while let Some(character) = characters.next() {
        if character == '\\' {
            // An escape stands for one unit, half a pair included; the form `\u0000` has four digits.
            if characters.next() == Some('u') {
                characters.nth(3);
            }
            units += 1;
        } else {
            units += character.len_utf16();
        }
    }
    units
}

/// Whether a key is one that the service takes.
///
/// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#characters-disallowed-in-key-fields>
pub(crate) fn check_key(key: &str) -> Result<(), Refusal> {
    if units(key) > MAX_KEY_UNITS {
        let message = "The value of a key is larger than the maximum size permitted.";
        return Err(Refusal::new(400, "KeyValueTooLarge", message));
    }
    let is_forbidden =
        |character: char| matches!(character, '/' | '\\' | '#' | '?' | '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    if key.contains(is_forbidden) {
        return Err(Refusal::out_of_range("A key holds a character that is not permitted."));
    }
    Ok(())
}

/// How much an answer says of a row, besides its properties.
///
/// <https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    None,
    Minimal,
    Full,
}

/// A row to be shown.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) partition_key: &'a str,
    pub(crate) row_key: &'a str,
    pub(crate) written: Ticks,
    pub(crate) text: &'a str,
}

impl Shown<'_> {
    /// The row's version: its timestamp, in the form that the service gives it.
    pub(crate) fn etag(self) -> String {
        etag(self.written)
    }

    /// The fields of the row's JSON object; with `select`, those alone, and null for those that the row does not have.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/query-entities>
    pub(crate) fn fields(self, metadata: Metadata, select: Option<&[String]>) -> String {
        let system = [
            ("PartitionKey", quoted(self.partition_key)),
            ("RowKey", quoted(self.row_key)),
            ("Timestamp", format!("\"{:.7}\"", timestamp(self.written))),
        ];
        let is_selected = |name: &str| select.is_none_or(|select| select.iter().any(|selected| selected == name));
        let mut fields = Vec::new();
        if metadata != Metadata::None {
            fields.push(format!("\"odata.etag\":{}", quoted(&self.etag())));
        }
        for (name, json) in system.into_iter().filter(|(name, _)| is_selected(name)) {
            if metadata == Metadata::Full && name == "Timestamp" {
                fields.push("\"Timestamp@odata.type\":\"Edm.DateTime\"".to_owned());
            }
            fields.push(format!("\"{name}\":{json}"));
        }
        let shows_types = metadata != Metadata::None || !self.text.contains(TYPE);
        if select.is_none() && shows_types {
            fields.extend((!self.text.is_empty()).then(|| self.text.to_owned()));
            return fields.join(",");
        }
        let own = properties(&format!("{{{}}}", self.text)).unwrap_or_default();
        for Property { name, json } in &own {
            let base = name.strip_suffix(TYPE);
            if is_selected(base.unwrap_or(name)) && (base.is_none() || metadata != Metadata::None) {
                fields.push(format!("{}:{json}", quoted(name)));
            }
        }
        let is_missing = |name: &&String| {
            !["PartitionKey", "RowKey", "Timestamp"].contains(&name.as_str())
                && !own.iter().any(|property| property.name == **name)
        };
        let missing = select.into_iter().flatten().filter(is_missing);
        fields.extend(missing.map(|name| format!("{}:null", quoted(name))));
        fields.join(",")
    }
}

/// The version of a row that was written at this tick.
pub(crate) fn etag(written: Ticks) -> String {
    format!("W/\"datetime'{}'\"", format!("{:.7}", timestamp(written)).replace(':', "%3A"))
}

/// The properties of an entity, as they are kept.
pub(crate) fn text_of(entity: &Entity) -> Box<str> {
    let mut pairs = Vec::new();
    for (name, value) in &entity.properties {
        let (kind, json) = match value {
            Value::String(text) => ("", quoted(text)),
            Value::Bool(value) => ("", value.to_string()),
            Value::Int32(number) => ("", number.to_string()),
            Value::Int64(_) => ("Edm.Int64", quoted(&value.text())),
            Value::Double(number) if number.is_finite() => ("Edm.Double", format!("{number:?}")),
            Value::Double(_) => ("Edm.Double", quoted(&value.text())),
            Value::DateTime(_) => ("Edm.DateTime", quoted(&value.text())),
            Value::Guid(_) => ("Edm.Guid", quoted(&value.text())),
            Value::Binary(_) => ("Edm.Binary", quoted(&value.text())),
        };
        if !kind.is_empty() {
            pairs.push((format!("{name}{TYPE}"), quoted(kind)));
        }
        pairs.push((name.to_string(), json));
    }
    join(pairs.iter().map(|(name, json)| (name.as_str(), json.as_str())))
}
