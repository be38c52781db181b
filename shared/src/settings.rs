//! The functions' settings: environment variables with the prefix `LEADS_`.
//!
//! [`VARIABLES`] says which there are. Each function has one struct, read from pairs of name and value, so that tests
//! touch no process environment. A wrong value stops the function at its start with an error that names all wrong
//! variables at once, says what is expected, and repeats no value: any of them may be a secret pasted into the wrong
//! place.

use crate::function::Function;
use crate::intake_keys::IntakeKeys;
use crate::secret::{Secret, SecretSource};
use crate::table::ConnectionString;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use url::Url;

/// An environment variable that a function reads. One that is empty counts as not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Who reads it.
    pub functions: &'static [Function],
    /// What applies where it is not set.
    pub default: Fallback,
    /// What it is for, as a phrase.
    pub meaning: &'static str,
    /// Which values are right, as a phrase.
    pub expected: &'static str,
}

/// What applies where a variable is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The function does not start. Of a variable and its `…_PARAMETER`, one is enough.
    Required,
    /// What it is for is left out.
    Nothing,
    /// This value.
    Value(&'static str),
    /// The value of another variable.
    Same(&'static str),
}

use Fallback::{Nothing, Required, Same, Value};
use Function::{Intake, Notifier, Redelivery, Validation};

const STORAGE_CONNECTION_STRING: Variable = Variable {
    name: "LEADS_STORAGE_CONNECTION_STRING",
    functions: &Function::ALL,
    default: Required,
    meaning: "the storage account with the leads",
    expected: "an Azure storage connection string",
};
const STORAGE_CONNECTION_STRING_PARAMETER: Variable = Variable {
    name: "LEADS_STORAGE_CONNECTION_STRING_PARAMETER",
    functions: &Function::ALL,
    default: Required,
    meaning: "the same, kept in an SSM SecureString",
    expected: "the name of an SSM parameter",
};
const TABLE: Variable = Variable {
    name: "LEADS_TABLE",
    functions: &Function::ALL,
    default: Value("MarketplaceLeads"),
    meaning: "the table with the leads",
    expected: "3 to 63 letters and digits, a letter first",
};
const STATE_TABLE: Variable = Variable {
    name: "LEADS_STATE_TABLE",
    functions: &[Intake, Redelivery, Notifier, Validation],
    default: Value("MarketplaceLeadsState"),
    meaning: "the table for checkpoint, digests, contacts, runs and quarantine",
    expected: "3 to 63 letters and digits, a letter first, and another table than LEADS_TABLE",
};
const INTAKE_KEYS: Variable = Variable {
    name: "LEADS_INTAKE_KEYS",
    functions: &[Intake, Validation],
    default: Required,
    meaning: "the keys that open intake; two while one is rotated",
    expected: "one or two keys with a comma between, each of 16 or more of A-Z a-z 0-9 - _ . ~",
};
const INTAKE_KEYS_PARAMETER: Variable = Variable {
    name: "LEADS_INTAKE_KEYS_PARAMETER",
    functions: &[Intake, Validation],
    default: Required,
    meaning: "the same, kept in an SSM SecureString",
    expected: "the name of an SSM parameter",
};
const QUEUE_URL: Variable = Variable {
    name: "LEADS_QUEUE_URL",
    functions: &[Intake, Validation],
    default: Required,
    meaning: "the SQS queue for leads that the table did not take",
    expected: "the URL of an SQS queue",
};
const DEAD_LETTER_QUEUE_URL: Variable = Variable {
    name: "LEADS_DEAD_LETTER_QUEUE_URL",
    functions: &[Validation],
    default: Nothing,
    meaning: "that queue's dead-letter queue",
    expected: "the URL of an SQS queue",
};
const INTAKE_BUDGET_MS: Variable = Variable {
    name: "LEADS_INTAKE_BUDGET_MS",
    functions: &[Intake],
    default: Value("5000"),
    meaning: "within how many milliseconds intake answers, whatever the table does",
    expected: "a whole number from 500 to 60000",
};
const INTAKE_URL: Variable = Variable {
    name: "LEADS_INTAKE_URL",
    functions: &[Validation],
    default: Nothing,
    meaning: "intake's URL, without a key",
    expected: "an http or https URL without a query",
};
const MAIL_FROM: Variable = Variable {
    name: "LEADS_MAIL_FROM",
    functions: &[Notifier, Validation],
    default: Required,
    meaning: "the digest's sender, an identity that SES has verified",
    expected: "an ASCII mail address, or Name <address>",
};
const MAIL_TO: Variable = Variable {
    name: "LEADS_MAIL_TO",
    functions: &[Notifier, Validation],
    default: Required,
    meaning: "who gets the digests",
    expected: "ASCII mail addresses with semicolons between",
};
const MAIL_CONFIGURATION_SET: Variable = Variable {
    name: "LEADS_MAIL_CONFIGURATION_SET",
    functions: &[Notifier, Validation],
    default: Nothing,
    meaning: "the SES configuration set to send with",
    expected: "up to 64 of A-Z a-z 0-9 - _",
};
const MAIL_LANGUAGE: Variable = Variable {
    name: "LEADS_MAIL_LANGUAGE",
    functions: &[Notifier, Validation],
    default: Value("en"),
    meaning: "the language of the mails",
    expected: "en or zh-Hans",
};
const TIME_ZONE: Variable = Variable {
    name: "LEADS_TIME_ZONE",
    functions: &[Notifier, Validation],
    default: Value("UTC"),
    meaning: "the time zone of the times in the mails",
    expected: "a name of the IANA time zone database, such as Europe/Berlin",
};
const ROUTES: Variable = Variable {
    name: "LEADS_ROUTES",
    functions: &[Notifier, Validation],
    default: Value("[]"),
    meaning: "who gets the leads of which offers and actions; LEADS_MAIL_TO gets the rest",
    expected: r#"a JSON array of routes, such as [{"name":"sales","offers":["Contoso VM"],"actions":["PLT"],"to":["sales@example.com"]}]"#,
};
const TEST_LEADS: Variable = Variable {
    name: "LEADS_TEST_LEADS",
    functions: &[Notifier, Validation],
    default: Value("mail"),
    meaning: "whether test leads are in the mails",
    expected: "mail or drop",
};
const DO_NOT_CONTACT: Variable = Variable {
    name: "LEADS_DO_NOT_CONTACT",
    functions: &[Notifier, Validation],
    default: Value("mail"),
    meaning: "whether leads that must not be contacted are in the mails",
    expected: "mail or drop",
};
const DIGEST_SIZE: Variable = Variable {
    name: "LEADS_DIGEST_SIZE",
    functions: &[Notifier],
    default: Value("100"),
    meaning: "the most leads in one digest",
    expected: "a whole number from 1 to 200",
};
const INTERVAL_MINUTES: Variable = Variable {
    name: "LEADS_INTERVAL_MINUTES",
    functions: &[Notifier, Validation],
    default: Value("60"),
    meaning: "how often the schedule runs the notifier",
    expected: "a whole number from 1 to 10080",
};
const OVERLAP_MINUTES: Variable = Variable {
    name: "LEADS_OVERLAP_MINUTES",
    functions: &[Notifier, Validation],
    default: Value("10"),
    meaning: "how far before the newest lead of the last run the next one begins to read",
    expected: "a whole number from 1 to 1440",
};
const FIRST_LOOKBACK_MINUTES: Variable = Variable {
    name: "LEADS_FIRST_LOOKBACK_MINUTES",
    functions: &[Notifier, Validation],
    default: Same("LEADS_INTERVAL_MINUTES"),
    meaning: "how far the very first run looks back",
    expected: "a whole number from 1 to 525600",
};
const SWEEP_HOURS: Variable = Variable {
    name: "LEADS_SWEEP_HOURS",
    functions: &[Notifier, Validation],
    default: Value("24"),
    meaning: "how often the whole table is searched for leads in unknown partitions; 0: never",
    expected: "a whole number from 0 to 8760",
};
const SILENCE_DAYS: Variable = Variable {
    name: "LEADS_SILENCE_DAYS",
    functions: &[Notifier, Validation],
    default: Value("7"),
    meaning: "after how many days without any lead a mail says so; 0: never",
    expected: "a whole number from 0 to 365",
};
const CONTACT_WINDOW_DAYS: Variable = Variable {
    name: "LEADS_CONTACT_WINDOW_DAYS",
    functions: &[Notifier],
    default: Value("180"),
    meaning: "how long a person's earlier actions are remembered",
    expected: "a whole number from 1 to 3650",
};
const RETENTION_DAYS: Variable = Variable {
    name: "LEADS_RETENTION_DAYS",
    functions: &[Notifier],
    default: Value("90"),
    meaning: "how long runs, sent digests and quarantined bodies are kept",
    expected: "a whole number from 2 to 3650",
};

/// Every variable that the functions read.
pub const VARIABLES: [Variable; 26] = [
    STORAGE_CONNECTION_STRING,
    STORAGE_CONNECTION_STRING_PARAMETER,
    TABLE,
    STATE_TABLE,
    INTAKE_KEYS,
    INTAKE_KEYS_PARAMETER,
    QUEUE_URL,
    DEAD_LETTER_QUEUE_URL,
    INTAKE_BUDGET_MS,
    INTAKE_URL,
    MAIL_FROM,
    MAIL_TO,
    MAIL_CONFIGURATION_SET,
    MAIL_LANGUAGE,
    TIME_ZONE,
    ROUTES,
    TEST_LEADS,
    DO_NOT_CONTACT,
    DIGEST_SIZE,
    INTERVAL_MINUTES,
    OVERLAP_MINUTES,
    FIRST_LOOKBACK_MINUTES,
    SWEEP_HOURS,
    SILENCE_DAYS,
    CONTACT_WINDOW_DAYS,
    RETENTION_DAYS,
];

/// Settings of `lead-intake`.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// The connection string of the storage account.
    pub storage: SecretSource,
    /// The table with the leads.
    pub table: String,
    /// The table with the quarantine.
    pub state_table: String,
    /// One or two keys; see [`IntakeKeys::parse`].
    pub keys: SecretSource,
    /// The queue for leads that the table did not take.
    pub queue_url: Url,
    /// Within which time the whole answer is given.
    pub budget: Duration,
}

