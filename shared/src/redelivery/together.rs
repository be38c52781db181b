//! Leads of one day that are stored together: with one request for up to a hundred of them, and one more where they are late.

use super::{Delivered, Redelivery, RedeliveryError, is_late, read};
use crate::bug::{caught, caught_while};
use crate::cue;
use crate::lead::{Day, StoredLead, is_near_midnight};
use crate::table::{Keys, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, Operation, Table, TableError};
use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

/// What stores a lead, and its day.
type Insert = (Day, Operation);

/// Messages that are handled together.
pub(super) struct Together {
    /// The places of messages with the same lead, which follow one on another.
    pub(super) lines: Vec<Vec<usize>>,
    /// The day whose leads these are. `None` where there is one line, whose messages are handled by themselves.
    day: Option<Day>,
    /// What stores the first lead of each line.
    inserts: Vec<Operation>,
    bytes: usize,
}

impl Together {
    /// A line that begins with the message at this place.
    fn one(place: usize, insert: Option<Insert>) -> Self {
        let (day, insert) = insert.unzip();
        let bytes = insert.as_ref().map_or(0, Operation::bytes);
        Self { lines: vec![vec![place]], day, inserts: insert.into_iter().collect(), bytes }
    }

    /// Whether one request writes the leads of both.
    fn has_room_for(&self, other: &Self) -> bool {
        self.day.is_some()
            && self.day == other.day
            && self.lines.len() + other.lines.len() <= MAX_BATCH_OPERATIONS
            && self.bytes + other.bytes <= MAX_BATCH_BYTES
    }

    fn join(&mut self, other: Self) {
        self.lines.extend(other.lines);
        self.inserts.extend(other.inserts);
        self.bytes += other.bytes;
    }
}

/// Arranges messages: those with the same lead in one line, and the lines of a day together, where the insert alone decides.
/// That is not so near midnight, nor where nobody could tell yet whether the key of a body opens intake.
pub(super) fn arranged(messages: &[(&str, &str)]) -> Vec<Together> {
    let mut lines: Vec<(Vec<u8>, Together)> = Vec::new();
    for (place, (_, message)) in messages.iter().enumerate() {
        // What our own code fails on is a line of its own, and fails there again.
        let known = caught(|| name_and_insert(message)).ok().flatten();
        let (name, insert) = known.unwrap_or_else(|| (message.as_bytes().to_vec(), None));
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, line)) => line.lines[0].push(place),
            None => lines.push((name, Together::one(place, insert))),
        }
    }
    let mut arranged: Vec<Together> = Vec::new();
    for (_, one) in lines {
        match arranged.iter_mut().find(|together| together.has_room_for(&one)) {
            Some(together) => together.join(one),
            None => arranged.push(one),
        }
    }
    arranged
}

/// What a message has in common with others of the same lead; and the insert of its lead, where that alone decides, with its
/// day. `None` where intake did not write the message.
fn name_and_insert(message: &str) -> Option<(Vec<u8>, Option<Insert>)> {
    Some(match read(message).ok()? {
        (queued, Ok(lead)) => {
            let lead = StoredLead::received(lead, queued.received);
            let is_decided = queued.key.is_none() && !is_near_midnight(&lead);
            let insert = is_decided.then(|| (Day::of(queued.received), Operation::Insert(lead.to_entity())));
            (lead.keys.row.into_bytes(), insert)
        }
        (queued, Err(_)) => (queued.body, None),
    })
}

impl<T: Table> Redelivery<T> {
    /// Stores the first lead of each line, all of them with one request if that can be. Gives for each line what became of
    /// that lead; nothing where its message has to be handled by itself, which tells a conflict or a bad row apart.
    pub(super) async fn store_together(
        &self,
        together: &Together,
        now: Timestamp,
        until: Instant,
    ) -> Vec<Option<Result<Delivered, RedeliveryError>>> {
        let inserts = &together.inserts;
        let Some(day) = together.day.filter(|_| inserts.len() > 1) else { return vec![None; together.lines.len()] };
        let partition_key = day.partition_key();
        if is_late(day, now) {
            let keys = inserts.iter().map(|insert| Keys::new(&partition_key, insert.row_key()));
            let left = in_time(until, cue::leave_together(&self.state, keys, &self.chance)).await;
            if let Err(error) = left {
                return vec![Some(Err(error)); inserts.len()];
            }
        }
        let written = self.write(&partition_key, inserts, until).await;
        let stored = |insert: &Operation| {
            let id = insert.row_key().to_owned();
            Delivered::Stored { id, is_same_request: false }
        };
        let delivered = written.into_iter().zip(inserts);
        delivered.map(|(written, insert)| Some(written?.map(|()| stored(insert)))).collect()
    }

    /// Writes rows of one day with one request. Where that fails for what may be a row, it writes them in parts of some ten
    /// rows, so that one bad row among a hundred costs some twenty requests more. Says of each row whether it was written;
    /// nothing where its part failed, too.
    async fn write(
        &self,
        partition_key: &str,
        rows: &[Operation],
        until: Instant,
    ) -> Vec<Option<Result<(), RedeliveryError>>> {
        let submit = |rows| in_time(until, async move { self.leads.submit(partition_key, rows).await.map(drop) });
        let whole = submit(rows).await;
        match &whole {
            Err(error) if !is_of_the_table(error) => {
                tracing::warn!(leads = rows.len(), %error, "not stored together");
            }
            _ => return vec![Some(whole); rows.len()],
        }
        let parts = rows.chunks(rows.len().isqrt());
        let written = join_all(parts.clone().map(submit)).await;
        // Where no part gets through, it is not for a row.
        let is_down = written.iter().all(may_be_of_the_table);
        let answers = parts.zip(written).flat_map(|(part, written)| {
            let is_decided = is_down || written.as_ref().err().is_none_or(is_of_the_table);
            vec![is_decided.then_some(written); part.len()]
        });
        answers.collect()
    }
}

/// A call on a table, but not beyond a time.
async fn in_time(until: Instant, call: impl Future<Output = Result<(), TableError>>) -> Result<(), RedeliveryError> {
    Ok(timeout_at(until, caught_while(call)).await.map_err(|_| RedeliveryError::OutOfTime)???)
}

/// Whether a write failed for what has nothing to do with its rows. A refusal without the service's own code may come from
/// somebody in between, who looks into a row.
fn is_of_the_table(error: &RedeliveryError) -> bool {
    match error {
        RedeliveryError::OutOfTime | RedeliveryError::Table(TableError::TableNotFound) => true,
        RedeliveryError::Table(TableError::Refused { code, .. } | TableError::Throttled { code }) => !code.is_empty(),
        _ => false,
    }
}

/// Whether a write failed as all would where the service, or the way to it, is down.
fn may_be_of_the_table(written: &Result<(), RedeliveryError>) -> bool {
    use TableError::{Refused, Throttled, Unavailable};
    matches!(written, Err(RedeliveryError::Table(Unavailable { .. } | Refused { .. } | Throttled { .. })))
}
