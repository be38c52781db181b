//! Passes requests on to the service.

use crate::proxy::reply::{Reply, answer};
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Response, header};

/// Passes a request on as it came, its `Host` included: a signature may cover it.
pub(crate) async fn forward(http: &reqwest::Client, upstream: &str, parts: &Parts, body: Bytes) -> Response<Body> {
    let target = parts.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
    let request = http
        .request(parts.method.clone(), format!("{upstream}{target}"))
        .headers(end_to_end(&parts.headers))
        .body(body);
    let answered = async {
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), end_to_end(answer.headers()));
        Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
    };
    match answered.await {
        Ok((status, headers, body)) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(_) => answer(Reply { status: 502, headers: Vec::new(), body: b"the service cannot be reached".to_vec() }),
    }
}

/// Headers without those that belong to one connection, and without the length, which is computed anew.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const OWN: [HeaderName; 4] =
        [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, HeaderName::from_static("keep-alive")];
    let kept = headers.iter().filter(|(name, _)| !OWN.contains(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
