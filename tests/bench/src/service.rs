//! A model of Azure Table storage, for what its emulator does not do: queries whose pages end after 1,000 rows looked at, and
//! at a partition's end.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination>

use crate::{Filler, Result};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::Timestamp;
use marketplace_leads::table::ConnectionString;
use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The most rows that the service looks at for one page.
const PAGE: usize = 1000;

/// A model with one table, `Leads`. Dropping it ends it.
pub struct TableModel {
    port: u16,
    state: Arc<Mutex<Rows>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Rows {
    /// When each was written, and its JSON.
    rows: BTreeMap<(String, String), (Timestamp, String)>,
    requests: usize,
    scanned: usize,
}

impl TableModel {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(Rows::default()));
        let app = Router::new().route("/account/{table}", get(query)).with_state(state.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, state, server })
    }

    /// Puts rows into the table, as if written at this time.
    pub fn fill(&self, filler: Filler, now: Timestamp, written: Timestamp) {
        let mut state = lock(&self.state);
        for row in filler.entities(now) {
            let mut json = json!({
                "PartitionKey": &row.partition_key, "RowKey": &row.row_key, "Timestamp": format!("{written:.7}"),
            });
            row.properties.iter().for_each(|(name, value)| json[name] = value.text().into());
            state.rows.insert((row.partition_key, row.row_key), (written, json.to_string()));
        }
    }

    /// The connection string of its account.
    pub fn connection_string(&self) -> String {
        let endpoint = format!("http://127.0.0.1:{}/account", self.port);
        format!("DefaultEndpointsProtocol=http;AccountName=account;AccountKey=a2V5;TableEndpoint={endpoint}")
    }

    /// The table.
    pub fn table(&self) -> Result<AzureTable> {
        let connection = ConnectionString::parse(&self.connection_string())?;
        Ok(AzureTables::new(&connection, Limits::default())?.table("Leads"))
    }

    /// Requests since the last [`forget`](Self::forget).
    pub fn requests(&self) -> usize {
        lock(&self.state).requests
    }

    /// Rows looked at since then.
    pub fn scanned(&self) -> usize {
        lock(&self.state).scanned
    }

    /// Begins counting anew.
    pub fn forget(&self) {
        let mut state = lock(&self.state);
        (state.requests, state.scanned) = (0, 0);
    }
}

impl Drop for TableModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(state: &Mutex<Rows>) -> MutexGuard<'_, Rows> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn query(
    State(state): State<Arc<Mutex<Rows>>>,
    Query(parameters): Query<HashMap<String, String>>,
) -> impl IntoResponse {
    let parameter = |name: &str| parameters.get(name).cloned();
    let Some(filter) = Filter::parse(&parameter("$filter").unwrap_or_default()) else {
        return (StatusCode::NOT_IMPLEMENTED, HeaderMap::new(), String::new());
    };
    let state = &mut *lock(&state);
    state.requests += 1;
    let start = match (parameter("NextPartitionKey"), &filter.partition_key) {
        (Some(partition_key), _) => (partition_key, parameter("NextRowKey").unwrap_or_default()),
        (None, Some(partition_key)) => (partition_key.clone(), String::new()),
        (None, None) => (String::new(), String::new()),
    };
    let (mut found, mut scanned, mut next) = (Vec::new(), 0, None);
    let mut partition: Option<&String> = None;
    for (key, (written, row)) in state.rows.range((Bound::Included(start), Bound::Unbounded)) {
        if filter.partition_key.as_ref().is_some_and(|wanted| *wanted != key.0) {
            break;
        }
        if scanned == PAGE || partition.is_some_and(|partition| *partition != key.0) {
            next = Some(key.clone());
            break;
        }
        partition = Some(&key.0);
        scanned += 1;
        state.scanned += 1;
        if filter.written_from.is_none_or(|from| *written >= from) {
            found.push(row.as_str());
        }
    }
    let body = format!(r#"{{"odata.metadata":"","value":[{}]}}"#, found.join(","));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json;odata=minimalmetadata"),
        ("date", "Sun, 22 Nov 2026 10:00:00 GMT"),
        ("server", "Windows-Azure-Table/1.0"),
        ("x-ms-version", "2019-02-02"),
        ("x-ms-request-id", "e1506fd5-9e7b-434f-bd42-4f8fa224b599"),
        ("x-ms-client-request-id", "e1506fd5-9e7b-434f-bd42-4f8fa224b599"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some((partition_key, row_key)) = next {
        for (name, value) in [("nextpartitionkey", partition_key), ("nextrowkey", row_key)] {
            let name = format!("x-ms-continuation-{name}");
            if let (Ok(name), Ok(value)) = (axum::http::HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
    }
    (StatusCode::OK, headers, body)
}

/// The filters that are measured: a partition, a time, or both.
#[derive(Default)]
struct Filter {
    partition_key: Option<String>,
    written_from: Option<Timestamp>,
}

impl Filter {
    fn parse(text: &str) -> Option<Self> {
        let mut filter = Self::default();
        for part in text.split(" and ").filter(|part| !part.is_empty()) {
            if let Some(key) = part.strip_prefix("PartitionKey eq ") {
                filter.partition_key = Some(key.trim_matches('\'').to_owned());
            } else {
                let time = part.strip_prefix("Timestamp ge datetime'")?.strip_suffix('\'')?;
                filter.written_from = Some(time.parse().ok()?);
            }
        }
        Some(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marketplace_leads::table::{Query, Table as _};

    #[tokio::test]
    async fn a_page_of_the_model_ends_after_1000_rows_and_at_the_end_of_a_partition() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let model = TableModel::start().await.unwrap();
        model.fill(Filler { rows: 2500, days: 2, days_ago: 0, first: 0 }, now, now);
        let rows = model.table().unwrap().all(&Query::default()).await.unwrap();
        assert_eq!((rows.len(), model.requests(), model.scanned()), (2500, 4, 2500));
        model.forget();
        let later = Query { written_from: Some("2026-11-22T10:00:01Z".parse().unwrap()), ..Query::default() };
        assert_eq!(model.table().unwrap().all(&later).await.unwrap().len(), 0);
        assert_eq!(model.requests(), 4, "empty pages have continuations, too");
    }
}
