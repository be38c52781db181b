//! The table in Azure Table storage. With `transport.rs` the only place that names the `azure_*` crates.

use super::transport::{Retries, Transport, TransportFailure};
use super::{
    ConnectionString, Continuation, ETag, Entity, MAX_BATCH_OPERATIONS, Operation, Page, Query, Table, TableError,
    Value,
};
use crate::table::connection_string::Credential;
use azure_core::{Continuable, RetryOptions, TransportOptions};
use azure_data_tables::IfMatchCondition;
use azure_data_tables::clients::{EntityClient, TableClient, TableServiceClient, TableServiceClientBuilder};
use azure_data_tables::operations::QueryEntityResponse;
use azure_storage::{CloudLocation, StorageCredentials};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait and how often to try.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For one request with its answer.
    pub request: Duration,
    /// How often a request is sent again that failed in a way which may pass.
    pub retries: u32,
}

impl Default for Limits {
    /// For functions that may wait: 3 s to connect, 15 s for a request (the service gives up a query after 5), 4
    /// retries.
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), request: Duration::from_secs(15), retries: 4 }
    }
}

/// A storage account's table service. Clones share one connection pool.
#[derive(Clone)]
pub struct AzureTables {
    service: TableServiceClient,
    transport: Transport,
}

/// One table of a storage account.
#[derive(Clone)]
pub struct AzureTable {
    client: TableClient,
}

impl AzureTables {
    /// A client of the account that the connection string names. Nothing is sent yet.
    ///
    /// # Errors
    /// Where the TLS client cannot be set up, or the shared access signature is malformed.
    pub fn new(connection: &ConnectionString, limits: Limits) -> Result<Self, TableError> {
        let unavailable = |reason: &str| TableError::Unavailable { reason: reason.to_owned() };
        let transport = Transport::new(limits.connect, limits.request).map_err(|failure| unavailable(failure.0))?;
        let credentials = match &connection.credential {
            Credential::AccountKey(key) => {
                let key = azure_core::auth::Secret::new(key.expose().to_owned());
                StorageCredentials::access_key(connection.account.clone(), key)
            }
            Credential::SharedAccessSignature(signature) => StorageCredentials::sas_token(signature.expose())
                .map_err(|_| unavailable("the shared access signature is malformed"))?,
        };
        let location = CloudLocation::Custom {
            account: connection.account.clone(),
            uri: connection.endpoint.as_str().trim_end_matches('/').to_owned(),
        };
        let service = TableServiceClientBuilder::with_location(location, credentials)
            .retry(RetryOptions::custom(Arc::new(Retries { most: limits.retries })))
            .transport(TransportOptions::new(Arc::new(transport.clone())))
            .build();
        Ok(Self { service, transport })
    }

    /// One of the account's tables.
    pub fn table(&self, name: &str) -> AzureTable {
        AzureTable { client: self.service.table_client(name) }
    }

    /// How many requests were sent so far, retries included.
    pub fn requests(&self) -> u64 {
        self.transport.requests()
    }

    /// How far the service's clock was ahead of ours at its last answer, be it a refusal, to about a second. `None`
    /// before the first answer.
    pub fn clock_offset(&self) -> Option<SignedDuration> {
        self.transport.clock_offset()
    }
}

impl AzureTable {
    /// The client of one row. The crate writes keys into the address without escaping quotes.
    fn row(&self, partition_key: &str, row_key: &str) -> EntityClient {
        self.client.partition_key_client(escape(partition_key)).entity_client(escape(row_key))
    }
}

