//! What a mail address is: one type for settings, events and links. And what the name of a destination is.
//!
//! The grammar is RFC 5321's and RFC 5322's without what people never mean and mail services refuse: quoted local parts,
//! comments, lists and address literals. Domains may be written in any script. They are kept in ASCII (Punycode), which is
//! what mail services take.

use crate::display;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use email_address::{EmailAddress, Options};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use std::fmt;

/// The most bytes of an address, with its domain in ASCII.
///
/// <https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3>, less the brackets of a path
const MAX_BYTES: usize = 254;

/// The most characters of a sender with its name, as SES counts them after encoding.
///
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>
const MAX_SENDER_CHARACTERS: usize = 320;

/// The most characters of a destination's name.
const MAX_NAME: usize = 32;

/// The most bytes of a text in one encoded word, so that the word has at most 75 characters (RFC 2047, section 2).
const ENCODED_WORD_BYTES: usize = 45;

/// RFC 5322's `atext` beside letters and digits.
const ATOM_SIGNS: &str = "!#$%&'*+-/=?^_`{|}~";

/// One mail address. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailAddress {
    /// The local part as it was written, `@`, and the domain in ASCII and lower case.
    text: String,
    /// Where the `@` is.
    at: usize,
}

/// A text is not one mail address. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a mail address")]
pub struct InvalidAddress;

impl MailAddress {
    /// Reads one address, with or without white space around it. Its local part may have letters of any script (RFC 6531).
    ///
    /// # Errors
    /// Where the text is anything else: a list, an address with a name, an address with a quoted local part.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let (local, domain) = text.trim().rsplit_once('@').ok_or(InvalidAddress)?;
        let is_plain =
            !local.starts_with('"') && local.chars().all(|letter| letter.is_ascii() || letter.is_alphanumeric());
        // IDNA passes over characters that cannot be seen: the domain would be another than the one that people read.
        if !is_plain || display::line(domain) != domain {
            return Err(InvalidAddress);
        }
        let domain = Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow, DnsLength::Verify);
        let domain = domain.map_err(|_| InvalidAddress)?;
        // The numbers of an IP address are labels, too; a top-level domain is never a number.
        if domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(InvalidAddress);
        }
        let text = format!("{local}@{domain}");
        let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
        if text.len() > MAX_BYTES || EmailAddress::parse_with_options(&text, options).is_err() {
            return Err(InvalidAddress);
        }
        Ok(Self { at: local.len(), text })
    }

    /// Reads one address to which SES sends: its local part has ASCII characters only.
    ///
    /// # Errors
    /// As [`MailAddress::parse`], and where the local part has others.
    pub fn parse_ascii(text: &str) -> Result<Self, InvalidAddress> {
        Self::parse(text).ok().filter(Self::is_ascii).ok_or(InvalidAddress)
    }

    /// Whether mail headers and SES take it as it is.
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// The address: its local part as it was written, its domain in ASCII and lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`, as it was written.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain in ASCII (`xn--…` where it has other letters) and lower case.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The domain as people read it, in lower case.
    pub fn unicode_domain(&self) -> String {
        idna::domain_to_unicode(self.domain()).0
    }

    /// Whether mail to both arrives at the same person: no service that people use tells casings apart.
    pub fn is_same(&self, other: &Self) -> bool {
        self.text.to_lowercase() == other.text.to_lowercase()
    }
}

/// Shows nothing of the address.
impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailAddress(..)")
    }
}

/// The name of a destination: where a route sends. All mail addresses of a route together are the destination `mail`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationName(String);

/// A text is no name of a destination. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no name of a destination: 1 to 32 of a-z 0-9 -")]
pub struct InvalidDestinationName;

impl DestinationName {
    /// The destination that all mail addresses of a route are together.
    pub fn mail() -> Self {
        Self("mail".to_owned())
    }

