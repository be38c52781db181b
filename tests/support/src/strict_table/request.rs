//! Requests: what their method, address, headers and body ask for.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/operations-on-entities>

use super::filter::quoted;
use super::query::PageRequest;
use super::refusal::Refusal;
use super::row::{Incoming, Metadata, check_key};
use super::store::{Condition, Key, Write};
use axum::http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Create Table.
    CreateTable,
    /// Delete Table.
    DeleteTable,
    /// Insert Entity.
    Insert,
    /// Update Entity, or Insert Or Replace Entity.
    Replace,
    /// Merge Entity, or Insert Or Merge Entity.
    Merge,
    /// Delete Entity.
    Delete,
    /// Query Entities with both keys: one row.
    Get,
    /// Query Entities.
    Query,
    /// An entity group transaction.
    Batch,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    CreateTable { name: String, wants_content: bool, metadata: Metadata },
    DeleteTable { name: String },
    Write(RowWrite),
    Get { table: String, key: Key, page: PageRequest },
    Query { table: String, page: PageRequest },
    Batch(Vec<Result<RowWrite, Refusal>>),
}

/// A write of one row.
#[derive(Debug)]
pub(crate) struct RowWrite {
    pub(crate) table: String,
    pub(crate) key: Key,
    pub(crate) write: Write,
    /// Whether the answer to an insert shows the row.
    pub(crate) wants_content: bool,
    pub(crate) metadata: Metadata,
}

impl Request {
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::CreateTable { .. } => Operation::CreateTable,
            Self::DeleteTable { .. } => Operation::DeleteTable,
            Self::Get { .. } => Operation::Get,
            Self::Query { .. } => Operation::Query,
            Self::Batch(_) => Operation::Batch,
            Self::Write(RowWrite { write, .. }) => match write {
                Write::Insert(_) => Operation::Insert,
                Write::Replace(..) => Operation::Replace,
                Write::Merge(..) => Operation::Merge,
                Write::Delete(_) => Operation::Delete,
            },
        }
    }

    /// The table and the partition that it is about, where it names them.
    pub(crate) fn place(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::CreateTable { name, .. } | Self::DeleteTable { name } => (Some(name), None),
            Self::Write(RowWrite { table, key, .. }) | Self::Get { table, key, .. } => {
                (Some(table), Some(&key.partition_key))
            }
            Self::Query { table, page } => {
                let partition = match &page.filter.partition_key.lower {
                    std::ops::Bound::Included(key) => Some(key.as_str()),
                    _ => None,
                };
                (Some(table), partition)
            }
            Self::Batch(writes) => match writes.iter().flatten().next() {
                Some(write) => (Some(&write.table), Some(&write.key.partition_key)),
                None => (None, None),
            },
        }
    }

    /// The same, but that a property of the row that it inserts has another value.
    pub(crate) fn changed(mut self, property: &str, json: &str) -> Self {
        if let Self::Write(RowWrite { write: Write::Insert(incoming), .. }) = &mut self {
            let named = incoming.properties.iter_mut().filter(|known| known.name == property);
            named.for_each(|known| json.clone_into(&mut known.json));
        }
        self
    }

    /// Reads a request. The path is what follows the account's name.
    pub(crate) fn parse(
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let metadata = metadata(headers);
        let parameters: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match (Resource::parse(path)?, method.as_str()) {
            (Resource::Tables(None), "POST") => {
                let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
                let name = body["TableName"].as_str().ok_or_else(|| Refusal::invalid_input("TableName is missing."));
                Ok(Self::CreateTable { name: name?.to_owned(), wants_content: wants_content(headers), metadata })
            }
            (Resource::Tables(Some(name)), "DELETE") => Ok(Self::DeleteTable { name }),
            (Resource::Tables(_), _) => Err(Refusal::not_implemented("this call on /Tables")),
            (Resource::Batch, "POST") => super::batch::parse(headers, body).map(Self::Batch),
            (Resource::Table(table), "GET") => {
                Ok(Self::Query { table, page: PageRequest::parse(&parameters, metadata)? })
            }
            (Resource::Row(table, key), "GET") => {
                check_key(&key.partition_key)?;
                check_key(&key.row_key)?;
                Ok(Self::Get { table, key, page: PageRequest::parse(&parameters, metadata)? })
            }
            (resource, _) => RowWrite::parse(method, resource, headers, body).map(Self::Write),
        }
    }
}

