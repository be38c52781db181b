//! What a destination's secret parameter says.

use super::reach::Reach;
use super::signature::SigningKey;
use crate::secret::Secret;
use serde_json::{Map, Value};
use std::fmt;
use url::Url;

/// The headers that no setting may give: they are ours, or those of the connection.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

/// A place that leads are sent to, other than a mailbox. Its address and keys are secrets, and are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    pub(super) kind: Kind,
    pub(super) url: Secret,
    /// The keys of a webhook: one, or two while one is rotated.
    pub(super) keys: Vec<SigningKey>,
    /// A header that every request of a webhook gets: name and value.
    pub(super) header: Option<(String, Secret)>,
}

/// What a destination is, and so what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One signed event per lead, as Standard Webhooks has it.
    Webhook,
    /// Adaptive Cards to a Workflows URL of Microsoft Teams.
    Teams,
    /// Block Kit messages to an incoming webhook of Slack.
    Slack,
}

impl Kind {
    /// The name in settings, logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Teams => "teams",
            Self::Slack => "slack",
        }
    }
}

/// Why a text is no destination. It holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

impl Destination {
    /// Reads the JSON of a destination, such as `{"kind":"webhook","url":"https://…","secrets":["whsec_…"],
    /// "header":{"name":"X-Api-Key","value":"…"}}` or `{"kind":"slack","url":"https://…"}`.
    ///
    /// # Errors
    /// Where it is none, or where its address is not one that `reach` allows.
    pub fn parse(json: &Secret, reach: Reach) -> Result<Self, Malformed> {
        let value: Value = serde_json::from_str(json.expose()).map_err(|_| Malformed("it is not JSON"))?;
        let fields = value.as_object().ok_or(Malformed("it is not a JSON object"))?;
        let kind = match fields.get("kind").and_then(Value::as_str) {
            Some("webhook") => Kind::Webhook,
            Some("teams") => Kind::Teams,
            Some("slack") => Kind::Slack,
            _ => return Err(Malformed("its \"kind\" is not webhook, teams or slack")),
        };
        let known: &[&str] =
            if kind == Kind::Webhook { &["kind", "url", "secrets", "header"] } else { &["kind", "url"] };
        if fields.keys().any(|field| !known.contains(&field.as_str())) {
            return Err(Malformed(match kind {
                Kind::Webhook => "it has a field other than \"kind\", \"url\", \"secrets\" and \"header\"",
                _ => "it has a field other than \"kind\" and \"url\"",
            }));
        }
        let url = fields.get("url").and_then(Value::as_str).ok_or(Malformed("it has no \"url\""))?;
        let parsed = Url::parse(url.trim()).map_err(|_| Malformed("its \"url\" is not a URL"))?;
        reach.check(&parsed).map_err(Malformed)?;
        let (keys, header) = match kind {
            Kind::Webhook => (keys(fields)?, header(fields)?),
            _ => (Vec::new(), None),
        };
        Ok(Self { kind, url: Secret::new(parsed), keys, header })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

fn keys(fields: &Map<String, Value>) -> Result<Vec<SigningKey>, Malformed> {
    const WRONG: Malformed =
        Malformed("its \"secrets\" are not one or two keys of 24 to 64 bytes, each written whsec_ and Base64");
    let texts = fields.get("secrets").and_then(Value::as_array).ok_or(WRONG)?;
    let keys: Option<Vec<_>> = texts.iter().map(|text| SigningKey::parse(text.as_str()?)).collect();
    keys.filter(|keys| (1..=2).contains(&keys.len())).ok_or(WRONG)
}

fn header(fields: &Map<String, Value>) -> Result<Option<(String, Secret)>, Malformed> {
    const WRONG: Malformed = Malformed("its \"header\" is not an object with a \"name\" and a \"value\"");
    let Some(header) = fields.get("header") else { return Ok(None) };
    let header = header.as_object().filter(|header| header.len() == 2).ok_or(WRONG)?;
    let text = |name: &str| header.get(name).and_then(Value::as_str).ok_or(WRONG);
    let (name, value) = (text("name")?.to_ascii_lowercase(), text("value")?);
    let is_name = name.parse::<http::HeaderName>().is_ok();
    let is_value = value.len() <= 4_096 && value.is_ascii() && http::HeaderValue::from_str(value).is_ok();
    if !is_name || !is_value {
        return Err(Malformed("its \"header\" has a name or a value that cannot stand in a request"));
    }
    if name.starts_with("webhook-") || OWN_HEADERS.contains(&name.as_str()) {
        return Err(Malformed("its \"header\" has a name that is kept for our own headers"));
    }
    Ok(Some((name, Secret::new(value))))
}

/// Shows what it is, and nothing of its address and keys.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn parse(json: &Value) -> Result<Destination, Malformed> {
        Destination::parse(&Secret::new(json.to_string()), Reach::Public)
    }

