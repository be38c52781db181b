//! The check `connection-string`: its form, its credential, and whether Partner Center would take it.

use super::findings::Findings;
use super::secret_problem;
use crate::aws::SecretError;
use crate::secret::Secret;
use crate::table::{ConnectionString, Credential};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use url::form_urlencoded;

/// The clouds that Partner Center knows: suffix and name.
const CLOUDS: [(&str, &str); 4] = [
    ("core.windows.net", "Azure's public cloud"),
    ("core.chinacloudapi.cn", "Azure China"),
    ("core.usgovcloudapi.net", "Azure US Government"),
    ("core.cloudapi.de", "Azure Germany"),
];

/// How long before a signature expires it is warned of.
const EXPIRY_WARNING: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Every Azurite's account.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";

/// The bytes of a key that Azure makes.
const KEY_BYTES: usize = 64;

const COPY_AGAIN: &str = "copy the whole connection string again: Azure portal, the storage account, Access keys";

const SIGN_AGAIN: &str = "make a shared access signature: az storage account generate-sas --account-name <account> \
                          --services t --resource-types o --permissions raud --https-only --expiry <date>";

/// A connection string that was looked at.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) string: ConnectionString,
    pub(super) sas: Option<Sas>,
    /// Where it leads, in words: its host, or the emulator.
    pub(super) place: String,
    pub(super) is_emulator: bool,
    is_loopback: bool,
}

/// What a shared access signature says about itself.
///
/// <https://learn.microsoft.com/rest/api/storageservices/create-account-sas>,
/// <https://learn.microsoft.com/rest/api/storageservices/create-service-sas>
#[derive(Clone, Default)]
pub(super) struct Sas {
    services: Option<String>,
    resource_types: Option<String>,
    permissions: Option<String>,
    one_table: bool,
    policy: bool,
    addresses: bool,
    protocol: Option<String>,
    pub(super) starts: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    expiry_unreadable: bool,
}

pub(super) async fn check(
    secret: impl Future<Output = Option<Result<Secret, SecretError>>>,
    now: Timestamp,
) -> (Findings, Option<Connection>) {
    let mut findings = Findings::default();
    let secret = match secret.await {
        Some(Ok(secret)) => secret,
        Some(Err(error)) => {
            findings.fault(secret_problem(&error).of("the connection string"));
            return (findings, None);
        }
        None => {
            findings.fail(
                "there is no connection string in the settings",
                "set LEADS_STORAGE_CONNECTION_STRING_PARAMETER to the name of the SSM parameter that holds it",
            );
            return (findings, None);
        }
    };
    let text = secret.expose().trim();
    let string = match ConnectionString::parse(text) {
        Ok(string) => string,
        Err(error) => {
            findings.fail(error.to_string(), COPY_AGAIN);
            return (findings, None);
        }
    };
    let connection = connection(string);
    place(&mut findings, &connection);
    match &connection.sas {
        Some(sas) => {
            signature(&mut findings, sas, now);
            findings.saw(
                "Partner Center takes an account key only: give it the one from the Azure portal, keep this one here",
            );
        }
        None => account_key(&mut findings, &connection, text),
    }
    (findings, Some(connection))
}

fn connection(string: ConnectionString) -> Connection {
    let sas = match &string.credential {
        Credential::AccountKey(_) => None,
        Credential::SharedAccessSignature(signature) => Some(Sas::parse(signature.expose())),
    };
    let host = string.endpoint.host_str().unwrap_or_default();
    let is_loopback = match string.endpoint.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        _ => host == "localhost",
    };
    let path = string.endpoint.path().trim_matches('/');
    let is_emulator = string.account == EMULATOR_ACCOUNT || path == EMULATOR_ACCOUNT;
    // A key that was pasted in place of the name must not be shown.
    let is_plain =
        host.len() <= 63 && host.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c));
    let place = match (is_emulator, is_plain) {
        (true, _) => "the emulator".to_owned(),
        (_, true) => host.to_owned(),
        _ => "the endpoint".to_owned(),
    };
    Connection { string, sas, place, is_emulator, is_loopback }
}

fn place(findings: &mut Findings, connection: &Connection) {
    let host = connection.string.endpoint.host_str().unwrap_or_default();
    let cloud = CLOUDS.iter().find(|(suffix, _)| host.ends_with(&format!(".table.{suffix}")));
    match cloud {
        _ if connection.is_emulator => findings.saw(connection.place.clone()),
        Some((_, name @ "Azure Germany")) => findings.warn(
            format!("{} in {name}, which Microsoft closed in 2021", connection.place),
            "use a storage account of another cloud",
        ),
        Some((_, name)) => findings.saw(format!("{} in {name}", connection.place)),
        None if host.ends_with(".azure.com") => findings.warn(
            format!("{} is Azure Cosmos DB", connection.place),
            "use a storage account: Partner Center writes into Azure Storage only",
        ),
        None => findings.warn(
            format!("{} is in none of Azure's clouds", connection.place),
            "correct EndpointSuffix or TableEndpoint, unless this is meant",
        ),
    }
    if connection.string.endpoint.scheme() != "https" && !connection.is_loopback {
        findings.fail(
            "the connection would not be encrypted",
            "write DefaultEndpointsProtocol=https, or https:// in TableEndpoint",
        );
    }
}

