//! Following cues: rows that the window may miss, by their exact keys.

use super::{Item, READS_AT_ONCE, Reading};
use crate::cue::{Cue, Cued};
use crate::mail::Mailer;
use crate::notify::log::MAX_CUES;
use crate::notify::run::{Run, TABLE_CALL};
use crate::notify::{Notifier, NotifyError};
use crate::quarantine;
use crate::table::{Table, TableError};
use futures::stream::{self, StreamExt as _};
use jiff::SignedDuration;

/// How long a cue waits for its row.
const CUE_LIFE: SignedDuration = SignedDuration::from_hours(1);

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Fetches the rows that cues name. Says whether all of them were followed.
    pub(super) async fn follow_cues(&self, run: &mut Run<T>, reading: &mut Reading) -> Result<bool, NotifyError> {
        for cues in run.log.cues().to_vec().chunks(MAX_CUES) {
            let now = self.now();
            if !run.has_time(now, TABLE_CALL * 4) {
                return Ok(false);
            }
            let reads: Vec<_> = cues.iter().map(|cue| self.cued(cue)).collect();
            let rows: Vec<_> = stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
            for (cue, row) in cues.iter().zip(rows) {
                let is_young = cue.left.is_some_and(|left| now < left.saturating_add(CUE_LIFE).unwrap_or(now));
                match row {
                    // The cue stays; what it names keeps nothing else from being read.
                    Err(error) => {
                        run.failed("cues", &error);
                        continue;
                    }
                    Ok(None) if is_young => continue,
                    Ok(None) => {}
                    Ok(Some(item)) => {
                        let Some(known) = self.known(run, reading).await? else { return Ok(false) };
                        if known.insert(&item.entry()) {
                            reading.batch.push(item);
                        }
                    }
                }
                reading.batch.cues.push(cue.clone());
                if reading.batch.is_full() {
                    if !run.has_time(self.now(), TABLE_CALL) {
                        return Ok(false);
                    }
                    self.record_and_send(run, reading).await?;
                }
            }
        }
        Ok(true)
    }

    /// The row that a cue names, if it is there.
    async fn cued(&self, cue: &Cue) -> Result<Option<Item>, NotifyError> {
        let row = match &cue.cued {
            None => return Ok(None),
            Some(Cued::Lead { partition_key, row_key }) => {
                self.leads.get(partition_key, row_key).await.map(|row| Item::of_row(&row))
            }
            Some(Cued::Quarantined { row_key }) => {
                self.state.get(quarantine::PARTITION, row_key).await.map(|row| Item::of_body(&row))
            }
        };
        match row {
            Ok(item) => Ok(Some(item)),
            Err(TableError::NotFound) => Ok(None),
            // Keys that the service does not take name no row.
            Err(TableError::Rejected { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
