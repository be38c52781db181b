//! Ways of breaking the system around its ports, to see whether the worlds notice.

use jiff::Timestamp;
use marketplace_leads::table::Operation;

/// How the system is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Breakage {
    /// It is as it is.
    #[default]
    None,
    /// One mail in twenty is accepted and reaches nobody. Whatever else changes, this one must be found.
    MailDropped,
    /// The watermark moves when a run begins.
    WatermarkFirst,
    /// Rows are read from the watermark on, without an overlap.
    NoOverlap,
    /// A digest is recorded only after it was sent.
    SentBeforeRecorded,
    /// Writes do not depend on the version of what they replace.
    CheckThenWrite,
}

impl Breakage {
    /// Every way of breaking it.
    pub const ALL: [Self; 5] =
        [Self::MailDropped, Self::WatermarkFirst, Self::NoOverlap, Self::SentBeforeRecorded, Self::CheckThenWrite];

    /// A batch of the state table's partition with the checkpoint, broken.
    pub fn batch(self, operations: &[Operation], now: Timestamp) -> Vec<Operation> {
        let mut operations = operations.to_vec();
        for operation in &mut operations {
            let (Operation::Insert(entity) | Operation::Replace(entity, _) | Operation::InsertOrReplace(entity)) =
                operation
            else {
                continue;
            };
            match self {
                Self::WatermarkFirst if entity.row_key == "checkpoint" => entity.set("Watermark", now),
                Self::SentBeforeRecorded if entity.row_key == "checkpoint" => entity.set_text("Pending", ""),
                Self::CheckThenWrite => *operation = Operation::InsertOrReplace(entity.clone()),
                _ => {}
            }
        }
        if self == Self::SentBeforeRecorded {
            operations.retain(|operation| {
                !matches!(operation, Operation::InsertOrReplace(row) if row.string("Status") == Some("pending"))
            });
        }
        operations
    }
}
