//! Sending mails.

use super::account::{SesError, suppressed};
use super::refusals::{TOO_LARGE, mail_error, may_be_accepted};
use crate::aws::SdkConfig;
use crate::mail::message::SES_MAX_MESSAGE_BYTES;
use crate::mail::{MAX_QUESTION, MAX_SEND, MailError, Mailer, Message};
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::interceptors::InterceptorContext;
use aws_sdk_sesv2::config::retry::{ClassifyRetry, RetryAction, RetryConfig};
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::error::BuildError;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{
    Attachment, AttachmentContentDisposition, AttachmentContentTransferEncoding, Body, Content, Destination,
    EmailContent, Message as SesMessage, MessageHeader,
};
use std::time::Duration;

/// How often a mail is tried, the first time included. The pauses between attempts double: the first one takes up to a
/// second, none takes more than [`MAX_BACKOFF`], and each is shortened at random.
const MAX_ATTEMPTS: u32 = 5;

const MAX_BACKOFF: Duration = Duration::from_secs(8);

pub(super) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_max_backoff(MAX_BACKOFF)
}

/// Sends mails with Amazon SES (API v2).
#[derive(Clone)]
pub struct SesMailer {
    pub(super) client: Client,
    configuration_set: Option<String>,
}

impl SesMailer {
    /// A mailer with the region, credentials and HTTP client of `config`. Every mail names the configuration set, if
    /// there is one.
    pub fn new(config: &SdkConfig, configuration_set: Option<String>) -> Self {
        Self::with_retries(config, configuration_set, retries())
    }

    pub(super) fn with_retries(config: &SdkConfig, configuration_set: Option<String>, retries: RetryConfig) -> Self {
        let attempts = config.timeout_config().map(TimeoutConfig::to_builder).unwrap_or_default();
        let config = aws_sdk_sesv2::config::Builder::from(config)
            .retry_config(retries)
            .retry_classifier(NotAccepted)
            .timeout_config(attempts.operation_timeout(MAX_SEND).build())
            .build();
        Self { client: Client::from_conf(config), configuration_set }
    }
}

impl Mailer for SesMailer {
    async fn send(&self, message: &Message) -> Result<String, MailError> {
        if message.size() > SES_MAX_MESSAGE_BYTES {
            // SES would refuse it as well, but only after the whole mail has been transferred.
            return Err(MailError::Message { code: "TooLarge".to_owned(), cure: TOO_LARGE.to_owned() });
        }
        let content = content(message).map_err(|_| MailError::Message {
            code: "NotBuilt".to_owned(),
            cure: "report this: the mail lacks a part that SES requires".to_owned(),
        })?;
        let answer = self
            .client
            .send_email()
            .from_email_address(&message.from)
            .destination(Destination::builder().set_to_addresses(Some(message.to.clone())).build())
            .set_reply_to_addresses(message.reply_to.clone().map(|address| vec![address]))
            .content(content)
            .set_configuration_set_name(self.configuration_set.clone())
            .send()
            .await
            .map_err(|error| mail_error(&error, message))?;
        Ok(answer.message_id.unwrap_or_default())
    }

    async fn is_suppressed(&self, address: &str) -> Result<bool, MailError> {
        // A mail waits for the answer, and goes without it.
        let once = aws_sdk_sesv2::config::Config::builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(MAX_QUESTION).build());
        let question = self.client.get_suppressed_destination().email_address(address);
        let answer = question.customize().config_override(once).send().await;
        suppressed(answer).map_err(|SesError(code)| MailError::Unavailable { code, may_be_accepted: false })
    }
}

/// The mail in SES's form. SES builds the MIME message of it, and encodes all headers.
fn content(message: &Message) -> Result<EmailContent, BuildError> {
    let utf8 = |text: &str| Content::builder().data(text).charset("UTF-8").build();
    let mut simple = SesMessage::builder()
        .subject(utf8(&message.subject)?)
        .body(Body::builder().html(utf8(&message.html)?).text(utf8(&message.text)?).build());
    for (name, value) in &message.headers {
        simple = simple.headers(MessageHeader::builder().name(name).value(value).build()?);
    }
    for attachment in &message.attachments {
        simple = simple.attachments(
            Attachment::builder()
                .file_name(&attachment.name)
                .content_type(&attachment.content_type)
                .content_disposition(AttachmentContentDisposition::Attachment)
                .content_transfer_encoding(AttachmentContentTransferEncoding::Base64)
                .raw_content(Blob::new(attachment.content.clone()))
                .build()?,
        );
    }
    Ok(EmailContent::builder().simple(simple.build()).build())
}

/// Forbids the SDK to try again after failures that leave open whether the mail was accepted.
#[derive(Debug)]
struct NotAccepted;

impl ClassifyRetry for NotAccepted {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let status = context.response().map(|response| response.status().as_u16());
        let is_open = may_be_accepted(status, error.as_connector_error());
        if is_open { RetryAction::RetryForbidden } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "only what was not accepted"
    }
}