/// Settings of `lead-redelivery`.
#[derive(Debug, Clone)]
pub struct RedeliverySettings {
    /// The connection string of the storage account.
    pub storage: SecretSource,
    /// The table with the leads.
    pub table: String,
    /// The table with the quarantine.
    pub state_table: String,
}

/// Settings of `lead-notifier`.
#[derive(Clone)]
pub struct NotifierSettings {
    /// The connection string of the storage account.
    pub storage: SecretSource,
    /// The table with the leads.
    pub table: String,
    /// The table with the checkpoint.
    pub state_table: String,
    /// Sender: an address, or `Name <address>`.
    pub mail_from: String,
    /// Who gets what no route takes. At least one address, none twice.
    pub mail_to: Vec<String>,
    /// The SES configuration set, if any.
    pub configuration_set: Option<String>,
    /// `en` or `zh-Hans`.
    pub language: String,
    /// Where the readers are.
    pub time_zone: TimeZone,
    /// Who gets which leads.
    pub routes: Vec<Route>,
    /// What becomes of test leads.
    pub test_leads: MailOrDrop,
    /// What becomes of leads that must not be contacted.
    pub do_not_contact: MailOrDrop,
    /// The most leads in one digest; at least 1.
    pub digest_size: usize,
    /// How often the schedule runs.
    pub interval: Duration,
    /// How far before the watermark a run begins to read.
    pub overlap: Duration,
    /// How far the very first run looks back.
    pub first_lookback: Duration,
    /// How often the whole table is searched; `None`: never.
    pub sweep: Option<Duration>,
    /// After how long without leads an alert is sent; `None`: never. Whole days.
    pub silence: Option<Duration>,
    /// How long a person's earlier actions are remembered. Whole days.
    pub contact_window: Duration,
    /// How long runs, sent digests and quarantined bodies are kept. Whole days.
    pub retention: Duration,
}

