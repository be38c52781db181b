//! Settings that several functions share, and the secrets that each of them reads in the same way.

use super::reader::Reader;
use super::routes::Route;
use super::values::{self, MailOrDrop, UrgentAction};
use super::variables::{
    CADENCE, CRM_SEARCH, DESTINATIONS_PREFIX, DO_NOT_CONTACT, FIRST_LOOKBACK_MINUTES, INTAKE_KEYS,
    INTAKE_KEYS_PARAMETER, INTERVAL_MINUTES, MAIL_CONFIGURATION_SET, MAIL_FROM, MAIL_LANGUAGE, MAIL_TO, OPERATOR,
    OVERLAP_MINUTES, REPLIES, ROUTES, ROUTES_PARAMETER, SILENCE_DAYS, STATE_TABLE, STORAGE_CONNECTION_STRING,
    STORAGE_CONNECTION_STRING_PARAMETER, SWEEP_HOURS, TABLE, TEST_LEADS, TIME_ZONE, URGENT_ACTIONS,
};
use crate::address::{MailAddress, Sender};
use crate::cadence::Cadence;
use crate::intake_keys::IntakeKeys;
use crate::mail::{CrmSearch, Language, Replies};
use crate::secret::{Secret, SecretSource};
use crate::table::ConnectionString;
use jiff::tz::TimeZone;
use std::fmt;
use std::time::Duration;

