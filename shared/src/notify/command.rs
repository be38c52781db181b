//! The commands of the notifier: the event of an invocation, by the schedule or by hand.

use super::contacts::Keys;
use super::erase::Address;
use super::find::{days, pages, queries};
use super::routing::Destination;
use super::waiting::new_items;
use super::{Contacts, Item, Notifier, NotifyError, Outcome, RunRecord, empty_digest, item};
use crate::mail::{Digest, Mailer, Occasion, Rendered};
use crate::table::{Table, TableError};
use crate::telemetry::metric;
use crate::window::time_or_day;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::pin::pin;

/// The most digests that a dry run shows whole: an answer of Lambda holds 6 MB.
const SHOWN_DIGESTS: usize = 10;

/// The most leads that a dry run holds in memory.
const DRY_RUN_LEADS: usize = 5_000;

/// The runs that `history` tells of, where it is not said how many.
const DEFAULT_HISTORY: usize = 20;

/// What the notifier is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Finds and mails new leads. What the schedule sends.
    Run,
    /// Says what a run would send; sends and changes nothing.
    DryRun,
    /// Sends the leads again that were written in a time, marked so; the watermark stays.
    Backfill {
        /// From when.
        since: Timestamp,
        /// Until when.
        until: Timestamp,
        /// To whom, instead of the settings' recipients.
        to: Option<Recipients>,
    },
    /// Makes runs do nothing until `resume`.
    Pause,
    /// Ends a pause; with `full_reads`, says also whether every run is to read the whole table.
    Resume {
        /// `false` ends what a sweep began.
        full_reads: Option<bool>,
    },
    /// Tells of the last runs.
    History {
        /// How many.
        last: usize,
    },
    /// Erases one person from the leads table, the contact index and the quarantine.
    Erase {
        /// Whose data.
        address: Address,
        /// Without it, nothing is removed: the answer says what would be.
        confirm: bool,
    },
}

/// Mail addresses that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipients(pub Vec<String>);

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recipients({})", self.0.len())
    }
}

/// What is wrong with an event. Holds no value of it, since values can be addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

/// Every command with its fields; `?` marks those that may be left out.
const COMMANDS: &[(&str, &[&str])] = &[
    ("run", &[]),
    ("dry-run", &[]),
    ("backfill", &["since", "until", "to?"]),
    ("pause", &[]),
    ("resume", &["full-reads?"]),
    ("history", &["last?"]),
    ("erase", &["address", "confirm?"]),
];

impl Command {
    /// Every command by its name, with its fields; `?` marks those that may be left out.
    pub const ALL: &'static [(&'static str, &'static [&'static str])] = COMMANDS;

    /// Reads the event of an invocation, such as `{"command":"run"}`.
    ///
    /// # Errors
    /// Where the command or a field is unknown, missing or malformed; the error lists the valid ones.
    pub fn parse(event: &Value) -> Result<Self, CommandError> {
        let names: Vec<_> = COMMANDS.iter().map(|(name, _)| format!("`{name}`")).collect();
        let names = names.join(", ");
        let fail = |message: String| Err(CommandError(message));
        let Some(event) = event.as_object() else {
            return fail(format!("the event is no JSON object like {{\"command\":\"run\"}}; commands: {names}"));
        };
        let Some(name) = event.get("command").and_then(Value::as_str) else {
            return fail(format!("the event names no command, as {{\"command\":\"run\"}} does; commands: {names}"));
        };
        let Some((name, fields)) = COMMANDS.iter().find(|(known, _)| *known == name) else {
            return fail(format!("unknown command; valid are {names}"));
        };
        let is_known = |field: &str| field == "command" || fields.iter().any(|f| f.trim_end_matches('?') == field);
        if !event.keys().all(|field| is_known(field)) {
            let valid =
                if fields.is_empty() { "it has none".to_owned() } else { format!("valid: {}", fields.join(", ")) };
            return fail(format!("`{name}` has an unknown field; {valid}"));
        }
        Ok(match *name {
            "run" => Self::Run,
            "dry-run" => Self::DryRun,
            "pause" => Self::Pause,
            "resume" => match event.get("full-reads") {
                None => Self::Resume { full_reads: None },
                Some(Value::Bool(value)) => Self::Resume { full_reads: Some(*value) },
                Some(_) => return fail("`full-reads` is neither true nor false".to_owned()),
            },
            "history" => match event.get("last").map(Value::as_u64) {
                None => Self::History { last: DEFAULT_HISTORY },
                Some(Some(last @ 1..=1000)) => Self::History { last: usize::try_from(last).unwrap_or(DEFAULT_HISTORY) },
                Some(_) => return fail("`last` is no number from 1 to 1000".to_owned()),
            },
            "erase" => {
                let Some(address) = event.get("address").and_then(Value::as_str).and_then(Address::parse) else {
                    return fail("`address` is no mail address".to_owned());
                };
                let confirm = match event.get("confirm") {
                    None => false,
                    Some(Value::Bool(confirm)) => *confirm,
                    Some(_) => return fail("`confirm` is neither true nor false".to_owned()),
                };
                Self::Erase { address, confirm }
            }
            _ => {
                let (since, until) = (time(event, "since")?, time(event, "until")?);
                if since >= until {
                    return fail("`since` is not before `until`".to_owned());
                }
                Self::Backfill { since, until, to: addresses(event)? }
            }
        })
    }
}