/// Settings of `lead-validation`. It is there to find faults, so wrong settings do not stop it: what is wrong or not set
/// is `None` (a secret that is malformed is there), and [`ValidationSettings::problems`] says why.
#[derive(Clone)]
pub struct ValidationSettings {
    /// The connection string of the storage account.
    pub storage: Option<SecretSource>,
    /// The table with the leads.
    pub table: Option<String>,
    /// The table with the checkpoint and the quarantine.
    pub state_table: Option<String>,
    /// Intake's keys.
    pub intake_keys: Option<SecretSource>,
    /// Intake's URL, without a key.
    pub intake_url: Option<Url>,
    /// The queue for leads that the table did not take.
    pub queue_url: Option<Url>,
    /// Its dead-letter queue.
    pub dead_letter_queue_url: Option<Url>,
    /// Sender of the digests.
    pub mail_from: Option<String>,
    /// Who gets what no route takes.
    pub mail_to: Option<Vec<String>>,
    /// The SES configuration set.
    pub configuration_set: Option<String>,
    /// `en` or `zh-Hans`.
    pub language: Option<String>,
    /// Where the readers are.
    pub time_zone: Option<TimeZone>,
    /// Who gets which leads.
    pub routes: Option<Vec<Route>>,
    /// What becomes of test leads.
    pub test_leads: Option<MailOrDrop>,
    /// What becomes of leads that must not be contacted.
    pub do_not_contact: Option<MailOrDrop>,
    /// How often the schedule runs.
    pub interval: Option<Duration>,
    /// How far before the watermark a run begins to read.
    pub overlap: Option<Duration>,
    /// How far the very first run looks back.
    pub first_lookback: Option<Duration>,
    /// How often the whole table is searched; the inner `None`: never.
    pub sweep: Option<Option<Duration>>,
    /// After how long without leads an alert is sent; the inner `None`: never.
    pub silence: Option<Option<Duration>>,
    /// What is wrong with the settings.
    pub problems: Vec<Problem>,
}

