//! Rows as JSON, in the form in which the table service sends and takes them: with annotations for the types that JSON
//! does not have.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations>

use super::{Damage, ETag, Entity, Value};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{Timestamp, civil, tz::TimeZone};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io;

const TYPE: &str = "@odata.type";

/// A row as it is sent to the service.
pub(super) struct Outgoing<'a>(pub(super) &'a Entity);

impl Serialize for Outgoing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(entity) = self;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("PartitionKey", &entity.partition_key)?;
        row.serialize_entry("RowKey", &entity.row_key)?;
        for (name, value) in &entity.properties {
            let mut typed = |kind: &str| row.serialize_entry(&format!("{name}{TYPE}"), kind);
            match value {
                Value::Int64(_) => typed("Edm.Int64")?,
                Value::Double(_) => typed("Edm.Double")?,
                Value::DateTime(_) => typed("Edm.DateTime")?,
                Value::Guid(_) => typed("Edm.Guid")?,
                Value::Binary(_) => typed("Edm.Binary")?,
                Value::String(_) | Value::Bool(_) | Value::Int32(_) => {}
            }
            match value {
                Value::String(text) | Value::DateTime(text) | Value::Guid(text) => row.serialize_entry(name, text)?,
                Value::Bool(value) => row.serialize_entry(name, value)?,
                Value::Int32(number) => row.serialize_entry(name, number)?,
                Value::Int64(number) => row.serialize_entry(name, &number.to_string())?,
                // JSON has no NaN and no infinity: the service takes them as texts.
                Value::Double(number) if !number.is_finite() => row.serialize_entry(name, &number.to_string())?,
                Value::Double(number) => row.serialize_entry(name, number)?,
                Value::Binary(bytes) => row.serialize_entry(name, &BASE64_STANDARD.encode(bytes))?,
            }
        }
        row.end()
    }
}

/// How many bytes a row takes as JSON: escapes, Base64 and annotations included.
pub(super) fn json_bytes(entity: &Entity) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A row always makes JSON, and counting never fails. If it did, the row would count as too large for any batch.
    serde_json::to_writer(&mut count, &Outgoing(entity)).map_or(usize::MAX, |()| count.0)
}

/// Reads a row that the service sent. Whatever is wrong with it is said by [`Entity::damage`]; only a row without
/// readable keys cannot be read at all and gives `None`.
pub(super) fn read_row(json: &str) -> Option<Entity> {
    if let Ok(columns) = serde_json::from_str(json) {
        return from_columns(columns, None);
    }
    let repaired = replace_half_pairs(json);
    let damage = matches!(repaired, Cow::Owned(_)).then_some(Damage::ReplacedCharacters);
    if let Ok(columns) = serde_json::from_str(&repaired) {
        return from_columns(columns, damage);
    }
    // Something else is wrong with a value, such as a number that no type can hold: each column is read by itself.
    let columns: BTreeMap<String, &RawValue> = serde_json::from_str(&repaired).ok()?;
    let column = |(name, value): (String, &RawValue)| {
        let value = serde_json::from_str(value.get()).unwrap_or_else(|_| Json::String(value.get().to_owned()));
        (name, value)
    };
    from_columns(columns.into_iter().map(column).collect(), Some(Damage::Unreadable))
}

/// Reads a row of which the service sends these columns alone, with its system properties.
pub(super) fn read_columns(json: &str, names: &[&str]) -> Option<Entity> {
    let mut columns: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    columns.retain(|name, _| {
        let name = name.strip_suffix(TYPE).unwrap_or(name);
        ["odata.etag", "PartitionKey", "RowKey", "Timestamp"].contains(&name) || names.contains(&name)
    });
    read_row(&serde_json::to_string(&columns).ok()?)
}

fn from_columns(mut columns: Map<String, Json>, mut damage: Option<Damage>) -> Option<Entity> {
    let mut system = |name: &str| match columns.remove(name)? {
        Json::String(text) => Some(text),
        _ => None,
    };
    let mut entity = Entity::new(system("PartitionKey")?, system("RowKey")?);
    entity.etag = system("odata.etag").map(ETag);
    entity.timestamp = system("Timestamp").and_then(|text| read_time(&text));
    if entity.timestamp.is_none() {
        damage = Some(Damage::Unreadable);
    }
    let typed = columns
        .iter()
        .filter_map(|(name, json)| Some((name.strip_suffix(TYPE)?.to_owned(), json.as_str()?.to_owned())));
    let types: HashMap<_, _> = typed.collect();
    for (name, json) in columns {
        if name.starts_with("odata.") || name.contains("@odata.") || json.is_null() {
            continue;
        }
        let kind = types.get(&name).map(String::as_str).unwrap_or_default();
        let value = read_value(kind, json).unwrap_or_else(|json| {
            damage = Some(Damage::Unreadable);
            Value::String(raw_text(json))
        });
        entity.properties.insert(name, value);
    }
    if damage == Some(Damage::Unreadable) {
        for value in entity.properties.values_mut() {
            *value = Value::String(value.text());
        }
    }
    entity.damage = damage;
    Some(entity)
}

