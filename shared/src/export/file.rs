//! The file, as it grows.

use super::BrokenOff;
use super::parameters::{Format, Parameters};
use crate::columns::{self, Column};
use crate::lead::{StoredLead, UnreadableRow};
use crate::table::{Entity, Keys};
use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use std::mem;

/// A file with the bytes that are not yet on their way.
pub(super) struct File {
    parameters: Parameters,
    buffer: Vec<u8>,
    is_begun: bool,
    /// The last row that was read, whether it is in the file or not.
    last: Option<Keys>,
    /// How many rows it has.
    pub(super) rows: u64,
    /// How many of them are no leads.
    pub(super) unreadable: u64,
    /// How many bytes were taken.
    pub(super) bytes: u64,
}

impl File {
    pub(super) fn new(parameters: Parameters) -> Self {
        let last = parameters.after().cloned();
        Self { parameters, buffer: Vec::new(), is_begun: false, last, rows: 0, unreadable: 0, bytes: 0 }
    }

    /// Writes those of a page's rows that are asked for; before the first page also what a file begins with.
    pub(super) fn write(&mut self, page: &[Entity]) -> Result<(), BrokenOff> {
        self.begin()?;
        let rows = page.iter().map(|entity| (entity, StoredLead::from_entity(entity)));
        let mut rows = rows.filter(|(entity, lead)| self.parameters.includes(entity, lead));
        let (mut count, mut unreadable) = (0, 0);
        let mut counted = rows.by_ref().inspect(|(_, lead)| {
            count += 1;
            unreadable += u64::from(lead.is_err());
        });
        match self.parameters.format {
            Format::Csv => {
                let mut writer = columns::writer(mem::take(&mut self.buffer));
                counted.try_for_each(|(entity, lead)| match lead {
                    Ok(lead) if self.parameters.preset.is_some() => columns::write_lead_for_import(&mut writer, &lead),
                    Ok(lead) => columns::write_lead(&mut writer, &lead),
                    Err(reason) => columns::write_unreadable(&mut writer, entity, reason),
                })?;
                self.buffer = writer.into_inner().map_err(|_| BrokenOff::Writer)?;
            }
            format @ (Format::Ndjson | Format::Json) => {
                let mut is_first = self.rows == 0;
                for (entity, lead) in counted {
                    if format == Format::Json && !mem::take(&mut is_first) {
                        self.buffer.extend(b",\n");
                    }
                    serde_json::to_writer(&mut self.buffer, &Row { entity, lead })?;
                    if format == Format::Ndjson {
                        self.buffer.push(b'\n');
                    }
                }
            }
        }
        self.last = page.last().map(Entity::keys).or(self.last.take());
        self.rows += count;
        self.unreadable += unreadable;
        Ok(())
    }

    /// Writes what a file ends with.
    pub(super) fn finish(&mut self) -> Result<(), BrokenOff> {
        self.begin()?;
        match self.parameters.format {
            Format::Csv => {}
            Format::Ndjson => {
                let after = self.last.as_ref().map(|Keys { partition, row }| format!("{partition}/{row}"));
                let trailer = Trailer { rows: self.rows, unreadable: self.unreadable, after };
                serde_json::to_writer(&mut self.buffer, &LastLine { trailer })?;
                self.buffer.push(b'\n');
            }
            Format::Json => self.buffer.extend(if self.rows == 0 { b"]\n".as_slice() } else { b"\n]\n" }),
        }
        Ok(())
    }

    /// The bytes that were written since this was called last.
    pub(super) fn next_bytes(&mut self) -> Bytes {
        self.bytes += self.buffer.len() as u64;
        mem::take(&mut self.buffer).into()
    }

    fn begin(&mut self) -> Result<(), BrokenOff> {
        if mem::replace(&mut self.is_begun, true) {
            return Ok(());
        }
        match self.parameters.format {
            Format::Csv => {
                let mut writer = columns::writer(columns::BYTE_ORDER_MARK.to_vec());
                let preset = self.parameters.preset;
                let heading = |column: Column| preset.map_or(column.heading(), |preset| preset.heading(column));
                columns::write_headings(&mut writer, heading)?;
                self.buffer = writer.into_inner().map_err(|_| BrokenOff::Writer)?;
            }
            Format::Ndjson => {}
            Format::Json => self.buffer.extend(b"[\n"),
        }
        Ok(())
    }
}

impl From<csv::Error> for BrokenOff {
    fn from(_: csv::Error) -> Self {
        Self::Writer
    }
}

impl From<serde_json::Error> for BrokenOff {
    fn from(_: serde_json::Error) -> Self {
        Self::Writer
    }
}

/// The last line of a file of lines: no line of a row has a field `trailer`, and a file without it is not whole.
#[derive(Serialize)]
struct LastLine {
    trailer: Trailer,
}

/// What there is to say of a whole file.
#[derive(Serialize)]
struct Trailer {
    rows: u64,
    /// How many of the rows are no leads.
    unreadable: u64,
    /// The last row that was read: the parameter `after` with which an export goes on behind it.
    after: Option<String>,
}

/// A row as JSON: the fields of a CSV file as they are, or else what is wrong with the row; and under `columns` all that
/// the table has.
struct Row<'a> {
    entity: &'a Entity,
    lead: Result<StoredLead, UnreadableRow>,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.lead {
            Ok(stored) => {
                let row = columns::Row::new(stored);
                for column in Column::ALL {
                    match column {
                        Column::DoNotContact => map.serialize_entry(&column, &row.is_do_not_contact())?,
                        Column::TestLead => map.serialize_entry(&column, &stored.lead.is_test())?,
                        Column::FurtherFields => {}
                        _ => map.serialize_entry(&column, &row.value(column))?,
                    }
                }
            }
            Err(reason) => {
                map.serialize_entry("error", &reason.to_string())?;
                map.serialize_entry(&Column::PartitionKey, &self.entity.partition_key)?;
                map.serialize_entry(&Column::RowKey, &self.entity.row_key)?;
                map.serialize_entry(&Column::TableTime, &self.entity.timestamp)?;
            }
        }
        map.serialize_entry("columns", &self.entity.columns())?;
        map.end()
    }
}
