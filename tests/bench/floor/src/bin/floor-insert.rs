//! The least that a function costs which inserts a row: the empty handler and one bare HTTP exchange.

use bench_floor::{BareTable, Row};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let setting = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let table = BareTable::new(&setting("LEADS_STORAGE_CONNECTION_STRING")?, &setting("LEADS_TABLE")?)?;
    let table = Arc::new(Mutex::new(table));
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let table = table.clone();
        async move {
            let row_key = event.context.request_id.as_str();
            table.lock().await.insert(Row { partition_key: "bare", row_key }).await?;
            Ok::<_, Error>(json!({ "statusCode": 201, "body": "{\"status\":\"stored\"}" }))
        }
    }))
    .await
}
