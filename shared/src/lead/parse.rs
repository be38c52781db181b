//! Microsoft's lead JSON, as far as it is known: keys in any casing, every field optional, values of any type.

use super::{Customer, Lead, UnknownField};
use crate::table::Text;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
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
        let lead = Self::from_fields(fields.0.into_iter());
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

    pub(super) fn from_fields<'a>(fields: impl Iterator<Item = Field<'a>>) -> Self {
        let mut lead = Self::default();
        for field in fields {
            let is = |known: &str| field.name.eq_ignore_ascii_case(known);
            let slot = if is("UserDetails") || is("CustomerInfo") {
                if !lead.customer.add(&field.value) {
                    lead.unknown.push(field.into_unknown());
                }
                continue;
            } else if is("LeadSource") {
                &mut lead.lead_source
            } else if is("ActionCode") {
                &mut lead.action_code
            } else if is("OfferTitle") || is("OfferDisplayName") {
                &mut lead.offer_title
            } else if is("Description") {
                &mut lead.description
            } else if is("CreatedTime") {
                &mut lead.created_time
            } else {
                lead.unknown.push(field.into_unknown());
                continue;
            };
            lead.unknown.extend(fill(slot, field));
        }
        lead
    }
}

impl Customer {
    /// Takes in the fields of a `UserDetails` or `CustomerInfo`: an object, or a JSON text of one. Says whether it was
    /// one.
    fn add(&mut self, value: &Content<'_>) -> bool {
        let text = match value {
            Content::Json(json) if !json.starts_with('"') => Cow::Borrowed(*json),
            value => value.text(),
        };
        if text == "null" || text.trim().is_empty() {
            return true;
        }
        // Mostly, all fields are known and are texts. Then they need to be read only once.
        if *self == Self::default()
            && let Ok(KnownTexts(customer)) = serde_json::from_str(&text)
        {
            *self = customer;
            return true;
        }
        let Ok(fields) = Fields::read(text.as_bytes()) else {
            return false;
        };
        for field in fields.0 {
            match self.slot(&field.name) {
                Some(slot) => {
                    let second = fill(slot, field);
                    self.unknown.extend(second);
                }
                None => self.unknown.push(field.into_unknown()),
            }
        }
        true
    }

    /// Where the text of a field belongs that is known.
    fn slot(&mut self, name: &str) -> Option<&mut String> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        Some(match () {
            () if is("FirstName") => &mut self.first_name,
            () if is("LastName") => &mut self.last_name,
            () if is("Email") => &mut self.email,
            () if is("Phone") => &mut self.phone,
            () if is("Country") => &mut self.country,
            () if is("Company") => &mut self.company,
            () if is("Title") => &mut self.title,
            () => return None,
        })
    }
}

/// A customer of whom every field is known, is a text, and comes once.
struct KnownTexts(Customer);

impl<'de> Deserialize<'de> for KnownTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KnownTextsVisitor;
        impl<'de> Visitor<'de> for KnownTextsVisitor {
            type Value = KnownTexts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of known texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KnownTexts, A::Error> {
                let other = || A::Error::custom("another field than a known text");
                let mut customer = Customer::default();
                while let Some(Text(name)) = map.next_key()? {
                    let slot = customer.slot(&name).filter(|slot| slot.is_empty()).ok_or_else(other)?;
                    *slot = map.next_value()?;
                }
                Ok(KnownTexts(customer))
            }
        }
        deserializer.deserialize_map(KnownTextsVisitor)
    }
}

/// Puts the field's text where nothing is yet; gives the field back where another value is there already.
fn fill(slot: &mut String, field: Field<'_>) -> Option<UnknownField> {
    #[cfg(test)]
    assert!(!field.value.text().contains(crate::bug::texts::READ));
    if slot.is_empty() {
        *slot = field.value.text().into_owned();
        return None;
    }
    let text = field.value.text();
    if text.is_empty() || text == *slot { None } else { Some(field.into_unknown()) }
}

/// A field of a lead that is being read.
pub(super) struct Field<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Content<'a>,
}

/// What a field holds.
pub(super) enum Content<'a> {
    /// JSON that is not yet read.
    Json(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// JSON that was made of a number or a boolean.
    Made(String),
}

impl Field<'_> {
    pub(super) fn text(&self) -> Cow<'_, str> {
        self.value.text()
    }

    fn into_unknown(self) -> UnknownField {
        let json = match self.value {
            Content::Json(json) => json.to_owned(),
            Content::Text(text) => json_string(&text),
            Content::Made(json) => json,
        };
        UnknownField { name: self.name.into_owned(), json }
    }
}

impl Content<'_> {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Json(json) => text_of(json),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Made(json) => Cow::Borrowed(json),
        }
    }
}

/// A text as JSON.
pub(super) fn json_string(text: &str) -> String {
    // A text always makes JSON.
    serde_json::to_string(text).unwrap_or_default()
}

/// The text of a JSON value: the content of a string, nothing for null, the JSON itself of anything else.
pub(super) fn text_of(json: &str) -> Cow<'_, str> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map_or(Cow::Borrowed(json), |Text(text)| text),
        _ if json == "null" => Cow::Borrowed(""),
        _ => Cow::Borrowed(json),
    }
}

/// A JSON object whose values are not yet read: keys may repeat, order is kept, nothing is rounded, and nesting of any
/// depth costs no stack.
pub(super) struct Fields<'a>(pub(super) Vec<Field<'a>>);

impl<'a> Fields<'a> {
    pub(super) fn read(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push(Field { name, value: Content::Json(value.get()) });
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}
