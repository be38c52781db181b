//! Exports: what somebody gets who asks for one, compared with what the table held.

use crate::coverage::Sometimes;
use crate::model::{Promise, Violation};
use crate::table::TableService;
use crate::world::World;
use futures::StreamExt as _;
use jiff::Timestamp;
use marketplace_leads::export::Export;
use marketplace_leads::function_url::{Body, Request};
use marketplace_leads::table::{Entity, Table};
use std::collections::BTreeMap;

/// The formats that are asked for.
pub(crate) const FORMATS: [&str; 3] = ["ndjson", "json", "csv"];

/// The rows of the leads table by their keys, each with its columns as JSON.
pub(crate) type Rows = BTreeMap<(String, String), String>;

/// The rows of a table.
pub(crate) fn rows(table: &TableService) -> Rows {
    let columns = |row: &Entity| {
        // What half a pair is replaced with is no matter of the export.
        if row.damage.is_some() { String::new() } else { serde_json::json!(row.properties).to_string() }
    };
    let rows = table.rows();
    rows.iter().map(|row| ((row.partition_key.clone(), row.row_key.clone()), columns(row))).collect()
}

/// Asks for an export, and reads it to its end. An error where it is not whole, and says so.
pub(crate) async fn ask<T: Table>(leads: T, format: &str, id: &str, now: Timestamp) -> Result<String, String> {
    let query = format!("format={format}&include-tests=true");
    let request = Request { method: "GET", path: "/leads", query: &query, body: Body::Text("") };
    let download = Export { leads }.answer(&request, id, now).await;
    if download.status != 200 {
        return Err(format!("answered with {}", download.status));
    }
    let mut body = download.body;
    let mut file = Vec::new();
    while let Some(bytes) = body.next().await {
        file.extend(bytes.map_err(|error| error.to_string())?);
    }
    String::from_utf8(file).map_err(|_| "it is no UTF-8".to_owned())
}

impl World {
    /// Compares a file that looks whole with what the table held all the time while it was made.
    pub(crate) fn check_export(&mut self, format: &str, before: &Rows, file: &str) {
        self.coverage.note(Sometimes::Exported);
        let after = rows(&self.leads);
        let stayed: Vec<_> = before.iter().filter(|(keys, _)| after.contains_key(*keys)).collect();
        let wrong = match read(format, file) {
            Err(wrong) => Some(wrong),
            Ok(None) => {
                let missing =
                    stayed.iter().find(|((_, key), _)| key.starts_with("row-") && !file.contains(key.as_str()));
                missing.map(|((partition, key), _)| format!("row {key} of {partition} is missing"))
            }
            Ok(Some(found)) => {
                let missing = stayed.iter().find(|(keys, columns)| {
                    found.get(*keys).is_none_or(|found| !columns.is_empty() && found != *columns)
                });
                let missing =
                    missing.map(|((partition, key), _)| format!("row {key} of {partition} is missing, or another"));
                let invented = found.keys().find(|keys| !before.contains_key(*keys) && !after.contains_key(*keys));
                missing.or(invented.map(|(partition, key)| format!("there never was a row {key} in {partition}")))
            }
        };
        if let Some(wrong) = wrong {
            self.violate(Violation::new(Promise::WholeExports, format!("an export as {format}: {wrong}")));
        }
    }
}

/// The rows of a file; `None` for CSV, in which keys are only looked for.
fn read(format: &str, file: &str) -> Result<Option<Rows>, String> {
    let invalid = |error: serde_json::Error| format!("it is no JSON: {error}");
    let rows: Vec<serde_json::Value> = match format {
        "csv" => return Ok(None),
        "json" => serde_json::from_str(file).map_err(invalid)?,
        _ => file.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(invalid)?,
    };
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = rows.iter().map(|row| ((text(row, "partitionKey"), text(row, "rowKey")), row["columns"].to_string()));
    let mut found = Rows::new();
    for (keys, columns) in rows {
        if found.insert(keys.clone(), columns).is_some() {
            return Err(format!("row {} of {} is there twice", keys.1, keys.0));
        }
    }
    Ok(Some(found))
}