/// The value of a column of the given type; the JSON back where it is no such value.
fn read_value(kind: &str, json: Json) -> Result<Value, Json> {
    let value = match (kind, &json) {
        ("Edm.Int64", Json::String(text)) => text.parse().map(Value::Int64).ok(),
        ("Edm.Binary", Json::String(text)) => BASE64_STANDARD.decode(text).map(Value::Binary).ok(),
        ("Edm.Double", Json::String(text)) => text.parse().map(Value::Double).ok(),
        ("Edm.Int64", Json::Number(number)) => number.as_i64().map(Value::Int64),
        ("" | "Edm.Int32", Json::Number(number)) if number.is_i64() => {
            number.as_i64().and_then(|number| number.try_into().ok()).map(Value::Int32)
        }
        (_, Json::Number(number)) => number.as_f64().map(Value::Double),
        (_, Json::Bool(value)) => Some(Value::Bool(*value)),
        (_, Json::String(_)) => {
            return match (kind, json) {
                ("Edm.DateTime", Json::String(text)) => Ok(Value::DateTime(text)),
                ("Edm.Guid", Json::String(text)) => Ok(Value::Guid(text)),
                (_, json) => Ok(Value::String(raw_text(json))),
            };
        }
        (_, Json::Null | Json::Array(_) | Json::Object(_)) => None,
    };
    value.ok_or(json)
}

fn raw_text(json: Json) -> String {
    match json {
        Json::String(text) => text,
        json => json.to_string(),
    }
}

/// Reads a time of the service's clock. Times outside the range of its type `Edm.DateTime` are impossible, so that
/// callers can calculate with all that are left.
///
/// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#property-types>
pub(super) fn read_time(text: &str) -> Option<Timestamp> {
    let earliest = TimeZone::UTC.to_timestamp(civil::date(1601, 1, 1).at(0, 0, 0, 0)).ok()?;
    let latest = TimeZone::UTC.to_timestamp(civil::date(9999, 12, 1).at(0, 0, 0, 0)).ok()?;
    text.parse().ok().filter(|time| (earliest..latest).contains(time))
}

