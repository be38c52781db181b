//! What validation is asked for: the event of an invocation.

use super::checks::{CHECKS, CheckId};
use crate::lead::DateOrder;
use serde_json::{Map, Value};
use std::fmt;
use url::Url;

/// What to check, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Only these checks and those that they need; all where it is empty.
    pub checks: Vec<CheckId>,
    /// Whether to create tables that are missing.
    pub create: bool,
    /// Whether to leave the test leads in the table, as Partner Center does. No mail ever holds them.
    pub leave: bool,
    /// Whether to send a digest with a test lead.
    pub send: bool,
    /// Leads to compare with the table.
    pub reconcile: Option<Reconciliation>,
}

/// Leads to compare with the table, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// The leads.
    pub leads: Leads,
    /// Which number comes first in their dates, where the request says so.
    pub order: Option<DateOrder>,
    /// Whether to say for each lead which row stands for it, and why.
    pub explain: bool,
}

/// Where the leads of Partner Center's export are.
#[derive(Clone, PartialEq, Eq)]
pub enum Leads {
    /// The file itself.
    Csv(String),
    /// A presigned URL of the file in S3.
    S3(Url),
}

/// What is wrong with an event. Holds no value of it, since values can be people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRequest(pub String);

const FIELDS: &str = "`checks` (a list of names), `create`, `leave`, `send` (true or false), `reconcile` (an object)";

const RECONCILE_FIELDS: &str = "`csv` (the file's text) or `s3` (a presigned URL of the file in S3), and, if you like, \
                                `dates` (\"month-first\" or \"day-first\") and `explain` (true or false)";

impl Request {
    /// Reads an event; `{}` and `null` ask for everything that changes nothing.
    ///
    /// # Errors
    /// Where a field is unknown or malformed; the error lists the valid ones.
    pub fn parse(event: &Value) -> Result<Self, InvalidRequest> {
        let fail = |message: String| Err(InvalidRequest(message));
        let empty = Map::new();
        let event = match event {
            Value::Null => &empty,
            Value::Object(fields) => fields,
            _ => return fail(format!("the event is no JSON object like {{}}; its fields: {FIELDS}")),
        };
        let mut request = Self::default();
        for (name, value) in event {
            let flag = match name.as_str() {
                "checks" => {
                    request.checks = checks(value)?;
                    continue;
                }
                "reconcile" => {
                    request.reconcile = Some(reconciliation(value)?);
                    continue;
                }
                "create" => &mut request.create,
                "leave" => &mut request.leave,
                "send" => &mut request.send,
                _ => return fail(format!("the event has an unknown field; valid are {FIELDS}")),
            };
            *flag = value.as_bool().ok_or_else(|| InvalidRequest(format!("`{name}` is neither true nor false")))?;
        }
        let wanted = request.wanted();
        for (is_asked, option, check) in [
            (request.create, "create", CheckId::Table),
            (request.leave, "leave", CheckId::RoundTrip),
            (request.send, "send", CheckId::Mail),
        ] {
            if is_asked && !wanted.contains(&check) {
                return fail(format!("`{option}` belongs to the check `{check}`, which `checks` leaves out"));
            }
        }
        if wanted.contains(&CheckId::Reconcile) && !request.checks.is_empty() && request.reconcile.is_none() {
            return fail(format!("the check `reconcile` needs the field `reconcile` with {RECONCILE_FIELDS}"));
        }
        Ok(request)
    }

    /// The checks to run: those asked for with all that they need.
    pub(super) fn wanted(&self) -> Vec<CheckId> {
        let mut wanted = self.checks.clone();
        if wanted.is_empty() {
            wanted = CHECKS.iter().map(|check| check.id).filter(|id| *id != CheckId::Reconcile).collect();
        }
        if self.reconcile.is_some() {
            wanted.push(CheckId::Reconcile);
        }
        let mut at = 0;
        while let Some(id) = wanted.get(at) {
            let needs = CHECKS.iter().filter(|check| check.id == *id).flat_map(|check| check.needs);
            let needs: Vec<_> = needs.filter(|id| !wanted.contains(id)).copied().collect();
            wanted.extend(needs);
            at += 1;
        }
        wanted
    }
}

fn checks(value: &Value) -> Result<Vec<CheckId>, InvalidRequest> {
    let known = |value: &Value| CHECKS.iter().map(|check| check.id).find(|id| value.as_str() == Some(id.name()));
    let names = value.as_array().and_then(|names| names.iter().map(known).collect::<Option<Vec<_>>>());
    names.ok_or_else(|| {
        let valid: Vec<_> = CHECKS.iter().map(|check| format!("`{}`", check.id)).collect();
        InvalidRequest(format!("`checks` is no list of checks; valid are {}", valid.join(", ")))
    })
}

