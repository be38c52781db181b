//! Leads as rows of a CSV file. The file that is attached to a digest and the export share this definition.
//!
//! The file is UTF-8 with a byte-order mark (spreadsheets want it), RFC 4180, with CR LF at the end of each row. The
//! columns are always all of [`Column::ALL`], in that order. A [`Preset`] gives them the names that a CRM's importer
//! maps by itself; a column for which the CRM has no field keeps its own name.
//!
//! A row of the table that is no lead is a row of the file, too. It has the row's keys and time, the reason in
//! [`Column::Description`], and all columns of the row in [`Column::FurtherFields`].
//!
//! What keeps a spreadsheet from calculating is said in `cell.rs`.
//!
//! Control characters and those that turn text around are written visibly (`␀`, `[U+202E]`); the table keeps the
//! originals.

mod cell;

use crate::lead::{Action, Lead, LeadSource, ShownTime, StoredLead, UnreadableRow};
use crate::table::Entity;
use cell::{cell, imported_phone};
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;

/// The byte-order mark of UTF-8, with which a file starts.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A column of a file of leads. In JSON it is named like `firstName`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Column {
    /// Given name.
    FirstName,
    /// Family name.
    LastName,
    /// Mail address.
    Email,
    /// Phone number.
    Phone,
    /// Company.
    Company,
    /// Job title.
    JobTitle,
    /// Country.
    Country,
    /// The offer's name, or else its id.
    Offer,
    /// The offer's id, mostly `publisherid.offerid`.
    OfferId,
    /// What the customer did, in English words.
    Action,
    /// What the customer did, as Microsoft's code.
    ActionCode,
    /// The marketplace's name.
    Marketplace,
    /// Microsoft's `LeadSource` as it came.
    LeadSource,
    /// When the lead came about: RFC 3339 in UTC. A time that cannot be read stands there as it came, and the cell is
    /// empty where the time is unknown.
    LeadTime,
    /// The note, or the campaign parameters as JSON.
    Description,
    /// `true` where the customer must not be contacted.
    DoNotContact,
    /// `true` where this is a test lead.
    TestLead,
    /// Fields of Microsoft's that have no column here, as a JSON object.
    FurtherFields,
    /// The table row's partition.
    PartitionKey,
    /// The table row's key.
    RowKey,
    /// When the table's service wrote the row: RFC 3339 in UTC.
    TableTime,
    /// When the same request came at another time: RFC 3339 in UTC. It is empty where it did not, as far as intake knew.
    SameRequestTime,
}

impl Column {
    /// All columns in the order in which they stand in a file.
    pub const ALL: [Self; 22] = [
        Self::FirstName,
        Self::LastName,
        Self::Email,
        Self::Phone,
        Self::Company,
        Self::JobTitle,
        Self::Country,
        Self::Offer,
        Self::OfferId,
        Self::Action,
        Self::ActionCode,
        Self::Marketplace,
        Self::LeadSource,
        Self::LeadTime,
        Self::Description,
        Self::DoNotContact,
        Self::TestLead,
        Self::FurtherFields,
        Self::PartitionKey,
        Self::RowKey,
        Self::TableTime,
        Self::SameRequestTime,
    ];

    /// The column's own heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::FirstName => "First Name",
            Self::LastName => "Last Name",
            Self::Email => "Email",
            Self::Phone => "Phone",
            Self::Company => "Company",
            Self::JobTitle => "Job Title",
            Self::Country => "Country",
            Self::Offer => "Offer",
            Self::OfferId => "Offer ID",
            Self::Action => "Action",
            Self::ActionCode => "Action Code",
            Self::Marketplace => "Marketplace",
            Self::LeadSource => "Lead Source",
            Self::LeadTime => "Lead Time",
            Self::Description => "Description",
            Self::DoNotContact => "Do Not Contact",
            Self::TestLead => "Test Lead",
            Self::FurtherFields => "Further Fields",
            Self::PartitionKey => "Partition Key",
            Self::RowKey => "Row Key",
            Self::TableTime => "Table Time",
            Self::SameRequestTime => "Same Request Time",
        }
    }
}

/// A lead whose columns are read.
pub(crate) struct Row<'a> {
    stored: &'a StoredLead,
    source: LeadSource,
    action: Action,
}

impl<'a> Row<'a> {
    pub(crate) fn new(stored: &'a StoredLead) -> Self {
        let source = stored.lead.source();
        let action = stored.lead.action_in(&source);
        Self { stored, source, action }
    }

