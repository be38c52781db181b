//! Finding one person: whether a row or a body names a mail address, however it is written.

use crate::address::MailAddress;
use crate::lead::StoredLead;
use crate::notify::contacts;
use crate::table::{Entity, Value};
use std::borrow::Cow;
use std::fmt;

/// How often a text is unescaped: a JSON text can stand in a JSON text, as Microsoft's `CustomerInfo` does.
const ESCAPES: usize = 4;

/// How many hexadecimal digits of a person's key mark what is about to be erased: rows of the log grow little by it.
const MARK: usize = 16;

/// The address of the person to erase, in every form in which it may stand somewhere: as it was given, with its domain in
/// ASCII, and with its domain in its own letters; each normalised as [`crate::lead::Lead::normalized_email`] is. `Debug`
/// does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Person(Vec<String>);

impl Person {
    /// An address, as far as one can be told from its form; `None` for anything else, and for the quoted form.
    pub fn parse(text: &str) -> Option<Self> {
        let address = MailAddress::parse(text).ok()?;
        let in_own_letters = format!("{}@{}", address.local(), address.unicode_domain());
        let mut forms = [text.trim(), address.as_str(), &in_own_letters].map(str::to_lowercase).to_vec();
        forms.sort();
        forms.dedup();
        Some(Self(forms))
    }

    /// Whether a text holds this address, and not only as a part of a longer one: as it is, or escaped as in JSON or in a
    /// form, several times over.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let mut text = Cow::Owned(text.to_lowercase());
        for _ in 0..ESCAPES {
            if self.stands_in(&text) {
                return true;
            }
            match unescape(&text) {
                Some(unescaped) => text = Cow::Owned(unescaped.to_lowercase()),
                None => return false,
            }
        }
        self.stands_in(&text)
    }

    fn stands_in(&self, text: &str) -> bool {
        self.0.iter().any(|address| Self::is_whole_in(address, text))
    }

    fn is_whole_in(address: &str, text: &str) -> bool {
        // Languages without spaces put an address right behind a word.
        let joins = |c: char| c.is_alphanumeric() && u32::from(c) < 0x2E80;
        text.match_indices(address).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let mut after = text[at + address.len()..].chars();
            let continues = match after.next() {
                // The full stop of a sentence, or another label of the host's name.
                Some('.') => after.next().is_some_and(joins),
                Some(c) => joins(c) || c == '-' || c == '_',
                None => false,
            };
            !before.is_some_and(|c| joins(c) || ".+-_%".contains(c)) && !continues
        })
    }

    /// Whether a body names the address, in UTF-8 or in UTF-16.
    pub(super) fn is_in_body(&self, body: &[u8]) -> bool {
        let utf_16 = |unit: fn([u8; 2]) -> u16| {
            let units = body.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
            let letters = char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER));
            letters.collect::<String>()
        };
        self.is_in(&String::from_utf8_lossy(body))
            || self.is_in(&utf_16(u16::from_le_bytes))
            || self.is_in(&utf_16(u16::from_be_bytes))
    }

    /// The forms of the address.
    pub(super) fn forms(&self) -> &[String] {
        &self.0
    }

    /// How the log marks what is about to be erased for this person.
    pub(super) fn mark(&self) -> String {
        self.0.first().map(|form| contacts::key(form).chars().take(MARK).collect()).unwrap_or_default()
    }

    /// Whether a row of the leads table is about this person, or names the address anywhere.
    pub(super) fn is_in_row(&self, row: &Entity) -> bool {
        let is_customer =
            StoredLead::from_entity(row).is_ok_and(|stored| self.0.contains(&stored.lead.normalized_email()));
        is_customer
            || [&row.partition_key, &row.row_key].into_iter().any(|key| self.is_in(key))
            || row.properties.iter().any(|(name, value)| match value {
                Value::Binary(bytes) => self.is_in(&String::from_utf8_lossy(bytes)),
                // With the columns in which a long text goes on: the address can stand across two of them.
                Value::String(_) => self.is_in(&row.text(name).unwrap_or_default()),
                _ => false,
            })
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(..)")
    }
}

