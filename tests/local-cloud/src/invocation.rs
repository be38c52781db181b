//! Invokes functions by their names.

use crate::aws::Aws;
use crate::failure::{Failure, Result};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The outcome of an invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// `Handled` or `Unhandled` when the function failed.
    pub function_error: Option<String>,
    /// What the function answered.
    pub payload: Value,
}

/// Invokes a function and waits for its answer. While the function is at its reserved concurrency, tries again, as the AWS
/// SDKs do, for up to a minute.
///
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
pub(crate) async fn invoke(aws: &Aws, function: &str, event: &Value) -> Result<Invocation> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let headers = [("content-type", "application/json")];
    let since = Instant::now();
    let answer = loop {
        let answer = aws.send("lambda", Method::POST, &path, &headers, event.to_string().into_bytes()).await?;
        if answer.status != StatusCode::TOO_MANY_REQUESTS || since.elapsed() > Duration::from_secs(60) {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    if !answer.status.is_success() {
        let message = format!("{} {}", answer.status, answer.text());
        return Err(Failure::new("invoke a function", message).command(path));
    }
    let error = answer.headers.get("x-amz-function-error").and_then(|value| value.to_str().ok());
    Ok(Invocation { function_error: error.map(str::to_owned), payload: answer.json() })
}