    /// What the lead has in a column, before it is made into a cell.
    pub(crate) fn value(&self, column: Column) -> Cow<'_, str> {
        let StoredLead { lead, keys, timestamp, .. } = self.stored;
        let customer = &lead.customer;
        let text = match column {
            Column::FirstName => &customer.first_name,
            Column::LastName => &customer.last_name,
            Column::Email => &customer.email,
            Column::Phone => &customer.phone,
            Column::Company => &customer.company,
            Column::JobTitle => &customer.title,
            Column::Country => &customer.country,
            Column::Offer => lead.offer_in(&self.source),
            Column::OfferId => &self.source.offer,
            Column::Action => match &self.action {
                Action::Install => "Installed",
                Action::ContactMe => "Asked to be contacted",
                Action::DoNotContact => "Listed for information only",
                Action::Create => "Bought",
                Action::StartTestDrive => "Started a test drive",
                Action::Other(code) => code,
            },
            Column::ActionCode => self.action.code(),
            Column::Marketplace => self.source.marketplace.name(),
            Column::LeadSource => &lead.lead_source,
            Column::LeadTime => match self.stored.shown_time() {
                ShownTime::Known(time) => return format!("{time:.0}").into(),
                ShownTime::AsItCame(text) => text,
                ShownTime::Unknown => "",
            },
            Column::Description => &lead.description,
            Column::DoNotContact => name(self.is_do_not_contact()),
            Column::TestLead => name(lead.is_test()),
            Column::FurtherFields => return further_fields(lead).into(),
            Column::PartitionKey => &keys.partition,
            Column::RowKey => &keys.row,
            Column::TableTime => return timestamp.map(|time| time.to_string()).unwrap_or_default().into(),
            Column::SameRequestTime => {
                return self.stored.same_request.map(|time| format!("{time:.0}")).unwrap_or_default().into();
            }
        };
        text.into()
    }

    /// Whether the customer must not be contacted; see [`Lead::is_do_not_contact`].
    pub(crate) fn is_do_not_contact(&self) -> bool {
        [&self.action, &self.source.action].contains(&&Action::DoNotContact)
    }
}

fn name(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

/// The fields that have no column here, as a JSON object; empty where there are none.
fn further_fields(lead: &Lead) -> String {
    let fields: Vec<_> = lead
        .customer
        .unknown
        .iter()
        .chain(&lead.unknown)
        .map(|field| format!("{}:{}", serde_json::Value::from(field.name.as_str()), field.json))
        .collect();
    if fields.is_empty() { String::new() } else { format!("{{{}}}", fields.join(",")) }
}

/// The program whose names the columns bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The labels of HubSpot's contact properties.
    ///
    /// <https://knowledge.hubspot.com/properties/hubspots-default-contact-properties>
    HubSpot,
    /// The labels that Salesforce's Data Import Wizard maps to a lead. `Lead Source` is the marketplace: a pick list.
    ///
    /// <https://help.salesforce.com/s/articleView?id=xcloud.field_mapping_for_importing_leads.htm>
    Salesforce,
    /// The display names of the lead table in Dynamics 365, whose topic is the offer. Its `Lead Source` is a choice of
    /// fixed values, so nothing here bears that name.
    ///
    /// <https://learn.microsoft.com/dynamics365/developer/reference/entities/lead>
    Dynamics365,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 3] = [Self::HubSpot, Self::Salesforce, Self::Dynamics365];

    /// A short stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::HubSpot => "hubspot",
            Self::Salesforce => "salesforce",
            Self::Dynamics365 => "dynamics365",
        }
    }

    /// A column's name.
    pub fn heading(self, column: Column) -> &'static str {
        match (self, column) {
            (Self::HubSpot, Column::Phone) => "Phone Number",
            (Self::HubSpot | Self::Dynamics365, Column::Company) => "Company Name",
            (Self::HubSpot | Self::Dynamics365, Column::Country) => "Country/Region",
            (Self::HubSpot, Column::Description) => "Message",
            (Self::Salesforce, Column::JobTitle) => "Title",
            (Self::Salesforce, Column::Marketplace) => "Lead Source",
            (Self::Salesforce | Self::Dynamics365, Column::LeadSource) => "Marketplace Lead Source",
            (Self::Dynamics365, Column::Phone) => "Business Phone",
            (Self::Dynamics365, Column::Offer) => "Topic",
            _ => column.heading(),
        }
    }
}

/// A writer of files of leads. The caller has written [`BYTE_ORDER_MARK`] before.
pub fn writer<W: Write>(file: W) -> csv::Writer<W> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(file)
}

/// Writes the first row, with the heading of each column: [`Column::heading`], or what an importer calls it.
///
/// # Errors
/// If the file cannot be written.
pub fn write_headings<W: Write>(
    writer: &mut csv::Writer<W>,
    heading: impl Fn(Column) -> &'static str,
) -> csv::Result<()> {
    writer.write_record(Column::ALL.map(heading))
}

/// Writes one lead, for whoever opens the file.
///
/// # Errors
/// If the file cannot be written.
pub fn write_lead<W: Write>(writer: &mut csv::Writer<W>, lead: &StoredLead) -> csv::Result<()> {
    let row = Row::new(lead);
    write_row(writer, |column| cell(row.value(column)))
}

/// Writes one lead for the importer of a CRM, which gets phone numbers without apostrophes.
///
/// # Errors
/// If the file cannot be written.
pub fn write_lead_for_import<W: Write>(writer: &mut csv::Writer<W>, lead: &StoredLead) -> csv::Result<()> {
    let row = Row::new(lead);
    write_row(writer, |column| match column {
        Column::Phone => imported_phone(&row.value(column)).into(),
        _ => cell(row.value(column)),
    })
}

