//! How the service says no.

use super::clock::{Ticks, timestamp};
use serde_json::json;

/// An answer that is an error, as the service words it.
///
/// Codes: <https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes> and
/// <https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error code, such as `EntityAlreadyExists`.
    pub code: String,
    /// What a person reads.
    pub message: String,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// An error with this status, code and message.
    pub fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned(), retry_after: None }
    }

    /// The service has too much to do, and asks to come again after so many seconds.
    ///
    /// <https://learn.microsoft.com/azure/storage/tables/scalability-targets>
    pub fn server_busy(retry_after: u32) -> Self {
        let refusal = Self::new(503, "ServerBusy", "The server is currently unable to receive requests.");
        Self { retry_after: Some(retry_after), ..refusal }
    }

    /// The service failed.
    pub fn internal_error() -> Self {
        Self::new(500, "InternalError", "The server encountered an internal error. Please retry the request.")
    }

    /// The service gave up on a request.
    pub fn operation_timed_out() -> Self {
        Self::new(500, "OperationTimedOut", "The operation could not be completed within the permitted time.")
    }

    /// The credentials are missing or wrong.
    pub fn authentication_failed() -> Self {
        let message = "Server failed to authenticate the request. Make sure the value of Authorization header is formed \
                       correctly including the signature.";
        Self::new(403, "AuthenticationFailed", message)
    }

    pub(crate) fn table_not_found() -> Self {
        Self::new(404, "TableNotFound", "The table specified does not exist.")
    }

    pub(crate) fn table_exists() -> Self {
        Self::new(409, "TableAlreadyExists", "The table specified already exists.")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "ResourceNotFound", "The specified resource does not exist.")
    }

    pub(crate) fn exists() -> Self {
        Self::new(409, "EntityAlreadyExists", "The specified entity already exists.")
    }

    pub(crate) fn condition_not_satisfied() -> Self {
        let message = "The update condition specified in the request was not satisfied.";
        Self::new(412, "UpdateConditionNotSatisfied", message)
    }

    pub(crate) fn invalid_input(message: &str) -> Self {
        Self::new(400, "InvalidInput", message)
    }

    pub(crate) fn out_of_range(message: &str) -> Self {
        Self::new(400, "OutOfRangeInput", message)
    }

    pub(crate) fn body_too_large() -> Self {
        let message = "The request body is too large and exceeds the maximum permissible limit.";
        Self::new(413, "RequestBodyTooLarge", message)
    }

    /// The service may know this; the model of it here does not.
    pub(crate) fn not_implemented(what: &str) -> Self {
        let message = format!("The strict table service does not implement this: {what}");
        Self::new(501, "NotImplemented", &message)
    }

    /// The same error as the failure of one operation of a batch: its number stands before the message.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions#sample-error-response>
    pub(crate) fn of_operation(self, index: usize) -> Self {
        Self { message: format!("{index}:{}", self.message), ..self }
    }

    /// The body.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2>
    pub(crate) fn body(&self, request_id: &str, now: Ticks) -> String {
        let text = format!("{}\nRequestId:{request_id}\nTime:{:.7}", self.message, timestamp(now));
        let message = json!({ "lang": "en-US", "value": text });
        json!({ "odata.error": { "code": self.code, "message": message } }).to_string()
    }
}
