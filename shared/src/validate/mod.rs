//! Validation: finds what is wrong with a deployment, and says what to do about it.
//!
//! Every check runs even where another one fails; what cannot work without another one is skipped and says so. Validation
//! needs nothing to be right: settings may be wrong, secrets missing, services down. No result holds a secret. Only the
//! check `reconcile`, which is given a list of leads, names people: those of the list.

mod checks;
mod connection_string;
mod destinations;
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

pub use checks::{CHECKS, CheckId, Description};
pub use findings::{Check, Report, Status};
pub use request::{InvalidRequest, Leads, Reconciliation, Request};

use crate::aws::SdkConfig;
use crate::aws::{self, SecretError};
use crate::destinations::{Destinations, Reach};
use crate::notify::read_routes;
use crate::secret::{Secret, SecretSource};
use crate::settings::variables::{ROUTES, ROUTES_PARAMETER};
use crate::settings::{Problem, ValidationSettings};
use findings::{Fault, Runner};
use futures::future::BoxFuture;
use futures::join;
use jiff::Timestamp;
use std::time::Duration;
use test_lead::TestLeads;

/// How long before the end of its time validation answers, so that the report is always delivered.
const MARGIN: Duration = Duration::from_secs(3);

/// How long one check may take. A client's own limits are narrower; this one is for what they add up to.
const CHECK_LIMIT: Duration = Duration::from_secs(40);

/// What validation works with. Nothing is connected yet.
#[derive(Clone)]
pub struct Validation {
    /// The settings as far as they are right.
    pub settings: ValidationSettings,
    /// Region, credentials and HTTP client for AWS.
    pub aws: SdkConfig,
    /// Which addresses destinations may have.
    pub reach: Reach,
}

impl Validation {
    /// Runs the checks that are asked for, at this time. The report comes before `total` is over, whatever hangs: checks that
    /// did not fit are skipped and say so.
    ///
    /// On the heap, and without its type: it nests deeper than the compiler follows in a function's `main`.
    pub fn run<'a>(&'a self, request: &'a Request, now: Timestamp, total: Duration) -> BoxFuture<'a, Report> {
        // Of a short time, at most a tenth is kept back.
        let margin = MARGIN.min(total / 10);
        Box::pin(self.checks(request, now, total.saturating_sub(margin)))
    }

    async fn checks(&self, request: &Request, now: Timestamp, total: Duration) -> Report {
        let runner = Runner::new(request.wanted(), CHECK_LIMIT, total);
        let settings = &self.with_routes().await;
        let storage = async {
            let found = connection_string::check(self.secret(settings.storage.connection_string.as_ref()), now);
            let connection = runner.run(CheckId::ConnectionString, found).await;
            let account = match connection {
                Some(connection) => runner.run(CheckId::Storage, storage::check(connection, settings, now)).await,
                None => runner.skip(CheckId::Storage, CheckId::ConnectionString),
            };
            let tables = match account {
                Some(account) => runner.run(CheckId::Table, table::check(account, request.create, settings)).await,
                None => runner.skip(CheckId::Table, CheckId::Storage),
            };
            match &tables {
                Some(tables) => {
                    let work = async |test_leads: &TestLeads| {
                        table::round_trip(tables, test_leads, request.leave, settings, now).await
                    };
                    runner.run_with_test_leads(CheckId::RoundTrip, work).await
                }
                None => runner.skip(CheckId::RoundTrip, CheckId::Table),
            };
            tables
        };
        let keys = async {
            let is_needed = [CheckId::Settings, CheckId::Intake].into_iter().any(|id| runner.wants(id));
            let keys = if is_needed { self.intake_keys(runner.left()).await } else { None };
            runner.run(CheckId::Settings, async { settings::check(settings, keys.as_ref()) }).await;
            keys
        };
        let prefix = settings.mail.destinations_prefix.clone().unwrap_or_default();
        let known = Destinations::over_https(&self.aws, &prefix, self.reach);
        let (tables, keys, _, _, _) = join!(
            storage,
            keys,
            runner.run(CheckId::Queue, queue::check(&self.aws, settings)),
            runner.run(CheckId::Mail, mail::check(&self.aws, settings, request.send, now)),
            runner.run(CheckId::Destinations, destinations::check(&known, settings, request.send, now)),
        );
        let notifier = async {
            let memory = match &tables {
                Some(tables) => runner.run(CheckId::Notifier, notifier::check(tables, settings, now)).await,
                None => runner.skip(CheckId::Notifier, CheckId::Table),
            };
            match memory {
                Some(memory) => {
                    runner.run(CheckId::Silence, async { notifier::silence(&memory, settings, now) }).await;
                }
                None => {
                    runner.skip::<()>(CheckId::Silence, CheckId::Notifier);
                }
            }
        };
        let intake = runner.run_with_test_leads(CheckId::Intake, async |test_leads: &TestLeads| {
            intake::check(settings, keys, (tables.as_ref(), test_leads), request.leave, now).await
        });
        join!(notifier, intake);
        if let Some(leads) = &request.reconcile {
            match &tables {
                Some(tables) => {
                    runner.run(CheckId::Reconcile, reconcile::check(leads, tables, now)).await;
                }
                None => {
                    runner.skip::<()>(CheckId::Reconcile, CheckId::Table);
                }
            }
        }
        runner.report()
    }

    /// The settings, with the routes as the parameter has them now, where they are kept in one. Where it does not give them, there
    /// are none, as for the notifier.
    async fn with_routes(&self) -> ValidationSettings {
        let mut settings = self.settings.clone();
        if let Some(Some(parameter)) = &settings.mail.routes_parameter {
            let found = read_routes(&self.aws, parameter).await;
            if let Err(error) = &found {
                settings.problems.push(Problem {
                    variable: ROUTES_PARAMETER.name.to_owned(),
                    wrong: format!(
                        "cannot be used: {error}; the notifier goes on with the routes that it read last, or mails everything to LEADS_MAIL_TO"
                    ),
                    expected: format!("the name of a parameter with {}", ROUTES.expected),
                });
            }
            settings.mail.routes = found.ok();
        }
        settings
    }

    /// The intake keys, which are not waited for longer than this.
    async fn intake_keys(&self, limit: Duration) -> Option<Result<Secret, SecretError>> {
        let variables = self.settings.intake_keys.iter().filter_map(|source| match source {
            SecretSource::Parameter { variable, .. } => Some(*variable),
            SecretSource::Inline(_) => None,
        });
        let late = SecretError::Failed { variables: variables.collect(), code: "timed out".to_owned() };
        let keys = self.secret(self.settings.intake_keys.as_ref());
        tokio::time::timeout(limit, keys).await.unwrap_or(Some(Err(late)))
    }

    async fn secret(&self, source: Option<&SecretSource>) -> Option<Result<Secret, SecretError>> {
        let found = aws::secrets(&self.aws, [source?]).await;
        Some(found.map(|[secret]| secret))
    }
}

/// What is wrong where a secret cannot be had from SSM, and what to do about it. Names no parameter: a secret that was
/// pasted in place of its name is none.
fn secret_problem(error: &SecretError) -> Fault {
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
    Fault::new(seen, cure)
}
