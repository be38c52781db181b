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

    /// What the functions have logged since the last call, in lines. While they log nothing, a call makes one request.
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
