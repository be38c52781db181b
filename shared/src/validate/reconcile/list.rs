//! Partner Center's list of leads, as a file.

use super::dates::{self, Order};
use super::headings::{Column, Columns, letters};
use crate::display;
use crate::lead::{Action, DateOrder};
use crate::validate::findings::Fault;
use jiff::Timestamp;
use jiff::civil::Date;
use std::time::Duration;

/// The most leads that Partner Center exports.
const MOST_LEADS: usize = 5_000;

/// The most bytes of a list.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// So many bytes of a cell are shown.
const SHOWN_BYTES: usize = 120;

/// A list of leads.
pub(super) struct List {
    pub(super) leads: Vec<Listed>,
    /// How its dates were read.
    pub(super) order: Order,
    /// Whether any column has addresses.
    pub(super) has_addresses: bool,
    /// The lines whose date is there and cannot be read.
    pub(super) unreadable_dates: Vec<u64>,
}

/// One lead of a list.
pub(super) struct Listed {
    /// Its line in the file, from 1.
    pub(super) line: u64,
    /// The customer's address in lower case; empty where there is none.
    pub(super) address: String,
    /// The customer's company as it is written; empty where there is none.
    pub(super) customer: String,
    person: String,
    /// Its offers in lower case: names and ids.
    pub(super) offers: Vec<String>,
    /// What the customer did, where that is known.
    pub(super) action: Option<Deed>,
    /// Its day, where that is known.
    pub(super) day: Option<Date>,
}

/// What a customer did, as far as Partner Center's lists tell one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// *Contact me*
    ContactMe,
    /// *Get it now*, or bought.
    GetItNow,
    /// *Test drive*
    TestDrive,
}

impl Deed {
    /// What an action of Microsoft's is in a list; `None` where that is not known.
    pub(super) fn of(action: &Action) -> Option<Self> {
        match action {
            Action::Install | Action::Create => Some(Self::GetItNow),
            Action::ContactMe => Some(Self::ContactMe),
            Action::StartTestDrive => Some(Self::TestDrive),
            Action::DoNotContact | Action::Other(_) => None,
        }
    }

    /// Reads Partner Center's *Call to action*, or a code of Microsoft's.
    fn read(text: &str) -> Option<Self> {
        match letters(text).as_str() {
            "contactme" => Some(Self::ContactMe),
            "getitnow" => Some(Self::GetItNow),
            "testdrive" => Some(Self::TestDrive),
            _ => Self::of(&Action::parse(text)),
        }
    }
}

impl Listed {
    /// What stands for the customer where there is no address: company and person, without punctuation.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        [letters(&self.customer), letters(&self.person)].into_iter().filter(|name| !name.is_empty())
    }

    /// `line 7: Ada Doe, ada@contoso.example, contoso backup, 2026-11-03`
    pub(super) fn describe(&self) -> String {
        let person = if self.person.is_empty() { &self.customer } else { &self.person };
        let day = self.day.map(|day| day.to_string()).unwrap_or_default();
        let offer = self.offers.first().map_or("", String::as_str);
        let parts = [person, &self.address, offer, &day].map(shown);
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("line {}: {}", self.line, parts.join(", "))
    }
}

/// A text from outside, harmless and short.
pub(super) fn shown(text: &str) -> String {
    display::shorten(&display::line(text), SHOWN_BYTES, 1).0
}

/// Reads a list, whatever its headings are called and in whatever order they stand.
pub(super) fn read(text: &str, order: Option<DateOrder>, now: Timestamp) -> Result<List, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    let headings = text.lines().next().unwrap_or_default();
    let occurs = |delimiter: char| headings.matches(delimiter).count();
    let delimiter = [',', ';', '\t'].into_iter().max_by_key(|delimiter| (occurs(*delimiter), *delimiter == ','));
    let delimiter = u8::try_from(delimiter.unwrap_or(',')).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let malformed = |_| Fault::new("the file is no CSV", "give the file as Partner Center exported it");
    let columns = Columns::new(reader.headers().map_err(malformed)?.iter());
    let first = |column| columns.of(column).first().copied();
    let (address, customer, date) = (first(Column::Address), first(Column::Customer), first(Column::Date));
    let (people, offers, action) = (columns.of(Column::Person), columns.of(Column::Offer), first(Column::Action));
    if address.is_none() && customer.is_none() {
        return Err(Fault::new(
            "no column has the addresses",
            "call the column with the addresses Email; further columns are Customer Name, Offer, Call to action, Date and \
             Name, each under any usual name",
        ));
    }
    let (mut leads, mut written) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if leads.len() == MOST_LEADS {
            return Err(Fault::new(
                format!("the file has more than {MOST_LEADS} leads"),
                "give it in parts, each with the first line",
            ));
        }
        let field = |at: usize| record.get(at).unwrap_or_default().trim();
        let optional = |at: Option<usize>| at.map(field).unwrap_or_default();
        let person: Vec<_> = people.iter().map(|at| field(*at)).filter(|name| !name.is_empty()).collect();
        leads.push(Listed {
            line: record.position().map_or(0, csv::Position::line),
            address: optional(address).to_lowercase(),
            customer: optional(customer).to_owned(),
            person: person.join(" "),
            offers: offers.iter().flat_map(|at| each_offer(field(*at))).collect(),
            action: Deed::read(optional(action)),
            day: None,
        });
        written.push(optional(date).to_owned());
    }
    let texts: Vec<_> = written.iter().map(String::as_str).collect();
    let (days, order) = dates::read(&texts, order, now);
    let mut unreadable_dates = Vec::new();
    for ((lead, day), text) in leads.iter_mut().zip(days).zip(&texts) {
        lead.day = day;
        if day.is_none() && !text.is_empty() {
            unreadable_dates.push(lead.line);
        }
    }
    Ok(List { leads, order, has_addresses: address.is_some(), unreadable_dates })
}

/// The offers of a cell: Partner Center lists several in one. A name may have a comma in it, so that the whole cell counts
/// too.
fn each_offer(cell: &str) -> Vec<String> {
    let cell = cell.to_lowercase();
    let parts = cell.split([',', ';', '|']).map(|part| part.trim().to_owned());
    let mut offers = vec![cell.clone()];
    offers.extend(parts.filter(|part| *part != cell));
    offers.retain(|offer| !offer.is_empty());
    offers
}

/// Gets a list from S3.
pub(super) async fn download(url: url::Url) -> Result<String, Fault> {
    let again = "presign it again (aws s3 presign s3://<bucket>/<key>) and run this soon";
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|_| Fault::new("the TLS client could not be set up", "report this"))?;
    // Errors of the client name the URL, which is signed.
    let failed = |_| Fault::new("S3 could not be reached", again);
    let mut answer = client.get(url).send().await.map_err(failed)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(Fault::new(format!("S3 does not give the file ({})", status.as_u16()), again));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_BYTES {
            return Err(Fault::new("the file is larger than any list of leads", "name the right file"));
        }
    }
    String::from_utf8(bytes).map_err(|_| Fault::new("the file is not UTF-8", "save it as CSV UTF-8"))
}
