//! The table service by plain REST, as any other client would use it: Microsoft's own inserts, and looking at all rows.

use crate::aws::client;
use crate::failure::{Failure, OrFail, Result};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, Mac};
use jiff::{Timestamp, tz::TimeZone};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::time::SystemTime;
pub(crate) use support::development_account::connection_string;
use support::development_account::{ACCOUNT, KEY};

/// Plain REST calls to the table service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TableService {
    http: reqwest::Client,
    port: u16,
}

impl TableService {
    pub(crate) fn new(port: u16) -> Self {
        Self { http: client(), port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connection string with the account key.
    pub fn connection_string(&self) -> String {
        connection_string(self.port)
    }

    /// Creates a table.
    pub async fn create(&self, table: &str) -> Result<()> {
        self.expect(Method::POST, "Tables", "", Some(json!({ "TableName": table }))).await.map(drop)
    }

    /// Deletes a table with all its rows.
    pub async fn delete(&self, table: &str) -> Result<()> {
        self.expect(Method::DELETE, &format!("Tables('{table}')"), "", None).await.map(drop)
    }

    /// Inserts a row as it is given.
    pub async fn insert(&self, table: &str, row: &Value) -> Result<()> {
        self.expect(Method::POST, table, "", Some(row.clone())).await.map(drop)
    }

    /// Writes some columns of a row anew, whatever its version; the others stay.
    pub async fn merge(&self, table: &str, partition_key: &str, row_key: &str, columns: &Value) -> Result<()> {
        let row = format!("{table}(PartitionKey='{partition_key}',RowKey='{row_key}')");
        let merge = Method::from_bytes(b"MERGE").or_fail("call the table service")?;
        self.expect(merge, &row, "", Some(columns.clone())).await.map(drop)
    }

    /// Inserts a lead the way Microsoft does, and gives its row key.
    ///
    /// Columns, all strings, and the partition as seen in public code that reads such tables; the row key is random.
    pub async fn insert_microsoft_lead(&self, table: &str, lead: &MicrosoftLead, now: Timestamp) -> Result<String> {
        let row_key = crate::random_hex(16);
        let day = now.to_zoned(TimeZone::UTC);
        let row = json!({
            "PartitionKey": partition_of(now),
            "RowKey": row_key,
            "ActionCode": lead.action,
            "CreatedTime": day.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string(),
            "CustomerInfo": lead.customer.to_string(),
            "Description": lead.description,
            "LeadSource": format!("{}-{}|{}", lead.source, lead.action, lead.offer),
            "OfferDisplayName": lead.offer_name,
        });
        self.insert(table, &row).await?;
        Ok(row_key)
    }

    /// Every row of a table.
    pub async fn rows(&self, table: &str) -> Result<Vec<Map<String, Value>>> {
        let mut rows = Vec::new();
        let mut query = String::new();
        loop {
            let answer = self.expect(Method::GET, &format!("{table}()"), &query, None).await?;
            let next = |name: &str| answer.0.get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
            if let Some(Value::Array(page)) = answer.1.get("value") {
                rows.extend(page.iter().filter_map(|row| row.as_object().cloned()));
            }
            let Some(partition) = next("x-ms-continuation-nextpartitionkey") else { return Ok(rows) };
            let row = next("x-ms-continuation-nextrowkey").unwrap_or_default();
            query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("NextPartitionKey", &partition)
                .append_pair("NextRowKey", &row)
                .finish();
        }
    }

    async fn expect(
        &self,
        method: Method,
        resource: &str,
        query: &str,
        body: Option<Value>,
    ) -> Result<(reqwest::header::HeaderMap, Value)> {
        let step = "call the table service";
        let action = format!("{method} {resource}");
        let date = httpdate::fmt_http_date(SystemTime::now());
        let address = format!("http://127.0.0.1:{}/{ACCOUNT}/{resource}?{query}", self.port);
        let mut request = self
            .http
            .request(method, address)
            .header("x-ms-date", &date)
            .header("x-ms-version", "2019-02-02")
            .header("dataserviceversion", "3.0")
            .header("accept", "application/json;odata=nometadata")
            .header("if-match", "*")
            .header("authorization", format!("SharedKeyLite {ACCOUNT}:{}", signature(&date, resource)));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| Failure::new(step, error).command(&action))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.or_fail(step)?;
        if status.is_success() {
            return Ok((headers, serde_json::from_str(&text).unwrap_or_default()));
        }
        let status = if status == StatusCode::CONFLICT { "it exists already".to_owned() } else { status.to_string() };
        Err(Failure::new(step, format!("{status} {text}")).command(action))
    }
}

/// A lead as Microsoft writes it into the table.
#[derive(Debug, Clone)]
pub struct MicrosoftLead {
    /// Source, for instance `AzureMarketplace`.
    pub source: String,
    /// Action code, for instance `INS`.
    pub action: String,
    /// Offer, for instance `contoso.backup-suite`.
    pub offer: String,
    /// The offer's name.
    pub offer_name: String,
    /// The customer: a flat object.
    pub customer: Value,
    /// Description.
    pub description: String,
}

impl MicrosoftLead {
    /// An installation by somebody of this first name.
    pub fn of(first_name: &str) -> Self {
        let email = format!("{first_name}@fabrikam.example");
        Self {
            source: "AzureMarketplace".to_owned(),
            action: "INS".to_owned(),
            offer: "contoso.backup-suite".to_owned(),
            offer_name: "Backup Suite".to_owned(),
            customer: json!({ "FirstName": first_name, "LastName": "Doe", "Email": email }),
            description: String::new(),
        }
    }
}

/// The day's partition in Microsoft's form: `M/D/YYYY`, unpadded, with `:2F` for each slash.
pub fn partition_of(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%-m:2F%-d:2F%Y").to_string()
}

/// <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key#shared-key-lite-authorization>
fn signature(date: &str, resource: &str) -> String {
    let signed = format!("{date}\n/{ACCOUNT}/{ACCOUNT}/{resource}");
    let key = BASE64.decode(KEY).unwrap_or_default();
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
    hmac.update(signed.as_bytes());
    BASE64.encode(hmac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_the_utc_day_without_padding() {
        let partition = |time: &str| partition_of(time.parse().unwrap());
        assert_eq!(partition("2018-09-28T23:59:59Z"), "9:2F28:2F2018");
        assert_eq!(partition("2027-01-02T00:30:00+01:00"), "1:2F1:2F2027");
    }
}
