//! Microsoft's lead JSON, as far as it is known: keys in any casing, every field optional, values of any type.

use super::{Customer, Lead, UnknownField};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The longest body that intake reads, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Why a body is no lead. Its texts hold nothing of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unreadable {
    /// What is wrong.
    pub kind: UnreadableKind,
    /// What is wrong, and where, in words.
    pub message: String,
}

/// What is wrong with a body that is no lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreadableKind {
    /// Nothing, or nothing but white space.
    Empty,
    /// Not UTF-8.
    Encoding,
    /// Not JSON.
    Syntax,
    /// JSON, but not an object.
    NotAnObject,
    /// An object without anything of a lead in it.
    NotALead,
    /// Longer than [`MAX_BODY_BYTES`]. It was not looked into.
    TooLong,
}

impl Lead {
    /// Reads a body of so many bytes, of which a part may be missing where it is longer than [`MAX_BODY_BYTES`].
    ///
    /// # Errors
    /// Where it is longer than that, or no lead; see [`Lead::from_json`].
    pub fn from_body(body: &[u8], size: usize) -> Result<Self, Unreadable> {
        if size <= MAX_BODY_BYTES {
            return Self::from_json(body);
        }
        // The length itself stands beside the reason wherever the body is kept.
        let message = format!("The body is longer than {MAX_BODY_BYTES} bytes.");
        Err(Unreadable { kind: UnreadableKind::TooLong, message })
    }

    /// Reads the JSON that Microsoft POSTs.
    ///
    /// Keys match in any casing at every level; null, missing and empty are the same; numbers and booleans are taken as
    /// their text; the first value of a field counts, and what is left over or unknown goes to [`Lead::unknown`]. A
    /// byte-order mark is passed over.
    ///
    /// # Errors
    /// Where the body is not UTF-8, not JSON, not an object, or holds nothing of a lead.
    pub fn from_json(body: &[u8]) -> Result<Self, Unreadable> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let fail = |kind, message: String| Err(Unreadable { kind, message });
        let text = match std::str::from_utf8(body) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                return fail(UnreadableKind::Encoding, format!("The body is not UTF-8: byte {at} does not belong."));
            }
        };
        if text.trim().is_empty() {
            return fail(UnreadableKind::Empty, "The body is empty; a JSON object is expected.".into());
        }
        let fields = match Fields::read(text.as_bytes()) {
            Ok(fields) => fields,
            Err(_) if !text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok() => {
                let message =
                    "The body is JSON, but not an object; a lead is an object with UserDetails, LeadSource, …";
                return fail(UnreadableKind::NotAnObject, message.into());
            }
            // Such an error quotes the value that stands where an object should.
            Err(error) if error.is_data() => {
                let message = "The body cannot be read as JSON: it does not begin with an object.";
                return fail(UnreadableKind::Syntax, message.into());
            }
            Err(error) => {
                return fail(UnreadableKind::Syntax, format!("The body cannot be read as JSON: {error}."));
            }
        };
        let lead = Self::from_fields(fields);
        if !lead.has_content() {
            let message = "The body is a JSON object, but nothing of a lead is in it: no UserDetails, LeadSource, \
                           ActionCode, OfferTitle or Description with a value.";
            return fail(UnreadableKind::NotALead, message.into());
        }
        Ok(lead)
    }

    /// Whether any known field has a value.
    pub(super) fn has_content(&self) -> bool {
        let Self { customer, lead_source, action_code, offer_title, description, created_time: _, unknown: _ } = self;
        let customer = customer.known().map(|(_, text)| text);
        let rest = [lead_source, action_code, offer_title, description];
        customer.into_iter().chain(rest).any(|text| !text.trim().is_empty())
    }

    pub(super) fn from_fields(fields: Fields) -> Self {
        let mut lead = Self::default();
        for field in fields.0 {
            let slot = match field.name.to_ascii_lowercase().as_str() {
                "userdetails" | "customerinfo" => {
                    if !lead.customer.add(&field) {
                        lead.unknown.push(field);
                    }
                    continue;
                }
                "leadsource" => &mut lead.lead_source,
                "actioncode" => &mut lead.action_code,
                "offertitle" | "offerdisplayname" => &mut lead.offer_title,
                "description" => &mut lead.description,
                "createdtime" => &mut lead.created_time,
                _ => {
                    lead.unknown.push(field);
                    continue;
                }
            };
            if let Some(second) = fill(slot, field) {
                lead.unknown.push(second);
            }
        }
        lead
    }
}

impl Customer {
    /// Takes in the fields of a `UserDetails` or `CustomerInfo`: an object, or a JSON text of one. Says whether it was
    /// one.
    fn add(&mut self, field: &UnknownField) -> bool {
        let text = match field.json.as_bytes().first() {
            Some(b'"') => field.text(),
            _ => field.json.clone(),
        };
        if text == "null" || text.trim().is_empty() {
            return true;
        }
        let Ok(fields) = Fields::read(text.as_bytes()) else {
            return false;
        };
        for field in fields.0 {
            let slot = match field.name.to_ascii_lowercase().as_str() {
                "firstname" => &mut self.first_name,
                "lastname" => &mut self.last_name,
                "email" => &mut self.email,
                "phone" => &mut self.phone,
                "country" => &mut self.country,
                "company" => &mut self.company,
                "title" => &mut self.title,
                _ => {
                    self.unknown.push(field);
                    continue;
                }
            };
            if let Some(second) = fill(slot, field) {
                self.unknown.push(second);
            }
        }
        true
    }
}

/// Puts the field's text where nothing is yet; gives the field back where another value is there already.
fn fill(slot: &mut String, field: UnknownField) -> Option<UnknownField> {
    let text = field.text();
    if text.is_empty() || text == *slot {
        None
    } else if slot.is_empty() {
        *slot = text;
        None
    } else {
        Some(field)
    }
}

/// The text of a JSON value: the content of a string, nothing for null, the JSON itself of anything else.
pub(super) fn text_of(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()),
        _ if json == "null" => String::new(),
        _ => json.to_owned(),
    }
}

/// A JSON object whose values are not yet read: keys may repeat, order is kept, nothing is rounded, and nesting of any
/// depth costs no stack.
pub(super) struct Fields(pub(super) Vec<UnknownField>);

impl Fields {
    pub(super) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push(UnknownField { name, json: value.get().to_owned() });
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}
