//! Storage connection strings: the address of the table service, and the credential for it.

use crate::secret::Secret;
use std::fmt;
use url::Url;

/// The account and key that every Azurite has: public, no secret.
///
/// <https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key>
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ENDPOINT: &str = "http://127.0.0.1:10002/devstoreaccount1";

/// The suffix of the public cloud, where a connection string names none.
const PUBLIC_SUFFIX: &str = "core.windows.net";

/// What a connection string says about the table service.
#[derive(Clone)]
pub struct ConnectionString {
    /// The account's name.
    pub account: String,
    /// The table service's address, without a slash at its end.
    pub endpoint: Url,
    /// What requests are signed with.
    pub credential: Credential,
}

/// What requests are signed with.
#[derive(Clone)]
pub enum Credential {
    /// An account key: Base64.
    AccountKey(Secret),
    /// A shared access signature: the query string, without its question mark.
    SharedAccessSignature(Secret),
}

/// What is wrong with a connection string. Names its part, never its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConnectionString(pub String);

impl ConnectionString {
    /// Reads a connection string in any of the forms that Azure's SDKs know: account key or shared access signature,
    /// `EndpointSuffix` of any cloud, explicit `TableEndpoint`, `UseDevelopmentStorage=true`; parts in any order and
    /// casing, with or without a `;` at the end.
    ///
    /// # Errors
    /// Where a part is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, InvalidConnectionString> {
        let fail = |message: String| Err(InvalidConnectionString(message));
        let mut parts = Parts::default();
        for (number, part) in text.split(';').map(str::trim).enumerate().filter(|(_, part)| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return fail(format!("part {} has no `=`; each part is Name=value, separated by `;`", number + 1));
            };
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                "accountname" => &mut parts.account_name,
                "accountkey" => &mut parts.account_key,
                "sharedaccesssignature" => &mut parts.sas,
                "endpointsuffix" => &mut parts.suffix,
                "defaultendpointsprotocol" => &mut parts.protocol,
                "tableendpoint" => &mut parts.table_endpoint,
                "usedevelopmentstorage" => &mut parts.development,
                _ => continue,
            };
            if slot.replace(value.trim()).is_some_and(|first| first != value.trim()) {
                return fail(format!("part {} says again, and otherwise, what an earlier part says", number + 1));
            }
        }
        if parts.development.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Self {
                account: EMULATOR_ACCOUNT.to_owned(),
                endpoint: endpoint(parts.table_endpoint.unwrap_or(EMULATOR_ENDPOINT))?,
                credential: Credential::AccountKey(Secret::new(EMULATOR_KEY)),
            });
        }
        let credential = match (parts.account_key, parts.sas) {
            (Some(key), _) if base64::Engine::decode(&base64::prelude::BASE64_STANDARD, key).is_ok() => {
                Credential::AccountKey(Secret::new(key))
            }
            (Some(_), _) => return fail("AccountKey is not Base64: it was probably cut when it was copied".into()),
            (None, Some(sas)) if sas.contains("sig=") => {
                Credential::SharedAccessSignature(Secret::new(sas.trim_start_matches('?')))
            }
            (None, Some(_)) => return fail("SharedAccessSignature has no `sig=`: it was probably cut".into()),
            (None, None) => return fail("neither AccountKey nor SharedAccessSignature is there".into()),
        };
        let endpoint = match (parts.table_endpoint, parts.account_name) {
            (Some(address), _) => endpoint(address)?,
            (None, Some(account)) => {
                let protocol = parts.protocol.unwrap_or("https");
                let suffix = parts.suffix.unwrap_or(PUBLIC_SUFFIX);
                endpoint(&format!("{protocol}://{account}.table.{suffix}"))?
            }
            (None, None) => return fail("neither AccountName nor TableEndpoint is there".into()),
        };
        let account = match parts.account_name {
            Some(account) => account.to_owned(),
            None if matches!(credential, Credential::AccountKey(_)) => {
                return fail("AccountName is missing: an account key needs it".into());
            }
            None => endpoint.host_str().unwrap_or_default().split('.').next().unwrap_or_default().to_owned(),
        };
        Ok(Self { account, endpoint, credential })
    }
}

#[derive(Default)]
struct Parts<'a> {
    account_name: Option<&'a str>,
    account_key: Option<&'a str>,
    sas: Option<&'a str>,
    suffix: Option<&'a str>,
    protocol: Option<&'a str>,
    table_endpoint: Option<&'a str>,
    development: Option<&'a str>,
}

fn endpoint(address: &str) -> Result<Url, InvalidConnectionString> {
    let url = Url::parse(address.trim_end_matches('/')).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none());
    url.ok_or_else(|| {
        let expected = "https://<account>.table.<suffix>";
        InvalidConnectionString(format!("AccountName, EndpointSuffix or TableEndpoint give no address like {expected}"))
    })
}

/// Shows no secret.
impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString").finish_non_exhaustive()
    }
}
