//! Which checks there are.

use serde::Serialize;
use std::fmt;

/// A check's stable id, which is written as its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckId {
    /// `settings`
    Settings,
    /// `connection-string`
    ConnectionString,
    /// `storage`
    Storage,
    /// `table`
    Table,
    /// `round-trip`
    RoundTrip,
    /// `intake`
    Intake,
    /// `queue`
    Queue,
    /// `mail`
    Mail,
    /// `destinations`
    Destinations,
    /// `notifier`
    Notifier,
    /// `silence`
    Silence,
    /// `reconcile`
    Reconcile,
}

impl CheckId {
    /// The name in events and reports, such as `round-trip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::ConnectionString => "connection-string",
            Self::Storage => "storage",
            Self::Table => "table",
            Self::RoundTrip => "round-trip",
            Self::Intake => "intake",
            Self::Queue => "queue",
            Self::Mail => "mail",
            Self::Destinations => "destinations",
            Self::Notifier => "notifier",
            Self::Silence => "silence",
            Self::Reconcile => "reconcile",
        }
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Its id.
    pub id: CheckId,
    /// What it does, as a phrase.
    pub does: &'static str,
    /// The checks that it builds on. Asking for it asks for them. Where one of them fails it is skipped, but for `intake`, which
    /// then cannot find and delete its test lead.
    pub needs: &'static [CheckId],
}

/// Every check, in the order of the report.
pub const CHECKS: [Description; 12] = [
    Description {
        id: CheckId::Settings,
        does: "reads every setting that the function can see: whether it is right, and whether it fits the others",
        needs: &[],
    },
    Description {
        id: CheckId::ConnectionString,
        does: "looks at the storage connection string: form, cloud, kind of credential, a shared access signature's \
               expiry and permissions, and whether Partner Center would take it",
        needs: &[],
    },
    Description {
        id: CheckId::Storage,
        does: "reaches the storage account: name, TLS, credentials, firewall, clock",
        needs: &[CheckId::ConnectionString],
    },
    Description {
        id: CheckId::Table,
        does: "looks for both tables (creates them with `\"create\": true`), and compares the service's clock with ours",
        needs: &[CheckId::Storage],
    },
    Description {
        id: CheckId::RoundTrip,
        does: "writes a test lead as Microsoft does, reads it by its key and by the notifier's own query, compares every \
               field, and deletes it (leaves it with `\"leave\": true`)",
        needs: &[CheckId::Table],
    },
    Description {
        id: CheckId::Intake,
        does: "POSTs a test lead to the deployed URL with each key, finds its row and deletes it; without a key it \
               expects 401; measures the latency",
        needs: &[CheckId::Table],
    },
    Description {
        id: CheckId::Queue,
        does: "asks intake's queue and its dead-letter queue how many leads wait",
        needs: &[],
    },
    Description {
        id: CheckId::Mail,
        does: "asks SES about account, configuration set, sender and recipients, those of routes too (sends them a digest \
               with a test lead with `\"send\": true`)",
        needs: &[],
    },
    Description {
        id: CheckId::Destinations,
        does: "looks at the parameter of each destination that a route names (sends each a test lead with `\"send\": true`; \
               Teams only says that it accepted it)",
        needs: &[],
    },
    Description {
        id: CheckId::Notifier,
        does: "looks at the last runs, what each route is still owed and why, leads that were given up, when the whole \
               table was searched last, quarantine, and the leads that wait for the next run",
        needs: &[CheckId::Table],
    },
    Description {
        id: CheckId::Silence,
        does: "looks when the newest lead and the newest test lead came",
        needs: &[CheckId::Notifier],
    },
    Description {
        id: CheckId::Reconcile,
        does: "compares Partner Center's export of leads with the table: what is missing, what was never mailed. Runs \
               when its leads are given",
        needs: &[CheckId::Table],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_described_and_its_name_is_what_reports_hold() {
        for Description { id, does, .. } in CHECKS {
            assert_eq!(serde_json::json!(id), id.name());
            assert!(does.len() > 20, "{id}");
        }
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.id.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len(), "two checks have the same name");
    }

    #[test]
    fn a_check_comes_after_those_that_it_needs() {
        for (at, check) in CHECKS.iter().enumerate() {
            for needed in check.needs {
                assert!(CHECKS[..at].iter().any(|before| before.id == *needed), "{} needs {needed}", check.id);
            }
        }
    }
}
