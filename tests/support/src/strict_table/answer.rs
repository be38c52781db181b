//! Answers: what the service says, before it is HTTP.

use super::batch;
use super::clock::Ticks;
use super::query::{PageLimits, Token};
use super::refusal::Refusal;
use super::request::{Request, RowWrite};
use super::row::{Metadata, quoted};
use super::store::{Row, Store, Write, Written};
use axum::http::StatusCode;
use serde_json::json;

/// Status, headers and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// What answering cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) looked_at: usize,
    pub(crate) returned: usize,
}

impl Answer {
    fn json(status: u16, metadata: Metadata, body: String) -> Self {
        let kind = match metadata {
            Metadata::None => "nometadata",
            Metadata::Minimal => "minimalmetadata",
            Metadata::Full => "fullmetadata",
        };
        let kind = format!("application/json;odata={kind};streaming=true;charset=utf-8");
        Self { status, headers: vec![("Content-Type", kind)], body }
    }

    fn empty() -> Self {
        Self { status: 204, headers: Vec::new(), body: String::new() }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn refusal(refusal: &Refusal, request_id: &str, now: Ticks) -> Self {
        let answer = Self::json(refusal.status, Metadata::Minimal, refusal.body(request_id, now));
        match refusal.retry_after {
            Some(seconds) => answer.with("Retry-After", seconds.to_string()),
            None => answer,
        }
    }

    pub(crate) fn status_line(&self) -> String {
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        format!("{} {}", self.status, status.canonical_reason().unwrap_or_default())
    }

    /// Does what a request asks for. What it writes is seen `hidden` ticks later.
    pub(crate) fn to(
        request: Request,
        store: &mut Store,
        limits: PageLimits,
        hidden: Ticks,
        request_id: &str,
    ) -> Result<(Self, Cost), Refusal> {
        let mut cost = Cost::default();
        let answer = match request {
            Request::CreateTable { name, wants_content, metadata } => {
                store.create(&name)?;
                if wants_content {
                    Self::json(201, metadata, created(&name, metadata))
                } else {
                    Self::empty().with("Preference-Applied", "return-no-content".to_owned())
                }
            }
            Request::DeleteTable { name } => {
                store.delete(&name)?;
                Self::empty()
            }
            Request::Write(write) => {
                store.throttle(&write.table, &write.key.partition_key, 1)?;
                Self::of_write(store, write, hidden)?.0
            }
            Request::Get { table, key, page } => {
                let row = store.row(&table, &key)?;
                store.throttle(&table, &key.partition_key, 1)?;
                cost = Cost { looked_at: 1, returned: 1 };
                let shown = row.shown(&key.partition_key, &key.row_key);
                let fields = shown.fields(page.metadata, page.select.as_deref());
                let body = format!("{{{}{fields}}}", metadata(store, &table, page.metadata, "/@Element"));
                Self::json(200, page.metadata, body).with("ETag", shown.etag())
            }
            Request::Query { table, page } => {
                let found = page.run(store, &table, limits)?;
                cost = Cost { looked_at: found.looked_at, returned: found.returned };
                let start = metadata(store, &table, page.metadata, "");
                let mut answer = Self::json(200, page.metadata, format!("{{{start}\"value\":[{}]}}", found.rows));
                if let Some(Token { partition_key, row_key }) = found.next {
                    answer = answer.with("x-ms-continuation-NextPartitionKey", Token::encode(&partition_key));
                    if let Some(row_key) = row_key {
                        answer = answer.with("x-ms-continuation-NextRowKey", Token::encode(&row_key));
                    }
                }
                answer
            }
            Request::Batch(writes) => batch::run(store, writes, hidden, request_id)?,
        };
        Ok((answer, cost))
    }

    /// Does one write, and gives its answer and the row that was there before.
    pub(crate) fn of_write(store: &mut Store, write: RowWrite, hidden: Ticks) -> Result<(Self, Option<Row>), Refusal> {
        let RowWrite { table, key, write, wants_content, metadata: kind } = write;
        // The answer shows the row as it came, with the time of writing.
        let content = match &write {
            Write::Insert(incoming) if wants_content => Some(incoming.text()),
            _ => None,
        };
        let is_insert = matches!(write, Write::Insert(_));
        let Written { etag, old, at } = store.write(&table, &key, write, hidden)?;
        let answer = match content {
            Some(text) => {
                let row = Row { written: at, visible: at, text };
                let fields = row.shown(&key.partition_key, &key.row_key).fields(kind, None);
                let start = metadata(store, &table, kind, "/@Element");
                Self::json(201, kind, format!("{{{start}{fields}}}"))
            }
            None if is_insert => Self::empty().with("Preference-Applied", "return-no-content".to_owned()),
            None => Self::empty(),
        };
        let answer = match etag {
            Some(etag) => answer.with("ETag", etag),
            None => answer,
        };
        Ok((answer, old))
    }
}

/// The field that every answer with rows begins with, and a comma after it; nothing where no metadata is wanted.
fn metadata(store: &mut Store, table: &str, metadata: Metadata, end: &str) -> String {
    if metadata == Metadata::None {
        return String::new();
    }
    let name = store.table(table).map_or_else(|_| table.to_owned(), |table| table.name.clone());
    format!("\"odata.metadata\":{},", quoted(&format!("{ADDRESS}/$metadata#{name}{end}")))
}

/// The address of the account in metadata; nobody follows it.
const ADDRESS: &str = "http://127.0.0.1/devstoreaccount1";

/// A table that was created.
///
/// <https://learn.microsoft.com/rest/api/storageservices/create-table#response-body>
fn created(name: &str, metadata: Metadata) -> String {
    let mut body = json!({ "TableName": name });
    if metadata != Metadata::None {
        body["odata.metadata"] = format!("{ADDRESS}/$metadata#Tables/@Element").into();
    }
    if metadata == Metadata::Full {
        body["odata.type"] = "devstoreaccount1.Tables".into();
        body["odata.id"] = format!("{ADDRESS}/Tables('{name}')").into();
        body["odata.editLink"] = format!("Tables('{name}')").into();
    }
    body.to_string()
}
