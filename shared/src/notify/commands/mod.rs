//! The commands of the notifier: the event of an invocation, by the schedule or by hand.

mod backfill;
mod dry_run;
mod erase;
mod made_up;
mod outbox;
mod person;

use super::log::{ChannelId, Outcome, RunRecord, set_paused};
use super::times::span;
use super::{Notifier, NotifyError, runs};
use crate::address::{DestinationName, MailAddress};
use crate::lead::time_or_day;
use crate::mail::Mailer;
use crate::table::{Table, TableError};
use crate::telemetry::metric;
use jiff::Timestamp;
use person::Person;
use serde_json::{Map, Value, json};

/// The runs that `history` tells of, where it is not said how many.
const DEFAULT_HISTORY: usize = 20;

/// The most values of one distribution that an invocation writes. The collector takes no more.
const MOST_VALUES: u64 = 100;

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
        to: Option<Receivers>,
    },
    /// Makes runs do nothing until `resume`.
    Pause,
    /// Ends a pause.
    Resume,
    /// Tells of the last runs.
    History {
        /// How many.
        last: usize,
    },
    /// Sends a made-up digest through one route.
    Test {
        /// The route's id or name; the one to the default recipients where there is none.
        route: Option<String>,
        /// To whom, instead of the route's recipients.
        to: Recipients,
    },
    /// Tells what each channel still owes, and what was given up.
    Outbox,
    /// Has one channel, or all of them, tried with the next run, with what was given up in it.
    Retry {
        /// Which channel.
        channel: Option<ChannelId>,
    },
    /// Gives up what a channel owes.
    Discard {
        /// Which channel.
        channel: ChannelId,
    },
    /// Erases one person from the leads table, the log, the contact index and the quarantine.
    Erase {
        /// Whose data.
        person: Person,
        /// Without it, nothing is removed: the answer says what would be.
        confirm: bool,
        /// Where an earlier call ended.
        after: Option<String>,
    },
}

/// Mail addresses, and names of destinations beside mail. One of the two has something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receivers {
    /// Who gets mails.
    pub mail: Recipients,
    /// Which other destinations get messages.
    pub destinations: Vec<DestinationName>,
}

/// Mail addresses that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipients(pub Vec<MailAddress>);

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
    ("test", &["to", "route?"]),
    ("pause", &[]),
    ("resume", &[]),
    ("history", &["last?"]),
    ("outbox", &[]),
    ("retry", &["channel?"]),
    ("discard", &["channel"]),
    ("erase", &["address", "confirm?", "after?"]),
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
            "resume" => Self::Resume,
            "outbox" => Self::Outbox,
            "history" => match event.get("last").map(Value::as_u64) {
                None => Self::History { last: DEFAULT_HISTORY },
                Some(Some(last @ 1..=1000)) => Self::History { last: usize::try_from(last).unwrap_or(DEFAULT_HISTORY) },
                Some(_) => return fail("`last` is no number from 1 to 1000".to_owned()),
            },
            "test" => {
                let route = match event.get("route") {
                    None => None,
                    Some(Value::String(route)) => Some(route.clone()),
                    Some(_) => return fail("`route` is no id and no name of a route".to_owned()),
                };
                match addresses(event)? {
                    Some(to) => Self::Test { route, to },
                    None => return fail("`to` is missing: to which mail address?".to_owned()),
                }
            }
            "retry" => Self::Retry { channel: event.get("channel").map(channel).transpose()? },
            "discard" => Self::Discard { channel: channel(event.get("channel").unwrap_or(&Value::Null))? },
            "erase" => {
                let Some(person) = event.get("address").and_then(Value::as_str).and_then(Person::parse) else {
                    return fail("`address` is no mail address".to_owned());
                };
                let confirm = match event.get("confirm") {
                    None => false,
                    Some(Value::Bool(confirm)) => *confirm,
                    Some(_) => return fail("`confirm` is neither true nor false".to_owned()),
                };
                let after = match event.get("after") {
                    None => None,
                    Some(Value::String(after)) if erase::is_place(after) => Some(after.clone()),
                    Some(_) => return fail("`after` is not what an earlier answer gave".to_owned()),
                };
                Self::Erase { person, confirm, after }
            }
            _ => {
                let (since, until) = (time(event, "since")?, time(event, "until")?);
                if since >= until {
                    return fail("`since` is not before `until`".to_owned());
                }
                Self::Backfill { since, until, to: receivers(event)? }
            }
        })
    }
}

