//! The mailbox, with the mails that the functions have sent.

use crate::aws::client;
use crate::failure::{Failure, OrFail, Result};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// The inbox that takes every mail. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inbox {
    http: reqwest::Client,
    address: String,
}

/// A mail that was sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// The id that the sender got in answer.
    pub message_id: String,
    /// Sender.
    pub from: String,
    /// The addresses for answers.
    #[serde(default)]
    pub reply_to: Vec<String>,
    /// Recipients.
    pub destination: Destination,
    /// Subject.
    pub subject: String,
    /// The text part and the HTML part.
    pub body: Body,
    /// Attached files.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Further headers that the sender set.
    #[serde(default)]
    pub headers: Vec<Header>,
}

/// Recipients of a mail.
#[derive(Debug, Clone, Deserialize)]
pub struct Destination {
    /// Recipients that everybody sees.
    pub to: Vec<String>,
    /// Copies.
    pub cc: Vec<String>,
    /// Hidden copies.
    pub bcc: Vec<String>,
}

/// Parts of a mail; one that is missing is empty.
#[derive(Debug, Clone, Deserialize)]
pub struct Body {
    /// HTML part.
    #[serde(default)]
    pub html: String,
    /// Text part.
    #[serde(default)]
    pub text: String,
}

/// A file attached to a mail.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// File name.
    #[serde(default)]
    pub filename: String,
    /// Media type.
    pub content_type: String,
    /// Content, in base64.
    content: String,
}

impl Attachment {
    /// The content.
    pub fn bytes(&self) -> Vec<u8> {
        BASE64.decode(&self.content).unwrap_or_default()
    }
}

/// A header of a mail.
#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

impl Mail {
    /// The value of a header, by its name in any casing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }
}

impl Inbox {
    pub(crate) fn new(port: u16) -> Self {
        Self::at(&format!("http://127.0.0.1:{port}/"))
    }

    /// The inbox at an address that ends with a slash.
    pub(crate) fn at(address: &str) -> Self {
        Self { http: client(), address: address.to_owned() }
    }

    /// The web page to read mails on.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Every mail, oldest first.
    pub async fn mails(&self) -> Result<Vec<Mail>> {
        #[derive(Deserialize)]
        struct Store {
            emails: Vec<Mail>,
        }
        const STEP: &str = "read the inbox";
        let answer = self.http.get(format!("{}store", self.address)).send().await.or_fail(STEP)?;
        Ok(answer.json::<Store>().await.or_fail(STEP)?.emails)
    }

    /// Waits until there is a mail that `wanted` accepts, and gives it.
    pub async fn wait_for(&self, limit: Duration, wanted: impl Fn(&Mail) -> bool) -> Result<Mail> {
        let started = Instant::now();
        loop {
            let mails = self.mails().await?;
            let number = mails.len();
            if let Some(mail) = mails.into_iter().find(&wanted) {
                return Ok(mail);
            }
            if started.elapsed() > limit {
                let message = format!("the mail did not come within {} s; {number} others did", limit.as_secs());
                return Err(Failure::new("find a mail in the inbox", message));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Deletes all mails.
    pub async fn clear(&self) -> Result<()> {
        const STEP: &str = "clear the inbox";
        let answer = self.http.post(format!("{}clear-store", self.address)).send().await.or_fail(STEP)?;
        answer.error_for_status().or_fail(STEP).map(drop)
    }
}