/// Settings of `lead-export`.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// The connection string of the storage account.
    pub storage: SecretSource,
    /// The table with the leads.
    pub table: String,
}

/// Who gets the leads of some offers and actions.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    /// What people call it.
    pub name: Option<String>,
    /// Offers, by title or id; empty: all.
    pub offers: Vec<String>,
    /// Action codes, such as `PLT`; empty: all.
    pub actions: Vec<String>,
    /// Mail addresses; at least one, none twice.
    pub to: Vec<String>,
}

/// What becomes of a kind of leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailOrDrop {
    /// They are in the mails, marked.
    Mail,
    /// They stay in the table only.
    Drop,
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

/// The pairs of name and value in the process environment.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.into_string().unwrap_or_else(|value| value.to_string_lossy().into())))
    })
}

impl IntakeSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(pairs);
        let settings = Self::read(&mut reader);
        reader.finish(settings)
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let (storage, (table, state_table)) = (reader.storage(), reader.tables());
        let keys = reader.intake_keys();
        let queue_url = reader.get(QUEUE_URL, url);
        let budget = reader.get(INTAKE_BUDGET_MS, whole_number(500, 60_000)).map(Duration::from_millis);
        Some(Self {
            storage: storage?,
            table: table?,
            state_table: state_table?,
            keys: keys?,
            queue_url: queue_url?,
            budget: budget?,
        })
    }
}

