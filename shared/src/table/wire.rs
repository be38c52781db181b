//! Rows as JSON, in the form in which the table service sends and takes them: with annotations for the types that JSON
//! does not have.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations>

use super::{Damage, ETag, Entity, Value};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::{fmt, io};

const TYPE: &str = "@odata.type";
const ETAG: &str = "odata.etag";

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

/// Reads the rows of a page, and says how many of them had no readable keys and were left out; `None` where it is no page.
///
/// The whole page is read in one go. Where anything in it is not as it should be, each row is read by itself, so that a row
/// that cannot be read spoils no other.
pub(super) fn read_page(json: &str) -> Option<(Vec<Entity>, usize)> {
    if let Ok(page) = serde_json::from_str::<PageOf<Row>>(json) {
        return Some((page.value.into_iter().map(|Row(row)| row).collect(), 0));
    }
    let page: PageOf<&RawValue> = serde_json::from_str(json).ok()?;
    let count = page.value.len();
    let rows: Vec<_> = page.value.into_iter().filter_map(|row| read_row(row.get())).collect();
    let left_out = count - rows.len();
    Some((rows, left_out))
}

/// A page as the service sends it.
#[derive(Deserialize)]
struct PageOf<R> {
    #[serde(rename = "odata.metadata")]
    _metadata: IgnoredAny,
    #[serde(default = "Vec::new")]
    value: Vec<R>,
}

/// Reads a row that the service sent. Whatever is wrong with it is said by [`Entity::damage`]; only a row without
/// readable keys cannot be read at all and gives `None`.
pub(super) fn read_row(json: &str) -> Option<Entity> {
    if let Ok(Row(row)) = serde_json::from_str(json) {
        return Some(row);
    }
    let repaired = replace_half_pairs(json);
    let damage = matches!(repaired, Cow::Owned(_)).then_some(Damage::ReplacedCharacters);
    // Of two columns of one name, the later one counts.
    let columns: BTreeMap<String, &RawValue> = serde_json::from_str(&repaired).ok()?;
    if let Ok(Row(mut row)) = serde_json::from_str(&serde_json::to_string(&columns).ok()?) {
        row.damage = damage;
        return Some(row);
    }
    // Something else is wrong with a value, such as a number that no type can hold: each column is kept as text.
    let text = |value: &RawValue| serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned());
    let system = |name: &str| columns.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    let mut row = Entity::new(system("PartitionKey")?, system("RowKey")?);
    row.etag = system(ETAG).map(ETag);
    row.timestamp = system("Timestamp").and_then(|text| read_time(&text));
    row.damage = Some(Damage::Unreadable);
    row.properties = columns
        .iter()
        .filter(|(name, value)| !is_systems(name) && value.get() != "null")
        .map(|(name, value)| (name.as_str().into(), Value::String(text(value))))
        .collect();
    Some(row)
}

/// Reads a row of which the service sends these columns alone, with its system properties.
pub(super) fn read_columns(json: &str, names: &[&str]) -> Option<Entity> {
    let mut columns: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    columns.retain(|name, _| {
        let name = name.strip_suffix(TYPE).unwrap_or(name);
        [ETAG, "PartitionKey", "RowKey", "Timestamp"].contains(&name) || names.contains(&name)
    });
    read_row(&serde_json::to_string(&columns).ok()?)
}

/// Whether a column is the service's own, or says something of another one.
fn is_systems(name: &str) -> bool {
    ["PartitionKey", "RowKey", "Timestamp"].contains(&name) || name.starts_with("odata.") || name.contains("@odata.")
}

/// A row's columns as they come, in one pass over the JSON.
#[derive(Default)]
struct Columns<'a> {
    partition_key: Option<Cow<'a, str>>,
    row_key: Option<Cow<'a, str>>,
    timestamp: Option<Timestamp>,
    etag: Option<Cow<'a, str>>,
    /// The annotations that name types, and the types.
    types: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    values: Vec<(Cow<'a, str>, Scalar<'a>)>,
}

/// A value in JSON.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    Integer(i64),
    Float(f64),
    Null,
    /// An array or an object, which no column can hold.
    Other,
}

/// A row that is as it should be.
struct Row(Entity);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let unreadable = |Unreadable| serde::de::Error::custom("a row that cannot be read");
        Columns::deserialize(deserializer)?.into_entity().map(Self).map_err(unreadable)
    }
}

/// A key or a time is missing, or a value is none of its type.
struct Unreadable;

impl<'de> Deserialize<'de> for Columns<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ColumnsVisitor;
        impl<'de> Visitor<'de> for ColumnsVisitor {
            type Value = Columns<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns<'de>, A::Error> {
                let mut columns = Columns { values: Vec::with_capacity(12), ..Columns::default() };
                while let Some((Text(name), value)) = map.next_entry()? {
                    columns.add(name, value);
                }
                Ok(columns)
            }
        }
        deserializer.deserialize_map(ColumnsVisitor)
    }
}

impl<'a> Columns<'a> {
    fn add(&mut self, name: Cow<'a, str>, value: Scalar<'a>) {
        match (&*name, value) {
            ("PartitionKey", value) => self.partition_key = value.into_text(),
            ("RowKey", value) => self.row_key = value.into_text(),
            ("Timestamp", value) => self.timestamp = value.into_text().and_then(|text| read_time(&text)),
            (ETAG, value) => self.etag = value.into_text(),
            (of, Scalar::Text(text)) if of.ends_with(TYPE) => self.types.push((name, text)),
            (of, _) if is_systems(of) => {}
            (_, value) => self.values.push((name, value)),
        }
    }