impl Table for AzureTable {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        let request = self.client.insert::<_, Map<String, Json>>(Outgoing(entity)).map_err(error)?;
        request.await.map_err(error).map(drop)
    }

    async fn get(&self, partition_key: &str, row_key: &str) -> Result<Entity, TableError> {
        let answer = self.row(partition_key, row_key).get::<Incoming>().await.map_err(error)?;
        let mut entity = from_wire(answer.entity.0)?;
        entity.etag = Some(ETag(answer.etag.to_string()));
        Ok(entity)
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        let mut request = self.client.query();
        if let Some(filter) = filter(query) {
            request = request.filter(filter);
        }
        if !query.select.is_empty() {
            let keys = ["PartitionKey", "RowKey", "Timestamp"];
            let columns = keys.iter().chain(query.select.iter().filter(|column| !keys.contains(column)));
            request = request.select(columns.copied().collect::<Vec<_>>().join(","));
        }
        if let Some(rows) = query.page_size {
            request = request.top(rows);
        }
        if let Some(Continuation { partition_key, row_key }) = from {
            request = request.initial_partition_key(partition_key.clone());
            if let Some(row_key) = row_key {
                request = request.initial_row_key(row_key.clone());
            }
        }
        let answer: QueryEntityResponse<Incoming> = match request.into_stream().next().await {
            Some(answer) => answer.map_err(error)?,
            None => return Ok(Page { entities: Vec::new(), next: None }),
        };
        let next = answer.continuation().map(|(partition_key, row_key)| Continuation { partition_key, row_key });
        let entities = answer.entities.into_iter().map(|row| from_wire(row.0)).collect::<Result<_, _>>()?;
        Ok(Page { entities, next })
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        if operations.is_empty() || operations.len() > MAX_BATCH_OPERATIONS {
            return Err(TableError::Rejected { status: 400, code: "InvalidInput".to_owned() });
        }
        let mut batch = self.client.partition_key_client(escape(partition_key)).transaction();
        for operation in operations {
            let row_key = escape(operation.row_key());
            batch = match operation {
                Operation::Insert(entity) => batch.insert(Outgoing(entity)),
                Operation::InsertOrReplace(entity) => batch.insert_or_replace(row_key, Outgoing(entity)),
                Operation::Replace(entity, ETag(etag)) => {
                    let condition = IfMatchCondition::Etag(etag.clone().into());
                    batch.update(row_key, Outgoing(entity), Some(condition))
                }
                Operation::Delete { .. } => batch.delete(row_key, None),
            }
            .map_err(error)?;
        }
        let answer = batch.await.map_err(error)?;
        if answer.operation_responses.len() != operations.len() {
            return Err(unreadable());
        }
        Ok(answer.operation_responses.into_iter().map(|part| Some(ETag(part.etag?.to_string()))).collect())
    }

    async fn delete(&self, partition_key: &str, row_key: &str) -> Result<(), TableError> {
        self.row(partition_key, row_key).delete().await.map_err(error).map(drop)
    }

    async fn create(&self) -> Result<(), TableError> {
        self.client.create().await.map_err(error).map(drop)
    }
}

/// Doubles quotes: the one helper for every key and literal that goes into an address or a filter.
///
/// <https://learn.microsoft.com/rest/api/storageservices/querying-tables-and-entities>
fn escape(text: &str) -> String {
    text.replace('\'', "''")
}

/// The OData filter of a query; `None` for all rows.
fn filter(query: &Query) -> Option<String> {
    let text = |column: &str, operator: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{column} {operator} '{}'", escape(value)))
    };
    let time = |operator: &str, value: Option<Timestamp>| {
        value.map(|value| format!("Timestamp {operator} datetime'{value:.7}'"))
    };
    let parts = [
        text("PartitionKey", "eq", &query.partition_key),
        text("RowKey", "ge", &query.row_key_from),
        text("RowKey", "lt", &query.row_key_before),
        time("ge", query.written_from),
        time("lt", query.written_before),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// A row as JSON, with annotations for the types that JSON does not have.
///
/// <https://learn.microsoft.com/rest/api/storageservices/payload-format-for-table-service-operations>
struct Outgoing<'a>(&'a Entity);

/// A row as JSON, with the same annotations and the service's own.
#[derive(Deserialize)]
#[serde(transparent)]
struct Incoming(Map<String, Json>);

const TYPE: &str = "@odata.type";

impl Serialize for Outgoing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(entity) = self;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("PartitionKey", &entity.partition_key)?;
        row.serialize_entry("RowKey", &entity.row_key)?;
        for (name, value) in &entity.properties {
            let mut typed = |kind: &str| row.serialize_entry(&format!("{name}{TYPE}"), kind);
            match value {
                Value::Int64(_) => typed("Edm.Int64")?,
                Value::Double(_) => typed("Edm.Double")?,
                Value::DateTime(_) => typed("Edm.DateTime")?,
                Value::Guid(_) => typed("Edm.Guid")?,
                Value::Binary(_) => typed("Edm.Binary")?,
                Value::String(_) | Value::Bool(_) | Value::Int32(_) => {}
            }
            match value {
                Value::String(text) | Value::DateTime(text) | Value::Guid(text) => row.serialize_entry(name, text)?,
                Value::Bool(value) => row.serialize_entry(name, value)?,
                Value::Int32(number) => row.serialize_entry(name, number)?,
                Value::Int64(number) => row.serialize_entry(name, &number.to_string())?,
                // JSON has no NaN and no infinity: the service takes them as texts.
                Value::Double(number) if !number.is_finite() => row.serialize_entry(name, &number.to_string())?,
                Value::Double(number) => row.serialize_entry(name, number)?,
                Value::Binary(bytes) => row.serialize_entry(name, &BASE64_STANDARD.encode(bytes))?,
            }
        }
        row.end()
    }
}

