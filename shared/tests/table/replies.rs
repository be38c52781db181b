//! Answers of the table service, in the form of the REST documentation.

use support::scripted_http::Reply;

/// An account key, in the form that Azure gives them.
pub(crate) const KEY: &str = "bm90LWEtc2VjcmV0LWJ1dC1hcy1sb25nLWFzLW9uZS1vZi1henVyZS1rZXlzLTAxMjM0NTY3ODk=";

/// A version, as the service writes it.
pub(crate) const ETAG: &str = "W/\"datetime'2026-11-22T10%3A00%3A00.1234567Z'\"";

/// The column that every row of the service has.
pub(crate) const TIMESTAMP: &str = "\"Timestamp\":\"2026-11-22T10:00:00.1234567Z\"";

const ROW: &str =
    "\"PartitionKey\":\"p\",\"RowKey\":\"r\",\"Timestamp\":\"2026-11-22T10:00:00.1234567Z\",\"Text\":\"x\"";

/// An error's body in JSON.
///
/// <https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2>
pub(crate) fn problem(code: &str) -> String {
    let message = format!("hidden-text of contoso, signed with {KEY}\nRequestId:f9b4d0b0-0002-0010-5b7c-5c6d4a000000");
    let message = serde_json::json!({ "lang": "en-US", "value": message });
    serde_json::json!({ "odata.error": { "code": code, "message": message } }).to_string()
}

/// With the headers that every answer of the service has.
fn answered(status: u16, body: String) -> Reply {
    Reply::new(status, body)
        .with("server", "Windows-Azure-Table/1.0 Microsoft-HTTPAPI/2.0")
        .with("x-ms-request-id", "f9b4d0b0-0002-0010-5b7c-5c6d4a000000")
        .with("x-ms-version", "2019-02-02")
        .with("content-type", "application/json;odata=minimalmetadata;streaming=true;charset=utf-8")
}

/// Insert Entity with `Prefer: return-no-content`.
pub(crate) fn inserted() -> Reply {
    answered(204, String::new()).with("etag", ETAG).with("preference-applied", "return-no-content")
}

pub(crate) fn deleted() -> Reply {
    answered(204, String::new())
}

/// An error with its code in the body alone. Its message holds what must not get out.
pub(crate) fn error(status: u16, code: &str) -> Reply {
    answered(status, problem(code))
}

/// One row.
pub(crate) fn entity() -> Reply {
    let body =
        format!("{{\"odata.metadata\":\"https://contoso.table.core.windows.net/$metadata#Leads/@Element\",{ROW}}}");
    answered(200, body).with("etag", ETAG)
}

/// A page with so many rows.
pub(crate) fn page(rows: usize) -> Reply {
    let rows = vec![format!("{{{ROW}}}"); rows].join(",");
    let metadata = "https://contoso.table.core.windows.net/$metadata#Leads";
    answered(200, format!("{{\"odata.metadata\":\"{metadata}\",\"value\":[{rows}]}}"))
}

/// A page with a row of each of these columns beside its keys, the row keys being 0, 1, 2, …
pub(crate) fn page_of(rows: &[&str]) -> Reply {
    let row = |(number, columns): (usize, &&str)| {
        format!("{{\"odata.etag\":{ETAG:?},\"PartitionKey\":\"p\",\"RowKey\":\"{number}\",{columns}}}")
    };
    let rows: Vec<_> = rows.iter().enumerate().map(row).collect();
    answered(200, format!("{{\"odata.metadata\":\"x\",\"value\":[{}]}}", rows.join(",")))
}

/// One row with these columns beside its keys.
pub(crate) fn entity_of(columns: &str) -> Reply {
    let body = format!("{{\"odata.metadata\":\"x\",\"PartitionKey\":\"p\",\"RowKey\":\"0\",{columns}}}");
    answered(200, body).with("etag", ETAG)
}

/// A page of more than 8 MiB.
pub(crate) fn large_page() -> Reply {
    let text = "x".repeat(1024 * 1024);
    let large = format!("{TIMESTAMP},\"Text\":\"{text}\"");
    page_of(&[large.as_str(); 9])
}

/// A page that ends before its end: fewer bytes than the header says.
pub(crate) fn cut_page() -> Reply {
    page(3).cut()
}

/// A batch: status and code of each part.
pub(crate) fn batch(parts: &[(u16, &str)]) -> Reply {
    let mut body =
        "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n\r\n".to_owned();
    for (status, code) in parts {
        body += "--changesetresponse_2\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n";
        body += &format!("HTTP/1.1 {status} Status\r\nX-Content-Type-Options: nosniff\r\nDataServiceVersion: 3.0;\r\n");
        body += &match *status {
            204 => format!("ETag: {ETAG}\r\n\r\n\r\n"),
            _ => format!("Content-Type: application/json\r\n\r\n{}\r\n", problem(code)),
        };
    }
    body += "--changesetresponse_2--\r\n--batchresponse_1--\r\n";
    answered(202, body)
}
