//! Answers in place of the service's own, worded as Azure Table storage and AWS word theirs.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use std::collections::HashMap;

/// An answer that does not come from the service.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers: name and value.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Azure Table storage's answer when it is over its limits: 503 `ServerBusy`.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes>
    pub fn server_busy() -> Self {
        Self::table_error(503, "ServerBusy", "The server is busy.")
    }

    /// An error as Azure Table storage words it.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2>
    pub fn table_error(status: u16, code: &str, message: &str) -> Self {
        let message = serde_json::json!({ "lang": "en-US", "value": message });
        let body = serde_json::json!({ "odata.error": { "code": code, "message": message } });
        let headers = [("content-type", "application/json"), ("x-ms-error-code", code)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { status, headers: headers.to_vec(), body: body.to_string().into_bytes() }
    }

    /// A page of the answer to the query of this address with no row in it and with a continuation token, such as the
    /// service gives when it ran out of time or came to another partition server. The token leads to where the query
    /// asked to go on, or to before the first row.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination>
    pub fn empty_page(target: &str, with_row_key: bool) -> Self {
        // U+0001, which comes before any other key, in Base64, in which Azurite encodes the keys in its tokens.
        const FIRST: &str = "AQ==";
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let asked: HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut headers = vec![
            ("content-type", "application/json;odata=minimalmetadata"),
            ("server", "Windows-Azure-Table/1.0 Microsoft-HTTPAPI/2.0"),
            ("x-ms-request-id", "f9b4d0b0-0002-0010-5b7c-5c6d4a000000"),
            ("x-ms-version", "2019-02-02"),
        ];
        let row_key = asked.get("NextRowKey").map(String::as_str);
        let (partition_key, row_key) = match asked.get("NextPartitionKey") {
            Some(partition_key) => (partition_key.as_str(), row_key),
            None => (FIRST, with_row_key.then_some(FIRST)),
        };
        headers.push(("x-ms-continuation-NextPartitionKey", partition_key));
        headers.extend(row_key.map(|row_key| ("x-ms-continuation-NextRowKey", row_key)));
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = serde_json::json!({ "odata.metadata": "http://127.0.0.1/$metadata#Leads", "value": [] });
        Self { status: 200, headers, body: body.to_string().into_bytes() }
    }

    /// An error as an AWS service with a JSON protocol words it.
    pub fn aws_error(status: u16, code: &str, message: &str) -> Self {
        let headers = [("content-type", "application/json"), ("x-amzn-errortype", code)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let body = serde_json::json!({ "message": message });
        Self { status, headers: headers.to_vec(), body: body.to_string().into_bytes() }
    }
}

/// The reply as the server sends it.
pub(crate) fn answer(reply: Reply) -> Response<Body> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_page_leads_to_where_the_query_asked_to_go_on() {
        let tokens = |target, with_row_key| {
            let headers = Reply::empty_page(target, with_row_key).headers.into_iter();
            headers.filter(|(name, _)| name.contains("continuation")).map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(tokens("/Leads()?$top=9", true), ["AQ==", "AQ=="]);
        assert_eq!(tokens("/Leads()", false), ["AQ=="]);
        assert_eq!(tokens("/Leads()?NextPartitionKey=cA%3D%3D&NextRowKey=cg==", false), ["cA==", "cg=="]);
        assert_eq!(tokens("/Leads()?NextPartitionKey=cA%3D%3D", true), ["cA=="]);
    }
}
