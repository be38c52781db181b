//! The least that an insert costs: one HTTP exchange over a kept connection, written by hand.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What may go wrong.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A table of an emulated account, by bare HTTP.
pub struct BareTable {
    address: String,
    account: String,
    key: Vec<u8>,
    table: String,
    stream: Option<TcpStream>,
}

/// Keys of a row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Partition.
    pub partition_key: &'a str,
    /// Key within it.
    pub row_key: &'a str,
}

impl BareTable {
    /// Reads a connection string with `AccountName`, `AccountKey` and an `http` `TableEndpoint`.
    pub fn new(connection_string: &str, table: &str) -> Result<Self> {
        let part = |name: &str| {
            let found = connection_string.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.ok_or(format!("the connection string has no {name}"))
        };
        let endpoint = part("TableEndpoint")?.strip_prefix("http://").ok_or("the endpoint is not http")?;
        Ok(Self {
            address: endpoint.split('/').next().unwrap_or_default().to_owned(),
            account: part("AccountName")?.to_owned(),
            key: BASE64_STANDARD.decode(part("AccountKey")?)?,
            table: table.to_owned(),
            stream: None,
        })
    }

    /// Inserts a row with the columns and lengths of what intake stores of a measured lead.
    pub async fn insert(&mut self, row: Row<'_>) -> Result<()> {
        let Row { partition_key, row_key } = row;
        let customer = r#"{\"FirstName\":\"Ada\",\"LastName\":\"Lindqvist 123\",\"Email\":\"ada.123@fabrikam.example\",\"Phone\":\"+46 8 555 0142\",\"Country\":\"SE\",\"Company\":\"Fabrikam Nordic AB\",\"Title\":\"Head of IT\"}"#;
        let body = format!(
            r#"{{"PartitionKey":"{partition_key}","RowKey":"{row_key}","ActionCode":"PLT","CreatedTime":"2026-11-22T10:00:00.000Z","CustomerInfo":"{customer}","Description":"We back up 40 TB every night and our contract ends in January. Could you show us a restore?","LeadSource":"AzureMarketplace-PLT|contoso.backup-pro","OfferDisplayName":"Contoso Backup Pro","ReceivedTime":"2026-11-22T10:00:00.000Z","Source":"https"}}"#
        );
        let status = self.exchange("POST", "", &body).await?;
        if status == 204 { Ok(()) } else { Err(format!("the table service answered {status}").into()) }
    }

    /// One exchange; gives the status. The answer must have no body, as inserts answer that want none.
    async fn exchange(&mut self, method: &str, query: &str, body: &str) -> Result<u16> {
        let Self { address, account, key, table, stream } = self;
        let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut hmac = Hmac::<Sha256>::new_from_slice(key)?;
        hmac.update(format!("{date}\n/{account}/{account}/{table}").as_bytes());
        let signature = BASE64_STANDARD.encode(hmac.finalize().into_bytes());
        let length = body.len();
        let request = format!(
            "{method} /{account}/{table}{query} HTTP/1.1\r\nhost: {address}\r\nx-ms-date: {date}\r\n\
             x-ms-version: 2019-02-02\r\ndataserviceversion: 3.0\r\naccept: application/json;odata=nometadata\r\n\
             prefer: return-no-content\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             authorization: SharedKeyLite {account}:{signature}\r\n\r\n{body}"
        );
        let stream = match stream {
            Some(stream) => stream,
            None => {
                let connected = TcpStream::connect(address.as_str()).await?;
                connected.set_nodelay(true)?;
                stream.insert(connected)
            }
        };
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(1024);
        while !answer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the connection was closed".into());
            }
        }
        let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()).unwrap_or_default();
        Ok(status.parse()?)
    }
}