impl RedeliverySettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(pairs);
        let settings = Self::read(&mut reader);
        reader.finish(settings)
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let (storage, (table, state_table)) = (reader.storage(), reader.tables());
        Some(Self { storage: storage?, table: table?, state_table: state_table? })
    }
}

impl NotifierSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidSettings> {
        let mut reader = Reader::new(pairs);
        let settings = Self::read(&mut reader);
        reader.finish(settings)
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let (storage, (table, state_table)) = (reader.storage(), reader.tables());
        let (mail, schedule) = (reader.mail(), reader.schedule());
        let digest_size = reader.get(DIGEST_SIZE, whole_number(1, 200));
        let contact_window = reader.get(CONTACT_WINDOW_DAYS, whole_number(1, 3_650)).map(days);
        let retention = reader.get(RETENTION_DAYS, whole_number(2, 3_650)).map(days);
        Some(Self {
            storage: storage?,
            table: table?,
            state_table: state_table?,
            mail_from: mail.from?,
            mail_to: mail.to?,
            configuration_set: mail.configuration_set,
            language: mail.language?,
            time_zone: mail.time_zone?,
            routes: mail.routes?,
            test_leads: mail.test_leads?,
            do_not_contact: mail.do_not_contact?,
            digest_size: usize::try_from(digest_size?).ok()?,
            interval: schedule.interval?,
            overlap: schedule.overlap?,
            first_lookback: schedule.first_lookback?,
            sweep: schedule.sweep?,
            silence: schedule.silence?,
            contact_window: contact_window?,
            retention: retention?,
        })
    }
}

impl ValidationSettings {
    /// Reads the settings. Never fails; see [`ValidationSettings::problems`].
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut reader = Reader::new(pairs);
        let mut settings = Self::read(&mut reader);
        settings.problems = reader.problems;
        settings
    }

    fn read(reader: &mut Reader) -> Self {
        let (storage, (table, state_table)) = (reader.storage(), reader.tables());
        let intake_keys = reader.intake_keys();
        let intake_url = reader.get(INTAKE_URL, url_without_query);
        let queue_url = reader.get(QUEUE_URL, url);
        let dead_letter_queue_url = reader.get(DEAD_LETTER_QUEUE_URL, url);
        let (mail, schedule) = (reader.mail(), reader.schedule());
        Self {
            storage,
            table,
            state_table,
            intake_keys,
            intake_url,
            queue_url,
            dead_letter_queue_url,
            mail_from: mail.from,
            mail_to: mail.to,
            configuration_set: mail.configuration_set,
            language: mail.language,
            time_zone: mail.time_zone,
            routes: mail.routes,
            test_leads: mail.test_leads,
            do_not_contact: mail.do_not_contact,
            interval: schedule.interval,
            overlap: schedule.overlap,
            first_lookback: schedule.first_lookback,
            sweep: schedule.sweep,
            silence: schedule.silence,
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
        let mut reader = Reader::new(pairs);
        let settings = Self::read(&mut reader);
        reader.finish(settings)
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let (storage, table) = (reader.storage(), reader.get(TABLE, table_name));
        Some(Self { storage: storage?, table: table? })
    }
}

/// Reads the variables of one function and collects what is wrong with them.
struct Reader {
    values: BTreeMap<String, String>,
    problems: Vec<Problem>,
    #[cfg(test)]
    read: std::collections::BTreeSet<&'static str>,
}

/// Settings that the notifier and validation read alike.
struct Mail {
    from: Option<String>,
    to: Option<Vec<String>>,
    configuration_set: Option<String>,
    language: Option<String>,
    time_zone: Option<TimeZone>,
    routes: Option<Vec<Route>>,
    test_leads: Option<MailOrDrop>,
    do_not_contact: Option<MailOrDrop>,
}

/// Settings that the notifier and validation read alike.
struct Schedule {
    interval: Option<Duration>,
    overlap: Option<Duration>,
    first_lookback: Option<Duration>,
    sweep: Option<Option<Duration>>,
    silence: Option<Option<Duration>>,
}

