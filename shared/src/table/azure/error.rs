//! The errors of the Azure crates as those of the port.

use super::transport::{AnswerTooLarge, TransportFailure};
use crate::table::{TableError, UNREADABLE_ANSWER};

/// Our own code for an answer that was not read to its end.
pub(super) const ANSWER_TOO_LARGE: &str = "AnswerTooLarge";

pub(super) fn unreadable() -> TableError {
    TableError::Unavailable { reason: UNREADABLE_ANSWER.to_owned() }
}

/// The kind of an error of the crates. Nothing of its text is passed on, because that can hold keys, addresses and rows.
pub(super) fn error(error: azure_core::Error) -> TableError {
    if let Some(http) = error.as_http_error() {
        return failure(u16::from(http.status()), http.error_code().unwrap_or_default());
    }
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if cause.is::<AnswerTooLarge>() {
            return TableError::Rejected { status: 200, code: ANSWER_TOO_LARGE.to_owned() };
        }
        if let Some(TransportFailure(reason)) = cause.downcast_ref() {
            return TableError::Unavailable { reason: (*reason).to_owned() };
        }
        source = cause.source();
    }
    unreadable()
}

/// <https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes>
fn failure(status: u16, code: &str) -> TableError {
    // A code is an identifier. Anything else in its place may be a secret or a person's data, so it is not passed on.
    let is_code = !code.is_empty() && code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric());
    let name = if is_code { code } else { "" }.to_owned();
    match (status, code) {
        (404, "TableNotFound") => TableError::TableNotFound,
        (404, "ResourceNotFound" | "EntityNotFound") => TableError::NotFound,
        (409, "EntityAlreadyExists" | "TableAlreadyExists") => TableError::Exists,
        (412, _) => TableError::Precondition,
        (401 | 403, _) => TableError::Refused { status, code: name },
        (429 | 503, _) => TableError::Throttled { code: name },
        // Without the service's own code, a 404 does not prove that a row is missing, nor a 409 that it exists: the answer
        // may come from a proxy, or say that the table is being deleted.
        (404 | 408 | 409 | 500.., _) => {
            TableError::Unavailable { reason: format!("the service answered {status} {name}").trim_end().to_owned() }
        }
        _ => TableError::Rejected { status, code: name },
    }
}