fn from_wire(mut wire: Map<String, Json>) -> Result<Entity, TableError> {
    let mut key = |name: &str| match wire.remove(name) {
        Some(Json::String(text)) => Ok(text),
        _ => Err(unreadable()),
    };
    let mut entity = Entity::new(key("PartitionKey")?, key("RowKey")?);
    entity.timestamp = Some(key("Timestamp")?.parse().map_err(|_| unreadable())?);
    let typed =
        wire.iter().filter_map(|(name, json)| Some((name.strip_suffix(TYPE)?.to_owned(), json.as_str()?.to_owned())));
    let types: HashMap<_, _> = typed.collect();
    for (name, json) in wire {
        if name.starts_with("odata.") || name.contains("@odata.") {
            continue;
        }
        let kind = types.get(&name).map(String::as_str).unwrap_or_default();
        let value = match (kind, json) {
            ("Edm.DateTime", Json::String(text)) => Value::DateTime(text),
            ("Edm.Guid", Json::String(text)) => Value::Guid(text),
            ("Edm.Int64", Json::String(text)) => Value::Int64(text.parse().map_err(|_| unreadable())?),
            ("Edm.Binary", Json::String(text)) => {
                Value::Binary(BASE64_STANDARD.decode(text).map_err(|_| unreadable())?)
            }
            ("Edm.Double", Json::String(text)) => Value::Double(text.parse().map_err(|_| unreadable())?),
            (_, Json::String(text)) => Value::String(text),
            (_, Json::Bool(value)) => Value::Bool(value),
            ("" | "Edm.Int32", Json::Number(number)) if number.is_i64() => {
                Value::Int32(number.as_i64().and_then(|number| number.try_into().ok()).ok_or_else(unreadable)?)
            }
            (_, Json::Number(number)) => Value::Double(number.as_f64().unwrap_or_default()),
            (_, Json::Null) => continue,
            (_, Json::Array(_) | Json::Object(_)) => return Err(unreadable()),
        };
        entity.properties.insert(name, value);
    }
    Ok(entity)
}

fn unreadable() -> TableError {
    TableError::Unavailable { reason: "the answer could not be read".to_owned() }
}

/// Tells the crate's errors apart. Nothing of their text is passed on: it can hold keys, addresses and rows.
fn error(error: azure_core::Error) -> TableError {
    if let Some(http) = error.as_http_error() {
        return failure(u16::from(http.status()), http.error_code().unwrap_or_default());
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(TransportFailure(reason)) = cause.downcast_ref() {
            return TableError::Unavailable { reason: (*reason).to_owned() };
        }
        source = cause.source();
    }
    unreadable()
}

/// <https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes>
fn failure(status: u16, code: &str) -> TableError {
    // A code is an identifier; whatever else stands there is not passed on.
    let is_code = !code.is_empty() && code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric());
    let name = if is_code { code } else { "" }.to_owned();
    match (status, code) {
        (404, "TableNotFound") => TableError::TableNotFound,
        (404, "ResourceNotFound" | "EntityNotFound") => TableError::NotFound,
        (409, "EntityAlreadyExists" | "TableAlreadyExists") => TableError::Exists,
        (412, _) => TableError::Precondition,
        (401 | 403, _) => TableError::Refused { status, code: name },
        (429 | 503, _) => TableError::Throttled { code: name },
        // A 404 or 409 without the service's word for it is no proof that a row is missing, or there: it may come from
        // something in between, or say that the table is being deleted.
        (404 | 408 | 409 | 500.., _) => {
            TableError::Unavailable { reason: format!("the service answered {status} {name}").trim_end().to_owned() }
        }
        _ => TableError::Rejected { status, code: name },
    }
}

/// Shows no address and no credential.
impl fmt::Debug for AzureTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AzureTables { .. }")
    }
}

/// Shows the table's name alone.
impl fmt::Debug for AzureTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureTable").field("name", &self.client.table_name()).finish_non_exhaustive()
    }
}