/// A time, or a day (its beginning in UTC).
fn time(event: &Map<String, Value>, field: &str) -> Result<Timestamp, CommandError> {
    let text = event.get(field).and_then(Value::as_str).unwrap_or_default();
    time_or_day(text).ok_or_else(|| {
        CommandError(format!("`{field}` is no time like \"2026-11-03T14:00:00Z\" and no day like \"2026-11-03\""))
    })
}

/// `to`: a text of addresses with semicolons between them, or a list of addresses.
fn addresses(event: &Map<String, Value>) -> Result<Option<Recipients>, CommandError> {
    let addresses: Vec<String> = match event.get("to") {
        None => return Ok(None),
        Some(Value::String(text)) => text.split(';').map(|address| address.trim().to_owned()).collect(),
        Some(Value::Array(list)) => {
            list.iter().map(|item| item.as_str().unwrap_or_default().trim().to_owned()).collect()
        }
        Some(_) => Vec::new(),
    };
    let addresses: Vec<_> = addresses.into_iter().filter(|address| !address.is_empty()).collect();
    let is_address = |address: &String| {
        let parts = address.split_once('@');
        parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
            && !address.chars().any(|c| c.is_whitespace() || c.is_control() || c == ',')
    };
    if addresses.is_empty() || !addresses.iter().all(is_address) {
        return Err(CommandError("`to` is no list of mail addresses, separated by semicolons".to_owned()));
    }
    Ok(Some(Recipients(addresses)))
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Does what a command asks for, under this invocation's id, and answers in JSON.
    ///
    /// # Errors
    /// Where it could not be done, or not wholly.
    pub async fn execute(&self, command: Command, id: &str, deadline: Timestamp) -> Result<Value, NotifyError> {
        match command {
            Command::Run => {
                let record = self.run(id, deadline).await?;
                count(&record);
                let failed = record.error.clone().filter(|_| record.outcome == Outcome::Failed);
                failed.map_or_else(|| Ok(json!(record)), |error| Err(NotifyError::RunFailed(error)))
            }
            Command::DryRun => self.dry_run(id).await,
            Command::Backfill { since, until, to } => self.backfill(since, until, to, id, deadline).await,
            Command::Pause => self.change(id, true, None).await,
            Command::Resume { full_reads } => self.change(id, false, full_reads).await,
            Command::Erase { address, confirm } => self.erase(&address, confirm, id, deadline).await,
            Command::History { last } => Ok(json!({ "runs": self.memory().runs(last).await? })),
        }
    }

    async fn change(&self, id: &str, paused: bool, full_reads: Option<bool>) -> Result<Value, NotifyError> {
        let memory = self.memory();
        let mut checkpoint = memory.checkpoint_or_new(self.first_watermark((self.clock)())).await?;
        checkpoint.paused = paused;
        checkpoint.full_reads = full_reads.unwrap_or(checkpoint.full_reads);
        memory.overwrite(checkpoint.clone(), format!("{id}-command")).await?;
        tracing::info!(paused, full_reads = checkpoint.full_reads, "the notifier was told");
        Ok(json!({
            "paused": paused,
            "full_reads": checkpoint.full_reads,
            "watermark": checkpoint.watermark,
            "pending_digests": checkpoint.pending.len(),
        }))
    }

    /// What a run would send now, without lease, writes or mails.
    async fn dry_run(&self, id: &str) -> Result<Value, NotifyError> {
        let now = (self.clock)();
        let checkpoint = self.memory().checkpoint().await.or_else(|error| match error {
            TableError::TableNotFound => Ok(None),
            error => Err(error),
        })?;
        let checkpoint = checkpoint.unwrap_or_default();
        let window = (self.window_start(&checkpoint, now), now);
        let new = new_items(&self.leads, &self.state, window, checkpoint.full_reads, DRY_RUN_LEADS).await?;
        let is_whole = new.len() < DRY_RUN_LEADS;
        let found = new.len();
        let mut digests = Vec::new();
        let mut number = 0;
        let mut known_people = Keys::default();
        let mut rest = new.into_iter().peekable();
        while rest.peek().is_some() {
            let items: Vec<_> = rest.by_ref().take(self.settings.digest_size).collect();
            let contacts = self.contacts(&mut known_people, &items).await?;
            digests.extend(self.digests(id, &mut number, items, &contacts));
        }
        let shown = digests.iter().enumerate().map(|(number, (record, digest))| {
            let rendered = self.render(digest);
            let mut shown = json!({
                "subject": rendered.subject,
                "leads": digest.leads.len(),
                "unreadable": digest.unreadable.len(),
                "quarantined": digest.quarantined.len(),
                "status": record.status,
                "recipients": self.recipients(record),
            });
            if number < SHOWN_DIGESTS {
                let Rendered { text, html, .. } = rendered;
                shown["text"] = text.into();
                shown["html"] = html.into();
            }
            shown
        });
        Ok(json!({
            "paused": checkpoint.paused,
            "watermark": checkpoint.watermark,
            "pending_digests": checkpoint.pending.len(),
            "found": found,
            "all_found": is_whole,
            "digests": shown.collect::<Vec<_>>(),
        }))
    }

    /// Sends the leads of a time again.
    async fn backfill(
        &self,
        since: Timestamp,
        until: Timestamp,
        to: Option<Recipients>,
        id: &str,
        deadline: Timestamp,
    ) -> Result<Value, NotifyError> {
        let (mut digests, mut mails, mut leads) = (0, 0, 0);
        let mut known_people = Keys::default();
        let mut items = Vec::new();
        let rows = queries(since, Some(until), &days(since, until), true);
        let mut pages = pin!(pages(&self.leads, rows));
        let mut is_last = false;
        while !is_last {
            let page = pages.next().await;
            is_last = page.is_none();
            let mut page = page.transpose()?.unwrap_or_default().into_iter();
            loop {
                items.extend(page.by_ref().take(self.settings.digest_size - items.len()).map(|row| item(&row)));
                let is_full = items.len() == self.settings.digest_size;
                if items.is_empty() || !is_full && !is_last {
                    break;
                }
                if (self.clock)() + super::DEADLINE_MARGIN >= deadline {
                    return Err(NotifyError::Incomplete { digests, leads });
                }
                let batch = std::mem::take(&mut items);
                let contacts = self.contacts(&mut known_people, &batch).await?;
                for (digest, recipients) in self.again(batch, to.as_ref(), &contacts, (since, until), id, digests) {
                    for message in self.render(&digest).messages(&self.settings.mail_from, &recipients) {
                        self.mailer.send(&message).await?;
                        mails += 1;
                    }
                    digests += 1;
                    leads += digest.leads.len();
                }
            }
        }
        tracing::info!(digests, mails, leads, "backfill sent");
        Ok(json!({ "since": since, "until": until, "leads": leads, "digests": digests, "mails": mails }))
    }

    /// The digests of a backfill with their recipients.
    fn again(
        &self,
        items: Vec<Item>,
        to: Option<&Recipients>,
        contacts: &Contacts,
        (since, until): (Timestamp, Timestamp),
        id: &str,
        number: usize,
    ) -> Vec<(Digest, Vec<String>)> {
        let occasion = Occasion::Backfill { since, until };
        if let Some(Recipients(to)) = to {
            let mut digest = empty_digest(super::digest_id((self.clock)(), id, number + 1), occasion);
            let (mut record, _) = super::new_digest(String::new(), since, &Destination::Default);
            let items = items.iter().filter(|item| item.lead().is_none_or(|stored| !stored.lead.is_validation()));
            items.for_each(|item| item.add_to(&mut record, &mut digest, contacts));
            return vec![(digest, to.clone())];
        }
        let mut number = number;
        let digests = self.digests(id, &mut number, items, contacts).into_iter();
        let mailed = digests.filter(|(record, _)| record.status == super::DigestStatus::Pending);
        mailed
            .map(|(record, digest)| {
                (Digest { occasion: occasion.clone(), ..digest }, self.recipients(&record).to_vec())
            })
            .collect()
    }
}

