//! The check `storage`: whether the account exists and accepts the credential. It also holds what an error of the table
//! service means, for every check that meets one.

use super::connection_string::Connection;
use super::findings::{Fault, Findings};
use crate::settings::{ValidationSettings, variables};
use crate::table::azure::{AzureTables, Limits};
use crate::table::{Credential, MAX_ANSWER_BYTES, Query, Table as _, TableError};
use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, Instant};

/// From here on Azure refuses every request.
///
/// <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key#specifying-the-date-header>
const REFUSED_OFFSET: SignedDuration = SignedDuration::from_mins(15);

/// Short limits: validation reports a fault, where the other functions wait for it to pass.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(3),
    request: Duration::from_secs(7),
    retries: 1,
    total: Duration::from_secs(10),
    page_bytes: MAX_ANSWER_BYTES,
};

/// An account that answers.
pub(super) struct Account {
    pub(super) connection: Connection,
    pub(super) tables: AzureTables,
    /// The name of the table with the leads.
    pub(super) leads_table: String,
    /// The name of the state table.
    pub(super) state_table: String,
    pub(super) now: Timestamp,
}

pub(super) async fn check(
    connection: Connection,
    settings: &ValidationSettings,
    now: Timestamp,
) -> (Findings, Option<Account>) {
    let mut findings = Findings::default();
    let storage = &settings.storage;
    if settings.storage_endpoint.as_ref().is_some_and(|url| url.origin() != connection.string.endpoint.origin()) {
        let variable = variables::STORAGE_ENDPOINT.name;
        findings.warn(
            format!("{variable} is not where the connection string leads: intake opens a connection for nothing"),
            format!("set {variable} to the address of this account's tables, https://<account>.table.<suffix>, or to nothing"),
        );
    }
    let (Some(leads_table), Some(state_table)) = (storage.table.clone(), storage.state_table.clone()) else {
        return (Findings::skip("LEADS_TABLE or LEADS_STATE_TABLE is wrong", "see `settings`"), None);
    };
    let tables = match AzureTables::new(&connection.string, LIMITS) {
        Ok(tables) => tables,
        Err(error) => {
            findings.fail(error.to_string(), "see `connection-string`");
            return (findings, None);
        }
    };
    let account = Account { connection, tables, leads_table, state_table, now };
    let started = Instant::now();
    let query = Query { page_size: Some(1), select: vec!["PartitionKey"], ..Query::default() };
    match account.tables.table(&account.leads_table).page(&query, None).await {
        Ok(_) | Err(TableError::TableNotFound) => {
            let credential = match account.connection.string.credential {
                Credential::AccountKey(_) => "account key",
                Credential::SharedAccessSignature(_) => "shared access signature",
            };
            let scheme =
                if account.connection.string.endpoint.scheme() == "https" { "with TLS" } else { "without TLS" };
            let millis = started.elapsed().as_millis();
            findings.saw(format!(
                "{} answers {scheme} in {millis} ms and takes the {credential}",
                account.connection.place
            ));
            (findings, Some(account))
        }
        Err(error) => {
            if is_unknown_name(&error) && has_other_services(&account.connection).await {
                findings.fail(
                    format!(
                        "{} has no table service: the account is of a kind without tables",
                        account.connection.place
                    ),
                    "use a storage account of the kind StorageV2 (general purpose v2) with standard performance",
                );
            } else {
                findings.fault(account.explain(&error));
            }
            (findings, None)
        }
    }
}

fn is_unknown_name(error: &TableError) -> bool {
    matches!(error, TableError::Unavailable { reason } if reason.contains("does not resolve"))
}

/// Whether the account's Blob service has a name although its table service has none.
async fn has_other_services(connection: &Connection) -> bool {
    let host = connection.string.endpoint.host_str().unwrap_or_default();
    let Some((account, suffix)) = host.split_once(".table.") else { return false };
    let found = tokio::net::lookup_host((format!("{account}.blob.{suffix}"), 443)).await;
    found.is_ok_and(|mut addresses| addresses.next().is_some())
}

impl Account {
    /// How far the service's clock is ahead of ours, as far as that is known.
    pub(super) fn clock_offset(&self) -> SignedDuration {
        self.tables.clock_offset().unwrap_or_default()
    }

    /// What an error means here, and what to do about it.
    pub(super) fn explain(&self, error: &TableError) -> Fault {
        let place = &self.connection.place;
        match error {
            TableError::Unavailable { reason } => self.unavailable(reason),
            TableError::Refused { status, code } => self.refused(*status, code),
            TableError::Throttled { code } => Fault::new(
                format!("{place} is over its limits and asks to slow down ({code})"),
                "run this again in some minutes; if it stays, the metrics of the account in the Azure portal show who uses \
                 it up: give the leads an account of their own",
            ),
            TableError::TableNotFound => Fault::new(
                "the table does not exist",
                "run this with {\"create\":true}, or correct LEADS_TABLE and LEADS_STATE_TABLE",
            ),
            TableError::NotFound => Fault::new(
                format!("{place} does not know what it was asked for"),
                "correct the path of TableEndpoint in the connection string",
            ),
            TableError::Exists | TableError::Precondition => {
                Fault::new(error.to_string(), "run this again: another wrote at the same moment")
            }
            TableError::Rejected { status, code } => Fault::new(
                format!("{place} does not understand the request ({status} {code})"),
                "correct TableEndpoint in the connection string: it is to be a storage account's table service",
            ),
        }
    }

