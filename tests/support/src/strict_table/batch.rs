//! Entity group transactions: several writes to one partition, all of them or none.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions>

use super::answer::Answer;
use super::clock::Ticks;
use super::refusal::Refusal;
use super::request::{Resource, RowWrite};
use super::store::Store;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use marketplace_leads::table::MAX_BATCH_OPERATIONS;
use std::fmt::Write as _;

/// Reads the writes of a batch. Each of them may be refused on its own.
pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Result<RowWrite, Refusal>>, Refusal> {
    let invalid = || Refusal::invalid_input("The batch request could not be read.");
    let text = std::str::from_utf8(body).map_err(|_| invalid())?;
    let outer = boundary(headers).ok_or_else(invalid)?;
    let [batch, ..] = &sections(text, &outer)[..] else { return Err(invalid()) };
    let (headers, rest) = head(batch);
    // A batch without a change set holds a query.
    let inner = boundary(&headers).ok_or_else(|| Refusal::not_implemented("a query in a batch"))?;
    sections(rest, &inner).into_iter().map(|section| operation(section).ok_or_else(invalid)).collect()
}

fn operation(section: &str) -> Option<Result<RowWrite, Refusal>> {
    let (_, request) = head(section);
    let (line, rest) = request.split_once('\n')?;
    let mut words = line.split_whitespace();
    let (method, address) = (words.next()?, words.next()?);
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    // The last segment is the resource: slashes in keys are encoded.
    let path = address.split('?').next()?.rsplit('/').next()?;
    let (headers, body) = head(rest);
    let write =
        Resource::parse(path).and_then(|resource| RowWrite::parse(&method, resource, &headers, body.trim().as_bytes()));
    Some(write)
}

/// The boundary that a content type names.
fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get("content-type")?.to_str().ok()?;
    let (_, boundary) = kind.strip_prefix("multipart/mixed")?.split_once("boundary=")?;
    Some(boundary.trim().trim_matches('"').to_owned())
}

/// The sections between lines that are a boundary. Lines may end with a carriage return or without one.
fn sections<'a>(text: &'a str, boundary: &str) -> Vec<&'a str> {
    let delimiter = format!("--{boundary}");
    let (mut sections, mut start, mut at) = (Vec::new(), None, 0);
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix(&delimiter)
            && matches!(rest.trim_end(), "" | "--")
        {
            sections.extend(start.map(|start: usize| &text[start..at]));
            start = (rest.trim_end() != "--").then_some(at + line.len());
        }
        at += line.len();
    }
    // What comes after a boundary that is never followed by another one, as some clients end a batch, is no section.
    sections
}

/// Headers up to an empty line, and what comes after it.
fn head(text: &str) -> (HeaderMap, &str) {
    let mut headers = HeaderMap::new();
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && let (Ok(name), Ok(value)) = (HeaderName::try_from(name.trim()), HeaderValue::try_from(value.trim()))
        {
            headers.insert(name, value);
        }
    }
    (headers, rest)
}

/// Does all the writes or none, and gives the answer with its parts.
pub(crate) fn run(
    store: &mut Store,
    writes: Vec<Result<RowWrite, Refusal>>,
    hidden: Ticks,
    request_id: &str,
) -> Result<Answer, Refusal> {
    if let Some(Ok(first)) = writes.first() {
        store.throttle(&first.table, &first.key.partition_key, writes.len())?;
    }
    let now = store.now();
    let parts = match write_all(store, writes, hidden) {
        Ok(answers) => answers,
        Err((index, refusal)) => vec![Answer::refusal(&refusal.of_operation(index), request_id, now)],
    };
    let (batch, changes) = (format!("batchresponse_{request_id}"), format!("changesetresponse_{request_id}"));
    let mut body = format!("--{batch}\r\nContent-Type: multipart/mixed; boundary={changes}\r\n\r\n");
    for part in parts {
        let _ = write!(
            body,
            "--{changes}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 {}\r\n\
             X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\nDataServiceVersion: 3.0;\r\n",
            part.status_line()
        );
        for (name, value) in &part.headers {
            let _ = write!(body, "{name}: {value}\r\n");
        }
        let _ = write!(body, "\r\n{}\r\n", part.body);
    }
    let _ = write!(body, "--{changes}--\r\n--{batch}--\r\n");
    let headers = vec![("Content-Type", format!("multipart/mixed; boundary={batch}"))];
    Ok(Answer { status: 202, headers, body })
}

/// The answers of all operations, or the number of the one that failed, and how.
fn write_all(
    store: &mut Store,
    writes: Vec<Result<RowWrite, Refusal>>,
    hidden: Ticks,
) -> Result<Vec<Answer>, (usize, Refusal)> {
    if writes.is_empty() {
        return Err((0, Refusal::invalid_input("The batch request holds no operation.")));
    }
    if writes.len() > MAX_BATCH_OPERATIONS {
        let message = "The batch request operation exceeds the maximum 100 changes per change set.";
        return Err((MAX_BATCH_OPERATIONS - 1, Refusal::invalid_input(message)));
    }
    let (mut done, mut answers) = (Vec::new(), Vec::new());
    let mut failure = None;
    for (index, write) in writes.into_iter().enumerate() {
        let outcome = write.and_then(|write| {
            check(&write, &done)?;
            let (table, key) = (write.table.clone(), write.key.clone());
            let (answer, old) = Answer::of_write(store, write, hidden)?;
            done.push(Done { table, key, old });
            Ok(answer)
        });
        match outcome {
            Ok(answer) => answers.push(answer),
            Err(refusal) => {
                failure = Some((index, refusal));
                break;
            }
        }
    }
    let Some(failure) = failure else { return Ok(answers) };
    for Done { table, key, old } in done.into_iter().rev() {
        store.restore(&table, &key, old);
    }
    Err(failure)
}

/// A write of a batch that was done, and what was there before.
struct Done {
    table: String,
    key: super::store::Key,
    old: Option<super::store::Row>,
}

/// Holds a write against those before it: one table, one partition, each row once.
fn check(write: &RowWrite, done: &[Done]) -> Result<(), Refusal> {
    let Some(first) = done.first() else { return Ok(()) };
    if write.key.partition_key != first.key.partition_key {
        let message = "All commands in a batch must operate on same entity group.";
        return Err(Refusal::new(400, "CommandsInBatchActOnDifferentPartitions", message));
    }
    if !write.table.eq_ignore_ascii_case(&first.table) {
        return Err(Refusal::invalid_input("All commands in a batch must operate on the same table."));
    }
    if done.iter().any(|earlier| earlier.key == write.key) {
        let message =
            "A command with this RowKey is already present in the batch. An entity can appear only once in a batch.";
        return Err(Refusal::new(400, "InvalidDuplicateRow", message));
    }
    Ok(())
}