/// The same JSON with U+FFFD for each half of a surrogate pair that stands alone. JSON can write such a half as an
/// escape, and a column can hold it, because the service's strings are UTF-16 code units; Rust's cannot.
fn replace_half_pairs(json: &str) -> Cow<'_, str> {
    let unit = |escape: &str| u16::from_str_radix(escape.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let mut replaced = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        let next = json.get(at + 6..).and_then(unit);
        match (unit(&json[at..]), next) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at += 12,
            (Some(0xD800..=0xDFFF), _) => {
                replaced.push_str(&json[copied..at]);
                replaced.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            (Some(_), _) => at += 6,
            // A backslash, and the one character that it escapes.
            (None, _) => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    replaced.push_str(&json[copied..]);
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(columns: &str) -> Entity {
        read_row(&format!(
            "{{\"odata.etag\":\"W/1\",\"PartitionKey\":\"p\",\"RowKey\":\"r\",\"Timestamp\":\"2026-11-22T10:00:00.1234567Z\",\
             \"Good@odata.type\":\"Edm.Int64\",\"Good\":\"7\",{columns}}}"
        ))
        .unwrap()
    }

    #[test]
    fn half_a_surrogate_pair_costs_one_character_and_whole_pairs_none() {
        for (json, text, damage) in [
            ("a\\ud83db", "a\u{fffd}b", Some(Damage::ReplacedCharacters)),
            ("\\ude00", "\u{fffd}", Some(Damage::ReplacedCharacters)),
            ("\\ud83d\\ud83d\\ude00", "\u{fffd}😀", Some(Damage::ReplacedCharacters)),
            ("\\ud83d\\n\\ude00", "\u{fffd}\n\u{fffd}", Some(Damage::ReplacedCharacters)),
            ("\\ud83d", "\u{fffd}", Some(Damage::ReplacedCharacters)),
            ("\\\\\\ud83d\\\\ud83d", "\\\u{fffd}\\ud83d", Some(Damage::ReplacedCharacters)),
            ("\\uD83D\\uDE00", "😀", None),
            ("\\\\ud83d", "\\ud83d", None),
            ("ключ \\u0000 \\\"", "ключ \0 \"", None),
        ] {
            let row = read(&format!("\"Text\":\"{json}\""));
            assert_eq!((row.string("Text"), row.damage), (Some(text), damage), "{json}");
            assert_eq!(row.integer("Good"), Some(7), "the other columns are what they were");
        }
    }

    #[test]
    fn a_row_that_a_value_spoils_keeps_its_keys_and_every_column_as_text() {
        for (columns, text) in [
            ("\"Bad\":[1,\"x\"]", "[1,\"x\"]"),
            ("\"Bad\":{\"a\":null}", "{\"a\":null}"),
            ("\"Bad@odata.type\":\"Edm.Int64\",\"Bad\":\"seven\"", "seven"),
            ("\"Bad@odata.type\":\"Edm.Int64\",\"Bad\":\"9223372036854775808\"", "9223372036854775808"),
            ("\"Bad@odata.type\":\"Edm.Double\",\"Bad\":\"x\"", "x"),
            ("\"Bad@odata.type\":\"Edm.Binary\",\"Bad\":\"?\"", "?"),
            ("\"Bad\":2147483648", "2147483648"),
            ("\"Bad\":1e999", "1e999"),
            ("\"Bad\":[\"\\ud83d\"]", "[\"\u{fffd}\"]"),
        ] {
            let row = read(columns);
            assert_eq!(row.damage, Some(Damage::Unreadable), "{columns}");
            assert_eq!((row.partition_key.as_str(), row.row_key.as_str()), ("p", "r"));
            assert_eq!((row.timestamp.is_some(), row.etag), (true, Some(ETag("W/1".to_owned()))));
            let expected = [("Bad", text), ("Good", "7")].map(|(name, text)| (name.to_owned(), Value::from(text)));
            assert_eq!(row.properties, expected.into(), "{columns}");
        }
    }

    #[test]
    fn a_time_that_the_service_cannot_have_written_makes_a_row_unreadable() {
        for timestamp in [
            "",
            "\"Timestamp\":7,",
            "\"Timestamp\":\"-009999-01-03T00:00:00Z\",",
            "\"Timestamp\":\"2026-02-30T00:00:00Z\",",
        ] {
            let row =
                read_row(&format!("{{\"PartitionKey\":\"p\",{timestamp}\"RowKey\":\"r\",\"Text\":\"x\"}}")).unwrap();
            assert_eq!((row.damage, row.timestamp, row.string("Text")), (Some(Damage::Unreadable), None, Some("x")));
        }
    }

    #[test]
    fn a_row_without_keys_is_none() {
        for json in ["{}", "{\"PartitionKey\":\"p\"}", "{\"PartitionKey\":\"p\",\"RowKey\":7}", "[]", "7", "<html>"] {
            assert!(read_row(json).is_none(), "{json}");
        }
    }

    #[test]
    fn a_row_that_is_written_is_read_as_it_was() {
        let mut row = Entity::new("p", "r")
            .with("Text", "a\"\\\u{1}😀")
            .with("Bool", true)
            .with("Int32", Value::Int32(-7))
            .with("Int64", i64::MIN)
            .with("Double", Value::Double(1.5))
            .with("Infinite", Value::Double(f64::NEG_INFINITY))
            .with("Time", Value::DateTime("2018-09-28T18:24:18.7117715Z".to_owned()))
            .with("Guid", Value::Guid("c9da6455-213d-42c9-9a79-3e9149a57833".to_owned()))
            .with("Binary", vec![0, 255]);
        row.timestamp = Some("2026-11-22T10:00:00.1234567Z".parse().unwrap());
        let json = serde_json::to_string(&Outgoing(&row)).unwrap();
        assert_eq!(json_bytes(&row), json.len());
        let json = json.replacen('{', "{\"Timestamp\":\"2026-11-22T10:00:00.1234567Z\",", 1);
        assert_eq!(read_row(&json).unwrap(), row);
    }
}