/// Writes a row of the table that is no lead.
///
/// # Errors
/// If the file cannot be written.
pub fn write_unreadable<W: Write>(
    writer: &mut csv::Writer<W>,
    entity: &Entity,
    reason: UnreadableRow,
) -> csv::Result<()> {
    let columns = serde_json::to_string(&entity.columns()).map_err(std::io::Error::from)?;
    write_row(writer, |column| match column {
        Column::Description => format!("Could not be read: {reason}").into(),
        Column::FurtherFields => cell(columns.as_str().into()),
        Column::PartitionKey => cell(entity.partition_key.as_str().into()),
        Column::RowKey => cell(entity.row_key.as_str().into()),
        Column::TableTime => entity.timestamp.map(|time| time.to_string()).unwrap_or_default().into(),
        _ => "".into(),
    })
}

/// Writes a row of cells.
fn write_row<'a, W: Write>(writer: &mut csv::Writer<W>, cell_of: impl Fn(Column) -> Cow<'a, str>) -> csv::Result<()> {
    for column in Column::ALL {
        writer.write_field(cell_of(column).as_bytes())?;
    }
    writer.write_record(None::<&[u8]>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lead::{Customer, Lead, UnknownField};

    #[test]
    fn the_documentation_lists_every_column_in_order() {
        let documented: Vec<_> = include_str!("../../../docs/lead-columns.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
            .skip(1)
            .collect();
        assert_eq!(documented, Column::ALL.map(Column::heading));
    }

    #[test]
    fn a_file_has_every_column_in_the_documented_order_and_crlf_at_the_ends() {
        let lead = Lead {
            customer: Customer {
                first_name: "Ada, \"the\"\r\nfirst".into(),
                email: "ada@contoso.com".into(),
                unknown: vec![UnknownField { name: "Fax".into(), json: "\"1\"".into() }],
                ..Customer::default()
            },
            lead_source: "SPZA-PLT|contoso.backup".into(),
            unknown: vec![UnknownField { name: "ProductId".into(), json: "7".into() }],
            ..Lead::default()
        };
        let stored = StoredLead::received(lead, "2026-11-03T13:05:01.5Z".parse().unwrap());
        let mut writer = writer(Vec::new());
        write_headings(&mut writer, Column::heading).unwrap();
        write_lead(&mut writer, &stored).unwrap();
        let file = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let expected = format!(
            "First Name,Last Name,Email,Phone,Company,Job Title,Country,Offer,Offer ID,Action,Action Code,Marketplace,\
             Lead Source,Lead Time,Description,Do Not Contact,Test Lead,Further Fields,Partition Key,Row Key,Table Time,\
             Same Request Time\r\n\
             \"Ada, \"\"the\"\"\r\nfirst\",,ada@contoso.com,,,,,contoso.backup,contoso.backup,Asked to be contacted,PLT,\
             AppSource,SPZA-PLT|contoso.backup,2026-11-03T13:05:01Z,,false,false,\
             \"{{\"\"Fax\"\":\"\"1\"\",\"\"ProductId\"\":7}}\",11:2F3:2F2026,{},,\r\n",
            stored.keys.row
        );
        assert_eq!(file, expected);
    }

    #[test]
    fn no_two_columns_bear_the_same_name() {
        for preset in Preset::ALL {
            let names: std::collections::HashSet<_> = Column::ALL.map(|column| preset.heading(column)).into();
            assert_eq!(names.len(), Column::ALL.len(), "{preset:?}");
        }
    }

    #[test]
    fn a_row_that_is_no_lead_keeps_all_of_its_columns() {
        let mut entity = Entity::new("other", "=1").with("Text", "=2").with("Number", 7);
        entity.timestamp = Some("2026-11-03T13:05:01.5Z".parse().unwrap());
        let mut writer = writer(Vec::new());
        write_unreadable(&mut writer, &entity, UnreadableRow::NotALead).unwrap();
        let file = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let expected = ",,,,,,,,,,,,,,Could not be read: none of a lead's columns has a value,,,\
                        \"{\"\"Number\"\":7,\"\"Text\"\":\"\"=2\"\"}\",other,'=1,2026-11-03T13:05:01.5Z,\r\n";
        assert_eq!(file, expected);
    }

    #[test]
    fn columns_and_headings_are_the_documented_ones() {
        let documentation = include_str!("../../../docs/export.md");
        let (_, table) = documentation.split_once("| column | `hubspot` | `salesforce` | `dynamics365` |").unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.split('|').skip(1).take(4).map(str::trim).collect())
            .collect();
        let defined = Column::ALL.map(|column| {
            let own = column.heading();
            let presets = Preset::ALL.map(|preset| preset.heading(column));
            let presets = presets.map(|heading| if heading == own { "" } else { heading });
            [own, presets[0], presets[1], presets[2]].to_vec()
        });
        assert_eq!(rows, defined);
    }
}
