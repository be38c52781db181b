//! Where answers to a mail go, and the link by which a lead is searched for in a CRM.

use super::links::percent_encode;
use crate::address::MailAddress;

/// Who gets the answers to a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replies {
    /// The customer, where the mail is about exactly one who may be contacted, and else the sender.
    Customer,
    /// The sender.
    Sender,
    /// This address, of ASCII characters alone.
    Address(MailAddress),
}

impl Replies {
    /// Which texts are right, as a phrase.
    pub const EXPECTED: &'static str = "customer or sender or an ASCII mail address";

    /// Reads `customer`, `sender` or an address.
    ///
    /// # Errors
    /// Says that it is none of them, without the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "customer" => Ok(Self::Customer),
            "sender" => Ok(Self::Sender),
            _ => MailAddress::parse_ascii(text).map(Self::Address).map_err(|_| format!("is not {}", Self::EXPECTED)),
        }
    }
}

/// A link that searches a CRM for a customer's address.
#[derive(Clone, PartialEq, Eq)]
pub struct CrmSearch {
    before: String,
    after: String,
}

impl CrmSearch {
    /// Which texts are right, as a phrase.
    pub const EXPECTED: &'static str =
        "an https URL of up to 300 ASCII characters, with {email} once in its path, query or fragment";

    /// The longest link in bytes, before the address is in it: it stands with every lead.
    const MAX_BYTES: usize = 300;

    /// Reads a URL such as `https://crm.example.com/search?q={email}`.
    ///
    /// # Errors
    /// Says what is wrong, without the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("is not {}", Self::EXPECTED);
        let (before, after) = text.split_once("{email}").ok_or_else(wrong)?;
        // What RFC 3986 allows in a URL, but for the apostrophe.
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&()*+,;=%".contains(&byte);
        let url = url::Url::parse(before).map_err(|_| wrong())?;
        let is_after_the_host = before.get("https://".len()..).is_some_and(|rest| rest.contains(['/', '?', '#']));
        let is_right = text.len() <= Self::MAX_BYTES
            && before.starts_with("https://")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && is_after_the_host
            && before.bytes().chain(after.bytes()).all(is_allowed);
        is_right.then(|| Self { before: before.to_owned(), after: after.to_owned() }).ok_or_else(wrong)
    }

    /// The link for an address.
    pub(super) fn link(&self, email: &str) -> String {
        format!("{}{}{}", self.before, percent_encode(email), self.after)
    }
}

/// Shows no URL: there can be a key in it.
impl std::fmt::Debug for CrmSearch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrmSearch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_the_link_to_a_crm_cannot_change_the_link() {
        let search = CrmSearch::parse("https://crm.example.com/search?q={email}&type=contact").unwrap();
        for (email, link) in [
            ("ada@contoso.com", "https://crm.example.com/search?q=ada%40contoso.com&type=contact"),
            (
                "a&b#c\"<{email}>@x.y",
                "https://crm.example.com/search?q=a%26b%23c%22%3C%7Bemail%7D%3E%40x.y&type=contact",
            ),
        ] {
            assert_eq!(search.link(email), link);
        }
    }

    #[test]
    fn only_an_https_address_with_one_place_behind_its_host_is_a_link_to_a_crm() {
        for text in ["https://crm.example.com/#/contacts/{email}", "https://crm.example.com?q={email}"] {
            assert!(CrmSearch::parse(text).is_ok(), "{text}");
        }
        let long = format!("https://crm.example.com/{}?q={{email}}", "a".repeat(300));
        for text in [
            "",
            "{email}",
            "https://crm.example.com/",
            "http://crm.example.com/?q={email}",
            "javascript:alert({email})",
            "https://{email}/",
            "https://{email}.example.com/",
            "https://crm.example.com{email}/",
            "https://user:pass@crm.example.com/{email}",
            "https://crm.example.com/?q={email}&r={email}",
            "https://crm.example.com/?q={email}&r={name}",
            "https://crm.example.com/?q=\"{email}\"",
            "https://crm.example.com/ ?q={email}",
            "https://crm.exämple.com/?q={email}",
            &long,
        ] {
            assert!(CrmSearch::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn replies_are_for_the_customer_the_sender_or_an_address() {
        assert_eq!(Replies::parse("Customer"), Ok(Replies::Customer));
        assert_eq!(Replies::parse("sender"), Ok(Replies::Sender));
        let address = MailAddress::parse_ascii("sales@contoso.com").unwrap();
        assert_eq!(Replies::parse("sales@contoso.com"), Ok(Replies::Address(address)));
        for text in ["", "nobody", "a@b.example;c@d.example", "zoë@contoso.com", "a@b.example\r\nBcc: c@d.example"] {
            assert!(Replies::parse(text).is_err(), "{text}");
        }
    }
}
