//! The fence: every batch holds the row `core` and needs its version, so that a run which another one overtook cannot
//! write any more.

use super::Log;
use super::rows::{self, Core, PARTITION};
use crate::notify::NotifyError;
use crate::notify::run::{DEADLINE_MARGIN, TABLE_CALL};
use crate::notify::times;
use crate::table::{Keys, Operation, Table, TableError};
use jiff::SignedDuration;

/// How long the lease is held after a batch. A run's own end cuts it short.
const LEASE: SignedDuration = SignedDuration::from_secs(90);

/// How much longer than a run the lease may last: the clocks of two runs differ.
const LEASE_BEYOND_DEADLINE: SignedDuration = SignedDuration::from_secs(5);

/// How often a batch is tried that another write or a failing service got in the way of.
const COMMIT_ATTEMPTS: usize = 4;

impl<T: Table> Log<T> {
    /// Gives the lease back without a record of a run.
    pub(crate) async fn release(&mut self) -> Result<(), NotifyError> {
        if self.is_held { self.commit(Vec::new(), false).await } else { Ok(()) }
    }

    /// Makes sure that the lease lasts so long. A run that was held up may have been overtaken: it learns so here, before it
    /// sends what another run has sent.
    pub(crate) async fn keep_lease(&mut self, at_least: SignedDuration) -> Result<(), NotifyError> {
        let needed = times::later((self.clock)(), at_least);
        if self.core.lease_until.is_some_and(|until| until >= needed) { Ok(()) } else { self.seize().await }
    }

    /// Takes the lease.
    pub(crate) async fn seize(&mut self) -> Result<(), NotifyError> {
        self.commit(Vec::new(), true).await
    }

    /// Writes a batch with core in it, all or nothing, and only if core is as this run knows it.
    ///
    /// An answer that was lost is no harm: what stands in the table afterwards tells whether the batch was written. A row
    /// to delete that is gone already is left out.
    pub(super) async fn commit(&mut self, mut operations: Vec<Operation>, keep_lease: bool) -> Result<(), NotifyError> {
        if self.is_uncertain {
            return Err(NotifyError::Uncertain);
        }
        self.writes += 1;
        let mut core = Core { write_id: format!("{}-{}", self.owner, self.writes), ..self.core.clone() };
        let until =
            ((self.clock)() + LEASE).min(self.deadline.saturating_add(LEASE_BEYOND_DEADLINE).unwrap_or(self.deadline));
        (core.lease_owner, core.lease_until) =
            if keep_lease { (Some(self.owner.clone()), Some(until)) } else { (None, None) };
        operations.push(match &core.etag {
            Some(etag) => Operation::Replace(core.to_entity(), etag.clone()),
            None => Operation::Insert(core.to_entity()),
        });
        let mut last = None;
        for _ in 0..COMMIT_ATTEMPTS {
            if !self.has_time() {
                break;
            }
            let error = match self.table.submit(PARTITION, &operations).await {
                Ok(etags) => {
                    core.etag = etags.into_iter().next_back().flatten();
                    self.hold(core);
                    return Ok(());
                }
                Err(error) => error,
            };
            let is_open = error.is_transient()
                || matches!(error, TableError::Precondition | TableError::Exists | TableError::NotFound);
            if !is_open {
                return Err(error.into());
            }
            if !self.has_time() {
                last = Some(error);
                break;
            }
            let there = match self.table.get(&Keys::new(PARTITION, rows::CORE)).await {
                Ok(row) => Core::from_entity(&row),
                Err(TableError::NotFound) => Core::default(),
                Err(again) if again.is_transient() => {
                    last = Some(again);
                    continue;
                }
                Err(again) => return Err(again.into()),
            };
            if there.write_id == core.write_id {
                core.etag = there.etag;
                self.hold(core);
                return Ok(());
            }
            if there.etag != core.etag {
                return Err(NotifyError::LeaseLost);
            }
            if error == TableError::NotFound {
                self.drop_missing(&mut operations).await?;
            }
            last = Some(error);
        }
        self.is_uncertain = true;
        let unavailable = TableError::Unavailable { reason: "a batch could not be written".to_owned() };
        Err(last.unwrap_or(unavailable).into())
    }

    /// Whether one more call ends before the deadline, however long it takes.
    pub(super) fn has_time(&self) -> bool {
        (self.clock)() <= times::earlier(self.deadline, TABLE_CALL + DEADLINE_MARGIN)
    }

    fn hold(&mut self, core: Core) {
        self.is_held = core.lease_owner.is_some();
        // When a run began, by the service's clock, is what it read first.
        self.core = Core { written: self.core.written, ..core };
    }

    /// Takes the deletions of rows that are gone out of a batch.
    async fn drop_missing(&self, operations: &mut Vec<Operation>) -> Result<(), TableError> {
        let mut there = Vec::with_capacity(operations.len());
        for operation in operations.drain(..) {
            if let Operation::Delete { row_key } = &operation
                && self.has_time()
                && matches!(self.table.get(&Keys::new(PARTITION, row_key)).await, Err(TableError::NotFound))
            {
                continue;
            }
            there.push(operation);
        }
        *operations = there;
        Ok(())
    }
}
