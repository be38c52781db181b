//! Requests to Lambda function URLs and their answers, as far as the use cases need them. The functions translate between
//! these types and the events of Lambda.

use serde::Serialize;

/// A request.
pub struct Request<'a> {
    /// Method, in upper case.
    pub method: &'a str,
    /// Path, without the query.
    pub path: &'a str,
    /// Query, without its question mark, as it came.
    pub query: &'a str,
    /// Body.
    pub body: Body<'a>,
}

/// A body as Lambda hands it over.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// As text.
    Text(&'a str),
    /// In Base64, because it is, or may be, no text.
    Base64(&'a str),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers: name and value.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Body: JSON.
    pub body: String,
}

impl Answer {
    /// An answer of JSON.
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        Self { status, headers: vec![("content-type", "application/json")], body: json(body) }
    }

    /// What is said of an error: problem details (RFC 9457) with a request id.
    pub(crate) fn problem(status: u16, title: &'static str, detail: &str, request_id: &str) -> Self {
        let problem = Problem { r#type: "about:blank", title, status, detail, request_id };
        Self { status, headers: vec![("content-type", "application/problem+json")], body: json(&problem) }
    }

    /// The answer with one more header.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// <https://www.rfc-editor.org/rfc/rfc9457>
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
}

/// A value as JSON. Values of texts and numbers can always be written so.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
