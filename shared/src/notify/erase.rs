//! Erasing one person: from the leads table, the contact index and the quarantine.

use super::contacts;
use super::{DEADLINE_MARGIN, Notifier, NotifyError};
use crate::address::MailAddress;
use crate::lead::StoredLead;
use crate::mail::Mailer;
use crate::quarantine::{self, Quarantined};
use crate::table::{Entity, Query, Table, TableError, Value};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The rows of one page of the leads table.
const PAGE_SIZE: u32 = 500;

/// The rows of one page of the quarantine, where each holds up to 64 KiB.
const QUARANTINE_PAGE_SIZE: u32 = 50;

/// How often a text is unescaped: a JSON text can stand in a JSON text, as Microsoft's `CustomerInfo` does.
const ESCAPES: usize = 4;

/// The address of the person to erase, in every form in which it may stand somewhere: as it was given, with its domain in
/// ASCII, and with its domain in its own letters; each normalised as [`crate::lead::Lead::normalized_email`] is. `Debug`
/// does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Vec<String>);

impl Address {
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
    fn is_in(&self, text: &str) -> bool {
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

    /// Whether a row of the leads table is about this person, or names the address anywhere.
    fn is_in_row(&self, row: &Entity) -> bool {
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

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
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

/// What an erasure found, counted by partition.
#[derive(Default)]
struct Found {
    leads: BTreeMap<String, usize>,
    state: BTreeMap<&'static str, usize>,
    rows_read: usize,
    is_complete: bool,
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Erases one person, or counts what that would remove.
    ///
    /// With `confirm` it holds the lease, so that no run notes the person again meanwhile. What it did not get to before
    /// its deadline is left; asked again, it reads from the beginning.
    pub(super) async fn erase(
        &self,
        address: &Address,
        confirm: bool,
        id: &str,
        deadline: Timestamp,
    ) -> Result<Json, NotifyError> {
        let mut found = Found::default();
        if confirm {
            let mut run = self.new_run(id, deadline).await?;
            if run.checkpoint.is_leased(run.started) || !self.take_lease(&mut run).await? {
                return Err(NotifyError::Busy);
            }
            let done = self.find_person(address, true, deadline, &mut found).await;
            self.give_lease_back(&mut run, Vec::new()).await?;
            done?;
        } else {
            self.find_person(address, false, deadline, &mut found).await?;
        }
        let leads: usize = found.leads.values().sum();
        let count = |partition| found.state.get(partition).copied().unwrap_or_default();
        let (quarantined, contacts) = (count(quarantine::PARTITION), count(contacts::PARTITION));
        tracing::info!(confirm, leads, quarantined, contacts, complete = found.is_complete, "a person was looked for");
        let rows =
            json!({ &self.settings.storage.table: found.leads, &self.settings.storage.state_table: found.state });
        Ok(json!({
            (if confirm { "removed" } else { "would_remove" }): rows,
            "rows_read": found.rows_read,
            "complete": found.is_complete,
        }))
    }

    /// Looks through both tables, and deletes what it finds if it is told to.
    async fn find_person(
        &self,
        address: &Address,
        delete: bool,
        deadline: Timestamp,
        found: &mut Found,
    ) -> Result<(), NotifyError> {
        let is_in_time = || (self.clock)() + DEADLINE_MARGIN < deadline;
        for form in &address.0 {
            let contact = contacts::key(form);
            match self.state.get(contacts::PARTITION, &contact).await {
                Ok(_) => {}
                Err(TableError::NotFound | TableError::TableNotFound) => continue,
                Err(error) => return Err(error.into()),
            }
            found.rows_read += 1;
            *found.state.entry(contacts::PARTITION).or_default() += 1;
            if delete {
                remove(&self.state, contacts::PARTITION, &contact).await?;
            }
        }
        let quarantined = Query { page_size: Some(QUARANTINE_PAGE_SIZE), ..Query::partition(quarantine::PARTITION) };
        let leads = Query { page_size: Some(PAGE_SIZE), ..Query::default() };
        for (table, query) in [(&self.state, quarantined), (&self.leads, leads)] {
            let is_state = query.partition_key.is_some();
            let mut next = None;
            loop {
                if !is_in_time() {
                    return Ok(());
                }
                let page = match table.page(&query, next.as_ref()).await {
                    // There is no state table before the first run.
                    Err(TableError::TableNotFound) if is_state => break,
                    page => page?,
                };
                for row in page.entities {
                    found.rows_read += 1;
                    let is_theirs = if is_state {
                        address.is_in(&String::from_utf8_lossy(&Quarantined::from_entity(&row).body))
                    } else {
                        address.is_in_row(&row)
                    };
                    if !is_theirs {
                        continue;
                    }
                    if delete {
                        if !is_in_time() {
                            return Ok(());
                        }
                        remove(table, &row.partition_key, &row.row_key).await?;
                    }
                    if is_state {
                        *found.state.entry(quarantine::PARTITION).or_default() += 1;
                    } else {
                        *found.leads.entry(row.partition_key).or_default() += 1;
                    }
                }
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
        found.is_complete = true;
        Ok(())
    }
}

/// Deletes a row that may be gone already.
async fn remove<T: Table>(table: &T, partition_key: &str, row_key: &str) -> Result<(), TableError> {
    match table.delete(partition_key, row_key).await {
        Ok(()) | Err(TableError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_however_it_is_written_and_never_within_another() {
        let address = Address::parse(" Ann@Contoso.com ").unwrap();
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
            assert!(address.is_in(text), "{text}");
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
            assert!(!address.is_in(text), "{text}");
        }
    }

    #[test]
    fn an_address_is_found_with_its_domain_in_its_own_letters_and_in_ascii() {
        for given in ["Ann@Bücher.example", "ann@xn--bcher-kva.example"] {
            let address = Address::parse(given).unwrap();
            for text in ["ann@bücher.example", "ANN@BÜCHER.example", r#"{"Email":"ann@xn--bcher-kva.example"}"#] {
                assert!(address.is_in(text), "{given}: {text}");
            }
            assert!(!address.is_in("joann@bücher.example"), "{given}");
        }
    }

    #[test]
    fn only_one_whole_address_can_be_erased() {
        for text in
            ["", "@", "ann", "@contoso.com", "ann@", "ann@contoso", "ann@.com", "a b@contoso.com", "ann@contoso.com;x"]
        {
            assert!(Address::parse(text).is_none(), "{text}");
        }
        assert_eq!(format!("{:?}", Address::parse("ann@contoso.com").unwrap()), "Address(..)");
    }
}
