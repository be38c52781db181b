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

use crate::lead::{Action, ShownTime, StoredLead, UnreadableRow};
use crate::table::Entity;
use cell::{cell, imported_phone};
use serde::Serialize;
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

    /// What a lead has in this column, before it is made into a cell.
    pub(crate) fn value(self, stored: &StoredLead) -> String {
        let StoredLead { lead, keys, timestamp, .. } = stored;
        let customer = &lead.customer;
        match self {
            Self::FirstName => customer.first_name.clone(),
            Self::LastName => customer.last_name.clone(),
            Self::Email => customer.email.clone(),
            Self::Phone => customer.phone.clone(),
            Self::Company => customer.company.clone(),
            Self::JobTitle => customer.title.clone(),
            Self::Country => customer.country.clone(),
            Self::Offer => lead.offer(),
            Self::OfferId => lead.source().offer,
            Self::Action => match lead.action() {
                Action::Install => "Installed".to_owned(),
                Action::ContactMe => "Asked to be contacted".to_owned(),
                Action::DoNotContact => "Listed for information only".to_owned(),
                Action::Create => "Bought".to_owned(),
                Action::StartTestDrive => "Started a test drive".to_owned(),
                Action::Other(code) => code,
            },
            Self::ActionCode => lead.action().code().to_owned(),
            Self::Marketplace => lead.source().marketplace.name().to_owned(),
            Self::LeadSource => lead.lead_source.clone(),
            Self::LeadTime => match stored.shown_time() {
                ShownTime::Known(time) => format!("{time:.0}"),
                ShownTime::AsItCame(text) => text.to_owned(),
                ShownTime::Unknown => String::new(),
            },
            Self::Description => lead.description.clone(),
            Self::DoNotContact => lead.is_do_not_contact().to_string(),
            Self::TestLead => lead.is_test().to_string(),
            Self::FurtherFields => {
                let fields: Vec<_> = customer
                    .unknown
                    .iter()
                    .chain(&lead.unknown)
                    .map(|field| format!("{}:{}", serde_json::Value::from(field.name.as_str()), field.json))
                    .collect();
                if fields.is_empty() { String::new() } else { format!("{{{}}}", fields.join(",")) }
            }
            Self::PartitionKey => keys.partition.clone(),
            Self::RowKey => keys.row.clone(),
            Self::TableTime => timestamp.map(|time| time.to_string()).unwrap_or_default(),
            Self::SameRequestTime => stored.same_request.map(|time| format!("{time:.0}")).unwrap_or_default(),
        }
    }
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
    write_row(writer, |column| cell(&column.value(lead)))
}

/// Writes one lead for the importer of a CRM, which gets phone numbers without apostrophes.
///
/// # Errors
/// If the file cannot be written.
pub fn write_lead_for_import<W: Write>(writer: &mut csv::Writer<W>, lead: &StoredLead) -> csv::Result<()> {
    write_row(writer, |column| match column {
        Column::Phone => imported_phone(&column.value(lead)),
        _ => cell(&column.value(lead)),
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
    let columns = serde_json::to_string(&entity.properties).map_err(std::io::Error::from)?;
    write_row(writer, |column| match column {
        Column::Description => format!("Could not be read: {reason}"),
        Column::FurtherFields => cell(&columns),
        Column::PartitionKey => cell(&entity.partition_key),
        Column::RowKey => cell(&entity.row_key),
        Column::TableTime => entity.timestamp.map(|time| time.to_string()).unwrap_or_default(),
        _ => String::new(),
    })
}

/// Writes a row of cells.
fn write_row<W: Write>(writer: &mut csv::Writer<W>, cell_of: impl Fn(Column) -> String) -> csv::Result<()> {
    for column in Column::ALL {
        writer.write_field(cell_of(column))?;
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
