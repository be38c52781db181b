//! What Lambda hands over for a request to a function URL, and takes back: payload format 2.0.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads>
//!
//! Of `lambda_http` only the answer's type and the runtime are used. Its own conversion builds a URL from what a stranger
//! sent, and panics where that is not a valid one. Its type of the event reads everything that a stranger sent, and fails
//! where one header of it is none by the letter of HTTP, so that a lead would be turned away for what stands beside it.

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use marketplace_leads::function_url::{Answer, Body, Request};
use serde::Deserialize;

/// What intake reads of an event. It passes over everything else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: RequestContext,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// The request as intake takes it.
pub(crate) fn request(event: &Event) -> Request<'_> {
    let body = event.body.as_deref().unwrap_or_default();
    Request {
        method: &event.request_context.http.method,
        path: event.raw_path.as_deref().unwrap_or_default(),
        query: event.raw_query_string.as_deref().unwrap_or_default(),
        body: if event.is_base64_encoded { Body::Base64(body) } else { Body::Text(body) },
    }
}

/// The answer as Lambda takes it.
pub(crate) fn response(answer: Answer) -> ApiGatewayV2httpResponse {
    let headers = answer.headers.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = answer.status.into();
    response.headers = headers.collect::<HeaderMap>();
    response.body = Some(answer.body.into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{
      "version": "2.0",
      "routeKey": "$default",
      "rawPath": "/leads",
      "rawQueryString": "code=0123456789abcdef&utm=<\"x\">",
      "cookies": ["a=b"],
      "headers": {"content-type": "application/json", "host": "abc.lambda-url.eu-west-1.on.aws"},
      "queryStringParameters": {"code": "0123456789abcdef", "utm": "<\"x\">"},
      "requestContext": {
        "accountId": "anonymous",
        "apiId": "abc",
        "domainName": "abc.lambda-url.eu-west-1.on.aws",
        "http": {
          "method": "POST",
          "path": "/leads",
          "protocol": "HTTP/1.1",
          "sourceIp": "203.0.113.7",
          "userAgent": "agent"
        },
        "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
        "stage": "$default",
        "time": "22/Nov/2026:10:00:00 +0000",
        "timeEpoch": 1795341600000
      },
      "body": "eyJMZWFkU291cmNlIjoiQSJ9",
      "isBase64Encoded": true
    }"#;

    #[test]
    fn an_event_of_a_function_url_is_read() {
        let event = serde_json::from_str(EVENT).unwrap();
        let request = request(&event);
        assert_eq!((request.method, request.path), ("POST", "/leads"));
        assert_eq!(request.query, r#"code=0123456789abcdef&utm=<"x">"#);
        assert!(matches!(request.body, Body::Base64("eyJMZWFkU291cmNlIjoiQSJ9")));
    }

    #[test]
    fn a_request_without_query_and_body_is_read_too() {
        let event = serde_json::from_str(r#"{"requestContext":{"http":{"method":"GET"}}}"#).unwrap();
        let request = request(&event);
        assert_eq!((request.method, request.path, request.query), ("GET", "", ""));
        assert!(matches!(request.body, Body::Text("")));
    }

    #[test]
    fn a_lead_is_read_whatever_stands_beside_it_in_the_event() {
        for beside in [
            r#""headers":{"x":"J\u00fcrgen \u007f \u0000 \n"}"#,
            r#""headers":{"":"empty","x y":"space","\u00fc":"letter"}"#,
            r#""headers":{"x":null}"#,
            r#""headers":[]"#,
            r#""cookies":null,"queryStringParameters":{"code":["a","b"]}"#,
            r#""queryStringParameters":{"x":"\ud800"},"pathParameters":7"#,
            r#""httpMethod":"A B","type":1,"identitySource":"x","stageVariables":[]"#,
        ] {
            let event = format!(
                r#"{{"rawPath":"/leads","rawQueryString":"code=k","body":"lead",{beside},
                "requestContext":{{"http":{{"method":"POST","sourceIp":1}},"timeEpoch":"now","authentication":[]}}}}"#
            );
            let event = serde_json::from_str(&event).unwrap_or_else(|error| panic!("{beside}: {error}"));
            let request = request(&event);
            assert_eq!((request.method, request.path, request.query), ("POST", "/leads", "code=k"), "{beside}");
            assert!(matches!(request.body, Body::Text("lead")));
        }
    }

    #[test]
    fn an_answer_has_the_form_that_lambda_takes() {
        let answer = Answer { status: 405, headers: vec![("allow", "POST")], body: "{}".to_owned() };
        let response = serde_json::to_value(response(answer)).unwrap();
        assert_eq!(
            (&response["statusCode"], &response["headers"]["allow"], &response["body"], &response["isBase64Encoded"]),
            (&405.into(), &"POST".into(), &"{}".into(), &false.into())
        );
    }
}
