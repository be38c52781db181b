//! Reads the text of one setting. Errors say what is wrong as the rest of a sentence that begins with the variable's
//! name, and hold nothing of the text.

use crate::address::{MailAddress, Sender};
use crate::cadence::Cadence;
use crate::mail::Language;
use jiff::tz::TimeZone;
use std::time::Duration;
use url::Url;

/// What becomes of a kind of leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailOrDrop {
    /// They are in the mails, marked.
    Mail,
    /// They stay in the table only.
    Drop,
}

/// An action whose leads are mailed at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrgentAction {
    /// The action's code, such as `PLT`.
    pub code: String,
    /// Whether it is urgent only where the customer left a note.
    pub needs_note: bool,
}

pub(super) fn whole_number(text: &str, min: u64, max: u64) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number < min => Err(format!("is less than {min}")),
        Ok(number) if number > max => Err(format!("is more than {max}")),
        Ok(number) => Ok(number),
        Err(_) => Err("is not a whole number".to_owned()),
    }
}

/// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#table-names>
pub(super) fn table_name(text: &str) -> Result<String, String> {
    let (length, first) = (text.chars().count(), text.chars().next());
    if !text.chars().all(|character| character.is_ascii_alphanumeric()) {
        Err("has other characters than letters and digits".to_owned())
    } else if !first.is_some_and(|first| first.is_ascii_alphabetic()) {
        Err("does not begin with a letter".to_owned())
    } else if !(3..=63).contains(&length) {
        Err(format!("has {length} characters"))
    } else if text.eq_ignore_ascii_case("tables") {
        Err("is a name that Azure keeps for itself".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html>
pub(super) fn parameter_name(text: &str) -> Result<String, String> {
    if text.chars().all(|character| character.is_ascii_alphanumeric() || "-_./:".contains(character)) {
        Ok(text.to_owned())
    } else {
        Err("has other characters than A-Z a-z 0-9 - _ . / :".to_owned())
    }
}

pub(super) fn url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(url),
        Ok(_) => Err("is no http or https URL".to_owned()),
        Err(error) => Err(format!("is not a URL: {error}")),
    }
}

pub(super) fn url_without_query(text: &str) -> Result<Url, String> {
    let url = url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        Err("has a query: leave the key out".to_owned())
    } else {
        Ok(url)
    }
}

/// Where a service is. It is asked without a credential, so that none may be in it.
pub(super) fn endpoint(text: &str) -> Result<Url, String> {
    let url = url_without_query(text)?;
    if url.username().is_empty() && url.password().is_none() { Ok(url) } else { Err("has a user's name".to_owned()) }
}

pub(super) fn sender(text: &str) -> Result<Sender, String> {
    Sender::parse(text).map_err(|error| error.to_string())
}

pub(super) fn address(text: &str) -> Result<MailAddress, String> {
    MailAddress::parse_ascii(text).map_err(|_| "is no mail address".to_owned())
}

/// The beginning of the names of SSM parameters: a folder of them.
pub(super) fn parameter_prefix(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter))
    };
    match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(parts) if parts.split('/').all(is_part) => Ok(text.to_owned()),
        _ => Err("is no beginning of the names of parameters".to_owned()),
    }
}

/// Reads addresses to which SES sends, with semicolons between, and leaves out repeated ones.
pub(super) fn recipients(text: &str) -> Result<Vec<MailAddress>, String> {
    let mut addresses: Vec<MailAddress> = Vec::new();
    let texts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    for (number, text) in (1..).zip(texts) {
        let address = MailAddress::parse_ascii(text).map_err(|_| format!("has no mail address at place {number}"))?;
        if !addresses.iter().any(|known| known.is_same(&address)) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("has no mail address".to_owned()) } else { Ok(addresses) }
}

pub(super) fn cadence(text: &str) -> Result<Cadence, String> {
    Cadence::parse(text).map_err(|error| error.to_string())
}

/// Reads the minutes from one tick of the schedule to the next.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match whole_number(text, 1, 60)? {
        minutes @ (1 | 5 | 15 | 60) => Ok(Duration::from_secs(minutes * 60)),
        _ => Err("is none of them".to_owned()),
    }
}

/// Reads action codes with semicolons between, each with or without `+note`; `none` stands for no action.
pub(super) fn urgent_actions(text: &str) -> Result<Vec<UrgentAction>, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (code, note) = part.split_once('+').map_or((part, None), |(code, note)| (code.trim(), Some(note)));
            let is_code = !code.is_empty() && code.chars().all(|letter| letter.is_ascii_alphanumeric());
            let is_note = note.is_none_or(|note| note.trim().eq_ignore_ascii_case("note"));
            let action = UrgentAction { code: code.to_owned(), needs_note: note.is_some() };
            if is_code && is_note { Ok(action) } else { Err("has something else than codes of actions".to_owned()) }
        })
        .collect()
}

pub(super) fn configuration_set(text: &str) -> Result<String, String> {
    if text.len() > 64 || !text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)) {
        Err("is no name of a configuration set".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

pub(super) fn time_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| "is not in the time zone database".to_owned())
}

pub(super) fn language(text: &str) -> Result<&'static Language, String> {
    Language::find(text).ok_or_else(|| "is none of the languages".to_owned())
}

pub(super) fn mail_or_drop(text: &str) -> Result<MailOrDrop, String> {
    let known = [MailOrDrop::Mail, MailOrDrop::Drop].into_iter().zip(MailOrDrop::NAMES);
    let found = known.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
    found.map(|(value, _)| value).ok_or_else(|| "is neither".to_owned())
}

impl MailOrDrop {
    /// How they are written in a setting, in the order of the variants.
    pub(super) const NAMES: [&str; 2] = ["mail", "drop"];
}