/// Declares a group of settings in two forms: as a function needs it, with every value; and as `lead-validation` sees it,
/// where a value that is wrong or not set is `None`. Each field names the method of [`Reader`] that reads it.
macro_rules! group {
    (
        $(#[$documentation:meta])*
        $complete:ident, $partial:ident {
            $($(#[$field_documentation:meta])* $field:ident: $type:ty = $read:ident($($argument:expr),*),)*
        }
    ) => {
        $(#[$documentation])*
        #[derive(Clone)]
        pub struct $complete {
            $($(#[$field_documentation])* pub $field: $type,)*
        }

        $(#[$documentation])*
        ///
        /// What is wrong or not set is `None`.
        #[derive(Clone)]
        pub struct $partial {
            $($(#[$field_documentation])* pub $field: Option<$type>,)*
        }

        impl $partial {
            pub(super) fn read(reader: &mut Reader) -> Self {
                Self { $($field: reader.$read($($argument),*),)* }
            }

            /// The group with every value; `None` where one is missing.
            pub(super) fn complete(self) -> Option<$complete> {
                Some($complete { $($field: self.$field?,)* })
            }
        }

        impl From<$complete> for $partial {
            fn from(complete: $complete) -> Self {
                Self { $($field: Some(complete.$field),)* }
            }
        }

        /// Shows no value: there can be people among them.
        impl fmt::Debug for $complete {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($complete)).finish_non_exhaustive()
            }
        }

        /// Shows no value: there can be people among them.
        impl fmt::Debug for $partial {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($partial)).finish_non_exhaustive()
            }
        }
    };
}

group! {
    /// Where leads and state are kept.
    Storage, PartialStorage {
        /// The connection string of the storage account.
        connection_string: SecretSource = storage_connection_string(),
        /// The table with the leads.
        table: String = get(TABLE, values::table_name),
        /// The table with everything else: the log of what was found, contacts, runs and quarantine.
        state_table: String = state_table(),
    }
}

group! {
    /// Who gets which mails, and how they look.
    Mail, PartialMail {
        /// The sender.
        from: Sender = get(MAIL_FROM, values::sender),
        /// Who gets what no route takes. At least one address, none twice.
        to: Vec<MailAddress> = get(MAIL_TO, values::recipients),
        /// Who gets the answers.
        replies: Replies = get(REPLIES, Replies::parse),
        /// The link that searches a CRM for a customer, if there is to be one.
        crm_search: Option<CrmSearch> = optional(CRM_SEARCH, CrmSearch::parse),
        /// The SES configuration set, if any.
        configuration_set: Option<String> = optional(MAIL_CONFIGURATION_SET, values::configuration_set),
        /// The language of the mails.
        language: &'static Language = get(MAIL_LANGUAGE, values::language),
        /// Where the readers are.
        time_zone: TimeZone = get(TIME_ZONE, values::time_zone),
        /// Who gets which leads. Where they are kept in a parameter, this is what was read of it last.
        routes: Vec<Route> = routes(),
        /// The SSM parameter in which the routes are kept, if they are. The notifier reads it again and again.
        routes_parameter: Option<String> = optional(ROUTES_PARAMETER, values::parameter_name),
        /// When leads are mailed that are not urgent, where their route does not say it.
        cadence: Cadence = get(CADENCE, values::cadence),
        /// Which leads are mailed at once.
        urgent: Vec<UrgentAction> = get(URGENT_ACTIONS, values::urgent_actions),
        /// The beginning of the names of the parameters that hold destinations beside mail.
        destinations_prefix: String = get(DESTINATIONS_PREFIX, values::parameter_prefix),
        /// Who is told what a person has to do about a destination.
        operator: Option<MailAddress> = optional(OPERATOR, values::address),
        /// What becomes of test leads.
        test_leads: MailOrDrop = get(TEST_LEADS, values::mail_or_drop),
        /// What becomes of leads that must not be contacted.
        do_not_contact: MailOrDrop = get(DO_NOT_CONTACT, values::mail_or_drop),
    }
}

group! {
    /// When the notifier runs, and how far it looks.
    Schedule, PartialSchedule {
        /// How often the schedule runs.
        interval: Duration = get(INTERVAL_MINUTES, values::interval),
        /// How far before the watermark a run begins to read.
        overlap: Duration = minutes(OVERLAP_MINUTES),
        /// How far the very first run looks back.
        first_lookback: Duration = minutes(FIRST_LOOKBACK_MINUTES),
        /// How often the whole table is searched; `None`: never.
        sweep: Option<Duration> = hours_or_never(SWEEP_HOURS),
        /// After how long without leads an alert is sent; `None`: never. Whole days.
        silence: Option<Duration> = days_or_never(SILENCE_DAYS),
    }
}

impl PartialSchedule {
    /// The schedule, with the defaults in place of what is wrong.
    pub fn or_defaults(self) -> Schedule {
        let defaults = Self::read(&mut Reader::new([]));
        let schedule = Self {
            interval: self.interval.or(defaults.interval),
            overlap: self.overlap.or(defaults.overlap),
            first_lookback: self.first_lookback.or(defaults.first_lookback),
            sweep: self.sweep.or(defaults.sweep),
            silence: self.silence.or(defaults.silence),
        };
        schedule.complete().expect("every variable of the schedule has a default")
    }
}

impl Reader {
    pub(super) fn storage_connection_string(&mut self) -> Option<SecretSource> {
        self.secret(STORAGE_CONNECTION_STRING, STORAGE_CONNECTION_STRING_PARAMETER, |text| {
            ConnectionString::parse(text).map(|_| ()).map_err(|error| format!("is malformed: {error}"))
        })
    }

    pub(super) fn intake_keys(&mut self) -> Option<SecretSource> {
        self.secret(INTAKE_KEYS, INTAKE_KEYS_PARAMETER, |text| {
            IntakeKeys::parse(&Secret::new(text)).map(|_| ()).map_err(|error| error.to_string())
        })
    }

    fn routes(&mut self) -> Option<Vec<Route>> {
        if self.set(&ROUTES).is_some() && self.set(&ROUTES_PARAMETER).is_some() {
            self.problem(&ROUTES, format!("and {} are both set: which one counts?", ROUTES_PARAMETER.name));
            return None;
        }
        self.get(ROUTES, Route::parse_all)
    }

    fn state_table(&mut self) -> Option<String> {
        let state_table = self.get(STATE_TABLE, values::table_name)?;
        if self.text(&TABLE).is_some_and(|table| table.eq_ignore_ascii_case(&state_table)) {
            self.problem(&STATE_TABLE, format!("is the same table as {}", TABLE.name));
        }
        Some(state_table)
    }
}
