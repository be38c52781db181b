//! The HTTP client of the AWS clients: the same library that the requests to the tables go through.

use aws_sdk_ssm::config::http::{HttpRequest, HttpResponse};
use aws_sdk_ssm::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_ssm::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the AWS clients send their requests with: a client of the library that the tables' requests go through, too. It is
/// built with the first request. It has its certification authorities compiled in; the SDK's own client would read those
/// of the system at each start.
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
            // Where two requests build a client at the same time, both go on with the one that was set first.
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

/// What the SDK needs to know of a failure, to decide whether it tries again. The URL is left out, since it may be signed.
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
