//! What the functions and the parts of the local cloud log.

use crate::LocalCloud;
use crate::aws::{Aws, AwsError};
use crate::failure::{OrFail, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;

/// Reads what the functions log, each line once.
///
/// It reads stream by stream: the emulator's search over all streams ends after 10,000 lines.
#[derive(Debug)]
pub struct FunctionLogs {
    aws: Aws,
    /// How many bytes each log group held when it was read last.
    stored: HashMap<String, u64>,
    /// How far each stream of each group has been read: the token that leads to the events after that.
    read: HashMap<(String, String), Value>,
}

impl FunctionLogs {
    /// Begins with the first line that a function has logged.
    pub fn new(aws: &Aws) -> Self {
        Self { aws: aws.clone(), stored: HashMap::new(), read: HashMap::new() }
    }

    /// The lines that the functions have logged since the last call. While they log nothing, a call makes one request.
    pub async fn read_new(&mut self) -> Result<String> {
        let mut lines = String::new();
        let groups = self.ask("DescribeLogGroups", json!({ "logGroupNamePrefix": "/aws/lambda/" })).await?;
        for group in groups["logGroups"].as_array().into_iter().flatten() {
            let name = group["logGroupName"].as_str().unwrap_or_default();
            let stored = group["storedBytes"].as_u64().unwrap_or_default();
            if self.stored.get(name) != Some(&stored) {
                self.read_group(name, &mut lines).await?;
                self.stored.insert(name.to_owned(), stored);
            }
        }
        Ok(lines)
    }

    async fn read_group(&mut self, group: &str, lines: &mut String) -> Result<()> {
        let mut list = json!({ "logGroupName": group });
        loop {
            let streams = self.ask("DescribeLogStreams", list.clone()).await?;
            for stream in streams["logStreams"].as_array().into_iter().flatten() {
                self.read_stream(group, stream["logStreamName"].as_str().unwrap_or_default(), lines).await?;
            }
            match &streams["nextToken"] {
                Value::String(token) => list["nextToken"] = token.as_str().into(),
                _ => return Ok(()),
            }
        }
    }

    async fn read_stream(&mut self, group: &str, stream: &str, lines: &mut String) -> Result<()> {
        let key = (group.to_owned(), stream.to_owned());
        let mut request = json!({ "logGroupName": group, "logStreamName": stream, "startFromHead": true });
        if let Some(token) = self.read.get(&key) {
            request["nextToken"] = token.clone();
        }
        loop {
            let page = self.ask("GetLogEvents", request.clone()).await?;
            for event in page["events"].as_array().into_iter().flatten() {
                lines.push_str(event["message"].as_str().unwrap_or_default().trim_end());
                lines.push('\n');
            }
            self.read.insert(key.clone(), page["nextForwardToken"].clone());
            // At the end of a stream, the service gives the token back that it was asked with.
            if page["nextForwardToken"] == request["nextToken"] {
                return Ok(());
            }
            request["nextToken"] = page["nextForwardToken"].clone();
        }
    }

    async fn ask(&self, action: &str, request: Value) -> Result<Value, AwsError> {
        self.aws.json("logs", &format!("Logs_20140328.{action}"), request).await
    }
}

impl LocalCloud {
    /// What the functions have logged so far, line by line.
    pub async fn function_logs(&self) -> Result<String> {
        FunctionLogs::new(self.aws()).read_new().await
    }

    /// What each part has logged.
    pub fn part_logs(&self) -> Result<String> {
        let mut logs = String::new();
        for entry in fs::read_dir(&self.run.folder).or_fail("read the logs")?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let bytes = fs::read(entry.path()).or_fail("read the logs")?;
                logs.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        Ok(logs)
    }

    /// Everything that was logged: by the functions and by each part.
    pub async fn logs(&self) -> Result<String> {
        Ok(self.function_logs().await? + &self.part_logs()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers;
    use axum::http::HeaderMap;
    use std::sync::{Arc, Mutex};

    /// A service with one group of one stream. It remembers what it was asked for.
    #[derive(Clone, Default)]
    struct Service {
        events: Arc<Mutex<Vec<String>>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Service {
        fn start(&self) -> Aws {
            let (listener, port) = servers::listen("start a test's service", 0).unwrap();
            let service = self.clone();
            let app = axum::Router::new().fallback(async move |headers: HeaderMap, body: String| {
                service.answer(headers["x-amz-target"].to_str().unwrap(), &body).to_string()
            });
            servers::spawn(async move { axum::serve(listener, app).await.unwrap() });
            Aws::new(&format!("http://127.0.0.1:{port}"), "eu-west-1", "local", "secret")
        }

        fn answer(&self, target: &str, body: &str) -> Value {
            let (events, request) = (self.events.lock().unwrap(), serde_json::from_str::<Value>(body).unwrap());
            let action = target.trim_start_matches("Logs_20140328.");
            self.asked.lock().unwrap().push(action.to_owned());
            match action {
                "DescribeLogGroups" => {
                    let stored: usize = events.iter().map(String::len).sum();
                    json!({ "logGroups": [{ "logGroupName": "/aws/lambda/a", "storedBytes": stored }] })
                }
                "DescribeLogStreams" => json!({ "logStreams": [{ "logStreamName": "s" }] }),
                _ => {
                    // A page holds two events; the token is the number of the next event.
                    let from: usize = request["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                    let page: Vec<_> = events.iter().skip(from).take(2).collect();
                    let next = (from + page.len()).to_string();
                    let page: Vec<_> = page.into_iter().map(|message| json!({ "message": message })).collect();
                    json!({ "events": page, "nextForwardToken": next })
                }
            }
        }

        fn log(&self, line: &str) {
            self.events.lock().unwrap().push(line.to_owned());
        }

        fn asked(&self) -> Vec<String> {
            std::mem::take(&mut self.asked.lock().unwrap())
        }
    }

    #[tokio::test]
    async fn each_line_is_read_once_in_order_and_whole() {
        let service = Service::default();
        let mut logs = FunctionLogs::new(&service.start());
        for number in 0..5 {
            service.log(&format!("line {number}\n"));
        }
        assert_eq!(logs.read_new().await.unwrap(), "line 0\nline 1\nline 2\nline 3\nline 4\n");
        assert_eq!(logs.read_new().await.unwrap(), "");
        service.log("line 5");
        assert_eq!(logs.read_new().await.unwrap(), "line 5\n");
    }

    #[tokio::test]
    async fn while_the_functions_log_nothing_a_call_makes_one_small_request() {
        let service = Service::default();
        let mut logs = FunctionLogs::new(&service.start());
        for number in 0..100 {
            service.log(&format!("line {number}"));
        }
        logs.read_new().await.unwrap();
        assert!(service.asked().contains(&"GetLogEvents".to_owned()));
        for _ in 0..3 {
            logs.read_new().await.unwrap();
        }
        assert_eq!(service.asked(), ["DescribeLogGroups"; 3]);
    }
}