/// The text with its JSON escapes, and those of forms and URLs, as the characters that they mean; `None` where it has
/// none. The text need not be well-formed: what is in quarantine is not.
fn unescape(text: &str) -> Option<String> {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find(['\\', '%']) {
        unescaped.push_str(&rest[..at]);
        rest = &rest[at..];
        let code = |from: usize, to: usize| rest.get(from..to).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let (character, length) = match rest.as_bytes() {
            [b'\\', b'u', ..] => (code(2, 6).and_then(char::from_u32), 6),
            [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => (Some(' '), 2),
            [b'\\', escaped @ (b'"' | b'\\' | b'/'), ..] => (Some(char::from(*escaped)), 2),
            [b'%', ..] => (code(1, 3).filter(|code| *code < 0x80).and_then(char::from_u32), 3),
            _ => (None, 1),
        };
        let length = character.map_or(1, |_| length);
        found |= character.is_some();
        unescaped.push(character.unwrap_or_else(|| char::from(rest.as_bytes()[0])));
        rest = &rest[length..];
    }
    unescaped.push_str(rest);
    found.then_some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_however_it_is_written_and_never_within_another() {
        let person = Person::parse(" Ann@Contoso.com ").unwrap();
        for text in [
            "ann@contoso.com",
            "write to ANN@contoso.COM.",
            "<ann@contoso.com>",
            r#"{"Email":"ann\u0040contoso.com"}"#,
            r#"{"note":"hello\nann@contoso.com"}"#,
            r#"{\"Email\":\"\u0061nn@contoso.com\"}"#,
            r#"{"CustomerInfo":"{\"Email\":\"ann\\u0040contoso.com\"}"}"#,
            "email=ann%40contoso.com&x=1",
            "email=%61nn%2540contoso.com",
            "\u{90ae}\u{7bb1}ann@contoso.com\u{3002}",
            "not json { ann@contoso.com",
        ] {
            assert!(person.is_in(text), "{text}");
        }
        for text in [
            "",
            "joann@contoso.com",
            "mary.ann@contoso.com",
            "x+ann@contoso.com",
            "ann@contoso.com.cn",
            "ann@contoso.company",
            "ann@contoso",
            "ann%contoso.com",
            "\u{fc}ann@contoso.com",
            r"\u00fcann@contoso.com\",
            "100%",
        ] {
            assert!(!person.is_in(text), "{text}");
        }
    }

    #[test]
    fn an_address_is_found_with_its_domain_in_its_own_letters_and_in_ascii() {
        for given in ["Ann@Bücher.example", "ann@xn--bcher-kva.example"] {
            let person = Person::parse(given).unwrap();
            for text in ["ann@bücher.example", "ANN@BÜCHER.example", r#"{"Email":"ann@xn--bcher-kva.example"}"#] {
                assert!(person.is_in(text), "{given}: {text}");
            }
            assert!(!person.is_in("joann@bücher.example"), "{given}");
        }
    }

    #[test]
    fn a_body_in_utf_16_is_read_as_well() {
        let person = Person::parse("ann@contoso.com").unwrap();
        let text = "{\"Email\":\"Ann <ann@contoso.com>\"}";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        assert!(person.is_in_body(&little) && person.is_in_body(&big) && person.is_in_body(text.as_bytes()));
        assert!(!person.is_in_body(b"joann@contoso.com"));
    }

    #[test]
    fn only_one_whole_address_can_be_erased() {
        for text in
            ["", "@", "ann", "@contoso.com", "ann@", "ann@contoso", "ann@.com", "a b@contoso.com", "ann@contoso.com;x"]
        {
            assert!(Person::parse(text).is_none(), "{text}");
        }
        assert_eq!(format!("{:?}", Person::parse("ann@contoso.com").unwrap()), "Person(..)");
    }
}
