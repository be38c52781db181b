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
use std::time::SystemTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let telemetry = Telemetry::start(Function::Validation)?;
    let settings = ValidationSettings::from_pairs(environment());
    let reach = Reach::with_loopback(allows_loopback(environment()));
    let validation = Validation { settings, aws: aws::sdk_config(), reach };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let (telemetry, validation) = (&telemetry, &validation);
        async move {
            let id = event.context.request_id.clone();
            telemetry.invocation(&id, handle(validation, event)).await
        }
    }))
    .await
}

async fn handle(validation: &Validation, event: LambdaEvent<Value>) -> Result<Report, Diagnostic> {
    let request = Request::parse(&event.payload).map_err(|error| {
        tracing::error!(error = %error, "the event is wrong");
        Diagnostic { error_type: "InvalidEvent".to_owned(), error_message: error.to_string() }
    })?;
    let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
    let report = validation.run(&request, Timestamp::now(), left).await;
    tracing::info!(ok = report.ok, summary = report.summary, "validated");
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_runtime::Context;
    use marketplace_leads::validate::Status;
    use serde_json::json;

    /// A time that is over leaves no time for any check. That this function's time is what checks get, only it can say.
    #[tokio::test]
    async fn checks_get_no_more_time_than_the_invocation_has() {
        let settings = ValidationSettings::from_pairs([]);
        let validation = Validation { settings, aws: aws::SdkConfig::builder().build(), reach: Reach::Public };
        let mut context = Context::default();
        context.deadline = 1;
        let report = handle(&validation, LambdaEvent::new(json!({}), context)).await.unwrap();
        for check in &report.checks {
            let is_skipped = check.status == Status::Skipped;
            assert!(is_skipped, "{}", report.report);
        }
        assert!(report.checks[0].seen.contains("the time for all checks was over"), "{}", report.report);
    }
}