fn account_key(findings: &mut Findings, connection: &Connection, text: &str) {
    let Credential::AccountKey(key) = &connection.string.credential else { return };
    if BASE64_STANDARD.decode(key.expose()).is_ok_and(|key| key.len() != KEY_BYTES) {
        findings.warn("AccountKey is not as long as Azure's keys are: it was probably cut", COPY_AGAIN);
    }
    match partner_center(text) {
        Ok(()) => findings.saw("Partner Center takes it"),
        Err(_) if connection.is_emulator => findings.saw("Partner Center takes no emulator's"),
        Err(wrong) => findings.warn(
            format!("Partner Center does not take it: {wrong}"),
            "give Partner Center DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…;EndpointSuffix=… in just this \
             order; the functions take it as it is",
        ),
    }
    if !connection.is_emulator {
        findings.warn(
            "an account key opens all of the account",
            format!(
                "let Partner Center alone have the key, and the functions a shared access signature: {SIGN_AGAIN}; put it \
                 into the SSM parameter as TableEndpoint=https://<account>.table.<suffix>;SharedAccessSignature=<signature>"
            ),
        );
    }
}

/// Whether Partner Center takes a connection string; or else what is wrong with which part.
///
/// Its pattern: `DefaultEndpointsProtocol=https;AccountName=<3–24 of a-z0-9>;AccountKey=<Base64>`, then `;` or
/// `;EndpointSuffix=` and the suffix of a cloud.
fn partner_center(text: &str) -> Result<(), String> {
    let mut parts = (1..).zip(text.split(';'));
    let mut part = |name: &str| -> Result<(i32, &str), String> {
        let (number, part) = parts.next().ok_or_else(|| format!("{name} is missing at its end"))?;
        match part.split_once('=') {
            Some((found, value)) if found == name => Ok((number, value)),
            _ => Err(format!("part {number} is not {name}=…, spelt and placed so")),
        }
    };
    let (number, protocol) = part("DefaultEndpointsProtocol")?;
    if protocol != "https" {
        return Err(format!("part {number}, DefaultEndpointsProtocol, is not https"));
    }
    let (number, account) = part("AccountName")?;
    if !(3..=24).contains(&account.len()) {
        return Err(format!("part {number}, AccountName, has {} characters, not 3 to 24", account.chars().count()));
    }
    if !account.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        return Err(format!("part {number}, AccountName, has other characters than a-z and 0-9"));
    }
    let (number, key) = part("AccountKey")?;
    if key.is_empty() || BASE64_STANDARD.decode(key).is_err() {
        return Err(format!("part {number}, AccountKey, is not Base64"));
    }
    let rest: Vec<_> = parts.map(|(_, part)| part).collect();
    match rest.as_slice() {
        [""] => Ok(()),
        [] => Err("it ends after AccountKey; EndpointSuffix, or at least a `;`, is to follow".to_owned()),
        [last] => match last.strip_prefix("EndpointSuffix=") {
            Some(suffix) if CLOUDS.iter().any(|(known, _)| *known == suffix) => Ok(()),
            Some(_) => Err("part 4, EndpointSuffix, is none of the four clouds'".to_owned()),
            None => Err("part 4 is not EndpointSuffix=…".to_owned()),
        },
        [_, ""] => Err("there is a `;` after its last part".to_owned()),
        _ => Err("there are parts after EndpointSuffix".to_owned()),
    }
}

