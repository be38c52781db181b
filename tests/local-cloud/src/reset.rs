//! A cloud as it was after its start, without the seconds that a start takes.

use crate::aws::{Aws, AwsError};
use crate::deploy::{self, MAIL_FROM};
use crate::failure::{Failure, Result};
use crate::inbox::Inbox;
use crate::proxy::Proxy;
use crate::receivers::Receivers;
use crate::table::TableService;
use crate::{ACCESS_KEY, LEADS_TABLE, LocalCloud, REGION, STATE_TABLE, connection_string_of_functions};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long redelivery is waited for. A lead whose delivery has failed comes back only after minutes.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);

impl LocalCloud {
    /// Gives tables, queues, inbox, secrets, the verified sender and the functions' logs the state that they had after the
    /// start, and ends the functions' processes. Faults are taken away, and what the proxies counted is forgotten.
    /// The deployed stack stays as it is.
    ///
    /// Fails when the queue still holds leads after three seconds.
    pub async fn reset(&mut self) -> Result<()> {
        self.connect_anew();
        self.start_table().await?;
        let proxies = || [&self.table_proxy, &self.aws_proxy].into_iter().flatten();
        proxies().for_each(Proxy::clear_faults);
        // Else redelivery could store a lead of the last test in the next test's table.
        self.wait_until_queue_is_empty().await?;
        self.purge_queues().await?;
        for table in [LEADS_TABLE, STATE_TABLE] {
            // A test may have deleted it.
            let _ = self.table.delete(table).await;
            self.table.create(table).await?;
        }
        self.inbox.clear().await?;
        if let Some(receivers) = &self.receivers {
            receivers.clear().await?;
        }
        let connection_string = connection_string_of_functions(&self.table, &self.table_proxy);
        deploy::put_secrets(&self.aws, &connection_string, &self.secrets.intake_key).await?;
        match deploy::verify_sender(&self.aws, MAIL_FROM).await {
            // It is verified still.
            Err(AwsError::Refused { status: StatusCode::BAD_REQUEST, .. }) => (),
            outcome => outcome?,
        }
        for function in self.outputs.keys().filter(|output| output.ends_with("Function")) {
            self.processes_of(function)?.kill();
        }
        self.delete_function_logs().await?;
        proxies().for_each(Proxy::forget);
        Ok(())
    }

    /// Replaces the HTTP clients: their connections belong to the runtime of the test that made them, which has ended.
    fn connect_anew(&mut self) {
        self.aws = Aws::new(self.aws.endpoint(), REGION, ACCESS_KEY, &self.secrets.secret_key);
        self.inbox = Inbox::at(self.inbox.address());
        self.receivers = self.receivers.as_ref().map(Receivers::anew);
        self.table = TableService::new(self.table.port());
    }

    async fn wait_until_queue_is_empty(&self) -> Result<()> {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let request = json!({ "QueueUrl": self.output("LeadQueueUrl")?, "AttributeNames": names });
        let since = Instant::now();
        loop {
            let answer = self.aws.json("sqs", "AmazonSQS.GetQueueAttributes", request.clone()).await?;
            if names.iter().all(|name| answer["Attributes"][name] == "0") {
                return Ok(());
            }
            if since.elapsed() > DRAIN_LIMIT {
                return Err(Failure::new("reset the local cloud", "there are still leads in the queue"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn purge_queues(&self) -> Result<()> {
        let queues = self.aws.json("sqs", "AmazonSQS.ListQueues", json!({})).await?;
        for queue in queues["QueueUrls"].as_array().into_iter().flatten() {
            self.aws.json("sqs", "AmazonSQS.PurgeQueue", json!({ "QueueUrl": queue })).await?;
        }
        Ok(())
    }

    async fn delete_function_logs(&self) -> Result<()> {
        let ask = async |action: &str, request: Value| {
            self.aws.json("logs", &format!("Logs_20140328.{action}"), request).await
        };
        let groups = ask("DescribeLogGroups", json!({ "logGroupNamePrefix": "/aws/lambda/" })).await?;
        for group in groups["logGroups"].as_array().into_iter().flatten() {
            let name = &group["logGroupName"];
            loop {
                let streams = ask("DescribeLogStreams", json!({ "logGroupName": name })).await?;
                let streams = streams["logStreams"].as_array().cloned().unwrap_or_default();
                if streams.is_empty() {
                    break;
                }
                for stream in streams {
                    let request = json!({ "logGroupName": name, "logStreamName": stream["logStreamName"] });
                    ask("DeleteLogStream", request).await?;
                }
            }
        }
        Ok(())
    }
}
