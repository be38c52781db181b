//! The table of variables: the only place that says which there are, who reads them, and what holds where one is not set.

use super::values::MailOrDrop;
use crate::cadence::Cadence;
use crate::function::Function;
use crate::intake_keys::IntakeKeys;
use crate::mail;
use std::fmt;

use Expected::{Language, OneOf, Phrase, WholeNumber};
use Fallback::{Nothing, Required, Value};
use Function::{Intake, Notifier, Redelivery, Validation};

/// An environment variable that a function reads. One that is empty counts as not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The parameter of the stack that sets it. What the template makes itself has none.
    pub parameter: Option<&'static str>,
    /// Who reads it.
    pub functions: &'static [Function],
    /// What applies where it is not set.
    pub default: Fallback,
    /// What it is for, as a phrase.
    pub meaning: &'static str,
    /// Which values are right.
    pub expected: Expected,
}

/// What applies where a variable is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The function does not start. Where a secret can be in one of two variables, one of them must be set.
    Required,
    /// What it is for is left out.
    Nothing,
    /// This value.
    Value(&'static str),
}

/// Which values of a variable are right. `Display` writes it as a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// What the phrase says.
    Phrase(&'static str),
    /// A whole number in a range.
    WholeNumber {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// One of these texts, in any casing.
    OneOf(&'static [&'static str]),
    /// The code of a language in which mails are written, in any casing.
    Language,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phrase(phrase) => f.write_str(phrase),
            WholeNumber { min, max } => write!(f, "a whole number from {min} to {max}"),
            OneOf(texts) => f.write_str(&texts.join(" or ")),
            Language => f.write_str(&mail::Language::codes().join(" or ")),
        }
    }
}

impl Variable {
    /// The value that applies where the variable is not set; empty where none does.
    pub fn default_text(&self) -> &'static str {
        match self.default {
            Value(text) => text,
            Required | Nothing => "",
        }
    }
}

/// Declares each variable as a constant, and [`VARIABLES`] with all of them.
macro_rules! variables {
    ($($constant:ident { $($field:ident: $value:expr,)* })*) => {
        $(pub(crate) const $constant: Variable = Variable { $($field: $value),* };)*

        /// Every variable that the functions read, in the order of the documentation.
        pub const VARIABLES: &[Variable] = &[$($constant),*];
    };
}

