//! How to reach a customer: addresses and numbers that are safe to link to.

use super::message::MAX_ADDRESS_BYTES;
use crate::display;

/// What can be done with a text that should be a customer's address.
#[derive(Default)]
pub(super) struct Address {
    /// The target of a link. `None` where it is not plausibly one single address.
    pub(super) link: Option<String>,
    /// The address as a mail header may hold it: ASCII only.
    pub(super) header: Option<String>,
    /// The domain in ASCII (`xn--…`), if it is written in other letters, because some of those look like letters of
    /// ASCII.
    pub(super) ascii_domain: Option<String>,
}

impl Address {
    /// What can be done with a text. Where it is not one address, that is nothing.
    pub(super) fn of(text: &str) -> Self {
        Self::parse(text.trim()).unwrap_or_default()
    }

    /// Reads the forms that people have: a dotted local part and a domain of at least two labels. Quoted local parts,
    /// comments, lists and address literals are not read. Neither are addresses that are too long once their domain is
    /// in ASCII, which takes up to twice the bytes.
    fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.split_once('@')?;
        let is_atom = |atom: &str| !atom.is_empty() && atom.chars().all(is_atom_character);
        // RFC 5321, 4.5.3.1
        if text.len() > MAX_ADDRESS_BYTES
            || local.len() > 64
            || !local.split('.').all(is_atom)
            || display::line(domain) != domain
        {
            return None;
        }
        let url::Host::Domain(ascii) = url::Host::parse(domain).ok()? else { return None };
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !ascii.contains('.') || !ascii.split('.').all(is_label) || domain.contains('%') {
            return None;
        }
        if local.len() + "@".len() + ascii.len() > MAX_ADDRESS_BYTES {
            return None;
        }
        Some(Self {
            link: Some(format!("mailto:{}@{}", percent_encode(local), percent_encode(&ascii))),
            header: local.is_ascii().then(|| format!("{local}@{ascii}")),
            ascii_domain: (!domain.is_ascii()).then_some(ascii),
        })
    }
}

/// Whether a character may stand in a local part: RFC 5322's `atext`, and letters and digits of all scripts (RFC 6532).
fn is_atom_character(character: char) -> bool {
    character.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character)
}

/// Encodes everything but RFC 3986's unreserved characters.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The target of a link to a phone number (RFC 3966). `None` where the text is not plausibly one number.
pub(super) fn phone_link(text: &str) -> Option<String> {
    let text = text.trim();
    // The zero in `+49 (0) 30 …` is dialled only within the country.
    let text = if text.starts_with('+') { text.replace("(0)", "") } else { text.to_owned() };
    let (plus, number) = match text.strip_prefix('+') {
        Some(number) => ("+", number),
        None => ("", text.as_str()),
    };
    let separators = [' ', '-', '.', '(', ')', '/', '\u{a0}'];
    let digits: String = number.chars().filter(|character| !separators.contains(character)).collect();
    // E.164 allows 15 digits, and prefixes of a country or company are added to them.
    let is_number = (5..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("tel:{plus}{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plausible_address_gets_a_link_and_may_stand_in_a_header() {
        for (text, link, header) in [
            (" ada@contoso.com ", "mailto:ada@contoso.com", "ada@contoso.com"),
            ("ada+x'y@Contoso.co.uk", "mailto:ada%2Bx%27y@contoso.co.uk", "ada+x'y@contoso.co.uk"),
            ("a&b?c@contoso.com", "mailto:a%26b%3Fc@contoso.com", "a&b?c@contoso.com"),
            ("ada@bücher.example", "mailto:ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ] {
            let address = Address::of(text);
            assert_eq!(address.link.as_deref(), Some(link), "{text:?}");
            assert_eq!(address.header.as_deref(), Some(header), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_plausibly_one_address_gets_no_link_and_no_header() {
        for text in [
            "",
            "ada",
            "@contoso.com",
            "ada@",
            "ada@localhost",
            "ada@contoso..com",
            ".ada@contoso.com",
            "ada.@contoso.com",
            "ada@contoso.com,eve@evil.example",
            "ada@contoso.com;eve@evil.example",
            "ada@contoso.com\r\nBcc: eve@evil.example",
            "ada@contoso.com eve@evil.example",
            "ada@b@contoso.com",
            "\"ada lovelace\"@contoso.com",
            "Ada <ada@contoso.com>",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "ada@contoso.com?bcc=eve@evil.example",
            "ada@contoso%2ecom",
            "ada@\u{202e}moc.example",
            "\u{202e}ada@contoso.com",
            "ada\u{200b}@contoso.com",
        ] {
            let address = Address::of(text);
            assert_eq!((address.link, address.header), (None, None), "{text:?}");
        }
    }

    #[test]
    fn an_address_is_measured_as_it_stands_in_the_header() {
        // Each label of one letter takes eight bytes in ASCII: `xn--fiq.`
        let domain = |labels: usize| format!("{}example", "中.".repeat(labels));
        for (labels, bytes, is_good) in [(28, 233, true), (30, 249, true), (31, 257, false), (60, 489, false)] {
            let text = format!("a@{}", domain(labels));
            assert!(text.len() <= 254);
            let url::Host::Domain(ascii) = url::Host::parse(&domain(labels)).unwrap() else { panic!() };
            assert_eq!(format!("a@{ascii}").len(), bytes, "{labels} labels");
            let address = Address::of(&text);
            assert_eq!(address.header.is_some(), is_good, "{labels} labels");
            assert_eq!(address.link.is_some(), is_good, "{labels} labels");
        }
    }

    #[test]
    fn a_domain_in_letters_that_look_like_latin_is_told_apart() {
        // The first two letters are Cyrillic.
        assert_eq!(Address::of("ada@соntoso.com").ascii_domain.as_deref(), Some("xn--ntoso-iyeu.com"));
        assert_eq!(Address::of("ada@contoso.com").ascii_domain, None);
    }

    #[test]
    fn letters_beyond_ascii_before_the_at_sign_are_linked_but_not_put_into_a_header() {
        let address = Address::of("zoë@contoso.com");
        assert_eq!(address.link.as_deref(), Some("mailto:zo%C3%AB@contoso.com"));
        assert_eq!(address.header, None);
    }

    #[test]
    fn a_phone_number_in_any_usual_form_gets_a_link() {
        for (text, link) in [
            ("16175555555", Some("tel:16175555555")),
            ("+1 (617) 555-5555", Some("tel:+16175555555")),
            ("+49 (0) 30/123.456", Some("tel:+4930123456")),
            ("(030) 123456", Some("tel:030123456")),
            ("", None),
            ("n/a", None),
            ("1234", None),
            ("+1;ext=9\"><script>", None),
            ("call me", None),
            ("1 or 2 + 3 4 5 6", None),
        ] {
            assert_eq!(phone_link(text).as_deref(), link, "{text:?}");
        }
    }
}
