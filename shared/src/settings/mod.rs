//! The functions' settings: environment variables with the prefix `LEADS_`.
//!
//! [`VARIABLES`] says which there are. Each function has one struct, read from pairs of name and value, so that tests
//! touch no process environment. Functions that need the same settings embed the same group of them. A wrong value stops
//! the function at its start with an error that names all wrong variables at once, says what is expected, and repeats no
//! value: any of them may be a secret pasted into the wrong place.

mod effect;
mod groups;
mod reader;
mod routes;
#[cfg(test)]
mod tests;
mod values;
pub(crate) mod variables;

pub use effect::without_effect;
pub use groups::{Mail, PartialMail, PartialSchedule, PartialStorage, Schedule, Storage};
pub use routes::{MAX_CHANNELS, Route};
pub use values::{MailOrDrop, UrgentAction};
pub use variables::{Expected, Fallback, VARIABLES, Variable};

use crate::secret::SecretSource;
use reader::Reader;
use std::fmt;
use std::time::Duration;
use url::Url;
use variables::{
    CONTACT_WINDOW_DAYS, DEAD_LETTER_QUEUE_URL, DIGEST_SIZE, INTAKE_BUDGET_MS, INTAKE_URL, QUEUE_URL, RETENTION_DAYS,
    STORAGE_ENDPOINT, TABLE,
};

/// Settings of `lead-intake`. It needs nothing but its queue to lose no lead, so other wrong settings do not stop it: what is
/// wrong or not set is `None` (a secret that is malformed is there), and [`IntakeSettings::problems`] says why.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// Where leads and quarantine are kept.
    pub storage: Option<Storage>,
    /// Where the tables are, to open a connection before the connection string is known.
    pub storage_endpoint: Option<Url>,
    /// One or two keys; see [`crate::intake_keys::IntakeKeys::parse`].
    pub keys: Option<SecretSource>,
    /// The queue for leads that the table did not take.
    pub queue_url: Url,
    /// Within which time the whole answer is given. The default where it is wrong.
    pub budget: Duration,
    /// What is wrong with the settings.
    pub problems: Vec<Problem>,
}

/// Settings of `lead-redelivery`.
#[derive(Debug, Clone)]
pub struct RedeliverySettings {
    /// Where leads and quarantine are kept.
    pub storage: Storage,
    /// The keys that open intake.
    pub keys: SecretSource,
}

/// Settings of `lead-notifier`.
#[derive(Debug, Clone)]
pub struct NotifierSettings {
    /// Where leads and state are kept.
    pub storage: Storage,
    /// Who gets which mails.
    pub mail: Mail,
    /// When it runs, and how far it looks.
    pub schedule: Schedule,
    /// The most leads in one digest; at least 1.
    pub digest_size: usize,
    /// How long a person's earlier actions are remembered. Whole days.
    pub contact_window: Duration,
    /// How long runs, the log of mailed leads and quarantined bodies are kept. Whole days.
    pub retention: Duration,
}

/// Settings of `lead-validation`. It is there to find faults, so wrong settings do not stop it: what is wrong or not set
/// is `None` (a secret that is malformed is there), and [`ValidationSettings::problems`] says why.
#[derive(Clone)]
pub struct ValidationSettings {
    /// Where leads and state are kept.
    pub storage: PartialStorage,
    /// Where intake opens a connection before the connection string is known.
    pub storage_endpoint: Option<Url>,
    /// Intake's keys.
    pub intake_keys: Option<SecretSource>,
    /// Intake's URL, without a key.
    pub intake_url: Option<Url>,
    /// The queue for leads that the table did not take.
    pub queue_url: Option<Url>,
    /// Its dead-letter queue.
    pub dead_letter_queue_url: Option<Url>,
    /// Who gets which mails.
    pub mail: PartialMail,
    /// When the notifier runs, and how far it looks.
    pub schedule: PartialSchedule,
    /// What is wrong with the settings.
    pub problems: Vec<Problem>,
}

/// Settings of `lead-export`.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// The connection string of the storage account.
    pub connection_string: SecretSource,
    /// The table with the leads.
    pub table: String,
}

/// One thing that is wrong with the settings. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {wrong}; expected: {expected}")]
pub struct Problem {
    /// The variable.
    pub variable: String,
    /// What is wrong with it, as the rest of a sentence that begins with its name.
    pub wrong: String,
    /// What is right.
    pub expected: String,
}

