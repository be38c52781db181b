//! `lead-export`: `GET /leads` on a Lambda function URL, streams the leads as a file.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{BoxStream, Stream};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use lambda_http::lambda_runtime::{self, MetadataPrelude, StreamResponse};
use lambda_http::{Error, LambdaEvent, service_fn};
use marketplace_leads::aws;
use marketplace_leads::export::{Download, Export, MAX_PAGE_BYTES};
use marketplace_leads::function::Function;
use marketplace_leads::function_url::{Body, Request};
use marketplace_leads::settings::{ExportSettings, environment};
use marketplace_leads::table::Table;
use marketplace_leads::table::azure::{Account, Limits};
use marketplace_leads::telemetry::{Telemetry, exit_code};
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::Notify;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let broken = Arc::new(Notify::new());
    tokio::select! {
        ended = run(&broken) => exit_code(ended),
        // When the process ends, the connection on which the body travels is cut. Lambda sees that the body is broken off,
        // and so does the client.
        () = broken.notified() => ExitCode::FAILURE,
    }
}

async fn run(broken: &Arc<Notify>) -> Result<(), Error> {
    let telemetry = Telemetry::start(Function::Export)?;
    let settings = ExportSettings::from_pairs(environment())?;
    let config = aws::sdk_config();
    let [storage] = aws::secrets(&config, [&settings.connection_string]).await?;
    let limits = Limits { page_bytes: MAX_PAGE_BYTES, ..Limits::default() };
    let account = Account::new(aws::reader(&config, &settings.connection_string), limits);
    account.hold(storage)?;
    let export = Export { leads: account.table(&settings.table) };
    lambda_runtime::run(service_fn(|event| handle(&telemetry, &export, broken, event))).await
}

async fn handle<T: Table>(
    telemetry: &Telemetry,
    export: &Export<T>,
    broken: &Arc<Notify>,
    event: LambdaEvent<ApiGatewayV2httpRequest>,
) -> Result<StreamResponse<BoxStream<'static, Result<Bytes, Infallible>>>, Infallible> {
    let request_id = &event.context.request_id;
    let request = Request {
        method: event.payload.request_context.http.method.as_str(),
        path: event.payload.raw_path.as_deref().unwrap_or_default(),
        query: event.payload.raw_query_string.as_deref().unwrap_or_default(),
        body: Body::Text(""),
    };
    let answer = export.answer(&request, request_id, jiff::Timestamp::now());
    let Download { status, headers, body } = telemetry.invocation(request_id, answer).await;
    let headers: HeaderMap = headers
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
        .collect();
    let metadata_prelude = MetadataPrelude {
        status_code: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers,
        cookies: Vec::new(),
    };
    Ok(StreamResponse { metadata_prelude, stream: whole_or_cut(body, broken.clone()).boxed() })
}

/// A body that ends only when it is whole. After an error or a panic it stays open, and `broken` is notified.
///
/// `lambda_runtime` offers no other way to break a body off. It writes an error within a stream as text into the file, and
/// takes a panic for the end of the stream; in both cases the client would see a body that ended well.
fn whole_or_cut<E: Send>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    broken: Arc<Notify>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    AssertUnwindSafe(body).catch_unwind().then(move |chunk| {
        let broken = broken.clone();
        async move {
            match chunk {
                Ok(Ok(bytes)) => Ok(bytes),
                Ok(Err(_)) | Err(_) => {
                    broken.notify_one();
                    std::future::pending().await
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::time::Duration;

    type Chunks = Vec<Result<Bytes, &'static str>>;

    #[tokio::test]
    async fn a_whole_body_ends() {
        let broken = Arc::new(Notify::new());
        let chunks: Chunks = vec![Ok("a".into()), Ok("b".into())];
        let body = whole_or_cut(stream::iter(chunks), broken.clone()).map(|Ok(bytes)| bytes);
        assert_eq!(body.collect::<Vec<_>>().await, ["a", "b"]);
        assert!(tokio::time::timeout(Duration::from_millis(20), broken.notified()).await.is_err());
    }

    #[tokio::test]
    async fn a_body_with_an_error_or_a_panic_never_ends_and_is_reported() {
        let failing = stream::iter::<Chunks>(vec![Ok("a".into()), Err("broken")]).boxed();
        let panicking = stream::iter([1, 0]).map(|number| Ok(Bytes::from((1 / number).to_string()))).boxed();
        for body in [failing, panicking] {
            let broken = Arc::new(Notify::new());
            let mut body = whole_or_cut(body, broken.clone()).boxed();
            assert!(body.next().await.is_some());
            assert!(tokio::time::timeout(Duration::from_millis(20), body.next()).await.is_err());
            broken.notified().await;
        }
    }
}
