//! Queries in the service's own words.

use crate::table::Query;
use jiff::Timestamp;

/// Doubles quotes: the one helper for every key and literal that goes into an address or a filter.
///
/// <https://learn.microsoft.com/rest/api/storageservices/querying-tables-and-entities>
pub(super) fn escape(text: &str) -> String {
    text.replace('\'', "''")
}

/// The OData filter of a query; `None` for all rows.
pub(super) fn filter(query: &Query) -> Option<String> {
    let text = |column: &str, operator: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{column} {operator} '{}'", escape(value)))
    };
    let time = |operator: &str, value: Option<Timestamp>| {
        value.map(|value| format!("Timestamp {operator} datetime'{value:.7}'"))
    };
    let parts = [
        text("PartitionKey", "eq", &query.partition_key),
        text("PartitionKey", "gt", &query.partition_key_after),
        text("RowKey", "ge", &query.row_key_from),
        text("RowKey", "lt", &query.row_key_before),
        time("ge", query.written_from),
        time("lt", query.written_before),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// The columns that a query asks for, keys and timestamp always among them; `None` for all. The service refuses a column
/// that is named twice.
pub(super) fn select(query: &Query) -> Option<String> {
    let mut columns = vec!["PartitionKey", "RowKey", "Timestamp"];
    for column in &query.select {
        if !columns.contains(column) {
            columns.push(column);
        }
    }
    (!query.select.is_empty()).then(|| columns.join(","))
}
