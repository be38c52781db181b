//! What the service refuses before it looks at any row: the limits of rows and batches, with the service's codes.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes>

use super::entity::utf16_units;
use super::wire::read_time;
use super::{
    Entity, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, MAX_BINARY_BYTES, MAX_ENTITY_BYTES, MAX_KEY_UNITS, MAX_PROPERTIES,
    MAX_PROPERTY_NAME_UNITS, MAX_STRING_UNITS, Operation, TableError, Value,
};
use jiff::Timestamp;
use std::collections::HashSet;

impl Entity {
    /// Holds the row against the service's limits, without asking the service.
    ///
    /// # Errors
    /// [`TableError::Rejected`] with the code that the service answers: `KeyValueTooLarge`, `OutOfRangeInput`, `InvalidInput`,
    /// `TooManyProperties`, `PropertyNameTooLong`, `PropertyValueTooLarge` or `EntityTooLarge`.
    pub fn check_limits(&self) -> Result<(), TableError> {
        for key in [&self.partition_key, &self.row_key] {
            if utf16_units(key) > MAX_KEY_UNITS {
                return rejected("KeyValueTooLarge");
            }
            if key.contains(is_forbidden_in_keys) {
                return rejected("OutOfRangeInput");
            }
        }
        if self.properties.len() > MAX_PROPERTIES {
            return rejected("TooManyProperties");
        }
        for (name, value) in &self.properties {
            if utf16_units(name) > MAX_PROPERTY_NAME_UNITS {
                return rejected("PropertyNameTooLong");
            }
            match value {
                Value::String(text) if utf16_units(text) > MAX_STRING_UNITS => {
                    return rejected("PropertyValueTooLarge");
                }
                Value::Binary(bytes) if bytes.len() > MAX_BINARY_BYTES => return rejected("PropertyValueTooLarge"),
                Value::DateTime(text) if text.parse::<Timestamp>().is_err() => return rejected("InvalidInput"),
                Value::DateTime(text) if read_time(text).is_none() => return rejected("OutOfRangeInput"),
                _ => {}
            }
        }
        if self.bytes() > MAX_ENTITY_BYTES {
            return rejected("EntityTooLarge");
        }
        Ok(())
    }
}

/// Characters that the service allows in no key.
///
/// <https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#characters-disallowed-in-key-fields>
fn is_forbidden_in_keys(character: char) -> bool {
    matches!(character, '/' | '\\' | '#' | '?') || character.is_control()
}

/// Holds the size of a batch against the service's limits.
pub(super) fn check_batch_size(operations: &[Operation]) -> Result<(), TableError> {
    if operations.is_empty() || operations.len() > MAX_BATCH_OPERATIONS {
        return rejected("InvalidInput");
    }
    if operations.iter().fold(0, |sum: usize, operation| sum.saturating_add(operation.bytes())) > MAX_BATCH_BYTES {
        return Err(TableError::Rejected { status: 413, code: "RequestBodyTooLarge".to_owned() });
    }
    Ok(())
}

/// Holds a batch against all limits: its size, its rows, and that each row is another one of the one partition.
///
/// <https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions>
pub(super) fn check_batch(partition_key: &str, operations: &[Operation]) -> Result<(), TableError> {
    check_batch_size(operations)?;
    let mut row_keys = HashSet::new();
    for operation in operations {
        if !row_keys.insert(operation.row_key()) {
            return rejected("InvalidDuplicateRow");
        }
        let (Operation::Insert(entity) | Operation::Replace(entity, _) | Operation::InsertOrReplace(entity)) =
            operation
        else {
            continue;
        };
        if entity.partition_key != partition_key {
            return rejected("CommandsInBatchActOnDifferentPartitions");
        }
        entity.check_limits()?;
    }
    Ok(())
}

pub(super) fn rejected<T>(code: &str) -> Result<T, TableError> {
    Err(TableError::Rejected { status: 400, code: code.to_owned() })
}
