//! Intake's side of HTTP: what it reads of a request, and how it answers.

use super::{Outcome, Quarantining};
use crate::function_url::{Answer, Body, Request};
use crate::lead::UnreadableKind;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use std::borrow::Cow;

/// The path to which leads are sent.
pub(super) const PATH: &str = "/leads";

/// The method with which leads are sent.
pub(super) const METHOD: &str = "POST";

/// How many seconds a sender should wait after a 503.
const RETRY_AFTER_SECONDS: &str = "60";

impl Request<'_> {
    /// The key that the sender names, `code` in the query; empty where there is none.
    pub(super) fn key(&self) -> Cow<'_, str> {
        let mut fields = url::form_urlencoded::parse(self.query.as_bytes());
        fields.find(|(name, _)| name == "code").map(|(_, key)| key).unwrap_or_default()
    }
}

impl Body<'_> {
    /// The bytes of the body. A text that should be Base64 and is not is taken as it stands.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => text.as_bytes().into(),
            Self::Base64(text) => {
                BASE64_STANDARD.decode(text).map_or_else(|_| text.as_bytes().into(), |bytes| bytes.into())
            }
        }
    }
}

/// The answer to a lead.
#[derive(Serialize)]
struct Receipt<'a> {
    /// The lead's id; nothing where the body was not looked into.
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    status: &'a str,
}

/// The answer to an outcome. The answer to a server's error tells nothing of its cause. The logs have it, under the same
/// request id.
pub(super) fn answer(outcome: &Outcome, request_id: &str) -> Answer {
    let receipt = |code, id: &str, status| Answer::json(code, &Receipt { id, status });
    let problem = |status, title, detail: &str| Answer::problem(status, title, detail, request_id);
    match outcome {
        Outcome::Stored { id, .. } => receipt(201, id, "stored"),
        Outcome::Duplicate { id } => receipt(200, id, "duplicate"),
        Outcome::Queued { id, .. } => receipt(202, id, "queued"),
        Outcome::Unverified => receipt(202, "", "queued"),
        // The sender did nothing wrong, and sending it again would change nothing.
        Outcome::Quarantined { why: Quarantining::Refused { id, .. }, table } => {
            receipt(202, id, if table.is_none() { "quarantined" } else { "queued" })
        }
        Outcome::Quarantined { why: Quarantining::Unreadable(unreadable), .. } => {
            let (status, title) = match unreadable.kind {
                UnreadableKind::TooLong => (413, "Content Too Large"),
                _ => (400, "Bad Request"),
            };
            problem(status, title, &format!("{} It is kept for a person to look at.", unreadable.message))
        }
        Outcome::Unauthorized { .. } => problem(401, "Unauthorized", "The URL holds no valid key."),
        Outcome::NotFound { .. } => problem(404, "Not Found", "Leads are taken at /leads."),
        Outcome::MethodNotAllowed { .. } => {
            problem(405, "Method Not Allowed", "Leads are sent with POST.").with("allow", METHOD)
        }
        Outcome::Lost { .. } => {
            problem(503, "Service Unavailable", "The lead could not be kept. Please send it again.")
                .with("retry-after", RETRY_AFTER_SECONDS)
        }
    }
}