impl Sas {
    fn parse(signature: &str) -> Self {
        let mut sas = Self::default();
        for (name, value) in form_urlencoded::parse(signature.as_bytes()) {
            match name.as_ref() {
                "ss" => sas.services = Some(value.into_owned()),
                "srt" => sas.resource_types = Some(value.into_owned()),
                "sp" => sas.permissions = Some(value.into_owned()),
                "tn" => sas.one_table = true,
                "si" => sas.policy = true,
                "sip" => sas.addresses = true,
                "spr" => sas.protocol = Some(value.into_owned()),
                "st" => sas.starts = time(&value),
                "se" => {
                    sas.expires = time(&value);
                    sas.expiry_unreadable = sas.expires.is_none();
                }
                _ => {}
            }
        }
        sas
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// A time of a signature: a day, or a time in UTC with or without seconds.
fn time(text: &str) -> Option<Timestamp> {
    let with_seconds = || text.strip_suffix('Z').and_then(|minutes| format!("{minutes}:00Z").parse().ok());
    let day = || format!("{text}T00:00:00Z").parse().ok();
    text.parse().ok().or_else(with_seconds).or_else(day)
}

fn signature(findings: &mut Findings, sas: &Sas, now: Timestamp) {
    match sas.expires {
        Some(expires) if expires <= now => {
            findings.fail(format!("the shared access signature expired on {} (se=)", day(expires)), SIGN_AGAIN);
        }
        Some(expires) if expires <= now + EXPIRY_WARNING => {
            findings.warn(format!("the shared access signature expires on {} (se=)", day(expires)), SIGN_AGAIN);
        }
        Some(expires) => findings.saw(format!("a shared access signature until {}", day(expires))),
        None if sas.expiry_unreadable => findings.fail("the signature's expiry (se=) is no time", SIGN_AGAIN),
        None if sas.policy => findings.saw("a shared access signature whose policy is kept in the account (si=)"),
        None => findings.fail("the signature has no expiry (se=): it was probably cut", SIGN_AGAIN),
    }
    if sas.starts.is_some_and(|starts| starts > now) {
        findings.fail("the signature is not valid yet (st=)", SIGN_AGAIN);
    }
    if sas.services.as_ref().is_some_and(|services| !services.contains('t')) {
        findings.fail("the signature is not for tables (ss= lacks t)", SIGN_AGAIN);
    }
    if sas.resource_types.as_ref().is_some_and(|types| !types.contains('o')) {
        findings.fail("the signature is not for rows (srt= lacks o)", SIGN_AGAIN);
    }
    if let Some(permissions) = &sas.permissions {
        let lacking: Vec<_> = [('r', "read"), ('a', "add"), ('u', "update"), ('d', "delete")]
            .into_iter()
            .filter(|(letter, _)| !permissions.contains(*letter))
            .map(|(letter, name)| format!("{letter} ({name})"))
            .collect();
        if !lacking.is_empty() {
            findings.fail(format!("the signature lacks permissions: sp= has no {}", lacking.join(", ")), SIGN_AGAIN);
        }
    }
    if sas.one_table {
        findings.fail("the signature is for one table alone (tn=); the functions use two", SIGN_AGAIN);
    }
    if sas.addresses {
        findings
            .warn("the signature is bound to addresses (sip=); Lambda functions have none of their own", SIGN_AGAIN);
    }
    if sas.protocol.as_ref().is_some_and(|protocol| protocol != "https") {
        findings.warn("the signature may be used without TLS (spr=)", SIGN_AGAIN);
    }
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    #[test]
    fn partner_center_takes_its_own_pattern_in_every_cloud_and_nothing_else() {
        let right = format!("DefaultEndpointsProtocol=https;AccountName=contoso1;AccountKey={KEY}");
        for end in CLOUDS.iter().map(|(suffix, _)| format!(";EndpointSuffix={suffix}")).chain([";".to_owned()]) {
            assert_eq!(partner_center(&format!("{right}{end}")), Ok(()), "{end}");
        }
        for (text, wrong) in [
            (right.clone(), "ends after AccountKey"),
            (format!("{right};EndpointSuffix=core.windows.net;"), "`;` after its last part"),
            (format!("{right};EndpointSuffix=core.contoso.com"), "none of the four"),
            (format!("{right};TableEndpoint=https://x"), "part 4 is not EndpointSuffix"),
            (right.replace("=https", "=http"), "part 1, DefaultEndpointsProtocol, is not https"),
            (format!("AccountName=contoso1;DefaultEndpointsProtocol=https;AccountKey={KEY};"), "part 1 is not Default"),
            (right.replace("AccountName", "accountname"), "part 2 is not AccountName"),
            (right.replace("contoso1", "co"), "part 2, AccountName, has 2 characters"),
            (right.replace("contoso1", "Contoso"), "part 2, AccountName, has other characters"),
            (right.replace("==", "=") + ";", "part 3, AccountKey, is not Base64"),
            ("UseDevelopmentStorage=true".to_owned(), "part 1 is not Default"),
            ("DefaultEndpointsProtocol=https".to_owned(), "AccountName is missing"),
        ] {
            let found = partner_center(&text).unwrap_err();
            assert!(found.contains(wrong), "{wrong}: {found}");
            assert!(!found.contains("contoso1") && !found.contains("Eby8"), "{found}");
        }
    }

    #[test]
    fn a_signatures_times_are_read_in_every_form_that_azure_writes() {
        for (text, expected) in [
            ("2026-12-31T23:59:59Z", "2026-12-31T23:59:59Z"),
            ("2026-12-31T23:59Z", "2026-12-31T23:59:00Z"),
            ("2026-12-31", "2026-12-31T00:00:00Z"),
            ("2026-12-31T23:59:59.0000000Z", "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(time(text), Some(expected.parse().unwrap()), "{text}");
        }
        assert_eq!(time("soon"), None);
    }
}
