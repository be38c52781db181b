//! `lead-notifier`: on the schedule, mails the leads that are new; by hand, its other commands.

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use marketplace_leads::aws;
use marketplace_leads::clock::chance;
use marketplace_leads::destinations::{Destinations, Reach};
use marketplace_leads::function::Function;
use marketplace_leads::mail::Mailer;
use marketplace_leads::mail::ses::SesMailer;
use marketplace_leads::notify::{Command, Notifier, RoutesParameter, read_routes};
use marketplace_leads::settings::{NotifierSettings, allows_loopback, environment};
use marketplace_leads::table::Table;
use marketplace_leads::table::azure::{Account, Limits};
use marketplace_leads::telemetry::{Telemetry, exit_code};
use serde_json::Value;
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let telemetry = Telemetry::start(Function::Notifier)?;
    let settings = NotifierSettings::from_pairs(environment())?;
    let reach = Reach::with_loopback(allows_loopback(environment()));
    let without_effect = settings.without_effect();
    if !without_effect.is_empty() {
        tracing::warn!(settings = without_effect.join("; "), "some settings have no effect together");
    }
    let config = aws::sdk_config();
    let [storage] = aws::secrets(&config, [&settings.storage.connection_string]).await?;
    let account = Account::new(aws::reader(&config, &settings.storage.connection_string), Limits::default());
    account.hold(storage)?;
    let notifier = Notifier {
        leads: account.table(&settings.storage.table),
        state: account.table(&settings.storage.state_table),
        destinations: Destinations::over_https(&config, &settings.mail.destinations_prefix, reach),
        mailer: SesMailer::new(&config, settings.mail.configuration_set.clone()),
        language: settings.mail.language,
        settings,
        clock: Arc::new(Timestamp::now),
        chance: chance(),
        requests: Arc::new(move || account.requests()),
        idle_runs: Arc::default(),
    };
    let (parameter, routes) = (notifier.settings.mail.routes_parameter.clone(), RoutesParameter::default());
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let (telemetry, config, parameter, routes) = (&telemetry, &config, &parameter, &routes);
        let mut notifier = notifier.clone();
        async move {
            let id = event.context.request_id.clone();
            let invocation = async {
                if let Some(parameter) = parameter {
                    let read = || read_routes(config, parameter);
                    notifier.settings.mail.routes = routes.current(Timestamp::now(), read).await;
                }
                handle(&notifier, event).await
            };
            telemetry.invocation(&id, invocation).await
        }
    }))
    .await
}

async fn handle<T: Table, M: Mailer>(
    notifier: &Notifier<T, M>,
    event: LambdaEvent<Value>,
) -> Result<Value, Diagnostic> {
    let command = Command::parse(&event.payload).map_err(|error| failed("InvalidCommand", &error))?;
    let deadline = i64::try_from(event.context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let done = notifier.execute(command, &event.context.request_id, deadline.unwrap_or(Timestamp::MAX)).await;
    done.map_err(|error| failed("NotifierFailed", &error))
}

/// An invocation that failed, under a name that stays the same, so that people and alarms can look for it.
fn failed(error_type: &str, error: &dyn std::error::Error) -> Diagnostic {
    tracing::error!(error_type, error = %error, "the invocation failed");
    Diagnostic { error_type: error_type.to_owned(), error_message: error.to_string() }
}
