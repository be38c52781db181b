//! The quarantine: bodies that came with a valid key and are in no row of the leads table, because they could not be read
//! as a lead or because the table will never take their row. They are rows of the state
//! table. The notifier names them in a digest, and deletes them when they are too old.

use crate::cue::{self, Cued};
use crate::lead::{Day, to_millisecond};
use crate::queued_body::QueuedBody;
use crate::table::{Entity, MAX_BINARY_BYTES, Table, TableError, Value, part_name};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The partition of the state table in which the quarantine is. A row's key is `<yyyy-mm-dd>-<32 hexadecimal digits>`: the
/// UTC day of reception, and the first 128 bits of the body's SHA-256.
pub const PARTITION: &str = "quarantine";

const RECEIVED_TIME: &str = "ReceivedTime";
const REASON: &str = "Reason";
const SIZE: &str = "Size";
const BODY: &str = "Body";

/// The most bytes of a body that are kept: as many full columns as a row holds beside its other ones. A function URL can
/// bring some 4.5 MB.
pub const MAX_KEPT_BYTES: usize = 15 * MAX_BINARY_BYTES;

/// A body in quarantine.
#[derive(Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The row's key.
    pub row_key: String,
    /// When intake received the body, to the millisecond.
    pub received: Option<Timestamp>,
    /// What is wrong with it, in words that hold nothing of it.
    pub reason: String,
    /// The body as it came, or its first [`MAX_KEPT_BYTES`]. The reason says where it was cut.
    pub body: Vec<u8>,
    /// How many bytes came.
    pub size: usize,
}

impl Quarantined {
    /// A body with what is wrong with it, in words that hold nothing of it, and with the row under which it belongs.
    pub fn new(body: &[u8], reason: &(impl fmt::Display + ?Sized), received: Timestamp) -> Self {
        Self::named(&Sha256::digest(body).into(), body, body.len(), reason, received)
    }

    /// The same for a body that was queued, of which a part may be missing.
    pub fn of_queued(queued: &QueuedBody, reason: &(impl fmt::Display + ?Sized)) -> Self {
        let QueuedBody { received, body, size, digest, .. } = queued;
        let digest = digest.unwrap_or_else(|| {
            let mut digest = Sha256::new_with_prefix(body);
            if body.len() < *size {
                // A version before this one cut it, and did not write the digest of the whole body.
                digest.update(size.to_string());
            }
            digest.finalize().into()
        });
        Self::named(&digest, body, *size, reason, *received)
    }

    /// A body of `size` bytes, of which the first ones are here, and the SHA-256 of all of them.
    fn named(
        digest: &[u8; 32],
        body: &[u8],
        size: usize,
        reason: &(impl fmt::Display + ?Sized),
        received: Timestamp,
    ) -> Self {
        let digest = hex::encode(&digest[..16]);
        let kept = &body[..body.len().min(MAX_KEPT_BYTES)];
        let mut reason = reason.to_string();
        if kept.len() < size {
            reason.push_str(&format!(" Only its first {} of {size} bytes are kept.", kept.len()));
        }
        Self {
            row_key: format!("{}-{digest}", Day::of(received)),
            received: Some(to_millisecond(received)),
            reason,
            body: kept.to_vec(),
            size,
        }
    }

    /// The row. A body longer than a column goes on in `Body_2`, `Body_3`, …
    pub fn to_entity(&self) -> Entity {
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        let mut row = Entity::new(PARTITION, &self.row_key).with(REASON, self.reason.as_str()).with(SIZE, size);
        if let Some(received) = self.received {
            row.set(RECEIVED_TIME, received);
        }
        for (number, part) in (1..).zip(self.body.chunks(MAX_BINARY_BYTES)) {
            row.set(&part_name(BODY, number), part.to_vec());
        }
        row
    }

    /// Reads a row. Columns that are missing count as empty.
    pub fn from_entity(row: &Entity) -> Self {
        let parts = (1..).map_while(|number| match row.properties.get(part_name(BODY, number).as_str()) {
            Some(Value::Binary(part)) => Some(part.as_slice()),
            _ => None,
        });
        let body = parts.collect::<Vec<_>>().concat();
        let size = row.integer(SIZE).and_then(|size| usize::try_from(size).ok());
        Self {
            row_key: row.row_key.clone(),
            received: row.time(RECEIVED_TIME),
            reason: row.string(REASON).unwrap_or_default().to_owned(),
            size: size.unwrap_or(body.len()).max(body.len()),
            body,
        }
    }
}

/// Keeps a body, and leaves a cue for the notifier before. The same body again on the same day is kept once. `random` tells
/// this attempt from every other one.
///
/// # Errors
/// Where the state table does not take it.
pub async fn keep<T: Table>(
    state: &T,
    body: &[u8],
    reason: &(impl fmt::Display + Sync + ?Sized),
    received: Timestamp,
    random: u64,
) -> Result<(), TableError> {
    put(state, &Quarantined::new(body, reason, received), random).await
}

/// The same for a body that was queued, of which a part may be missing.
///
/// # Errors
/// Where the state table does not take it.
pub async fn keep_queued<T: Table>(
    state: &T,
    queued: &QueuedBody,
    reason: &(impl fmt::Display + Sync + ?Sized),
    random: u64,
) -> Result<(), TableError> {
    put(state, &Quarantined::of_queued(queued, reason), random).await
}

async fn put<T: Table>(state: &T, quarantined: &Quarantined, random: u64) -> Result<(), TableError> {
    cue::leave(state, &Cued::Quarantined { row_key: quarantined.row_key.clone() }, random).await?;
    match state.insert(&quarantined.to_entity()).await {
        Ok(()) | Err(TableError::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Shows nothing of the body.
impl fmt::Debug for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quarantined").field("row_key", &self.row_key).finish_non_exhaustive()
    }
}
