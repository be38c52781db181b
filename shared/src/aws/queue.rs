//! The SQS queue for leads that the table did not take.

use super::{SdkConfig, error_code};
use crate::queued_body::QueuedBody;
use aws_sdk_sqs::types::QueueAttributeName;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

/// The port to a queue that takes bodies which could not be stored.
pub trait BodyQueue: Send + Sync {
    /// Puts a body onto the queue.
    ///
    /// # Errors
    /// Where the queue does not take it. It may be there nevertheless.
    fn send(&self, body: &QueuedBody) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// A queue of SQS. Clones share one client. It is built with the first request, since most instances never need it.
#[derive(Clone)]
pub struct Queue {
    config: SdkConfig,
    url: Url,
    client: Arc<OnceLock<aws_sdk_sqs::Client>>,
}

/// Why the queue did not take a message: SQS's error code, or what happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(pub String);

impl Queue {
    /// The queue at this URL. Nothing is sent yet.
    pub fn new(config: SdkConfig, url: Url) -> Self {
        Self { config, url, client: Arc::default() }
    }

    /// How many messages are on it, and how long it keeps them. SQS gives the age of the oldest message as a metric only,
    /// not as an attribute.
    ///
    /// # Errors
    /// Where SQS does not say, or an answer has no numbers.
    pub async fn state(&self) -> Result<QueueState, QueueError> {
        let client = self.client.get_or_init(|| aws_sdk_sqs::Client::new(&self.config));
        let request = client.get_queue_attributes().queue_url(self.url.as_str());
        let answer = request.attribute_names(QueueAttributeName::All).send().await;
        let attributes = answer.map_err(|error| QueueError(error_code(&error)))?.attributes.unwrap_or_default();
        let number = |name| attributes.get(&name).and_then(|text| text.parse::<u64>().ok());
        let messages = |name| number(name).ok_or_else(|| QueueError("answer not understood".to_owned()));
        let redrive = attributes.get(&QueueAttributeName::RedrivePolicy);
        let redrive: Option<serde_json::Value> = redrive.and_then(|json| serde_json::from_str(json).ok());
        Ok(QueueState {
            waiting: messages(QueueAttributeName::ApproximateNumberOfMessages)?
                + messages(QueueAttributeName::ApproximateNumberOfMessagesDelayed)?,
            in_flight: messages(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)?,
            retention: number(QueueAttributeName::MessageRetentionPeriod).map(Duration::from_secs),
            arn: attributes.get(&QueueAttributeName::QueueArn).cloned(),
            dead_letter_arn: redrive.and_then(|redrive| Some(redrive["deadLetterTargetArn"].as_str()?.to_owned())),
        })
    }
}

impl BodyQueue for Queue {
    async fn send(&self, body: &QueuedBody) -> Result<(), QueueError> {
        let client = self.client.get_or_init(|| aws_sdk_sqs::Client::new(&self.config));
        let request = client.send_message().queue_url(self.url.as_str()).message_body(body.to_json());
        let answer = request.send().await.map_err(|error| QueueError(error_code(&error)))?;
        // SQS names each message that it took. An answer without a name may come from somebody in between.
        match answer.message_id.as_deref() {
            None | Some("") => Err(QueueError("answer not understood".to_owned())),
            Some(_) => Ok(()),
        }
    }
}

/// What SQS says of a queue. Its numbers are approximate.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Messages that can be received.
    pub waiting: u64,
    /// Messages that were received and neither deleted nor given back.
    pub in_flight: u64,
    /// How long messages are kept.
    pub retention: Option<Duration>,
    /// The queue's own name.
    pub arn: Option<String>,
    /// The name of its dead-letter queue.
    pub dead_letter_arn: Option<String>,
}
