//! Leads to measure with: one for each number, each of another person.

use jiff::{SignedDuration, Timestamp};
use local_cloud::partition_of;
use marketplace_leads::table::Entity;
use serde_json::json;

/// Source, action and offer of every lead.
pub(crate) const SOURCE: &str = "AzureMarketplace-PLT|contoso.backup-pro";

/// The key of intake in all measurements.
pub(crate) const KEY: &str = "measured-0123456789";

/// The JSON that Microsoft POSTs for a lead.
pub fn body(number: usize) -> String {
    json!({
        "UserDetails": {
            "FirstName": "Ada", "LastName": format!("Lindqvist {number}"),
            "Email": format!("ada.{number}@fabrikam.example"), "Phone": "+46 8 555 0142", "Country": "SE",
            "Company": "Fabrikam Nordic AB", "Title": "Head of IT",
        },
        "LeadSource": SOURCE, "ActionCode": "PLT", "OfferTitle": "Contoso Backup Pro",
        "Description": "We back up 40 TB every night and our contract ends in January. Could you show us a restore?",
    })
    .to_string()
}

/// The event of a function URL for a lead that is POSTed.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>
pub fn function_url_event(number: usize) -> String {
    event("POST", &format!("code={KEY}"), &json!({ "code": KEY }), &body(number))
}

/// The event of a function URL.
pub(crate) fn event(method: &str, query: &str, parameters: &serde_json::Value, body: &str) -> String {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/leads", "rawQueryString": query,
        "headers": {
            "content-type": "application/json", "host": "abc.lambda-url.eu-west-1.on.aws",
            "user-agent": "Microsoft", "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https",
        },
        "queryStringParameters": parameters,
        "requestContext": {
            "accountId": "anonymous", "apiId": "abc", "domainName": "abc.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "abc", "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599", "routeKey": "$default",
            "stage": "$default", "time": "22/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_341_600_000_u64,
            "http": {
                "method": method, "path": "/leads", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7",
                "userAgent": "Microsoft",
            },
        },
        "body": body, "isBase64Encoded": false,
    })
    .to_string()
}

/// Rows for a table.
#[derive(Debug, Clone, Copy)]
pub struct Filler {
    /// How many rows.
    pub rows: usize,
    /// Over how many days they are spread evenly.
    pub days: usize,
    /// How many days ago the last of these is.
    pub days_ago: usize,
    /// The number of the first row's person.
    pub first: usize,
}

impl Filler {
    /// The rows, in Microsoft's form.
    pub(crate) fn entities(self, now: Timestamp) -> impl Iterator<Item = Entity> {
        let entity = move |number: usize| row(number, self.days_ago + number % self.days, now);
        (self.first..self.first + self.rows).map(entity)
    }
}

fn partition(days_ago: usize, now: Timestamp) -> String {
    let days = SignedDuration::from_hours(24 * i64::try_from(days_ago).unwrap_or_default());
    partition_of(now - days)
}

/// A key that is spread like Microsoft's random ones. Another number gives another key, since the factor is odd.
fn row_key(number: usize) -> String {
    format!("{:08x}-5b2f-4b8e-9d0c-0123456789ab", (number as u32).wrapping_mul(0x9e37_79b1))
}

fn row(number: usize, days_ago: usize, now: Timestamp) -> Entity {
    let lead: serde_json::Value = serde_json::from_str(&body(number)).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Entity::new(partition(days_ago, now), row_key(number))
        .with("ActionCode", text(&lead["ActionCode"]))
        .with("CreatedTime", "11/22/2026 9:41:00 AM")
        .with("CustomerInfo", lead["UserDetails"].to_string())
        .with("Description", text(&lead["Description"]))
        .with("LeadSource", text(&lead["LeadSource"]))
        .with("OfferDisplayName", text(&lead["OfferTitle"]))
}
