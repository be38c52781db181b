//! `lead-intake`: `POST /leads?code=<key>` on a Lambda function URL.

mod function_url;

use function_url::{Event, request, response};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::{Error, LambdaEvent, lambda_runtime, service_fn};
use marketplace_leads::aws::{self, Queue};
use marketplace_leads::clock::chance;
use marketplace_leads::function::Function;
use marketplace_leads::intake::{Intake, start_limit, table_limits};
use marketplace_leads::intake_keys::KnownKeys;
use marketplace_leads::secret::{SecretSource, no_secret};
use marketplace_leads::settings::{IntakeSettings, Storage, environment};
use marketplace_leads::table::Table;
use marketplace_leads::table::azure::Account;
use marketplace_leads::telemetry::{Telemetry, exit_code};
use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use tokio::time::{Instant, timeout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let begun = Instant::now();
    let telemetry = Telemetry::start(Function::Intake)?;
    let settings = IntakeSettings::from_pairs(environment())?;
    for problem in &settings.problems {
        tracing::error!(%problem, "a setting is wrong; intake goes on without it");
    }
    let config = aws::sdk_config();
    let storage = settings.storage.as_ref().map(|storage| &storage.connection_string);
    let wrong = "a setting is wrong";
    let reader = |source: Option<&SecretSource>| source.map_or(no_secret(wrong), |source| aws::reader(&config, source));
    let account = Account::new(reader(storage), table_limits(settings.budget));
    let keys = KnownKeys::new(reader(settings.keys.as_ref()));
    let limit = start_limit(settings.budget);
    let secrets = async {
        let (Some(storage), Some(source)) = (storage, &settings.keys) else { return };
        // With one request where all is well. Where it is not, each is read by itself when it is needed; what is malformed
        // is said in the logs.
        match timeout(limit, aws::secrets(&config, [storage, source])).await {
            Ok(Ok([storage, text])) => {
                let _ = (account.hold(storage), keys.hold(text));
            }
            Ok(Err(error)) => tracing::error!(%error, "the secrets could not be read at the start"),
            Err(_) => tracing::error!("the secrets could not be read in time at the start"),
        }
    };
    // Side by side with them: the first lead finds the connection to its table open. Without it, that lead opens one.
    let connection = async {
        if let Some(endpoint) = settings.storage_endpoint.clone() {
            let _ = timeout(limit, account.open(endpoint)).await;
        }
    };
    tokio::join!(secrets, connection);
    let table = |name: fn(&Storage) -> &str| account.table(settings.storage.as_ref().map_or("", name));
    let intake = Intake {
        keys,
        leads: table(|storage| &storage.table),
        state: table(|storage| &storage.state_table),
        queue: Queue::new(config.clone(), settings.queue_url.clone()),
        chance: chance(),
        budget: settings.budget,
    };
    // The first request has waited for the start, so its budget is that much shorter.
    let waited = Mutex::new(begun.elapsed().min(limit));
    lambda_runtime::run(service_fn(|event| {
        let waited = std::mem::take(&mut *waited.lock().unwrap_or_else(PoisonError::into_inner));
        let arrived = Instant::now();
        handle(&telemetry, &intake, event, arrived.checked_sub(waited).unwrap_or(arrived))
    }))
    .await
}

async fn handle<T: Table>(
    telemetry: &Telemetry,
    intake: &Intake<T>,
    event: LambdaEvent<Event>,
    started: Instant,
) -> Result<ApiGatewayV2httpResponse, Infallible> {
    let request_id = &event.context.request_id;
    let request = request(&event.payload);
    let answer = intake.answer_since(started, &request, request_id, jiff::Timestamp::now());
    Ok(response(telemetry.invocation(request_id, answer).await))
}
