//! Exports: what somebody gets who asks for one, compared with what the table held. An export that broke off is gone on
//! with behind the last row that arrived; behind a whole file of lines, too, there is nothing but what was written since.

use crate::coverage::Sometimes;
use crate::lambda::{Request, Task};
use crate::model::{Promise, Violation};
use crate::table::TableService;
use crate::world::{Event, World};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::export::Export;
use marketplace_leads::function_url::{self, Body};
use marketplace_leads::table::{Entity, Keys, Table};
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

/// The formats that are asked for.
pub(crate) const FORMATS: [&str; 3] = ["ndjson", "json", "csv"];

/// How often somebody goes on with an export before they give up.
const ATTEMPTS: usize = 5;

/// How long somebody waits before they go on with an export.
const WAIT: SignedDuration = SignedDuration::from_mins(1);

/// The rows of the leads table by their keys, each with its columns as JSON.
pub(crate) type Rows = BTreeMap<Keys, String>;

/// What has arrived of a file.
pub(crate) type Received = Rc<RefCell<Vec<u8>>>;

/// An export that somebody wants, and what has arrived of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// One of [`FORMATS`].
    pub(crate) format: &'static str,
    /// What the table held when it was asked for first.
    before: Option<Rows>,
    /// The rows that arrived whole before it was gone on with, in their order.
    had: Vec<(Keys, String)>,
    /// Behind which row it was asked for first.
    from: Option<Keys>,
    /// How often it was asked for before.
    attempts: usize,
}

/// The rows of a table.
pub(crate) fn rows(table: &TableService) -> Rows {
    let columns = |row: &Entity| {
        // What half a pair is replaced with is no matter of the export.
        if row.damage.is_some() { String::new() } else { json!(row.columns()).to_string() }
    };
    table.rows().iter().map(|row| (row.keys(), columns(row))).collect()
}

impl Wanted {
    /// An export in this format, of which nothing has arrived yet.
    pub(crate) fn new(format: &'static str) -> Self {
        Self { format, before: None, had: Vec::new(), from: None, attempts: 0 }
    }

    /// Asks for it, and reads it to its end into `received`. An error where it is not whole, and says so.
    pub(crate) async fn ask<T: Table>(
        self,
        leads: T,
        id: &str,
        now: Timestamp,
        received: Received,
    ) -> Result<(), String> {
        let mut query = format!("format={}&include-tests=true", self.format);
        if let Some(after) = self.after() {
            query.push_str("&after=");
            for byte in trailer_key(after).bytes() {
                let _ = write!(query, "%{byte:02X}");
            }
        }
        let request = function_url::Request { method: "GET", path: "/leads", query: &query, body: Body::Text("") };
        let download = Export { leads }.answer(&request, id, now).await;
        if download.status != 200 {
            return Err(format!("answered with {}", download.status));
        }
        let mut body = download.body;
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|error| error.to_string())?;
            received.borrow_mut().extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Behind which row it is asked for.
    fn after(&self) -> Option<&Keys> {
        self.had.last().map(|(keys, _)| keys).or(self.from.as_ref())
    }

    /// Notes what the table holds when it is asked for.
    pub(crate) fn begins(&mut self, table: &TableService) {
        self.attempts += 1;
        self.before.get_or_insert_with(|| rows(table));
    }

    /// What is asked for next, after the file broke off behind these bytes: what is behind the last row that arrived whole.
    fn rest(mut self, received: &[u8]) -> Option<Self> {
        let lines = received.split_inclusive(|byte| *byte == b'\n');
        let rows = lines.filter_map(|line| {
            let line = line.strip_suffix(b"\n").unwrap_or(if self.format == "ndjson" { b"" } else { line });
            row(&serde_json::from_slice(line.strip_suffix(b",").unwrap_or(line)).ok()?)
        });
        self.had.extend(rows.collect::<Vec<_>>());
        (self.format != "csv" && !self.had.is_empty() && self.attempts < ATTEMPTS).then_some(self)
    }
}

impl World {
    /// An export broke off, behind these bytes. Whoever wants it goes on with it, where something has arrived.
    pub(crate) fn export_broke_off(&mut self, request: Request, wanted: Wanted, received: &[u8]) {
        if let Some(rest) = wanted.rest(received) {
            self.coverage.note(Sometimes::ExportWentOn);
            self.after(WAIT, Event::Invoke(Request { task: Task::Export(rest), ..request }));
        }
    }

