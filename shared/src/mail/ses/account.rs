//! What Amazon SES says about its account, identities, configuration sets and suppressed addresses, for `lead-validation`.

use crate::aws::SdkConfig;
use crate::aws::error_code;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::error::SdkError;
use aws_sdk_sesv2::operation::get_suppressed_destination::{
    GetSuppressedDestinationError, GetSuppressedDestinationOutput,
};
use aws_sdk_sesv2::types::DkimStatus;

/// A client that asks SES (API v2) about the account.
#[derive(Clone)]
pub struct SesAccount {
    client: Client,
}

/// Why SES did not answer a question: the service's error code, or what happened; see [`error_code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SesError(pub String);

/// The account's state in this region.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Whether the account has left the sandbox, so that it may send to addresses that are not verified.
    pub has_production_access: bool,
    /// Whether sending is on.
    pub is_sending: bool,
    /// `HEALTHY`, `PROBATION` or `SHUTDOWN`. It is empty if SES does not say.
    pub enforcement: String,
    /// How many mails may be sent in 24 hours; a negative number means that there is no limit. `None` if SES does not
    /// say.
    pub daily_quota: Option<f64>,
    /// How many mails were sent in the last 24 hours.
    pub sent_last_day: f64,
}

/// A sender or recipient that SES knows: an address or a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Whether mails may be sent from it.
    pub is_verified: bool,
    /// Whether mails from it are signed with DKIM, which must be switched on and have its records in DNS.
    pub is_signed: bool,
}

/// Whether an answer about an address says that it is on the suppression list.
pub(super) fn suppressed(
    answer: Result<GetSuppressedDestinationOutput, SdkError<GetSuppressedDestinationError, HttpResponse>>,
) -> Result<bool, SesError> {
    match answer {
        Ok(answer) => Ok(answer.suppressed_destination.is_some()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found_exception()) => Ok(false),
        Err(error) => Err(SesError(error_code(&error))),
    }
}

impl SesAccount {
    /// A client with the region, credentials and HTTP client of `config`.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// The account's state.
    ///
    /// # Errors
    /// If SES does not answer, or refuses to answer this caller.
    pub async fn account(&self) -> Result<Account, SesError> {
        let answer = self.client.get_account().send().await.map_err(|error| SesError(error_code(&error)))?;
        Ok(Account {
            has_production_access: answer.production_access_enabled,
            is_sending: answer.sending_enabled,
            enforcement: answer.enforcement_status.unwrap_or_default(),
            daily_quota: answer.send_quota.as_ref().map(|quota| quota.max24_hour_send),
            sent_last_day: answer.send_quota.map_or(0.0, |quota| quota.sent_last24_hours),
        })
    }

    /// What SES knows of an address or a domain; `None` if it does not know it.
    ///
    /// # Errors
    /// If SES does not answer, or refuses to answer this caller.
    pub async fn identity(&self, name: &str) -> Result<Option<Identity>, SesError> {
        match self.client.get_email_identity().email_identity(name).send().await {
            Ok(answer) => Ok(Some(Identity {
                is_verified: answer.verified_for_sending_status,
                is_signed: answer
                    .dkim_attributes
                    .is_some_and(|dkim| dkim.signing_enabled && dkim.status == Some(DkimStatus::Success)),
            })),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found_exception()) => Ok(None),
            Err(error) => Err(SesError(error_code(&error))),
        }
    }

    /// Whether mails can be sent with a configuration set; `None` if SES does not know it.
    ///
    /// # Errors
    /// If SES does not answer, or refuses to answer this caller.
    pub async fn configuration_set(&self, name: &str) -> Result<Option<bool>, SesError> {
        match self.client.get_configuration_set().configuration_set_name(name).send().await {
            // Sending is on unless it was switched off.
            Ok(answer) => Ok(Some(answer.sending_options.is_none_or(|options| options.sending_enabled))),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found_exception()) => Ok(None),
            Err(error) => Err(SesError(error_code(&error))),
        }
    }

    /// Whether SES holds back mails to an address, because earlier ones bounced or its owner complained.
    ///
    /// # Errors
    /// If SES does not answer, or refuses to answer this caller.
    pub async fn is_suppressed(&self, address: &str) -> Result<bool, SesError> {
        suppressed(self.client.get_suppressed_destination().email_address(address).send().await)
    }
}