impl Reader {
    fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let values: BTreeMap<_, _> =
            pairs.into_iter().filter(|(name, value)| name.starts_with("LEADS_") && !value.trim().is_empty()).collect();
        // A misspelt name would silently leave its default in force.
        let problems = values
            .keys()
            .filter(|name| VARIABLES.iter().all(|variable| variable.name != name.as_str()))
            .map(|name| Problem {
                variable: name.clone(),
                wrong: "is not a setting".to_owned(),
                expected: "one of the README's table of settings".to_owned(),
            })
            .collect();
        Self {
            values,
            problems,
            #[cfg(test)]
            read: Default::default(),
        }
    }

    fn problem(&mut self, variable: &Variable, wrong: impl Into<String>) {
        self.problems.push(Problem {
            variable: variable.name.to_owned(),
            wrong: wrong.into(),
            expected: variable.expected.to_owned(),
        });
    }

    /// The variable's text, trimmed, or its default's.
    fn text(&mut self, variable: &Variable) -> Option<String> {
        #[cfg(test)]
        self.read.insert(variable.name);
        let set = |name| self.values.get(name).map(|text| text.trim().to_owned());
        set(variable.name).or_else(|| match variable.default {
            Value(text) => Some(text.to_owned()),
            Same(name) => set(name),
            Required | Nothing => None,
        })
    }

    /// The variable's value; `None` where it is wrong, which is noted, or where nothing is set. `parse` says what is
    /// wrong as the rest of a sentence that begins with the variable's name.
    fn get<T>(&mut self, variable: Variable, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.text(&variable) {
            Some(text) => parse(&text).map_err(|wrong| self.problem(&variable, wrong)).ok(),
            None => {
                if variable.default == Required {
                    self.problem(&variable, "is not set");
                }
                None
            }
        }
    }

    /// A secret, from one of two variables. A malformed one is given nevertheless, for validation to look into.
    fn secret(
        &mut self,
        inline: Variable,
        parameter: Variable,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<SecretSource> {
        match (self.text(&inline), self.text(&parameter)) {
            (Some(_), Some(_)) => {
                self.problem(&inline, format!("and {} are both set: which one counts?", parameter.name));
                None
            }
            (Some(text), None) => match check(&text) {
                Ok(()) => Some(SecretSource::Inline(Secret::new(text))),
                Err(wrong) => {
                    self.problem(&inline, wrong);
                    Some(SecretSource::Inline(Secret::new(text)))
                }
            },
            (None, Some(_)) => self.get(parameter, parameter_name).map(SecretSource::Parameter),
            (None, None) => {
                self.problem(&inline, format!("is not set, and neither is {}", parameter.name));
                None
            }
        }
    }

    fn storage(&mut self) -> Option<SecretSource> {
        self.secret(STORAGE_CONNECTION_STRING, STORAGE_CONNECTION_STRING_PARAMETER, |text| {
            ConnectionString::parse(text).map(|_| ()).map_err(|error| format!("is malformed: {error}"))
        })
    }

    fn intake_keys(&mut self) -> Option<SecretSource> {
        self.secret(INTAKE_KEYS, INTAKE_KEYS_PARAMETER, |text| {
            IntakeKeys::parse(&Secret::new(text)).map(|_| ()).map_err(|error| error.to_string())
        })
    }

    /// The table with the leads and the state table.
    fn tables(&mut self) -> (Option<String>, Option<String>) {
        let (table, state_table) = (self.get(TABLE, table_name), self.get(STATE_TABLE, table_name));
        if let (Some(table), Some(state_table)) = (&table, &state_table)
            && table.eq_ignore_ascii_case(state_table)
        {
            self.problem(&STATE_TABLE, "is the same table as LEADS_TABLE");
        }
        (table, state_table)
    }

    fn mail(&mut self) -> Mail {
        Mail {
            from: self.get(MAIL_FROM, sender),
            to: self.get(MAIL_TO, recipients),
            configuration_set: self.get(MAIL_CONFIGURATION_SET, configuration_set),
            language: self.get(MAIL_LANGUAGE, language),
            time_zone: self.get(TIME_ZONE, time_zone),
            routes: self.get(ROUTES, routes),
            test_leads: self.get(TEST_LEADS, mail_or_drop),
            do_not_contact: self.get(DO_NOT_CONTACT, mail_or_drop),
        }
    }

    fn schedule(&mut self) -> Schedule {
        let minutes = |number| Duration::from_secs(number * 60);
        let unless_zero = |time: Duration| Some(time).filter(|time| !time.is_zero());
        let interval = self.get(INTERVAL_MINUTES, whole_number(1, 10_080)).map(minutes);
        Schedule {
            // A wrong interval is said once, under its own name.
            first_lookback: match self.values.contains_key(FIRST_LOOKBACK_MINUTES.name) || interval.is_some() {
                true => self.get(FIRST_LOOKBACK_MINUTES, whole_number(1, 525_600)).map(minutes),
                false => None,
            }
            .or(interval),
            interval,
            overlap: self.get(OVERLAP_MINUTES, whole_number(1, 1_440)).map(minutes),
            sweep: self.get(SWEEP_HOURS, whole_number(0, 8_760)).map(|hours| unless_zero(minutes(hours * 60))),
            silence: self.get(SILENCE_DAYS, whole_number(0, 365)).map(|number| unless_zero(days(number))),
        }
    }

    fn finish<T>(self, settings: Option<T>) -> Result<T, InvalidSettings> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(InvalidSettings(self.problems)),
        }
    }
}