/// What a run did, as metrics.
fn count(record: &RunRecord) {
    let add = |name: &'static str, count: usize| metrics::counter!(name).increment(count as u64);
    let found = |source: &'static str, count: usize| {
        metrics::counter!(metric::LEADS_FOUND, "Source" => source).increment(count as u64);
    };
    found("https", record.leads_by_https);
    found("table", record.leads - record.leads_by_https);
    add(metric::LEADS_MAILED, record.mailed);
    add(metric::DIGESTS_SENT, record.digests);
    add(metric::MAILS_SENT, record.mails);
    add(metric::NOTIFIER_RUNS, usize::from(matches!(record.outcome, Outcome::Complete | Outcome::Stopped)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_or_its_error_lists_what_is_valid() {
        let parse = |event: Value| Command::parse(&event);
        assert_eq!(parse(json!({"command": "run"})), Ok(Command::Run));
        assert_eq!(parse(json!({"command": "history"})), Ok(Command::History { last: DEFAULT_HISTORY }));
        assert_eq!(
            parse(json!({"command": "resume", "full-reads": false})),
            Ok(Command::Resume { full_reads: Some(false) })
        );
        let backfill = json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-04T12:00:00+01:00", "to": "a@b.example; c@d.example"});
        let to = Some(Recipients(vec!["a@b.example".into(), "c@d.example".into()]));
        let (since, until) = ("2026-11-03T00:00:00Z".parse().unwrap(), "2026-11-04T11:00:00Z".parse().unwrap());
        assert_eq!(parse(backfill), Ok(Command::Backfill { since, until, to }));
        let address = Address::parse("ann@contoso.example").unwrap();
        for (event, confirm) in [
            (json!({"command": "erase", "address": " Ann@contoso.example"}), false),
            (json!({"command": "erase", "address": "ann@contoso.example", "confirm": true}), true),
        ] {
            assert_eq!(parse(event), Ok(Command::Erase { address: address.clone(), confirm }));
        }
        for (event, part) in [
            (json!("run"), "no JSON object"),
            (json!({}), "names no command"),
            (json!({"command": "runn"}), "`run`, `dry-run`, `backfill`, `pause`, `resume`, `history`, `erase`"),
            (json!({"command": "run", "to": "a@b.example"}), "`run` has an unknown field; it has none"),
            (json!({"command": "backfill", "from": "x"}), "valid: since, until, to?"),
            (json!({"command": "backfill", "since": "yesterday", "until": "2026-11-03"}), "`since` is no time"),
            (json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-03"}), "not before"),
            (
                json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-04", "to": "nobody"}),
                "`to` is no list",
            ),
            (json!({"command": "history", "last": 0}), "1 to 1000"),
            (json!({"command": "erase"}), "`address` is no mail address"),
            (json!({"command": "erase", "address": "a@b.example;c@d.example"}), "`address` is no mail address"),
            (json!({"command": "erase", "address": "a@b.example", "confirm": "yes"}), "`confirm` is neither"),
            (json!({"command": "erase", "email": "a@b.example"}), "valid: address, confirm?"),
        ] {
            let error = parse(event.clone()).unwrap_err().to_string();
            assert!(error.contains(part), "{event}: {error}");
            assert!(!error.contains('@'), "an error shows no address: {error}");
        }
    }
}