fn channel(value: &Value) -> Result<ChannelId, CommandError> {
    let id = value.as_str().and_then(ChannelId::parse);
    id.ok_or_else(|| CommandError("`channel` is no id of a channel, as `outbox` gives them".to_owned()))
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
    let Some(texts) = receiver_texts(event) else { return Ok(None) };
    let addresses: Result<Vec<_>, _> = texts.into_iter().map(MailAddress::parse_ascii).collect();
    match addresses {
        Ok(addresses) if !addresses.is_empty() => Ok(Some(Recipients(addresses))),
        _ => Err(CommandError("`to` is no list of mail addresses, separated by semicolons".to_owned())),
    }
}

/// `to`: the same, with names of destinations among the addresses. What has an @ is an address.
fn receivers(event: &Map<String, Value>) -> Result<Option<Receivers>, CommandError> {
    let wrong = || {
        let text = "`to` is no list of mail addresses and names of destinations, separated by semicolons";
        CommandError(text.to_owned())
    };
    let Some(texts) = receiver_texts(event) else { return Ok(None) };
    let (mut mail, mut destinations) = (Vec::new(), Vec::new());
    for text in texts {
        if text.contains('@') {
            mail.push(MailAddress::parse_ascii(text).map_err(|_| wrong())?);
        } else {
            let name = DestinationName::parse(text.trim()).ok().filter(|name| !name.is_mail());
            destinations.push(name.ok_or_else(wrong)?);
        }
    }
    if mail.is_empty() && destinations.is_empty() {
        return Err(wrong());
    }
    Ok(Some(Receivers { mail: Recipients(mail), destinations }))
}