/// Why a function cannot start: everything that is wrong with its settings.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct InvalidSettings(pub Vec<Problem>);

/// Lets requests to destinations go to this machine, for tests and the local cloud, where it is `allow`. It is none of
/// [`VARIABLES`], so that no template can set it and no documentation offers it.
pub const LOOPBACK: &str = "LEADS_DESTINATIONS_LOOPBACK";

/// Whether requests to destinations may go to this machine; see [`LOOPBACK`].
pub fn allows_loopback(pairs: impl IntoIterator<Item = (String, String)>) -> bool {
    pairs.into_iter().any(|(name, value)| name == LOOPBACK && value == "allow")
}

/// The pairs of name and value in the process environment.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.into_string().unwrap_or_else(|value| value.to_string_lossy().into())))
    })
}

/// Reads a function's settings from pairs of name and value.
fn read<T>(
    pairs: impl IntoIterator<Item = (String, String)>,
    read: impl FnOnce(&mut Reader) -> Option<T>,
) -> Result<T, InvalidSettings> {
    let mut reader = Reader::new(pairs);
    let settings = read(&mut reader);
    reader.finish(settings)
}

impl IntakeSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once, where the queue is not known.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(pairs);
        match Self::read(&mut reader) {
            Some(settings) => Ok(Self { problems: reader.problems, ..settings }),
            None => Err(InvalidSettings(reader.problems)),
        }
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let (storage, keys) = (PartialStorage::read(reader).complete(), reader.intake_keys());
        let storage_endpoint = reader.get(STORAGE_ENDPOINT, values::endpoint);
        let queue_url = reader.get(QUEUE_URL, values::url);
        let budget = reader.number(INTAKE_BUDGET_MS);
        let budget = Duration::from_millis(budget.or_else(|| INTAKE_BUDGET_MS.default_text().parse().ok())?);
        Some(Self { storage, storage_endpoint, keys, queue_url: queue_url?, budget, problems: Vec::new() })
    }
}

impl NotifierSettings {
    /// What has no effect together; see [`without_effect`].
    pub fn without_effect(&self) -> Vec<String> {
        without_effect(&self.mail.clone().into(), &self.schedule.clone().into())
    }
}

impl RedeliverySettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidSettings> {
        read(pairs, Self::read)
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let (storage, keys) = (PartialStorage::read(reader), reader.intake_keys());
        Some(Self { storage: storage.complete()?, keys: keys? })
    }
}

impl NotifierSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidSettings> {
        read(pairs, Self::read)
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let (storage, mail) = (PartialStorage::read(reader), PartialMail::read(reader));
        let schedule = PartialSchedule::read(reader);
        let digest_size = reader.number(DIGEST_SIZE);
        let (contact_window, retention) = (reader.days(CONTACT_WINDOW_DAYS), reader.days(RETENTION_DAYS));
        Some(Self {
            storage: storage.complete()?,
            mail: mail.complete()?,
            schedule: schedule.complete()?,
            digest_size: usize::try_from(digest_size?).ok()?,
            contact_window: contact_window?,
            retention: retention?,
        })
    }
}

impl ValidationSettings {
    /// Reads the settings. Never fails; see [`ValidationSettings::problems`].
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut reader = Reader::new(pairs);
        let settings = Self::read(&mut reader);
        Self { problems: reader.problems, ..settings }
    }

    fn read(reader: &mut Reader) -> Self {
        Self {
            storage: PartialStorage::read(reader),
            storage_endpoint: reader.get(STORAGE_ENDPOINT, values::endpoint),
            intake_keys: reader.intake_keys(),
            intake_url: reader.get(INTAKE_URL, values::url_without_query),
            queue_url: reader.get(QUEUE_URL, values::url),
            dead_letter_queue_url: reader.get(DEAD_LETTER_QUEUE_URL, values::url),
            mail: PartialMail::read(reader),
            schedule: PartialSchedule::read(reader),
            problems: Vec::new(),
        }
    }
}

impl ExportSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidSettings> {
        read(pairs, Self::read)
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let connection_string = reader.storage_connection_string();
        let table = reader.get(TABLE, values::table_name);
        Some(Self { connection_string: connection_string?, table: table? })
    }
}

/// Shows what is wrong, and no value.
impl fmt::Debug for ValidationSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidationSettings").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// The same as `Display`: a `main` that returns this error shows it so.
impl fmt::Debug for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
