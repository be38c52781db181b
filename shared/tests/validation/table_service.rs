//! Azure Table storage over HTTP, as far as validation talks to it, on top of tables in memory.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderName, Method, Response, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use marketplace_leads::table::memory::MemoryTable;
use marketplace_leads::table::{Continuation, Entity, Keys, Query, Table as _, TableError, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;

/// Answers one request, at this time by the service's clock.
pub(crate) async fn answer(tables: &HashMap<String, MemoryTable>, request: Request, date: Timestamp) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap();
    let path = url::form_urlencoded::parse(format!("path={}", parts.uri.path().replace('+', "%2B")).as_bytes())
        .next()
        .unwrap()
        .1
        .into_owned();
    let resource = path.rsplit('/').next().unwrap_or_default();
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let done = act(tables, &parts.method, resource, &query, &body).await;
    let (status, mut json) = done.unwrap_or_else(|error| match error {
        TableError::TableNotFound => problem(404, "TableNotFound"),
        TableError::NotFound => problem(404, "ResourceNotFound"),
        TableError::Exists => problem(409, "EntityAlreadyExists"),
        other => panic!("{other}"),
    });
    // The token to the next page stands in headers.
    let token = json.as_object_mut().and_then(|json| json.remove("token"));
    let mut response = respond(status, &json, date);
    for (name, key) in TOKEN.into_iter().zip(token.as_ref().and_then(Json::as_array).into_iter().flatten()) {
        if let Some(key) = key.as_str() {
            let name = HeaderName::try_from(format!("x-ms-continuation-{name}")).unwrap();
            response.headers_mut().insert(name, key.parse().unwrap());
        }
    }
    response
}

/// The two parts of a token to the next page.
const TOKEN: [&str; 2] = ["NextPartitionKey", "NextRowKey"];

/// An error as the service writes it.
pub(crate) fn problem(status: u16, code: &str) -> (u16, Json) {
    (status, json!({"odata.error": {"code": code, "message": {"lang": "en-US", "value": "…"}}}))
}

pub(crate) fn respond(status: u16, json: &Json, date: Timestamp) -> Response<Body> {
    let body = if status == 204 { String::new() } else { json.to_string() };
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .header("x-ms-request-id", "0b6ec0b6-0000-0000-0000-000000000000")
        .header("x-ms-version", "2019-02-02")
        .header("server", "Windows-Azure-Table/1.0")
        .header("preference-applied", "return-no-content")
        .header("etag", "W/\"1\"")
        .header("date", date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .body(Body::from(body))
        .unwrap()
}

async fn act(
    tables: &HashMap<String, MemoryTable>,
    method: &Method,
    resource: &str,
    query: &HashMap<String, String>,
    body: &Bytes,
) -> Result<(u16, Json), TableError> {
    let json: Json = serde_json::from_slice(body).unwrap_or_default();
    if resource == "Tables" {
        let name = json["TableName"].as_str().unwrap();
        tables[name].create().await?;
        return Ok((
            201,
            json!({"odata.metadata": "", "odata.type": "", "odata.id": "", "odata.editLink": "", "TableName": name}),
        ));
    }
    let (name, keys) = resource.split_once('(').unwrap_or((resource, ""));
    let table = &tables[name];
    if *method == Method::POST {
        table.insert(&from_wire(json.as_object().unwrap())).await?;
        return Ok((204, Json::Null));
    }
    if keys == ")" {
        let [partition_key, row_key] = TOKEN.map(|name| query.get(name));
        let next = partition_key.and(Continuation::parse(&json!([partition_key, row_key, null]).to_string()));
        let page = table.page(&parse(query), next.as_ref()).await?;
        let token: Json = page.next.map(|next| serde_json::from_str(&next.to_text()).unwrap()).unwrap_or_default();
        let mut rows: Vec<_> = page.entities.iter().map(to_wire).collect();
        if let Some(select) = query.get("$select") {
            let selected: Vec<_> = select.split(',').collect();
            let is_selected = |name: &str| selected.contains(&name.split('@').next().unwrap_or_default());
            rows.iter_mut().for_each(|row| row.retain(|name, _| is_selected(name)));
        }
        return Ok((200, json!({"odata.metadata": "", "value": rows, "token": token})));
    }
    let (partition_key, row_key) = keys.strip_prefix("PartitionKey='").unwrap().split_once("',RowKey='").unwrap();
    let row_key = row_key.strip_suffix("')").unwrap();
    if *method == Method::DELETE {
        table.delete(&Keys::new(partition_key, row_key)).await?;
        return Ok((204, Json::Null));
    }
    let mut entity = to_wire(&table.get(&Keys::new(partition_key, row_key)).await?);
    entity.insert("odata.metadata".to_owned(), "".into());
    Ok((200, entity.into()))
}

/// The query that a filter asks for.
fn parse(query: &HashMap<String, String>) -> Query {
    let mut parsed = Query { page_size: query.get("$top").map(|top| top.parse().unwrap()), ..Query::default() };
    for part in query.get("$filter").into_iter().flat_map(|filter| filter.split(" and ")) {
        let (column, rest) = part.split_once(' ').unwrap();
        let (operator, literal) = rest.split_once(' ').unwrap();
        let text = literal.trim_start_matches("datetime").trim_matches('\'').to_owned();
        match (column, operator) {
            ("PartitionKey", "eq") => parsed.partition_key = Some(text),
            ("RowKey", "ge") => parsed.row_key_from = Some(text),
            ("RowKey", "lt") => parsed.row_key_before = Some(text),
            ("Timestamp", "ge") => parsed.written_from = Some(text.parse().unwrap()),
            ("Timestamp", "lt") => parsed.written_before = Some(text.parse().unwrap()),
            _ => panic!("the stub does not know the filter {part}"),
        }
    }
    parsed
}

fn to_wire(entity: &Entity) -> Map<String, Json> {
    let mut wire = Map::new();
    wire.insert("PartitionKey".to_owned(), entity.partition_key.clone().into());
    wire.insert("RowKey".to_owned(), entity.row_key.clone().into());
    wire.insert("Timestamp".to_owned(), format!("{:.7}", entity.timestamp.unwrap()).into());
    for (name, value) in &entity.properties {
        let (json, kind): (Json, _) = match value {
            Value::String(text) => (text.clone().into(), None),
            Value::Bool(value) => ((*value).into(), None),
            Value::Int32(number) => ((*number).into(), None),
            Value::Int64(number) => (number.to_string().into(), Some("Edm.Int64")),
            Value::Double(number) => ((*number).into(), Some("Edm.Double")),
            Value::DateTime(text) => (text.clone().into(), Some("Edm.DateTime")),
            Value::Guid(text) => (text.clone().into(), Some("Edm.Guid")),
            Value::Binary(bytes) => (BASE64_STANDARD.encode(bytes).into(), Some("Edm.Binary")),
        };
        wire.insert(name.clone(), json);
        if let Some(kind) = kind {
            wire.insert(format!("{name}@odata.type"), kind.into());
        }
    }
    wire
}

/// The rows that validation writes have texts alone.
fn from_wire(wire: &Map<String, Json>) -> Entity {
    let text = |name: &str| wire[name].as_str().unwrap();
    let mut entity = Entity::new(text("PartitionKey"), text("RowKey"));
    for (name, value) in wire.iter().filter(|(name, _)| !["PartitionKey", "RowKey"].contains(&name.as_str())) {
        entity.set(name, value.as_str().unwrap());
    }
    entity
}
