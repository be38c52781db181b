//! `lead-intake`: `POST /leads?code=<key>` on a Lambda function URL.

mod function_url;

use function_url::{request, response};
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_http::{Error, LambdaEvent, lambda_runtime, service_fn};
use marketplace_leads::aws;
use marketplace_leads::intake::{Intake, IntakeKeys};
use marketplace_leads::queue::Queue;
use marketplace_leads::settings::{Function, IntakeSettings, environment};
use marketplace_leads::table::azure::{AzureTables, Limits};
use marketplace_leads::table::{ConnectionString, Table};
use marketplace_leads::telemetry::{Telemetry, exit_code};
use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let telemetry = Telemetry::start(Function::Intake)?;
    let settings = IntakeSettings::from_pairs(environment())?;
    let config = aws::sdk_config().await;
    let [storage, keys] = aws::secrets(&config, [&settings.storage, &settings.keys]).await?;
    // One attempt must leave time for another within the table's share of the budget.
    let limits =
        Limits { connect: Duration::from_secs(1), request: settings.budget / 4, retries: 2, total: settings.budget };
    let tables = AzureTables::new(&ConnectionString::parse(storage.expose())?, limits)?;
    let intake = Intake {
        keys: IntakeKeys::parse(&keys)?,
        leads: tables.table(&settings.table),
        state: tables.table(&settings.state_table),
        queue: Queue::new(config, settings.queue_url),
        budget: settings.budget,
    };
    lambda_runtime::run(service_fn(|event| handle(&telemetry, &intake, event))).await
}

async fn handle<T: Table>(
    telemetry: &Telemetry,
    intake: &Intake<T>,
    event: LambdaEvent<ApiGatewayV2httpRequest>,
) -> Result<ApiGatewayV2httpResponse, Infallible> {
    let request_id = &event.context.request_id;
    let request = request(&event.payload);
    let answer = intake.answer(&request, request_id, jiff::Timestamp::now());
    Ok(response(telemetry.invocation(request_id, answer).await))
}
