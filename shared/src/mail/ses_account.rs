//! What Amazon SES says about its account, identities and suppressed addresses, for `lead-validation`.

use crate::aws::SdkConfig;
use crate::aws::error_code;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::types::DkimStatus;

/// Asks SES (API v2).
#[derive(Clone)]
pub struct SesAccount {
    client: Client,
}

/// Why SES did not say: its error code, or what happened; see [`error_code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SesError(pub String);

/// The account's state in this region.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Whether mails go to addresses that are not verified, too: not in the sandbox.
    pub has_production_access: bool,
    /// Whether sending is on.
    pub is_sending: bool,
    /// `HEALTHY`, `PROBATION` or `SHUTDOWN`; empty where SES does not say.
    pub enforcement: String,
    /// How many mails may be sent in 24 hours; negative: any number. `None` where SES does not say.
    pub daily_quota: Option<f64>,
    /// How many mails were sent in the last 24 hours.
    pub sent_last_day: f64,
}

/// A sender or recipient that SES knows: an address or a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Whether mails may be sent from it.
    pub is_verified: bool,
    /// Whether its mails are signed: DKIM is switched on and its DNS records were found.
    pub is_signed: bool,
}

impl SesAccount {
    /// With the region, credentials and HTTP client of `config`.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// The account's state.
    ///
    /// # Errors
    /// Where SES does not answer, or not this caller.
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

    /// An address or a domain; `None` where SES does not know it.
    ///
    /// # Errors
    /// Where SES does not answer, or not this caller.
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

    /// Whether SES sends nothing to an address, since mails to it bounced or its owner complained.
    ///
    /// # Errors
    /// Where SES does not answer, or not this caller.
    pub async fn is_suppressed(&self, address: &str) -> Result<bool, SesError> {
        match self.client.get_suppressed_destination().email_address(address).send().await {
            Ok(answer) => Ok(answer.suppressed_destination.is_some()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found_exception()) => Ok(false),
            Err(error) => Err(SesError(error_code(&error))),
        }
    }
}