impl RowWrite {
    /// Reads a write that stands alone or in a batch.
    pub(crate) fn parse(
        method: &Method,
        resource: Resource,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let condition = match headers.get("if-match").map(|value| value.to_str().unwrap_or_default()) {
            None => Condition::None,
            Some("*") => Condition::Exists,
            Some(version) if version.starts_with("W/\"") => Condition::Version(version.to_owned()),
            Some(_) => return Err(Refusal::invalid_input("The etag value specified is not valid.")),
        };
        let (table, key, write) = match (resource, method.as_str()) {
            (Resource::Table(table), "POST") => {
                let mut incoming = Incoming::parse(body)?;
                let (Some(partition_key), Some(row_key)) = (incoming.partition_key.take(), incoming.row_key.take())
                else {
                    let message = "Values have not been specified for all properties in the entity.";
                    return Err(Refusal::new(400, "PropertiesNeedValue", message));
                };
                (table, Key { partition_key, row_key }, Write::Insert(incoming))
            }
            (Resource::Row(table, key), "PUT" | "MERGE" | "PATCH") => {
                let incoming = Incoming::parse(body)?;
                let differs = |own: &Option<String>, key: &str| own.as_ref().is_some_and(|own| own != key);
                if differs(&incoming.partition_key, &key.partition_key) || differs(&incoming.row_key, &key.row_key) {
                    return Err(Refusal::invalid_input("The keys of address and body differ."));
                }
                let write = if method == Method::PUT { Write::Replace } else { Write::Merge };
                (table, key, write(incoming, condition))
            }
            // Delete Entity alone cannot do without the header.
            (Resource::Row(..), "DELETE") if condition == Condition::None => {
                let message = "An HTTP header that's mandatory for this request is not specified.";
                return Err(Refusal::new(400, "MissingRequiredHeader", message));
            }
            (Resource::Row(table, key), "DELETE") => (table, key, Write::Delete(condition)),
            _ => return Err(Refusal::not_implemented("this method on this resource")),
        };
        Ok(Self { table, key, write, wants_content: wants_content(headers), metadata: metadata(headers) })
    }
}

/// What an address names.
#[derive(Debug)]
pub(crate) enum Resource {
    Tables(Option<String>),
    Batch,
    Table(String),
    Row(String, Key),
}

impl Resource {
    /// Reads the path after the account's name, still percent-encoded.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/addressing-table-service-resources>
    pub(crate) fn parse(path: &str) -> Result<Self, Refusal> {
        let invalid =
            || Refusal::new(400, "InvalidUri", "The requested URI does not represent any resource on the server.");
        let path = percent_decode_str(path).decode_utf8().map_err(|_| invalid())?;
        let Some((name, rest)) = path.split_once('(') else {
            return Ok(match &*path {
                "Tables" => Self::Tables(None),
                "$batch" => Self::Batch,
                table => Self::Table(table.to_owned()),
            });
        };
        if rest == ")" {
            return Ok(Self::Table(name.to_owned()));
        }
        if name == "Tables" {
            let (table, _) = quoted(rest).filter(|(_, end)| *end == ")").ok_or_else(invalid)?;
            return Ok(Self::Tables(Some(table)));
        }
        let keys = || {
            let (partition_key, rest) = quoted(rest.strip_prefix("PartitionKey=")?)?;
            let (row_key, end) = quoted(rest.strip_prefix(',')?.trim_start().strip_prefix("RowKey=")?)?;
            (end == ")").then_some(Key { partition_key, row_key })
        };
        Ok(Self::Row(name.to_owned(), keys().ok_or_else(invalid)?))
    }
}

/// <https://learn.microsoft.com/rest/api/storageservices/setting-the-prefer-header-to-manage-response-echo-on-insert-operations>
fn wants_content(headers: &HeaderMap) -> bool {
    headers.get("prefer").is_none_or(|value| value != "return-no-content")
}

fn metadata(headers: &HeaderMap) -> Metadata {
    let accept = headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("odata=nometadata") {
        Metadata::None
    } else if accept.contains("odata=fullmetadata") {
        Metadata::Full
    } else {
        Metadata::Minimal
    }
}
