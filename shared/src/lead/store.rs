//! Storing a lead once, however often its sender sends it, and every further lead with the same content, too.
//!
//! A body by HTTPS has no id and no time. So time alone tells a retry of the sender from the same request again: the same
//! person asks once more, or another customer does whose details are withheld.

use super::Lead;
use super::day::Day;
use super::row::{StoredLead, column};
use crate::table::{Keys, Query, Table, TableError};
use jiff::{SignedDuration, Timestamp};

/// How long before or after a lead the same body counts as a retry of the sender, where the body names a person.
///
/// Microsoft does not say whether it retries. An hour is longer than any sender of requests goes on by itself, and who sells
/// misses nothing: the same person asks the same thing of the same offer.
pub const RETRY_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// The same where the body names no person. Two customers whose details are withheld send the same body, so the window is
/// only as long as a sender needs who waits up to 100 seconds for an answer, as .NET's client does, and then tries again.
pub const RETRY_WINDOW_WITHOUT_PERSON: SignedDuration = SignedDuration::from_mins(3);

/// How often a key is chosen. It is taken by somebody else each time only if as many leads with the same content are
/// stored at the same moment.
const ATTEMPTS: usize = 10;

/// What [`store`] did with a lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It wrote the lead's row.
    New {
        /// The row's key.
        row_key: String,
        /// Whether the table knows the same request from another time.
        is_same_request: bool,
    },
    /// The sender has sent the lead before: the table has its row, and nothing was written.
    Retry {
        /// The row's key.
        row_key: String,
    },
    /// The table will never take the row, for this reason.
    Refused {
        /// In words that hold nothing of the lead.
        reason: String,
    },
}

/// A row with the content of the lead that is to be stored.
struct SameContent {
    row_key: String,
    /// When its lead was received: `ReceivedTime`, or else when the service wrote the row.
    received: Option<Timestamp>,
}

/// Writes a lead's row, unless the table has it already.
///
/// The insert itself decides. Where it conflicts, the rows with the same content tell when their leads were received. If one
/// of them is within the [window](Lead::retry_window), this is a retry. Otherwise the lead is stored under the next key
/// (`<id>-0002`, `<id>-0003`, …), which a retry of this lead finds in the same way. Of two at once, one gets the key; the
/// other one conflicts and reads again. Since no two rows of a day are within the window of each other, there are never
/// more of them than windows in a day.
///
/// Across midnight, the rows of the neighbouring day count as well. The day before is looked at in the first moments
/// of a day. The day after is looked at only for a lead that comes from the queue: a retry of the sender may have been stored
/// before it. Whether that day has begun is not asked, since two clocks may differ.
///
/// `announce` is called with the keys before each attempt to insert.
pub(crate) async fn store<T, F>(
    leads: &T,
    mut lead: StoredLead,
    now: Timestamp,
    is_queued: bool,
    announce: impl Fn(Keys) -> F + Send,
) -> Result<Stored, TableError>
where
    T: Table,
    F: Future<Output = Result<(), TableError>> + Send,
{
    let received = lead.received.unwrap_or(now);
    let (id, window) = (lead.keys.row.clone(), lead.lead.retry_window());
    let is_retry =
        |row: &&SameContent| row.received.is_some_and(|other| received.duration_since(other).abs() <= window);
    let day = Day::of(received);
    let mut beside = Vec::new();
    for neighbour in days_beside(received, window, is_queued) {
        beside.extend(with_same_content(leads, neighbour, &id).await?);
    }
    let mut of_the_day = Vec::new();
    for _ in 0..ATTEMPTS {
        if let Some(row) = beside.iter().chain(&of_the_day).find(is_retry) {
            return Ok(Stored::Retry { row_key: row.row_key.clone() });
        }
        let others = beside.iter().chain(&of_the_day).filter_map(|row| row.received);
        lead.same_request = others.min_by_key(|other| received.duration_since(*other).abs());
        lead.keys.row = next_key(&id, &of_the_day);
        announce(lead.keys.clone()).await?;
        match leads.insert(&lead.to_entity()).await {
            Ok(()) => {
                let is_same_request = lead.same_request.is_some();
                return Ok(Stored::New { row_key: lead.keys.row, is_same_request });
            }
            Err(TableError::Exists) => of_the_day = with_same_content(leads, day, &id).await?,
            Err(error) => return refusal(&error).map(|reason| Stored::Refused { reason }).ok_or(error),
        }
    }
    Err(TableError::Unavailable { reason: "many leads with the same content are stored at the same moment".to_owned() })
}

/// Whether rows of a neighbouring day count for a lead from the queue, so that they must be looked at before it is stored.
/// Where they do not, its insert alone decides.
pub(crate) fn is_near_midnight(queued: &StoredLead) -> bool {
    let window = queued.lead.retry_window();
    queued.received.is_none_or(|received| days_beside(received, window, true).next().is_some())
}

/// The neighbouring days whose rows count for a lead that was received at this time.
fn days_beside(received: Timestamp, window: SignedDuration, is_queued: bool) -> impl Iterator<Item = Day> {
    let day = Day::of(received);
    let before = Some(day.before()).filter(|_| received.duration_since(day.start()) < window);
    let after = Some(day.after()).filter(|after| is_queued && after.start().duration_since(received) <= window);
    before.into_iter().chain(after)
}

/// The rows of a day with the content of this id.
async fn with_same_content<T: Table>(leads: &T, day: Day, id: &str) -> Result<Vec<SameContent>, TableError> {
    let query = Query {
        row_key_from: Some(id.to_owned()),
        // The character that follows on the hyphen.
        row_key_before: Some(format!("{id}.")),
        select: vec![column::RECEIVED_TIME],
        ..Query::partition(day.partition_key())
    };
    let rows = leads
        .all(&query)
        .await?
        .into_iter()
        .map(|row| SameContent { received: row.time(column::RECEIVED_TIME).or(row.timestamp), row_key: row.row_key });
    Ok(rows.collect())
}

/// The first key that is free behind those that are taken.
fn next_key(id: &str, taken: &[SameContent]) -> String {
    let number = |row: &SameContent| match row.row_key.strip_prefix(id)?.strip_prefix('-') {
        Some(number) => number.parse().ok(),
        None => Some(1_usize),
    };
    match taken.iter().filter_map(number).max() {
        Some(last) => format!("{id}-{:04}", last.saturating_add(1)),
        None => id.to_owned(),
    }
}

/// Why the table will never take a row, if the error says so. That needs the service's own code: an answer without one may
/// come from somebody in between.
fn refusal(error: &TableError) -> Option<String> {
    match error {
        TableError::Rejected { status: status @ 400..500, code } if !code.is_empty() => {
            Some(format!("The table will never take the lead's row: the table service answered {status} {code}."))
        }
        _ => None,
    }
}

impl Lead {
    /// How long before or after this lead the same body counts as a retry of the sender.
    pub(crate) fn retry_window(&self) -> SignedDuration {
        if self.names_a_person() { RETRY_WINDOW } else { RETRY_WINDOW_WITHOUT_PERSON }
    }
}