    /// Compares a file that looks whole with what the table held all the time while it was made.
    pub(crate) fn export_ended(&mut self, request: Request, wanted: Wanted, received: Vec<u8>) {
        self.coverage.note(Sometimes::Exported);
        let format = wanted.format;
        match self.check_export(wanted, received) {
            Ok(None) => {}
            Ok(Some(behind)) => self.after(WAIT, Event::Invoke(Request { task: Task::Export(behind), ..request })),
            Err(wrong) => {
                self.violate(Violation::new(Promise::WholeExports, format!("an export as {format}: {wrong}")))
            }
        }
    }

    /// Gives what can be asked for behind the file.
    fn check_export(&self, wanted: Wanted, received: Vec<u8>) -> Result<Option<Wanted>, String> {
        let file = String::from_utf8(received).map_err(|_| "it is no UTF-8")?;
        let after = rows(&self.leads);
        let is_of_lines = wanted.format == "ndjson";
        let behind = wanted.after().cloned();
        let before = wanted.before.unwrap_or_default();
        let must_be = |keys: &Keys| wanted.from.as_ref().is_none_or(|from| keys > from);
        let stayed: Vec<_> = before.iter().filter(|(keys, _)| must_be(keys) && after.contains_key(*keys)).collect();
        let Some(mut file) = File::read(wanted.format, &file)? else {
            let missing = stayed.iter().find(|(keys, _)| keys.row.starts_with("row-") && !file.contains(&keys.row));
            return missing.map_or(Ok(None), |(keys, _)| Err(format!("the row {keys} is missing")));
        };
        if is_of_lines {
            file.check_trailer(behind.as_ref())?;
        }
        let mut found = wanted.had;
        found.append(&mut file.rows);
        let order: Vec<_> = wanted.from.iter().chain(found.iter().map(|(keys, _)| keys)).collect();
        if let Some(pair) = order.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("the row {} comes behind {}", pair[1], pair[0]));
        }
        let last = found.last().map(|(keys, _)| keys.clone());
        let found: Rows = found.into_iter().collect();
        let is_there =
            |keys: &Keys, columns: &String| found.get(keys).is_some_and(|found| columns.is_empty() || found == columns);
        if let Some((keys, _)) = stayed.iter().find(|(keys, columns)| !is_there(keys, columns)) {
            return Err(format!("the row {keys} is missing, or another"));
        }
        if let Some(keys) = found.keys().find(|keys| !before.contains_key(*keys) && !after.contains_key(*keys)) {
            return Err(format!("there never was the row {keys}"));
        }
        let goes_on = is_of_lines && wanted.from.is_none() && last.is_some();
        Ok(goes_on.then(|| Wanted { from: last, ..Wanted::new("ndjson") }))
    }
}

/// A file of JSON, read.
struct File {
    /// Its rows, in their order.
    rows: Vec<(Keys, String)>,
    /// How many of them are no leads.
    unreadable: usize,
    /// What the last line says, where it is no row.
    trailer: Option<Json>,
}

impl File {
    /// Reads a file; `None` for CSV, in which keys are only looked for.
    fn read(format: &str, file: &str) -> Result<Option<Self>, String> {
        let invalid = |error: serde_json::Error| format!("it is no JSON: {error}");
        let mut values: Vec<Json> = match format {
            "csv" => return Ok(None),
            "json" => serde_json::from_str(file).map_err(invalid)?,
            _ => file.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(invalid)?,
        };
        let trailer = values.pop_if(|last| last.get("trailer").is_some());
        let unreadable = values.iter().filter(|value| value.get("error").is_some()).count();
        let rows = values.iter().map(|value| row(value).ok_or("a line is no row")).collect::<Result<_, _>>()?;
        Ok(Some(Self { rows, unreadable, trailer }))
    }

    /// Compares the last line with what the file has, which was gone on with behind this row.
    fn check_trailer(&self, after: Option<&Keys>) -> Result<(), String> {
        let after = self.rows.last().map(|(keys, _)| keys).or(after).map(trailer_key);
        let right = json!({"trailer": {"rows": self.rows.len(), "unreadable": self.unreadable, "after": after}});
        match &self.trailer {
            None => Err("it has no trailer, and did not break off".to_owned()),
            Some(trailer) if *trailer != right => Err(format!("its trailer is {trailer}, and should be {right}")),
            Some(_) => Ok(()),
        }
    }
}

/// A row's keys and columns.
fn row(value: &Json) -> Option<(Keys, String)> {
    Some((Keys::new(value["partitionKey"].as_str()?, value["rowKey"].as_str()?), value["columns"].to_string()))
}

/// A row's keys, as a trailer and the parameter `after` have them.
fn trailer_key(keys: &Keys) -> String {
    format!("{}/{}", keys.partition, keys.row)
}