fn reconciliation(value: &Value) -> Result<Reconciliation, InvalidRequest> {
    let wrong = || InvalidRequest(format!("`reconcile` is no object with {RECONCILE_FIELDS}"));
    let fields = value.as_object().ok_or_else(wrong)?;
    if fields.keys().any(|name| !["csv", "s3", "dates", "explain"].contains(&name.as_str())) {
        return Err(wrong());
    }
    let leads = match (fields.get("csv"), fields.get("s3")) {
        (Some(Value::String(csv)), None) => Leads::Csv(csv.to_owned()),
        (None, Some(Value::String(url))) => Url::parse(url).ok().filter(is_s3).map(Leads::S3).ok_or_else(|| {
            let how = "what `aws s3 presign s3://<bucket>/<key>` prints";
            InvalidRequest(format!("`s3` is no presigned URL of Amazon S3: {how}"))
        })?,
        _ => return Err(wrong()),
    };
    let order = match fields.get("dates").map(Value::as_str) {
        None => None,
        Some(Some("month-first")) => Some(DateOrder::MonthFirst),
        Some(Some("day-first")) => Some(DateOrder::DayFirst),
        Some(_) => return Err(wrong()),
    };
    let explain = fields.get("explain").map_or(Some(false), Value::as_bool).ok_or_else(wrong)?;
    Ok(Reconciliation { leads, order, explain })
}

/// Nothing but S3 is asked: the function must not be a way into other places.
fn is_s3(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_aws = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    let is_s3 = host.split('.').any(|label| label == "s3" || label.starts_with("s3-"));
    url.scheme() == "https" && is_aws && is_s3
}

/// Shows nothing of the leads.
impl fmt::Debug for Leads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csv(_) => "Csv(..)",
            Self::S3(_) => "S3(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_event_asks_for_every_check_and_changes_nothing() {
        let request = Request::parse(&json!({})).unwrap();
        assert_eq!(request, Request::default());
        assert_eq!(Request::parse(&Value::Null).unwrap(), request);
        assert_eq!(request.wanted().len(), CHECKS.len() - 1, "reconciliation needs leads");
    }

    #[test]
    fn a_check_brings_those_that_it_needs() {
        let wanted = |event| {
            let wanted = Request::parse(&event).unwrap().wanted();
            wanted.into_iter().map(CheckId::name).collect::<Vec<_>>()
        };
        assert_eq!(
            wanted(json!({"checks": ["silence"], "create": true})),
            ["silence", "notifier", "table", "storage", "connection-string"]
        );
        assert_eq!(wanted(json!({"checks": ["queue"]})), ["queue"]);
    }

    #[test]
    fn the_leads_to_reconcile_come_with_the_event_or_from_s3() {
        let asked = |value| Request::parse(&json!({ "reconcile": value })).map(|request| request.reconcile.unwrap());
        let leads = |value| asked(value).map(|asked| asked.leads);
        assert_eq!(leads(json!({"csv": "Email\n"})), Ok(Leads::Csv("Email\n".into())));
        for (fields, order, explain) in [
            (json!({"csv": ""}), None, false),
            (json!({"csv": "", "dates": "day-first", "explain": true}), Some(DateOrder::DayFirst), true),
            (json!({"csv": "", "dates": "month-first", "explain": false}), Some(DateOrder::MonthFirst), false),
        ] {
            assert_eq!(asked(fields), Ok(Reconciliation { leads: Leads::Csv(String::new()), order, explain }));
        }
        for url in [
            "https://exports.s3.eu-west-1.amazonaws.com/leads.csv?X-Amz-Signature=0",
            "https://s3.amazonaws.com/exports/leads.csv?X-Amz-Signature=0",
            "https://exports.s3.cn-north-1.amazonaws.com.cn/leads.csv?X-Amz-Signature=0",
        ] {
            assert!(leads(json!({ "s3": url })).is_ok(), "{url}");
        }
        for url in [
            "http://exports.s3.eu-west-1.amazonaws.com/leads.csv",
            "https://169.254.169.254/latest/meta-data",
            "https://s3.amazonaws.com.contoso.example/leads.csv",
            "https://sqs.eu-west-1.amazonaws.com/leads.csv",
            "s3://exports/leads.csv",
        ] {
            assert!(leads(json!({ "s3": url })).unwrap_err().0.contains("aws s3 presign"), "{url}");
        }
    }

    #[test]
    fn a_wrong_event_is_told_what_is_valid_and_repeats_no_value() {
        for (event, part) in [
            (json!([]), "no JSON object"),
            (json!({"eve@evil.example": 1}), "valid are `checks`"),
            (json!({"checks": ["eve@evil.example"]}), "`round-trip`, `intake`"),
            (json!({"checks": "table"}), "`round-trip`, `intake`"),
            (json!({"send": "eve@evil.example"}), "`send` is neither true nor false"),
            (json!({"send": true, "checks": ["table"]}), "`send` belongs to the check `mail`"),
            (json!({"create": true, "checks": ["queue"]}), "`create` belongs to the check `table`"),
            (json!({"checks": ["reconcile"]}), "needs the field `reconcile`"),
            (json!({"reconcile": "eve@evil.example"}), "`csv` (the file's text)"),
            (json!({"reconcile": {"csv": "a", "s3": "b"}}), "`csv` (the file's text)"),
            (json!({"reconcile": {"file": "eve@evil.example"}}), "`csv` (the file's text)"),
            (json!({"reconcile": {"csv": "a", "dates": "eve@evil.example"}}), "`dates` (\"month-first\" or"),
            (json!({"reconcile": {"csv": "a", "explain": "eve@evil.example"}}), "`explain` (true or false)"),
        ] {
            let error = Request::parse(&event).unwrap_err().0;
            assert!(error.contains(part) && !error.contains('@'), "{event}: {error}");
        }
    }
}
