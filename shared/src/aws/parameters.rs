//! The secrets that SSM keeps.

use super::{SdkConfig, error_code};
use crate::secret::{ReadSecret, Secret, SecretSource};
use futures::FutureExt as _;
use std::collections::HashMap;
use std::sync::Arc;

/// Why a secret could not be read. Names the variables that hold the parameters' names, and shows neither a value nor such a
/// name: somebody may have pasted the secret in place of the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// SSM does not know the parameters that these variables name.
    #[error("SSM has no parameter of the name that is in {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// SSM did not give them.
    #[error("SSM did not give the parameters that {} name: {code}", .variables.join(", "))]
    Failed {
        /// The variables that name the parameters.
        variables: Vec<&'static str>,
        /// SSM's error code, or what happened; see [`error_code`].
        code: String,
    },
}

/// Reads one secret from where it is kept, each time it is asked for.
pub fn reader(config: &SdkConfig, source: &SecretSource) -> ReadSecret {
    let (config, source) = (config.clone(), source.clone());
    Arc::new(move || {
        let (config, source) = (config.clone(), source.clone());
        async move { secrets(&config, [&source]).await.map(|[secret]| secret).map_err(|error| error.to_string()) }
            .boxed()
    })
}

/// The secrets, in the order of their sources. Those in parameters are fetched and decrypted with one request. Where all
/// are inline, SSM is not asked.
///
/// # Errors
/// Where a parameter does not exist or cannot be read.
pub async fn secrets<const N: usize>(
    config: &SdkConfig,
    sources: [&SecretSource; N],
) -> Result<[Secret; N], SecretError> {
    let mut asked: Vec<(&'static str, &str)> = sources
        .iter()
        .filter_map(|source| match source {
            SecretSource::Inline(_) => None,
            SecretSource::Parameter { variable, name } => Some((*variable, name.expose())),
        })
        .collect();
    asked.sort_unstable();
    let values = if asked.is_empty() { HashMap::new() } else { parameters(config, &asked).await? };
    let mut missing = Vec::new();
    let secrets = sources.map(|source| match source {
        SecretSource::Inline(secret) => secret.clone(),
        SecretSource::Parameter { variable, name } => values.get(name.expose()).cloned().unwrap_or_else(|| {
            missing.push(*variable);
            Secret::new("")
        }),
    });
    if missing.is_empty() { Ok(secrets) } else { Err(SecretError::Missing(missing)) }
}

/// The values of those parameters that exist, decrypted. Errors name them by the variable that says where they are.
///
/// # Errors
/// Where SSM does not answer, or does not give one of them to this caller.
pub async fn parameters_that_exist(
    config: &SdkConfig,
    variable: &'static str,
    names: &[String],
) -> Result<HashMap<String, Secret>, SecretError> {
    /// The most names that one request takes.
    const MOST: usize = 10;
    let mut values = HashMap::new();
    for names in names.chunks(MOST) {
        let asked: Vec<_> = names.iter().map(|name| (variable, name.as_str())).collect();
        values.extend(parameters(config, &asked).await?);
    }
    Ok(values)
}

/// The parameters, found by name; each is asked for by the variable that names it.
async fn parameters(
    config: &SdkConfig,
    asked: &[(&'static str, &str)],
) -> Result<HashMap<String, Secret>, SecretError> {
    let mut names: Vec<_> = asked.iter().map(|(_, name)| (*name).to_owned()).collect();
    names.sort();
    names.dedup();
    let client = aws_sdk_ssm::Client::new(config);
    let answer = client.get_parameters().set_names(Some(names)).with_decryption(true).send().await;
    let variables = || asked.iter().map(|(variable, _)| *variable).collect();
    let answer = answer.map_err(|error| SecretError::Failed { variables: variables(), code: error_code(&error) })?;
    let parameters = answer.parameters.unwrap_or_default().into_iter();
    // A parameter can be asked for by its name or by its ARN, so it is found by both.
    Ok(parameters
        .flat_map(|parameter| {
            let value = Secret::new(parameter.value.unwrap_or_default());
            [parameter.name, parameter.arn].into_iter().flatten().map(move |name| (name, value.clone()))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{builder, config, http_client};
    use aws_sdk_ssm::config::{BehaviorVersion, Region};
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

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
        let variable = if name.contains("keys") { "LEADS_KEYS" } else { "LEADS_OTHER" };
        SecretSource::Parameter { variable, name: Secret::new(name) }
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
        assert_eq!(error.to_string(), "SSM has no parameter of the name that is in LEADS_OTHER");
        let (config, _) = ssm(StatusCode::BAD_REQUEST).await;
        let error = secrets(&config, [&parameter("/leads/keys")]).await.unwrap_err();
        assert_eq!(error.to_string(), "SSM did not give the parameters that LEADS_KEYS name: AccessDeniedException");
        let config = config.into_builder().endpoint_url("http://127.0.0.1:1").build();
        let error = secrets(&config, [&parameter("/leads/keys")]).await.unwrap_err();
        assert_eq!(error.to_string(), "SSM did not give the parameters that LEADS_KEYS name: not reached");
        assert!(!format!("{error:?}").contains("hidden"));
    }

    #[tokio::test]
    async fn a_secret_that_was_pasted_in_place_of_a_parameters_name_is_in_no_error() {
        let (refuses, _) = ssm(StatusCode::BAD_REQUEST).await;
        let unreachable = refuses.clone().into_builder().endpoint_url("http://127.0.0.1:1").build();
        let source = parameter("pasted-key-0123456789abcdef");
        for config in [&ssm(StatusCode::OK).await.0, &refuses, &unreachable] {
            let error = secrets(config, [&source, &parameter("/leads/keys")]).await.unwrap_err();
            let read = reader(config, &source)().await.unwrap_err();
            let shown = format!("{error} {error:?} {read} {source:?}");
            assert!(shown.contains("LEADS_OTHER") && !shown.contains("pasted"), "{shown}");
        }
    }

    /// A role's credentials do not count without the token that Lambda gives with them.
    #[tokio::test]
    async fn lambdas_environment_says_where_and_as_whom_ssm_is_asked_and_a_failure_that_passes_is_tried_again() {
        let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
        let requests = seen.clone();
        let answer = move |headers: HeaderMap| async move {
            let mut requests = requests.lock().unwrap();
            requests.push(headers);
            let status = if requests.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            (status, json!({ "Parameters": [{ "Name": "/leads/keys", "Value": "hidden-keys" }] }).to_string())
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
        let config = config(
            [
                ("AWS_REGION", "eu-north-1"),
                ("AWS_DEFAULT_REGION", "eu-west-1"),
                ("AWS_ACCESS_KEY_ID", "id"),
                ("AWS_SECRET_ACCESS_KEY", "hidden-secret"),
                ("AWS_SESSION_TOKEN", "token-of-the-role"),
                ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
                ("AWS_ENDPOINT_URL_SSM", &endpoint),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        );
        let [secret] = secrets(&config, [&parameter("/leads/keys")]).await.unwrap();
        assert_eq!(secret.expose(), "hidden-keys");
        let requests = seen.lock().unwrap();
        assert_eq!(requests.len(), 2);
        for headers in requests.iter() {
            let header = |name: &str| headers[name].to_str().unwrap();
            assert_eq!(header("x-amz-security-token"), "token-of-the-role");
            assert!(
                header("authorization").contains("Credential=id/")
                    && header("authorization").contains("/eu-north-1/ssm/")
            );
        }
        assert!(!format!("{config:?}").contains("hidden-secret"));
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
        let credentials = aws_sdk_ssm::config::SharedCredentialsProvider::new(credentials);
        let builder = builder().region(Region::new("eu-west-1")).endpoint_url(endpoint);
        let config = builder.credentials_provider(credentials).build();
        let [secret] = secrets(&config, [&parameter("/leads/keys")]).await.unwrap();
        assert_eq!((secret.expose(), *requests.lock().unwrap()), ("hidden-keys", 1));
    }
}
