//! AWS: the configuration that all its clients share, and the clients of SSM and SQS.

pub mod calls;
mod http;
mod parameters;
mod queue;

pub use aws_types::SdkConfig;
pub use http::http_client;
pub use parameters::{SecretError, parameters_that_exist, reader, secrets};
pub use queue::{BodyQueue, Queue, QueueError, QueueState};

use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_types::sdk_config::Builder;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use std::collections::HashMap;
use std::time::Duration;

/// The configuration of all AWS clients: region, credentials and endpoints come from the environment, where Lambda puts
/// them, and no single attempt takes longer than ten seconds.
///
/// The SDK's own loader would search for them in files and on the network, too, which no function needs: it takes a third of
/// the time in which intake starts, and a tenth of each program.
pub fn sdk_config() -> SdkConfig {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    config(variables.filter(|(_, value)| !value.is_empty()).collect())
}

fn config(variables: HashMap<String, String>) -> SdkConfig {
    let variable = |name: &str| variables.get(name).cloned();
    let mut config = builder();
    config.set_region(variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")).map(Region::new));
    config.set_endpoint_url(variable(ENDPOINT));
    if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        let credentials = Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "environment");
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials)));
    }
    let endpoints = variables.into_iter().filter(|(name, _)| name.starts_with(ENDPOINT)).collect();
    config.service_config(Endpoints(endpoints)).build()
}

/// The variable that names the endpoint of all services. With a service's name behind it, it names that service's.
///
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// The endpoints of single services, by the variables that name them.
#[derive(Debug)]
struct Endpoints(HashMap<String, String>);

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace([' ', '-'], "_");
        self.0.get(&format!("{}_{service}", key.env())).cloned()
    }
}

fn builder() -> Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(10)).build();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
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
