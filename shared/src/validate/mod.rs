//! Validation: finds what is wrong with a deployment, and says what to do about it.
//!
//! Every check runs even where another one fails; what cannot work without another one is skipped and says so. Nothing
//! is needed beforehand: settings may be wrong, secrets missing, services down. No result holds a secret, and none a person, but
//! for those leads whose reconciliation was asked for.

mod connection_string;
mod findings;
mod intake;
mod mail;
mod notifier;
mod queue;
mod reconcile;
mod request;
mod settings;
mod storage;
mod table;
mod test_lead;

pub use findings::{Check, Report, Status};
pub use request::{InvalidRequest, Leads, Request};

use crate::aws::SdkConfig;
use crate::aws::{self, SecretError};
use crate::secret::{Secret, SecretSource};
use crate::settings::ValidationSettings;
use findings::Runner;
use futures::future::BoxFuture;
use futures::join;
use jiff::Timestamp;
use std::time::Duration;

/// A check's stable id, and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The id.
    pub id: &'static str,
    /// What it does, as a phrase.
    pub does: &'static str,
    /// The checks without which it is skipped. Asking for it asks for them.
    pub needs: &'static [&'static str],
}

/// Every check, in the order of the report.
pub const CHECKS: [Description; 11] = [
    Description {
        id: "settings",
        does: "reads every setting that the function can see: whether it is right, and whether it fits the others",
        needs: &[],
    },
    Description {
        id: "connection-string",
        does: "looks at the storage connection string: form, cloud, kind of credential, a shared access signature's \
               expiry and permissions, and whether Partner Center would take it",
        needs: &[],
    },
    Description {
        id: "storage",
        does: "reaches the storage account: name, TLS, credentials, firewall, clock",
        needs: &["connection-string"],
    },
    Description {
        id: "table",
        does: "looks for both tables (creates them with `\"create\": true`), and compares the service's clock with ours",
        needs: &["storage"],
    },
    Description {
        id: "round-trip",
        does: "writes a test lead as Microsoft does, reads it by its key and by the notifier's own query, compares every \
               field, and deletes it (leaves it with `\"leave\": true`)",
        needs: &["table"],
    },
    Description {
        id: "intake",
        does: "POSTs a test lead to the deployed URL with the key, finds its row and deletes it; without the key it \
               expects 401; measures the latency",
        needs: &[],
    },
    Description { id: "queue", does: "asks intake's queue and its dead-letter queue how many leads wait", needs: &[] },
    Description {
        id: "mail",
        does: "asks SES about account, sender and recipients (sends a digest with a test lead with `\"send\": true`)",
        needs: &[],
    },
    Description {
        id: "notifier",
        does: "looks at checkpoint, last runs, pending digests, quarantine, and the leads that wait for the next run",
        needs: &["table"],
    },
    Description {
        id: "silence",
        does: "looks when the newest lead and the newest test lead came",
        needs: &["notifier"],
    },
    Description {
        id: "reconcile",
        does: "compares Partner Center's export of leads with the table: what is missing, what was never mailed. Runs \
               when its leads are given",
        needs: &["table"],
    },
];

/// How long one check may take. A client's own limits are narrower; this one is for what they add up to.
const CHECK_LIMIT: Duration = Duration::from_secs(40);

/// What validation works with. Nothing is connected yet.
#[derive(Clone)]
pub struct Validation {
    /// The settings as far as they are right.
    pub settings: ValidationSettings,
    /// Region, credentials and HTTP client for AWS.
    pub aws: SdkConfig,
}

impl Validation {
    /// Runs the checks that are asked for, at this time.
    ///
    /// On the heap, and without its type: it nests deeper than the compiler follows in a function's `main`.
    pub fn run<'a>(&'a self, request: &'a Request, now: Timestamp) -> BoxFuture<'a, Report> {
        Box::pin(self.checks(request, now))
    }

    async fn checks(&self, request: &Request, now: Timestamp) -> Report {
        let runner = Runner::new(request.wanted(), CHECK_LIMIT);
        let settings = &self.settings;
        let storage = async {
            let found = connection_string::check(self.secret(settings.storage.connection_string.as_ref()), now);
            let connection = runner.run("connection-string", found).await;
            let account = match connection {
                Some(connection) => {
                    let tables = (settings.storage.table.clone(), settings.storage.state_table.clone());
                    runner.run("storage", storage::check(connection, tables, now)).await
                }
                None => runner.skip("storage", "connection-string"),
            };
            let tables = match account {
                Some(account) => runner.run("table", table::check(account, request.create, settings)).await,
                None => runner.skip("table", "storage"),
            };
            match &tables {
                Some(tables) => runner.run("round-trip", table::round_trip(tables, request.leave, settings, now)).await,
                None => runner.skip("round-trip", "table"),
            };
            tables
        };
        let keys = async {
            let is_needed = ["settings", "intake"].iter().any(|id| runner.wants(id));
            let keys = if is_needed { self.secret(settings.intake_keys.as_ref()).await } else { None };
            runner.run("settings", async { settings::check(settings, keys.as_ref()) }).await;
            keys
        };
        let (tables, keys, _, _) = join!(
            storage,
            keys,
            runner.run("queue", queue::check(&self.aws, settings)),
            runner.run("mail", mail::check(&self.aws, settings, request.send, now)),
        );
        let notifier = async {
            let memory = match &tables {
                Some(tables) => runner.run("notifier", notifier::check(tables, settings, now)).await,
                None => runner.skip("notifier", "table"),
            };
            match memory {
                Some(memory) => {
                    runner.run("silence", async { notifier::silence(&memory, settings, now) }).await;
                }
                None => {
                    runner.skip::<()>("silence", "notifier");
                }
            }
        };
        let intake = runner.run("intake", intake::check(settings, keys, tables.as_ref(), request.leave, now));
        join!(notifier, intake);
        if let Some(leads) = &request.reconcile {
            match &tables {
                Some(tables) => {
                    runner.run("reconcile", reconcile::check(leads, tables, now)).await;
                }
                None => {
                    runner.skip::<()>("reconcile", "table");
                }
            }
        }
        runner.report()
    }

    async fn secret(&self, source: Option<&SecretSource>) -> Option<Result<Secret, SecretError>> {
        let found = aws::secrets(&self.aws, [source?]).await;
        Some(found.map(|[secret]| secret))
    }
}

/// What is wrong where a secret cannot be had from SSM, and what to do about it. Names no parameter: a secret that was
/// pasted in place of its name is none.
fn secret_problem(error: &SecretError) -> (String, String) {
    let (seen, cure) = match error {
        SecretError::Missing(_) => (
            "SSM has no parameter of this name".to_owned(),
            "create it in the function's region (aws ssm put-parameter --type SecureString), or correct its name in the \
             stack's parameters",
        ),
        SecretError::Failed { code, .. } if code.contains("AccessDenied") => (
            format!("SSM does not give the parameter to this function ({code})"),
            "allow the function's role ssm:GetParameters for it, and kms:Decrypt where a key of your own encrypts it",
        ),
        SecretError::Failed { code, .. } => (
            format!("SSM does not give the parameter ({code})"),
            "run this again; if it stays, look at AWS's health in this region, and at the function's network",
        ),
    };
    (seen, cure.to_owned())
}