variables! {
    STORAGE_CONNECTION_STRING {
        name: "LEADS_STORAGE_CONNECTION_STRING",
        parameter: None,
        functions: &Function::ALL,
        default: Required,
        meaning: "the storage account with the leads",
        expected: Phrase("an Azure storage connection string"),
    }
    STORAGE_CONNECTION_STRING_PARAMETER {
        name: "LEADS_STORAGE_CONNECTION_STRING_PARAMETER",
        parameter: Some("StorageConnectionStringParameter"),
        functions: &Function::ALL,
        default: Required,
        meaning: "the same, kept in an SSM SecureString",
        expected: Phrase("the name of an SSM parameter"),
    }
    STORAGE_ENDPOINT {
        name: "LEADS_STORAGE_ENDPOINT",
        parameter: Some("StorageEndpoint"),
        functions: &[Intake, Validation],
        default: Nothing,
        meaning: "where the account's tables are, such as https://account.table.core.windows.net: with it, intake opens the connection while it still asks for the secrets",
        expected: Phrase("an http or https URL without a query and without a user's name"),
    }
    TABLE {
        name: "LEADS_TABLE",
        parameter: Some("Table"),
        functions: &Function::ALL,
        default: Value("MarketplaceLeads"),
        meaning: "the table with the leads",
        expected: Phrase("3 to 63 letters and digits, a letter first"),
    }
    STATE_TABLE {
        name: "LEADS_STATE_TABLE",
        parameter: Some("StateTable"),
        functions: &[Intake, Redelivery, Notifier, Validation],
        default: Value("MarketplaceLeadsState"),
        meaning: "the table for the log of what was found, contacts, runs and quarantine",
        expected: Phrase("3 to 63 letters and digits, a letter first, and another table than LEADS_TABLE"),
    }
    INTAKE_KEYS {
        name: "LEADS_INTAKE_KEYS",
        parameter: None,
        functions: &[Intake, Redelivery, Validation],
        default: Required,
        meaning: "the keys that open intake; two while one is rotated",
        expected: Phrase(IntakeKeys::EXPECTED),
    }
    INTAKE_KEYS_PARAMETER {
        name: "LEADS_INTAKE_KEYS_PARAMETER",
        parameter: Some("IntakeKeysParameter"),
        functions: &[Intake, Redelivery, Validation],
        default: Required,
        meaning: "the same, kept in an SSM SecureString",
        expected: Phrase("the name of an SSM parameter"),
    }
    QUEUE_URL {
        name: "LEADS_QUEUE_URL",
        parameter: None,
        functions: &[Intake, Validation],
        default: Required,
        meaning: "the SQS queue for leads that the table did not take",
        expected: Phrase("the URL of an SQS queue"),
    }
    DEAD_LETTER_QUEUE_URL {
        name: "LEADS_DEAD_LETTER_QUEUE_URL",
        parameter: None,
        functions: &[Validation],
        default: Nothing,
        meaning: "that queue's dead-letter queue",
        expected: Phrase("the URL of an SQS queue"),
    }
    INTAKE_BUDGET_MS {
        name: "LEADS_INTAKE_BUDGET_MS",
        parameter: Some("IntakeBudgetMs"),
        functions: &[Intake],
        default: Value("5000"),
        meaning: "within how many milliseconds intake answers, whatever the table does",
        expected: WholeNumber { min: 2000, max: 60_000 },
    }
    INTAKE_URL {
        name: "LEADS_INTAKE_URL",
        parameter: None,
        functions: &[Validation],
        default: Nothing,
        meaning: "intake's URL, without a key",
        expected: Phrase("an http or https URL without a query"),
    }
    MAIL_FROM {
        name: "LEADS_MAIL_FROM",
        parameter: Some("MailFrom"),
        functions: &[Notifier, Validation],
        default: Required,
        meaning: "the digest's sender, an identity that SES has verified",
        expected: Phrase("an ASCII mail address, or Name <address>"),
    }
    MAIL_TO {
        name: "LEADS_MAIL_TO",
        parameter: Some("MailTo"),
        functions: &[Notifier, Validation],
        default: Required,
        meaning: "who gets the digests",
        expected: Phrase("ASCII mail addresses with semicolons between"),
    }
    REPLIES {
        name: "LEADS_REPLIES",
        parameter: Some("Replies"),
        functions: &[Notifier, Validation],
        default: Value("customer"),
        meaning: "who gets the answers to a mail; with customer, that is the customer where the mail is about one who may be contacted, and else the sender",
        expected: Phrase(mail::Replies::EXPECTED),
    }
    CRM_SEARCH {
        name: "LEADS_CRM_SEARCH",
        parameter: Some("CrmSearch"),
        functions: &[Notifier, Validation],
        default: Nothing,
        meaning: "a link beside each customer who may be contacted that searches your CRM for the address",
        expected: Phrase(mail::CrmSearch::EXPECTED),
    }
    MAIL_CONFIGURATION_SET {
        name: "LEADS_MAIL_CONFIGURATION_SET",
        parameter: None,
        functions: &[Notifier, Validation],
        default: Nothing,
        meaning: "the SES configuration set to send with",
        expected: Phrase("up to 64 of A-Z a-z 0-9 - _"),
    }
    MAIL_LANGUAGE {
        name: "LEADS_MAIL_LANGUAGE",
        parameter: Some("MailLanguage"),
        functions: &[Notifier, Validation],
        default: Value("en"),
        meaning: "the language of the mails",
        expected: Language,
    }
    TIME_ZONE {
        name: "LEADS_TIME_ZONE",
        parameter: Some("TimeZone"),
        functions: &[Notifier, Validation],
        default: Value("UTC"),
        meaning: "the time zone of the times in the mails",
        expected: Phrase("a name of the IANA time zone database, such as Europe/Berlin"),
    }
    ROUTES {
        name: "LEADS_ROUTES",
        parameter: None,
        functions: &[Notifier, Validation],
        default: Value("[]"),
        meaning: "who gets the leads of which offers and actions; LEADS_MAIL_TO gets the rest",
        expected: Phrase(r#"a JSON array of routes, such as [{"name":"sales","offers":["Contoso VM"],"actions":["PLT"],"to":["sales@example.com"]}]"#),
    }
    ROUTES_PARAMETER {
        name: "LEADS_ROUTES_PARAMETER",
        parameter: Some("RoutesParameter"),
        functions: &[Notifier, Validation],
        default: Nothing,
        meaning: "the same, kept in an SSM parameter that is read again every five minutes",
        expected: Phrase("the name of an SSM parameter"),
    }
    CADENCE {
        name: "LEADS_CADENCE",
        parameter: Some("Cadence"),
        functions: &[Notifier, Validation],
        default: Value("every 60 minutes"),
        meaning: "when leads are mailed that are not urgent, where their route does not say it",
        expected: Phrase(Cadence::EXPECTED),
    }
    URGENT_ACTIONS {
        name: "LEADS_URGENT_ACTIONS",
        parameter: Some("UrgentActions"),
        functions: &[Notifier, Validation],
        default: Value("PLT;Create;INS+note"),
        meaning: "the actions that are mailed at once",
        expected: Phrase("action codes with semicolons between, each with +note behind it where it counts only with a note; or none"),
    }
    DESTINATIONS_PREFIX {
        name: "LEADS_DESTINATIONS_PREFIX",
        parameter: Some("DestinationsPrefix"),
        functions: &[Notifier, Validation],
        default: Value("/marketplace-leads/destinations/"),
        meaning: "where SSM keeps the destinations beside mail: the beginning of their parameters' names",
        expected: Phrase("the beginning of the names of SSM parameters, with a slash first and last"),
    }
    OPERATOR {
        name: "LEADS_OPERATOR",
        parameter: Some("OperatorEmail"),
        functions: &[Notifier, Validation],
        default: Nothing,
        meaning: "who is told by mail, once, that a destination refuses everything or has waited long, or that the mail service drops mails to a recipient",
        expected: Phrase("an ASCII mail address"),
    }
    TEST_LEADS {
        name: "LEADS_TEST_LEADS",
        parameter: Some("TestLeads"),
        functions: &[Notifier, Validation],
        default: Value("mail"),
        meaning: "whether test leads are in the mails",
        expected: OneOf(&MailOrDrop::NAMES),
    }
    DO_NOT_CONTACT {
        name: "LEADS_DO_NOT_CONTACT",
        parameter: Some("DoNotContact"),
        functions: &[Notifier, Validation],
        default: Value("mail"),
        meaning: "whether leads that must not be contacted are in the mails",
        expected: OneOf(&MailOrDrop::NAMES),
    }
    DIGEST_SIZE {
        name: "LEADS_DIGEST_SIZE",
        parameter: Some("DigestSize"),
        functions: &[Notifier],
        default: Value("100"),
        meaning: "the most leads in one digest",
        expected: WholeNumber { min: 1, max: 200 },
    }
    INTERVAL_MINUTES {
        name: "LEADS_INTERVAL_MINUTES",
        parameter: Some("IntervalMinutes"),
        functions: &[Notifier, Validation],
        default: Value("1"),
        meaning: "how often the schedule runs the notifier",
        expected: OneOf(&["1", "5", "15", "60"]),
    }
    OVERLAP_MINUTES {
        name: "LEADS_OVERLAP_MINUTES",
        parameter: Some("OverlapMinutes"),
        functions: &[Notifier, Validation],
        default: Value("10"),
        meaning: "how far before the time up to which everything was read a run begins to read",
        expected: WholeNumber { min: 1, max: 1_440 },
    }
    FIRST_LOOKBACK_MINUTES {
        name: "LEADS_FIRST_LOOKBACK_MINUTES",
        parameter: Some("FirstLookbackMinutes"),
        functions: &[Notifier, Validation],
        default: Value("60"),
        meaning: "how far the very first run looks back",
        expected: WholeNumber { min: 1, max: 525_600 },
    }
    SWEEP_HOURS {
        name: "LEADS_SWEEP_HOURS",
        parameter: Some("SweepHours"),
        functions: &[Notifier, Validation],
        default: Value("24"),
        meaning: "how often the whole table is searched for leads in unknown partitions; 0: once a week",
        expected: WholeNumber { min: 0, max: 8_760 },
    }
    SILENCE_DAYS {
        name: "LEADS_SILENCE_DAYS",
        parameter: Some("SilenceDays"),
        functions: &[Notifier, Validation],
        default: Value("7"),
        meaning: "after how many days without any lead a mail says so; 0: never",
        expected: WholeNumber { min: 0, max: 365 },
    }
    CONTACT_WINDOW_DAYS {
        name: "LEADS_CONTACT_WINDOW_DAYS",
        parameter: Some("ContactWindowDays"),
        functions: &[Notifier],
        default: Value("180"),
        meaning: "how long a person's earlier actions are remembered",
        expected: WholeNumber { min: 1, max: 3_650 },
    }
    RETENTION_DAYS {
        name: "LEADS_RETENTION_DAYS",
        parameter: Some("RetentionDays"),
        functions: &[Notifier],
        default: Value("90"),
        meaning: "how long runs, the log of mailed leads and quarantined bodies are kept",
        // The queues keep messages for 14 days and dead letters for 14 more: a lead that comes again is still known.
        expected: WholeNumber { min: 30, max: 3_650 },
    }
}