fn days(number: u64) -> Duration {
    Duration::from_secs(number * 24 * 60 * 60)
}

fn whole_number(min: u64, max: u64) -> impl FnOnce(&str) -> Result<u64, String> {
    move |text| match text.parse() {
        Ok(number) if number < min => Err(format!("is less than {min}")),
        Ok(number) if number > max => Err(format!("is more than {max}")),
        Ok(number) => Ok(number),
        Err(_) => Err("is not a whole number".to_owned()),
    }
}

/// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#table-names>
fn table_name(text: &str) -> Result<String, String> {
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
fn parameter_name(text: &str) -> Result<String, String> {
    if text.chars().all(|character| character.is_ascii_alphanumeric() || "-_./:".contains(character)) {
        Ok(text.to_owned())
    } else {
        Err("has other characters than A-Z a-z 0-9 - _ . / :".to_owned())
    }
}

fn url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(url),
        Ok(_) => Err("is no http or https URL".to_owned()),
        Err(error) => Err(format!("is not a URL: {error}")),
    }
}

fn url_without_query(text: &str) -> Result<Url, String> {
    let url = url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        Err("has a query: leave the key out".to_owned())
    } else {
        Ok(url)
    }
}

fn is_address(text: &str) -> bool {
    let is_local = |text: &str| {
        !text.is_empty()
            && text.len() <= 64
            && text.chars().all(|character| character.is_ascii_graphic() && !"\"(),:;<>@[\\]".contains(character))
    };
    let is_domain = |text: &str| {
        text.contains('.')
            && text.len() <= 253
            && text.split('.').all(|label| {
                !label.is_empty() && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
            })
    };
    text.split_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain))
}

fn sender(text: &str) -> Result<String, String> {
    let address = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, _)) if name.chars().any(|letter| letter.is_control() || "<>".contains(letter)) => "",
        Some((_, address)) => address,
        None => text,
    };
    if is_address(address) { Ok(text.to_owned()) } else { Err("is not a mail address".to_owned()) }
}

fn recipients(text: &str) -> Result<Vec<String>, String> {
    let parts: Vec<_> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
    addresses(&parts)
}

