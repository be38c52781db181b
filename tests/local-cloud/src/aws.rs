//! A small AWS client. It signs any request, and speaks the three protocols that the local cloud and the tests need.

use crate::failure::Failure;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Signs and sends requests to one endpoint, with one set of credentials. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    http: reqwest::Client,
    endpoint: String,
    region: String,
    credentials: Credentials,
}

/// What came back for one request, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A request that AWS did not carry out.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// AWS answered with an error.
    #[error("{action}: {status} {body}")]
    Refused {
        /// What was asked, for instance `AmazonSSM.PutParameter`.
        action: String,
        /// The status.
        status: StatusCode,
        /// The body, which names the error.
        body: String,
    },
    /// No answer.
    #[error("{action}: {source}")]
    Unreachable {
        /// What was asked.
        action: String,
        /// Why there was no answer.
        #[source]
        source: reqwest::Error,
    },
    /// The request could not be signed.
    #[error("{0}: cannot be signed")]
    Unsigned(String),
}

impl From<AwsError> for Failure {
    fn from(error: AwsError) -> Self {
        Self::new("call the AWS emulator", error)
    }
}

impl Aws {
    /// A client for `endpoint`.
    pub fn new(endpoint: &str, region: &str, access_key: &str, secret_key: &str) -> Self {
        let credentials = Credentials::new(access_key, secret_key, None, None, "local-cloud");
        Self { http: client(), endpoint: endpoint.to_owned(), region: region.to_owned(), credentials }
    }

    /// Where it sends requests.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The region that it signs for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The same client for another endpoint.
    pub(crate) fn at(&self, endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), ..self.clone() }
    }

    /// The same client with the rights of a role.
    ///
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    pub async fn assume_role(&self, arn: &str) -> Result<Self, AwsError> {
        let parameters = [("RoleArn", arn), ("RoleSessionName", "local-cloud")];
        let xml = self.query("sts", "AssumeRole", "2011-06-15", &parameters).await?;
        let [key, secret, token] = ["AccessKeyId", "SecretAccessKey", "SessionToken"]
            .map(|name| xml_values(&xml, name).into_iter().next().unwrap_or_default());
        let credentials = Credentials::new(key, secret, Some(token), None, "local-cloud");
        Ok(Self { credentials, ..self.clone() })
    }

    /// A service with a JSON protocol: `target` is for instance `AmazonSSM.PutParameter`. The signature is for
    /// `service`.
    pub async fn json(&self, service: &str, target: &str, body: Value) -> Result<Value, AwsError> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let answer = self.send(service, Method::POST, "/", &headers, body.to_string().into_bytes()).await?;
        Ok(accepted(target, answer)?.json())
    }

    /// A service with a REST and JSON protocol: Lambda, EventBridge Scheduler, SES v2.
    pub async fn rest(
        &self,
        service: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, AwsError> {
        let action = format!("{method} {path}");
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let answer = self.send(service, method, path, &[("content-type", "application/json")], body).await?;
        Ok(accepted(&action, answer)?.json())
    }

    /// A service with the Query protocol: CloudFormation, IAM, STS. Answers XML; see [`xml_values`].
    pub async fn query(
        &self,
        service: &str,
        action: &str,
        version: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, AwsError> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", action)
            .append_pair("Version", version)
            .extend_pairs(parameters)
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let answer = self.send(service, Method::POST, "/", &headers, body.into_bytes()).await?;
        Ok(accepted(action, answer)?.text())
    }

    /// Sends any request, signed. An answer with an error status is no error here.
    pub async fn send(
        &self,
        service: &str,
        method: Method,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, AwsError> {
        let action = format!("{method} {path_and_query}");
        let unreachable = |source| AwsError::Unreachable { action: action.clone(), source };
        let address = format!("{}{path_and_query}", self.endpoint);
        let signed = self.signature(service, &method, &address, headers, &body);
        let signed = signed.ok_or_else(|| AwsError::Unsigned(action.clone()))?;
        let mut request = self.http.request(method, &address).body(body);
        for (name, value) in
            headers.iter().copied().chain(signed.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.bytes().await.map_err(unreachable)?.to_vec() })
    }

    fn signature(
        &self,
        service: &str,
        method: &Method,
        address: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Vec<(String, String)>> {
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .ok()?;
        // The zips of the functions are large: their bodies are not hashed, as S3 allows.
        // <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
        let body = if service == "s3" { SignableBody::UnsignedPayload } else { SignableBody::Bytes(body) };
        let request = SignableRequest::new(method.as_str(), address, headers.iter().copied(), body).ok()?;
        let (instructions, _) = sign(request, &parameters.into()).ok()?.into_parts();
        let headers = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(headers.collect())
    }
}

fn accepted(action: &str, answer: Answer) -> Result<Answer, AwsError> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    Err(AwsError::Refused { action: action.to_owned(), status: answer.status, body: answer.text() })
}

/// An HTTP client for the loopback interface, whatever proxy the environment names.
pub(crate) fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120));
    client.build().unwrap_or_default()
}

/// The text of every XML element of a name, in order, for elements that hold text alone.
pub fn xml_values(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next());
    parts
        .map(|text| {
            text.replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&amp;", "&")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_values_come_in_order_and_unescaped() {
        let xml = "<a><K>one</K><V>1 &lt; 2 &amp;lt;</V></a><a><K>two</K><V></V></a>";
        assert_eq!(xml_values(xml, "K"), ["one", "two"]);
        assert_eq!(xml_values(xml, "V"), ["1 < 2 &lt;", ""]);
        assert!(xml_values(xml, "Missing").is_empty());
    }
}
