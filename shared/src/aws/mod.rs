//! AWS: the configuration that all its clients share, and the clients of SSM and SQS.

pub mod calls;
mod http;
mod parameters;
mod queue;

pub use aws_config::SdkConfig;
pub use http::http_client;
pub use parameters::{SecretError, parameters_that_exist, reader, secrets};
pub use queue::{BodyQueue, Queue, QueueError, QueueState};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use std::time::Duration;

/// The configuration of all AWS clients: region, credentials and endpoints come from the environment, and no single
/// attempt takes longer than ten seconds.
pub async fn sdk_config() -> SdkConfig {
    // Lambda puts the credentials of a function's role into the environment. The SDK's search for credentials in other
    // places would take a third of the time in which intake starts, so it is set up only where there are none.
    match std::env::var_os("AWS_ACCESS_KEY_ID") {
        Some(_) => loader().credentials_provider(EnvironmentVariableCredentialsProvider::new()).load().await,
        None => loader().load().await,
    }
}

fn loader() -> ConfigLoader {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(10)).build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .timeout_config(timeouts)
        // This protection watches bodies that are streamed. Ours are sent whole, and an answer that takes five seconds would
        // look like a stalled stream to it.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// What went wrong with an AWS call, for logs and errors: the service's error code, or a category. The services'
/// messages are left out, because they repeat what was sent.
pub fn error_code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::ServiceError(context) => match context.err().code().filter(|code| is_code(code)) {
            Some(code) => code.to_owned(),
            None => format!("HTTP {}", context.raw().status().as_u16()),
        },
        SdkError::TimeoutError(_) => "timed out".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "timed out".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_io() => "not reached".to_owned(),
        SdkError::DispatchFailure(_) => "not sent: no region, credentials or endpoint".to_owned(),
        SdkError::ResponseError(_) => "answer not understood".to_owned(),
        _ => "request not built".to_owned(),
    }
}

/// Whether a text can be an error code. Anything else in its place may be a secret or a person's data.
fn is_code(text: &str) -> bool {
    text.len() <= 64 && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '.')
}