    /// Reads a name: 1 to 32 lower-case letters, digits and hyphens. `mail` is one.
    ///
    /// # Errors
    /// Where the text is none.
    pub fn parse(text: &str) -> Result<Self, InvalidDestinationName> {
        let is_name = (1..=MAX_NAME).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if is_name { Ok(Self(text.to_owned())) } else { Err(InvalidDestinationName) }
    }

    /// Whether it is the mail addresses of a route.
    pub fn is_mail(&self) -> bool {
        self.0 == "mail"
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DestinationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DestinationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DestinationName({})", self.0)
    }
}

/// The texts of addresses, in their order.
pub(crate) fn texts(addresses: &[MailAddress]) -> Vec<String> {
    addresses.iter().map(|address| address.as_str().to_owned()).collect()
}

/// A sender of mails: an address, and mostly a name. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Sender {
    name: Option<String>,
    address: MailAddress,
}

impl Sender {
    /// Reads `address`, `Name <address>` or `"Name" <address>`. The name may have letters of any script.
    ///
    /// # Errors
    /// Where the address is none that SES takes, or the name has control characters or angle brackets, or both are longer
    /// than SES allows.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        let (name, address) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')).unwrap_or(("", text));
        if name.chars().any(|letter| letter.is_control() || "<>".contains(letter)) {
            return Err(InvalidAddress);
        }
        let name = name.trim();
        let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
            Some(quoted) => unquoted(quoted),
            None => name.to_owned(),
        };
        let sender =
            Self { name: Some(name).filter(|name| !name.is_empty()), address: MailAddress::parse_ascii(address)? };
        if sender.header().len() > MAX_SENDER_CHARACTERS { Err(InvalidAddress) } else { Ok(sender) }
    }

    /// The sender's address.
    pub fn address(&self) -> &MailAddress {
        &self.address
    }

    /// The sender as a mail's header holds it, in ASCII. The name is quoted or encoded where it must be.
    ///
    /// <https://www.rfc-editor.org/rfc/rfc5322#section-3.4>, <https://www.rfc-editor.org/rfc/rfc2047#section-5>
    pub fn header(&self) -> String {
        let address = self.address.as_str();
        match &self.name {
            None => address.to_owned(),
            Some(name) if !name.is_ascii() => format!("{} <{address}>", encoded_words(name)),
            Some(name) if name.chars().all(is_phrase_character) => format!("{name} <{address}>"),
            Some(name) => format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

/// Shows nothing of the sender.
impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender(..)")
    }
}

fn is_phrase_character(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == ' ' || ATOM_SIGNS.contains(letter)
}

/// The content of a quoted text: a backslash makes the character behind it an ordinary one.
fn unquoted(quoted: &str) -> String {
    let mut letters = quoted.chars();
    std::iter::from_fn(|| letters.next().and_then(|letter| if letter == '\\' { letters.next() } else { Some(letter) }))
        .collect()
}

