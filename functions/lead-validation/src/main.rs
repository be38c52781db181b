//! `lead-validation`: by hand, finds what is wrong with the deployment, and says what to do about it.

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use marketplace_leads::aws;
use marketplace_leads::destinations::Reach;
use marketplace_leads::function::Function;
use marketplace_leads::settings::{ValidationSettings, allows_loopback, environment};
use marketplace_leads::telemetry::{Telemetry, exit_code};
use marketplace_leads::validate::{Report, Request, Validation};
use serde_json::Value;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let telemetry = Telemetry::start(Function::Validation)?;
    let settings = ValidationSettings::from_pairs(environment());
    let reach = Reach::with_loopback(allows_loopback(environment()));
    let validation = Validation { settings, aws: aws::sdk_config().await, reach };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let (telemetry, validation) = (&telemetry, &validation);
        async move { telemetry.invocation(&event.context.request_id, handle(validation, &event.payload)).await }
    }))
    .await
}

async fn handle(validation: &Validation, event: &Value) -> Result<Report, Diagnostic> {
    let request = Request::parse(event).map_err(|error| {
        tracing::error!(error = %error, "the event is wrong");
        Diagnostic { error_type: "InvalidEvent".to_owned(), error_message: error.to_string() }
    })?;
    let report = validation.run(&request, Timestamp::now()).await;
    tracing::info!(ok = report.ok, summary = report.summary, "validated");
    Ok(report)
}