/// The texts of `to` that are not empty; `None` where there is no such field.
fn receiver_texts(event: &Map<String, Value>) -> Option<Vec<&str>> {
    let texts: Vec<&str> = match event.get("to")? {
        Value::String(text) => text.split(';').collect(),
        Value::Array(list) => list.iter().map(|item| item.as_str().unwrap_or("?")).collect(),
        _ => Vec::new(),
    };
    Some(texts.into_iter().filter(|text| !text.trim().is_empty()).collect())
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
                self.count(&record);
                let failed = record.error.clone().filter(|_| record.outcome == Outcome::Failed);
                failed.map_or_else(|| Ok(json!(record)), |error| Err(NotifyError::RunFailed(error)))
            }
            Command::DryRun => self.dry_run(id, deadline).await,
            Command::Backfill { since, until, to } => self.backfill((since, until), to, id, deadline).await,
            Command::Test { route, to } => self.test(route.as_deref(), &to, id).await,
            Command::Pause => self.set_paused(true).await,
            Command::Resume => self.set_paused(false).await,
            Command::Outbox => self.outbox(id, deadline).await,
            Command::Retry { channel } => self.retry(channel, id, deadline).await,
            Command::Discard { channel } => self.discard(&channel, id, deadline).await,
            Command::Erase { person, confirm, after } => self.erase(&person, confirm, after, id, deadline).await,
            Command::History { last } => {
                let runs = match runs(&self.state, last).await {
                    Err(TableError::TableNotFound) => Vec::new(),
                    runs => runs?,
                };
                Ok(json!({ "runs": runs }))
            }
        }
    }

    /// Says whether runs are to do nothing, in a row that runs never write: a run under way goes on to its end.
    async fn set_paused(&self, is_paused: bool) -> Result<Value, NotifyError> {
        set_paused(&self.state, is_paused).await?;
        tracing::info!(paused = is_paused, "the notifier was told whether to pause");
        Ok(json!({ "paused": is_paused }))
    }

    /// What a run did, as metrics.
    fn count(&self, record: &RunRecord) {
        let add = |name: &'static str, count: usize| metrics::counter!(name).increment(count as u64);
        let found = |source: &'static str, count: usize| {
            metrics::counter!(metric::LEADS_FOUND, "Source" => source).increment(count as u64);
        };
        found("https", record.leads_by_https);
        found("table", record.leads - record.leads_by_https);
        add(metric::LEADS_MAILED, record.mailed);
        add(metric::LEADS_PARKED, record.parked);
        add(metric::DIGESTS_SENT, record.digests);
        add(metric::MAILS_SENT, record.mails);
        for seconds in record.delays.sample(MOST_VALUES) {
            metrics::histogram!(metric::MAIL_DELAY).record(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        let ended_well = matches!(record.outcome, Outcome::Complete | Outcome::Idle | Outcome::Stopped);
        add(metric::NOTIFIER_RUNS, usize::from(ended_well));
        if matches!(record.outcome, Outcome::Busy) {
            return;
        }
        let now = self.now();
        let age = |time: Option<Timestamp>| time.map_or(0.0, |time| now.duration_since(time).as_secs_f64().max(0.0));
        metrics::histogram!(metric::OLDEST_OWED_AGE).record(age(record.overdue_since));
        // Runs that are further apart than patrols are due cannot patrol more often.
        let due = self.patrol_interval().max(span(self.settings.schedule.interval)).as_secs_f64();
        metrics::histogram!(metric::PATROL_LAG).record(age(record.patrolled_since) / due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_or_its_error_lists_what_is_valid() {
        let parse = |event: Value| Command::parse(&event);
        assert_eq!(parse(json!({"command": "run"})), Ok(Command::Run));
        assert_eq!(parse(json!({"command": "history"})), Ok(Command::History { last: DEFAULT_HISTORY }));
        assert_eq!(parse(json!({"command": "resume"})), Ok(Command::Resume));
        let backfill = json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-04T12:00:00+01:00", "to": "a@b.example; c@d.example"});
        let addresses =
            Recipients(["a@b.example", "c@d.example"].map(|text| MailAddress::parse(text).unwrap()).to_vec());
        let to = Some(Receivers { mail: addresses, destinations: Vec::new() });
        let (since, until) = ("2026-11-03T00:00:00Z".parse().unwrap(), "2026-11-04T11:00:00Z".parse().unwrap());
        assert_eq!(parse(backfill.clone()), Ok(Command::Backfill { since, until, to }));
        let mut elsewhere = backfill;
        elsewhere["to"] = json!("crm; teams-1");
        let destinations = ["crm", "teams-1"].map(|name| DestinationName::parse(name).unwrap()).to_vec();
        let to = Some(Receivers { mail: Recipients(Vec::new()), destinations });
        assert_eq!(parse(elsewhere), Ok(Command::Backfill { since, until, to }));
        let channel = ChannelId::of("default", &DestinationName::mail());
        assert_eq!(parse(json!({"command": "retry"})), Ok(Command::Retry { channel: None }));
        let discard = json!({"command": "discard", "channel": channel.as_str()});
        assert_eq!(parse(discard), Ok(Command::Discard { channel }));
        let person = Person::parse("ann@contoso.example").unwrap();
        for (event, confirm) in [
            (json!({"command": "erase", "address": " Ann@contoso.example"}), false),
            (json!({"command": "erase", "address": "ann@contoso.example", "confirm": true}), true),
        ] {
            assert_eq!(parse(event), Ok(Command::Erase { person: person.clone(), confirm, after: None }));
        }
        for (event, part) in [
            (json!("run"), "no JSON object"),
            (json!({}), "names no command"),
            (
                json!({"command": "runn"}),
                "`run`, `dry-run`, `backfill`, `test`, `pause`, `resume`, `history`, `outbox`, `retry`, `discard`, `erase`",
            ),
            (json!({"command": "run", "to": "a@b.example"}), "`run` has an unknown field; it has none"),
            (json!({"command": "backfill", "from": "x"}), "valid: since, until, to?"),
            (json!({"command": "backfill", "since": "yesterday", "until": "2026-11-03"}), "`since` is no time"),
            (json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-03"}), "not before"),
            (
                json!({"command": "backfill", "since": "2026-11-03", "until": "2026-11-04", "to": "No Body"}),
                "`to` is no list",
            ),
            (json!({"command": "test"}), "`to` is missing"),
            (json!({"command": "test", "to": "nobody"}), "`to` is no list"),
            (json!({"command": "test", "to": "a@b.example", "route": 1}), "`route` is no id"),
            (json!({"command": "history", "last": 0}), "1 to 1000"),
            (json!({"command": "retry", "channel": "sales"}), "no id of a channel"),
            (json!({"command": "discard"}), "no id of a channel"),
            (json!({"command": "erase"}), "`address` is no mail address"),
            (json!({"command": "erase", "address": "a@b.example;c@d.example"}), "`address` is no mail address"),
            (json!({"command": "erase", "address": "a@b.example", "confirm": "yes"}), "`confirm` is neither"),
            (json!({"command": "erase", "address": "a@b.example", "after": "x"}), "`after` is not"),
            (json!({"command": "erase", "email": "a@b.example"}), "valid: address, confirm?"),
        ] {
            let error = parse(event.clone()).unwrap_err().to_string();
            assert!(error.contains(part), "{event}: {error}");
            assert!(!error.contains('@'), "an error shows no address: {error}");
        }
    }
}