/// A text in encoded words of Base64. A word never ends within a character.
fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, next) = rest.split_at(rest.floor_char_boundary(ENCODED_WORD_BYTES));
        words.push(format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(word)));
        rest = next;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_domain_in_ascii() {
        for (text, expected) in [
            ("ada@contoso.com", "ada@contoso.com"),
            (" ada@contoso.com ", "ada@contoso.com"),
            ("Ada@CONTOSO.com", "Ada@contoso.com"),
            ("ada+x'y@Contoso.co.uk", "ada+x'y@contoso.co.uk"),
            ("a&b?c@contoso.com", "a&b?c@contoso.com"),
            ("a.b-c_d~e!#$%*/=^`{|}@contoso.com", "a.b-c_d~e!#$%*/=^`{|}@contoso.com"),
            ("a@b.c", "a@b.c"),
            ("a@1.example", "a@1.example"),
            ("a@b--c.example", "a@b--c.example"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
            // The first two letters are Cyrillic.
            ("ada@соntoso.com", "ada@xn--ntoso-iyeu.com"),
        ] {
            let address = MailAddress::parse_ascii(text).unwrap_or_else(|_| panic!("{text:?}"));
            assert_eq!(address.as_str(), expected, "{text:?}");
            assert_eq!(format!("{}@{}", address.local(), address.domain()), expected);
        }
    }

    #[test]
    fn what_is_not_one_address_that_mail_services_take_is_refused() {
        let label = "x".repeat(63);
        let long = format!("{}@{label}.{label}.{label}.example", "a".repeat(54));
        assert_eq!((long.len(), MailAddress::parse(&long).is_ok()), (254, true));
        for text in [
            "",
            "@",
            "ada",
            "@contoso.com",
            "ada@",
            "ada@localhost",
            "ada@.com",
            "ada@contoso.",
            "ada@contoso.com.",
            "ada@contoso..com",
            ".ada@contoso.com",
            "ada.@contoso.com",
            "a..b@x.example",
            ".a@x.example",
            "a.@x.example",
            "a@-x.example",
            "a@x-.example",
            "a@x_y.example",
            "a@x.-",
            "ada@contoso.com,eve@evil.example",
            "ada@contoso.com;eve@evil.example",
            "ada@contoso.com;x",
            "ada@contoso.com\r\nBcc: eve@evil.example",
            "ada@contoso.com eve@evil.example",
            "a b@contoso.com",
            "ada @contoso.com",
            "ada@ contoso.com",
            "ada@b@contoso.com",
            "\"ada lovelace\"@contoso.com",
            "\"ada\"@contoso.com",
            "ada(comment)@contoso.com",
            "ada@contoso.com(comment)",
            "Ada <ada@contoso.com>",
            "<ada@contoso.com>",
            "ada:group@contoso.com",
            "ada\\x@contoso.com",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "ada@[IPv6:::1]",
            "ada@contoso.com?bcc=eve@evil.example",
            "ada@contoso%2ecom",
            "ada@\u{202e}moc.example",
            "\u{202e}ada@contoso.com",
            "ada\u{200b}@contoso.com",
            "ada@con\u{ad}toso.com",
            "ada@con\u{200b}toso.com",
            "ada@xn--a.example",
            &format!("{long}e"),
            &format!("{}@contoso.com", "a".repeat(65)),
            &format!("a@{}.example", "x".repeat(64)),
            &format!("a@{}.example", "ü".repeat(60)),
            &format!("{}@contoso.com", "a".repeat(497)),
        ] {
            assert_eq!(MailAddress::parse(text), Err(InvalidAddress), "{text:?}");
        }
    }

    #[test]
    fn letters_beyond_ascii_before_the_at_sign_are_an_address_to_which_ses_does_not_send() {
        for text in ["zoë@contoso.com", "vertriebsbüro@contoso.com", "用户@例え.example"] {
            assert!(MailAddress::parse(text).is_ok_and(|address| !address.is_ascii()), "{text:?}");
            assert_eq!(MailAddress::parse_ascii(text), Err(InvalidAddress), "{text:?}");
        }
    }

    #[test]
    fn a_domain_is_shown_in_its_own_letters() {
        let domain = |text| MailAddress::parse(text).unwrap().unicode_domain();
        assert_eq!(domain("ada@xn--bcher-kva.example"), "bücher.example");
        assert_eq!(domain("ada@Contoso.com"), "contoso.com");
    }

    #[test]
    fn casing_does_not_make_another_address() {
        let address = |text| MailAddress::parse(text).unwrap();
        assert!(address("Ada@contoso.com").is_same(&address("ada@CONTOSO.com")));
        assert!(address("ZOË@bücher.example").is_same(&address("zoë@xn--bcher-kva.example")));
        assert!(!address("ada@contoso.com").is_same(&address("eve@contoso.com")));
    }

    #[test]
    fn a_senders_name_is_quoted_or_encoded_where_it_must_be() {
        let long = "Vertriebsbüro für Lösungen aus dem Marktplatz in Köln und Düsseldorf";
        for (text, header) in [
            ("leads@contoso.com", "leads@contoso.com"),
            ("<leads@contoso.com>", "leads@contoso.com"),
            ("Marketplace leads <leads@contoso.com>", "Marketplace leads <leads@contoso.com>"),
            ("Leads<leads@Contoso.com>", "Leads <leads@contoso.com>"),
            ("Contoso, Inc. <leads@contoso.com>", "\"Contoso, Inc.\" <leads@contoso.com>"),
            ("\"Contoso, Inc.\" <leads@contoso.com>", "\"Contoso, Inc.\" <leads@contoso.com>"),
            ("\"Contoso\" <leads@contoso.com>", "Contoso <leads@contoso.com>"),
            (r#"A "B" \ C <leads@contoso.com>"#, r#""A \"B\" \\ C" <leads@contoso.com>"#),
            (r#""A \"B\" \\ C" <leads@contoso.com>"#, r#""A \"B\" \\ C" <leads@contoso.com>"#),
            ("leads@evil.example <leads@contoso.com>", "\"leads@evil.example\" <leads@contoso.com>"),
            ("=?UTF-8?B?TMO8?= <leads@contoso.com>", "=?UTF-8?B?TMO8?= <leads@contoso.com>"),
            ("Lü <leads@bücher.example>", "=?UTF-8?B?TMO8?= <leads@xn--bcher-kva.example>"),
            (
                &format!("{long} <leads@contoso.com>"),
                "=?UTF-8?B?VmVydHJpZWJzYsO8cm8gZsO8ciBMw7ZzdW5nZW4gYXVzIGRlbSBNYXJrdHBs?= \
                 =?UTF-8?B?YXR6IGluIEvDtmxuIHVuZCBEw7xzc2VsZG9yZg==?= <leads@contoso.com>",
            ),
        ] {
            let sender = Sender::parse(text).unwrap_or_else(|_| panic!("{text:?}"));
            assert_eq!(sender.header(), header, "{text:?}");
            assert!(sender.header().split(' ').all(|word| word.len() <= 75), "{text:?}");
            assert_eq!(Sender::parse(header).unwrap().header(), header, "a header is read as what it is");
        }
    }

    #[test]
    fn what_is_no_sender_is_refused() {
        for text in [
            "",
            "Leads",
            "leads@contoso",
            "Leads <leads>",
            "Leads <leads@contoso.com",
            "Leads leads@contoso.com>",
            "Leads\r\nBcc: x <leads@contoso.com>",
            "Leads\0 <leads@contoso.com>",
            "a@b.example <x> <leads@contoso.com>",
            "zoë <zoë@contoso.com>",
            &format!("{} <leads@contoso.com>", "x".repeat(320)),
            &format!("{} <leads@contoso.com>", "ü".repeat(120)),
        ] {
            assert_eq!(Sender::parse(text), Err(InvalidAddress), "{text:?}");
        }
    }

    #[test]
    fn a_destinations_name_is_of_lower_case_letters_digits_and_hyphens() {
        for text in ["mail", "crm", "teams-1", "0", "a".repeat(32).as_str()] {
            assert_eq!(DestinationName::parse(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "Crm", "a_b", "a b", "a@b.c", "ü", "a/b", "a".repeat(33).as_str()] {
            assert_eq!(DestinationName::parse(text), Err(InvalidDestinationName), "{text:?}");
        }
        assert!(DestinationName::mail().is_mail() && !DestinationName::parse("crm").unwrap().is_mail());
    }

    #[test]
    fn debug_shows_neither_address_nor_name() {
        let (address, sender) =
            (MailAddress::parse("hidden@contoso.com").unwrap(), Sender::parse("Hidden <hidden@contoso.com>").unwrap());
        assert_eq!(format!("{address:?} {sender:?}"), "MailAddress(..) Sender(..)");
    }
}