    #[test]
    fn a_destination_of_each_kind_is_read_and_shows_no_secret() {
        let url = "https://hooks.example.com/hidden-path?sig=hidden-signature";
        for (json, kind) in [
            (json!({"kind": "webhook", "url": url, "secrets": [KEY]}), Kind::Webhook),
            (
                json!({"kind": "webhook", "url": url, "secrets": [KEY, KEY],
                       "header": {"name": "X-Api-Key", "value": "hidden-value"}}),
                Kind::Webhook,
            ),
            (json!({"kind": "teams", "url": url}), Kind::Teams),
            (json!({"kind": "slack", "url": url}), Kind::Slack),
        ] {
            let destination = parse(&json).unwrap();
            assert_eq!((destination.kind(), destination.kind.name()), (kind, json["kind"].as_str().unwrap()));
            assert!(!format!("{destination:?}").contains("hidden"));
            assert_eq!(destination.url.expose(), url);
        }
    }

    #[test]
    fn what_is_no_destination_is_refused_without_showing_any_of_it() {
        let url = "https://hidden.example.com/x";
        let header = |name: &str, value: &str| json!({"kind": "webhook", "url": url, "secrets": [KEY], "header": {"name": name, "value": value}});
        for (json, part) in [
            (json!([]), "not a JSON object"),
            (json!({"url": url}), "\"kind\""),
            (json!({"kind": "hidden", "url": url}), "\"kind\""),
            (json!({"kind": "slack"}), "no \"url\""),
            (json!({"kind": "slack", "url": "hidden"}), "not a URL"),
            (json!({"kind": "slack", "url": "http://hidden.example.com"}), "https"),
            (json!({"kind": "slack", "url": "https://hidden:hidden@hidden.example.com"}), "user"),
            (json!({"kind": "slack", "url": "https://10.0.0.1/hidden"}), "address"),
            (json!({"kind": "slack", "url": url, "secrets": [KEY]}), "a field other"),
            (json!({"kind": "webhook", "url": url, "hidden": 1, "secrets": [KEY]}), "a field other"),
            (json!({"kind": "webhook", "url": url}), "\"secrets\""),
            (json!({"kind": "webhook", "url": url, "secrets": []}), "\"secrets\""),
            (json!({"kind": "webhook", "url": url, "secrets": [KEY, KEY, KEY]}), "\"secrets\""),
            (json!({"kind": "webhook", "url": url, "secrets": ["whsec_aGlkZGVu"]}), "\"secrets\""),
            (header("Webhook-Signature", "v1,hidden"), "our own"),
            (header("Content-Type", "text/hidden"), "our own"),
            (header("Host", "hidden"), "our own"),
            (header("x hidden", "y"), "cannot stand"),
            (header("x", "hidden\r\nhidden: y"), "cannot stand"),
            (json!({"kind": "webhook", "url": url, "secrets": [KEY], "header": {"x": "hidden"}}), "\"header\""),
        ] {
            let error = parse(&json).unwrap_err();
            assert!(error.to_string().contains(part), "{part}: {error}");
            assert!(!format!("{error:?} {error}").contains("hidden"), "{error:?}");
        }
        let error = Destination::parse(&Secret::new("{\"hidden"), Reach::Public).unwrap_err();
        assert_eq!(error.to_string(), "it is not JSON");
    }
}
