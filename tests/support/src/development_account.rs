//! The one account of the table services that run on this machine.
//!
//! Its name and key are published:
//! <https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key>.

/// The account's name.
pub const ACCOUNT: &str = "devstoreaccount1";

/// The account's key.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The connection string of the account on the table service behind a port of this machine.
pub fn connection_string(port: u16) -> String {
    format!(
        "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};TableEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    )
}