    fn unavailable(&self, reason: &str) -> Fault {
        let place = &self.connection.place;
        let cure = match reason {
            "the account's name does not resolve" => {
                return Fault::new(
                    format!("there is no such account: the name {place} does not resolve"),
                    "correct AccountName and EndpointSuffix (copy the connection string again from the Azure portal); if \
                     the account was deleted, create one and give its connection string to Partner Center too",
                );
            }
            "the connection was refused" | "no connection" => {
                "see that the function's network leads to the account: a VPC needs a way to the Internet or to the account's \
                 private endpoint"
            }
            "the TLS handshake failed" => {
                "see what stands between the function and the account (a proxy with a certificate of its own?), and that \
                 TableEndpoint is an https address"
            }
            "no answer in time" => {
                "run this again; if it stays, see that the function's network leads to the account, and Azure's status page"
            }
            _ => "run this again; if it stays, see Azure's status page for Storage in the account's region",
        };
        Fault::new(format!("{place}: {reason}"), cure)
    }

    fn refused(&self, status: u16, code: &str) -> Fault {
        let offset = self.clock_offset();
        if offset.abs() >= REFUSED_OFFSET {
            return Fault::new(
                format!("the service refuses the request ({code}), and its clock is {} ours", describe(offset)),
                "set the clock right where this runs: Azure refuses requests that are 15 minutes off",
            );
        }
        let sas = self.connection.sas.as_ref();
        if sas.is_some_and(|sas| sas.has_expired(self.now)) {
            return Fault::new(
                format!("the service refuses the request ({code}): the shared access signature has expired"),
                "make another shared access signature, and put it into the SSM parameter: see `connection-string`",
            );
        }
        let wrong_credential = || {
            if sas.is_some() {
                (
                    format!(
                        "the service refuses the shared access signature ({code}): it was changed, or its key was rotated"
                    ),
                    "make another shared access signature, and put it into the SSM parameter",
                )
            } else {
                (
                    format!("the service refuses the account key ({code}): it is not one of the account's two keys"),
                    "copy the connection string again (Azure portal, the storage account, Access keys) into the SSM \
                     parameter; if a key was rotated, give the other one to Partner Center too",
                )
            }
        };
        let (seen, cure) = match code {
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => wrong_credential(),
            // The emulator's code for what Azure calls AuthenticationFailed.
            "AuthorizationFailure" if self.connection.is_emulator => wrong_credential(),
            "AuthorizationFailure" => (
                "the account refuses the request (AuthorizationFailure): mostly its firewall, else a credential without \
                 the right"
                    .to_owned(),
                "open the account's firewall (Azure portal, Networking): Microsoft's leads come from addresses that nobody \
                 knows, and Lambda's change, so enable access from all networks; with a shared access signature, see that \
                 ss=t, srt=o and sp=raud",
            ),
            "KeyBasedAuthenticationNotPermitted" => (
                "the account does not let account keys in (KeyBasedAuthenticationNotPermitted)".to_owned(),
                "allow storage account key access (Azure portal, the storage account, Configuration): Partner Center knows no \
                 other way, and shared access signatures need it too",
            ),
            "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions" => (
                format!("the shared access signature does not allow this ({code}): it seems to be for reading only"),
                "make a shared access signature with sp=raud, and put it into the SSM parameter",
            ),
            "AuthorizationResourceTypeMismatch" => (
                format!("the shared access signature is not for rows ({code})"),
                "make a shared access signature with srt=o (sco to create tables, too), and put it into the SSM parameter",
            ),
            "AuthorizationServiceMismatch" => (
                format!("the shared access signature is not for tables ({code})"),
                "make a shared access signature with ss=t, and put it into the SSM parameter",
            ),
            "AuthorizationProtocolMismatch" => (
                format!("the shared access signature needs TLS ({code})"),
                "write https:// in TableEndpoint",
            ),
            "AuthorizationSourceIPMismatch" => (
                format!("the shared access signature is bound to other addresses ({code})"),
                "make a shared access signature without sip=: Lambda's addresses change",
            ),
            "AccountIsDisabled" => (
                format!("the account is disabled ({code})"),
                "see the Azure subscription: it was probably not paid, or was cancelled",
            ),
            _ => (
                format!("the service does not let us in ({status} {code})"),
                "look the code up in Microsoft's list of table service error codes",
            ),
        };
        Fault::new(seen, cure)
    }
}

/// `20 minutes ahead of`
pub(super) fn describe(offset: SignedDuration) -> String {
    // The service tells whole seconds.
    let seconds = offset.unsigned_abs().as_secs();
    let span =
        super::settings::span(Duration::from_secs(if seconds < 120 { seconds } else { (seconds + 30) / 60 * 60 }));
    let side = if offset.is_negative() { "behind" } else { "ahead of" };
    format!("{span} {side}")
}
