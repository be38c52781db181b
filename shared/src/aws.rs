//! AWS: the configuration that all its clients share, and the secrets that SSM keeps.

pub mod calls;

use crate::secret::Secret;
use crate::settings::SecretSource;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_ssm::config::http::{HttpRequest, HttpResponse};
use aws_sdk_ssm::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_ssm::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The configuration of all AWS clients: region, credentials and endpoints come from the environment, and no single
/// attempt takes longer than ten seconds.
pub async fn sdk_config() -> SdkConfig {
    // Lambda gives each function its role's credentials in the environment. The SDK's search for others is set up only
    // elsewhere: it would take a third of intake's start.
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
        // It watches bodies being streamed. Ours are sent whole, which it would take for a stall of five seconds.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

/// What the AWS clients send their requests with: a client of the library that the tables' requests go through, too. It is
/// built with the first request, and brings its certification authorities along, where the SDK's own would read those of
/// the system at each start.
pub fn http_client() -> SharedHttpClient {
    SharedHttpClient::new(Http::default())
}

#[derive(Debug, Clone, Default)]
struct Http(Arc<OnceLock<reqwest::Client>>);

impl Http {
    fn client(&self) -> Result<&reqwest::Client, ConnectorError> {
        if self.0.get().is_none() {
            let client = reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(|error| ConnectorError::user(error.into()))?;
            // Two at once: the first one stays.
            let _ = self.0.set(client);
        }
        self.0.get().ok_or_else(|| ConnectorError::user("no HTTP client".into()))
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let user = |error: &str| ConnectorError::user(error.into());
        let request = request.try_into_http1x().map_err(|_| user("the request could not be built"))?;
        let (parts, body) = request.into_parts();
        // None of our requests streams its body.
        let body = body.bytes().ok_or_else(|| user("the request's body is not in memory"))?.to_vec();
        let request = http::Request::from_parts(parts, body);
        let request = request.try_into().map_err(|_| user("the request could not be built"))?;
        let answer = self.client()?.execute(request).await.map_err(connector_error)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(connector_error)?;
        let mut answer = http::Response::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        let answer = aws_smithy_runtime_api::http::Response::try_from(answer);
        answer.map(|answer| answer.map(Into::into)).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

/// What the SDK has to know of a failure, to decide whether it tries again. The address is left out: it may be signed.
fn connector_error(error: reqwest::Error) -> ConnectorError {
    match error.is_timeout() {
        true => ConnectorError::timeout(error.without_url().into()),
        false => ConnectorError::io(error.without_url().into()),
    }
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.clone();
        HttpConnectorFuture::new(async move { http.send(request).await })
    }
}

/// Why a secret could not be had. Names parameters, and shows no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// SSM does not know these parameters.
    #[error("SSM has no parameter {}", .0.join(", "))]
    Missing(Vec<String>),
    /// SSM did not give them.
    #[error("SSM did not give the parameters {}: {code}", .names.join(", "))]
    Failed {
        /// The parameters.
        names: Vec<String>,
        /// SSM's error code, or what happened; see [`error_code`].
        code: String,
    },
}

/// The secrets, in the order of their sources. Those in parameters are fetched and decrypted with one request; where
/// there are none, nothing is asked.
///
/// # Errors
/// Where a parameter does not exist or cannot be had.
pub async fn secrets<const N: usize>(
    config: &SdkConfig,
    sources: [&SecretSource; N],
) -> Result<[Secret; N], SecretError> {
    let mut names: Vec<String> = sources
        .iter()
        .filter_map(|source| match source {
            SecretSource::Inline(_) => None,
            SecretSource::Parameter(name) => Some(name.clone()),
        })
        .collect();
    names.sort();
    names.dedup();
    let values = if names.is_empty() { HashMap::new() } else { parameters(config, names).await? };
    let mut missing = Vec::new();
    let secrets = sources.map(|source| match source {
        SecretSource::Inline(secret) => secret.clone(),
        SecretSource::Parameter(name) => values.get(name).cloned().unwrap_or_else(|| {
            missing.push(name.clone());
            Secret::new("")
        }),
    });
    if missing.is_empty() { Ok(secrets) } else { Err(SecretError::Missing(missing)) }
}

async fn parameters(config: &SdkConfig, names: Vec<String>) -> Result<HashMap<String, Secret>, SecretError> {
    let client = aws_sdk_ssm::Client::new(config);
    let answer = client.get_parameters().set_names(Some(names.clone())).with_decryption(true).send().await;
    let answer = answer.map_err(|error| SecretError::Failed { names, code: error_code(&error) })?;
    let parameters = answer.parameters.unwrap_or_default().into_iter();
    // A parameter that was asked for by its ARN is found by either.
    Ok(parameters
        .flat_map(|parameter| {
            let value = Secret::new(parameter.value.unwrap_or_default());
            [parameter.name, parameter.arn].into_iter().flatten().map(move |name| (name, value.clone()))
        })
        .collect())
}

/// What went wrong with an AWS call, for logs and errors: the service's error code, or a category. The services'
/// messages are left out, because they repeat what was sent.
pub fn error_code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::ServiceError(context) => match context.err().code() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use aws_config::Region;
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::StatusCode;
    use axum::routing::post;
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};

    /// A stub of SSM that knows two parameters, and the requests that it got.
    async fn ssm(status: StatusCode) -> (SdkConfig, Arc<Mutex<Vec<Value>>>) {
        let requests: Arc<Mutex<Vec<Value>>> = Arc::default();
        let got = requests.clone();
        let answer = move |body: Bytes| async move {
            let request: Value = serde_json::from_slice(&body).unwrap();
            let known = [("/leads/storage", "hidden-storage"), ("/leads/keys", "hidden-keys")];
            let asked = |name: &str| request["Names"].as_array().unwrap().iter().any(|asked| asked == name);
            let parameters: Vec<_> = known
                .iter()
                .filter(|(name, _)| asked(name))
                .map(|(name, value)| json!({"Name": name, "Value": value, "ARN": format!("arn:aws:ssm:r:1:parameter{name}")}))
                .collect();
            got.lock().unwrap().push(request);
            match status {
                StatusCode::OK => (status, json!({ "Parameters": parameters }).to_string()),
                _ => (status, json!({"__type": "AccessDeniedException", "message": "hidden-role"}).to_string()),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
        let credentials = aws_sdk_ssm::config::Credentials::new("id", "secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(endpoint)
            .credentials_provider(aws_sdk_ssm::config::SharedCredentialsProvider::new(credentials))
            .http_client(http_client())
            .build();
        (config, requests)
    }

    fn parameter(name: &str) -> SecretSource {
        SecretSource::Parameter(name.to_owned())
    }

    #[tokio::test]
    async fn all_secrets_in_parameters_are_fetched_decrypted_with_one_request() {
        let (config, requests) = ssm(StatusCode::OK).await;
        let sources =
            [&parameter("/leads/keys"), &SecretSource::Inline(Secret::new("inline")), &parameter("/leads/storage")];
        let secrets = secrets(&config, sources).await.unwrap();
        assert_eq!(secrets.each_ref().map(Secret::expose), ["hidden-keys", "inline", "hidden-storage"]);
        let expected = json!({"Names": ["/leads/keys", "/leads/storage"], "WithDecryption": true});
        assert_eq!(*requests.lock().unwrap(), [expected]);
    }

    #[tokio::test]
    async fn inline_secrets_ask_nobody() {
        let (config, requests) = ssm(StatusCode::OK).await;
        let [secret] = secrets(&config, [&SecretSource::Inline(Secret::new("inline"))]).await.unwrap();
        assert_eq!((secret.expose(), requests.lock().unwrap().len()), ("inline", 0));
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_had_is_named_without_any_value() {
        let (config, _) = ssm(StatusCode::OK).await;
        let error = secrets(&config, [&parameter("/leads/keys"), &parameter("/leads/other")]).await.unwrap_err();
        assert_eq!(error.to_string(), "SSM has no parameter /leads/other");
        let (config, _) = ssm(StatusCode::BAD_REQUEST).await;
        let error = secrets(&config, [&parameter("/leads/keys")]).await.unwrap_err();
        assert_eq!(error.to_string(), "SSM did not give the parameters /leads/keys: AccessDeniedException");
        let config = config.into_builder().endpoint_url("http://127.0.0.1:1").build();
        let error = secrets(&config, [&parameter("/leads/keys")]).await.unwrap_err();
        assert_eq!(error.to_string(), "SSM did not give the parameters /leads/keys: not reached");
        assert!(!format!("{error:?}").contains("hidden"));
    }

    #[tokio::test]
    async fn an_answer_that_takes_seven_seconds_is_waited_for() {
        let requests = Arc::new(Mutex::new(0));
        let counter = requests.clone();
        let answer = move || async move {
            *counter.lock().unwrap() += 1;
            tokio::time::sleep(Duration::from_secs(7)).await;
            json!({ "Parameters": [{ "Name": "/leads/keys", "Value": "hidden-keys" }] }).to_string()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
        let credentials = aws_sdk_ssm::config::Credentials::new("id", "secret", None, None, "test");
        let loader = loader().region(Region::new("eu-west-1")).endpoint_url(endpoint);
        let config = loader.credentials_provider(credentials).load().await;
        let [secret] = secrets(&config, [&parameter("/leads/keys")]).await.unwrap();
        assert_eq!((secret.expose(), *requests.lock().unwrap()), ("hidden-keys", 1));
    }
}