    fn into_entity(self) -> Result<Entity, Unreadable> {
        let Self { partition_key, row_key, timestamp, etag, types, values } = self;
        let key = |key: Option<Cow<'_, str>>| key.map(Cow::into_owned).ok_or(Unreadable);
        let mut entity = Entity::new(key(partition_key)?, key(row_key)?);
        entity.etag = etag.map(|etag| ETag(etag.into_owned()));
        entity.timestamp = Some(timestamp.ok_or(Unreadable)?);
        entity.properties.reserve(values.len());
        for (name, value) in values {
            let is_its = |annotation: &str| annotation.strip_suffix(TYPE) == Some(&name);
            let kind = types.iter().rev().find(|(annotation, _)| is_its(annotation));
            let kind = kind.map(|(_, kind)| &**kind).unwrap_or_default();
            match value.of_type(kind)? {
                // Mostly they come in the order of their names.
                Some(value) => {
                    if let Some((name, value)) = entity.properties.try_append(name.into(), value) {
                        entity.properties.insert(name, value);
                    }
                }
                None => drop(entity.properties.remove(&*name)),
            }
        }
        Ok(entity)
    }
}

impl<'a> Scalar<'a> {
    fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a column of this type; `None` where there is none.
    fn of_type(self, kind: &str) -> Result<Option<Value>, Unreadable> {
        let value = match (kind, self) {
            ("Edm.Int64", Self::Text(text)) => text.parse().map(Value::Int64).ok(),
            ("Edm.Binary", Self::Text(text)) => BASE64_STANDARD.decode(&*text).map(Value::Binary).ok(),
            ("Edm.Double", Self::Text(text)) => text.parse().map(Value::Double).ok(),
            ("Edm.DateTime", Self::Text(text)) => Some(Value::DateTime(text.into_owned())),
            ("Edm.Guid", Self::Text(text)) => Some(Value::Guid(text.into_owned())),
            (_, Self::Text(text)) => Some(Value::String(text.into_owned())),
            (_, Self::Bool(value)) => Some(Value::Bool(value)),
            ("Edm.Int64", Self::Integer(number)) => Some(Value::Int64(number)),
            ("" | "Edm.Int32", Self::Integer(number)) => number.try_into().map(Value::Int32).ok(),
            (_, Self::Integer(number)) => Some(Value::Double(number as f64)),
            ("Edm.Int64", Self::Float(_)) => None,
            (_, Self::Float(number)) => Some(Value::Double(number)),
            (_, Self::Null) => return Ok(None),
            (_, Self::Other) => None,
        };
        value.map(Some).ok_or(Unreadable)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of a column")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(text.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(text.to_owned().into()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Bool(value))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Integer(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(i64::try_from(number).map_or(Scalar::Float(number as f64), Scalar::Integer))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Float(number))
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Scalar<'de>, A::Error> {
                IgnoredAny.visit_seq(array).map(|IgnoredAny| Scalar::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Scalar<'de>, A::Error> {
                IgnoredAny.visit_map(object).map(|IgnoredAny| Scalar::Other)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// A text in JSON, which is not copied where it has no escapes.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Reads a time of the service's clock. Times outside the range of its type `Edm.DateTime` are impossible, so that
/// callers can calculate with all that are left.
///
/// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#property-types>
pub(super) fn read_time(text: &str) -> Option<Timestamp> {
    /// From 1601-01-01 to 9999-12-01 in UTC, as seconds since 1970.
    const SECONDS: std::ops::Range<i64> = -11_644_473_600..253_399_622_400;
    text.parse().ok().filter(|time: &Timestamp| SECONDS.contains(&time.as_second()))
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
            ("\"Bad\":[\"\\ud83d\"]", "[\"\\ufffd\"]"),
        ] {
            let row = read(columns);
            assert_eq!(row.damage, Some(Damage::Unreadable), "{columns}");
            assert_eq!((row.partition_key.as_str(), row.row_key.as_str()), ("p", "r"));
            assert_eq!((row.timestamp.is_some(), row.etag), (true, Some(ETag("W/1".to_owned()))));
            let expected = [("Bad", text), ("Good", "7")].map(|(name, text)| (name.into(), Value::from(text)));
            assert_eq!(row.properties, crate::table::Properties::from_iter(expected), "{columns}");
        }
    }

    #[test]
    fn what_the_service_says_beside_the_columns_spoils_no_row() {
        for annotation in
            ["\"odata.new\":{\"a\":[1]}", "\"Good@odata.new\":[{}]", "\"Other@odata.type\":[]", "\"odata.id\":1"]
        {
            let row = read(annotation);
            assert_eq!((row.damage, row.integer("Good"), row.properties.len()), (None, Some(7), 1), "{annotation}");
        }
    }

    #[test]
    fn of_two_columns_of_one_name_the_later_one_counts() {
        for (columns, text) in [
            ("\"Twice\":[1],\"Twice\":\"x\"", Some("x")),
            ("\"Twice@odata.type\":\"Edm.Guid\",\"Twice\":1,\"Twice\":\"x\"", Some("x")),
            ("\"Twice\":\"x\",\"Twice\":null", None),
            ("\"Twice\":1e999,\"Twice\":null", None),
        ] {
            let row = read(columns);
            assert_eq!((row.damage, row.string("Twice"), row.integer("Good")), (None, text, Some(7)), "{columns}");
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
    fn a_damaged_row_of_ours_is_an_error_and_no_row_with_missing_values() {
        let unavailable = |row: Entity| matches!(row.undamaged(), Err(crate::table::TableError::Unavailable { .. }));
        assert!(unavailable(read("\"Paused\":[true]")) && unavailable(read("\"Text\":\"\\ud83d\"")));
        assert!(read("\"Paused\":true").undamaged().is_ok_and(|row| row.boolean("Paused") == Some(true)));
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