/// Checks addresses and leaves out repeated ones.
fn addresses(texts: &[&str]) -> Result<Vec<String>, String> {
    let mut addresses: Vec<String> = Vec::new();
    for (number, text) in (1..).zip(texts.iter().map(|text| text.trim())) {
        if !is_address(text) {
            return Err(format!("has no mail address at place {number}"));
        }
        if !addresses.iter().any(|known| known.eq_ignore_ascii_case(text)) {
            addresses.push(text.to_owned());
        }
    }
    if addresses.is_empty() { Err("has no mail address".to_owned()) } else { Ok(addresses) }
}

fn configuration_set(text: &str) -> Result<String, String> {
    if text.len() > 64 || !text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)) {
        Err("is no name of a configuration set".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn language(text: &str) -> Result<String, String> {
    ["en", "zh-Hans"]
        .into_iter()
        .find(|language| language.eq_ignore_ascii_case(text))
        .map(str::to_owned)
        .ok_or_else(|| "is none of the languages".to_owned())
}

fn time_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| "is not in the time zone database".to_owned())
}

fn mail_or_drop(text: &str) -> Result<MailOrDrop, String> {
    match text.to_ascii_lowercase().as_str() {
        "mail" => Ok(MailOrDrop::Mail),
        "drop" => Ok(MailOrDrop::Drop),
        _ => Err("is neither".to_owned()),
    }
}

fn routes(text: &str) -> Result<Vec<Route>, String> {
    let routes: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            "is JSON, but not an array".to_owned()
        } else {
            format!("is not JSON (line {}, column {})", error.line(), error.column())
        }
    })?;
    let mut problems = Vec::new();
    let routes = (1..)
        .zip(&routes)
        .filter_map(|(number, json)| match route(json) {
            Ok(route) => Some(route),
            Err(wrong) => {
                problems.push(format!("route {number} {wrong}"));
                None
            }
        })
        .collect();
    if problems.is_empty() { Ok(routes) } else { Err(format!("does not fit: {}", problems.join(", "))) }
}

fn route(json: &serde_json::Value) -> Result<Route, String> {
    const FIELDS: [&str; 4] = ["name", "offers", "actions", "to"];
    let fields = json.as_object().ok_or("is not an object")?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        // What looks like an identifier is no address.
        let is_name = unknown.len() <= 32 && unknown.chars().all(|letter| letter.is_ascii_alphabetic());
        let unknown = if is_name { format!(" \"{unknown}\"") } else { String::new() };
        return Err(format!("has an unknown field{unknown} (known: {})", FIELDS.join(", ")));
    }
    let name = match fields.get("name") {
        None | Some(serde_json::Value::Null) => None,
        Some(name) => Some(name.as_str().ok_or("has a name that is not a text")?.trim().to_owned()),
    };
    let texts = |name: &str| -> Result<Vec<&str>, String> {
        let wrong = || format!("has something else in \"{name}\" than an array of texts that are not empty");
        let Some(value) = fields.get(name) else {
            return Ok(Vec::new());
        };
        let texts: Option<Vec<_>> = value.as_array().ok_or_else(wrong)?.iter().map(serde_json::Value::as_str).collect();
        let texts: Vec<_> = texts.ok_or_else(wrong)?.into_iter().map(str::trim).collect();
        if texts.iter().any(|text| text.is_empty()) { Err(wrong()) } else { Ok(texts) }
    };
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    Ok(Route {
        name: name.filter(|name: &String| !name.is_empty()),
        offers: owned(texts("offers")?),
        actions: owned(texts("actions")?),
        to: addresses(&texts("to")?).map_err(|wrong| format!("{wrong} in \"to\""))?,
    })
}

/// Shows no mail address.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("to", &self.to.len()).finish_non_exhaustive()
    }
}

/// Shows no mail address.
impl fmt::Debug for NotifierSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifierSettings").field("mail_to", &self.mail_to.len()).finish_non_exhaustive()
    }
}

/// Shows no mail address.
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

#[cfg(test)]
mod tests;
