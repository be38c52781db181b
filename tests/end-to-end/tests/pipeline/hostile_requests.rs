//! Who is let in by the deployed functions, and what a stranger can send besides a body: any query, any header, and half a
//! request.

use futures::future::join_all;
use local_cloud::borrow;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LEAD: &str = r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"AzureMarketplace"}"#;

/// Address and path of the function URL.
fn place(url: &str) -> (String, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    (host.to_owned(), format!("/{path}"))
}

/// Sends bytes as they are, and reads the answer until the connection is closed. Gives the status, or 0 without an answer.
async fn send(host: &str, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

fn request(target: &str, headers: &[u8]) -> Vec<u8> {
    let start =
        format!("POST {target} HTTP/1.1\r\nHost: leads\r\nConnection: close\r\nContent-Length: {}\r\n", LEAD.len());
    [start.as_bytes(), headers, b"\r\n", LEAD.as_bytes()].concat()
}

#[tokio::test]
async fn a_lead_with_a_valid_key_is_taken_whatever_else_is_in_its_query_and_headers() {
    let cloud = borrow().await.unwrap();
    let (host, target) = place(&cloud.intake_url().unwrap());
    let cookies = format!("Cookie: {}\r\n", "a=b; ".repeat(300));
    let headers: [&[u8]; 8] = [
        b"",
        b"User-Agent: caf\xc3\xa9\r\n",
        b"X-Latin: caf\xe9\r\n",
        b"X-Colon:: =@,;\"\\\r\nX-Empty:\r\n",
        b"Content-Type: ;;;charset=\"\r\nContent-Encoding: nonsense\r\n",
        b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: \"><script>\r\n",
        b"X-Amz-Date: x\r\nX-Amzn-Trace-Id: Root=<x>\r\nX-HTTP-Method-Override: DELETE\r\n",
        cookies.as_bytes(),
    ];
    for header in headers {
        let status = send(&host, &request(&target, header)).await;
        assert!([200, 201].contains(&status), "{status}: {}", header.escape_ascii());
    }
    for query in ["&x=%00%ff%0d%0a", "&code=other", "&&&=&=x", "&x=<\"'>", "&a[]=1&a[]=2", "&%E2%80%AE=%F0%9F%9A%80"] {
        let status = send(&host, &request(&format!("{target}{}", query.replace(['<', '>', '"'], "%22")), b"")).await;
        assert_eq!(status, 200, "{query}");
    }
    assert_eq!(cloud.table().rows(cloud.leads_table()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn slow_and_half_sent_requests_keep_no_lead_out_and_leave_nothing_behind() {
    let cloud = borrow().await.unwrap();
    let (host, target) = place(&cloud.intake_url().unwrap());
    let whole = request(&target, b"");
    let mut halves = Vec::new();
    for length in [1, 20, whole.len() - LEAD.len() - 2, whole.len() - LEAD.len(), whole.len() - 1] {
        for _ in 0..8 {
            let mut stream = TcpStream::connect(&host).await.unwrap();
            stream.write_all(&whole[..length]).await.unwrap();
            halves.push(stream);
        }
    }
    // While 40 requests hang, others are answered.
    let since = Instant::now();
    let mut statuses = join_all((0..4).map(|_| send(&host, &whole))).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 201]);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    // One request comes a few bytes at a time, and is whole in the end.
    let mut slow = TcpStream::connect(&host).await.unwrap();
    for part in whole.chunks(40) {
        slow.write_all(part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
    drop(halves);
    // A length that is too small, one that is no length, and two lengths.
    let text = String::from_utf8(whole).unwrap();
    let length = format!("Content-Length: {}", LEAD.len());
    for other in ["Content-Length: 20", "Content-Length: -1", "Content-Length: 1\r\nContent-Length: 2"] {
        assert_eq!(send(&host, text.replace(&length, other).as_bytes()).await, 400, "{other}");
    }
    assert_eq!(cloud.table().rows(cloud.leads_table()).await.unwrap().len(), 1);
    let logs = cloud.function_logs().await.unwrap();
    assert!(!logs.contains("panicked") && !logs.contains("someone"), "{logs}");
}

#[tokio::test]
async fn an_export_needs_a_signature() {
    let cloud = borrow().await.unwrap();
    let url = cloud.function_url("ExportUrl").unwrap();
    let http = reqwest::Client::new();
    for query in [String::new(), "?format=csv".to_owned(), format!("?code={}", cloud.intake_key())] {
        let answer = http.get(format!("{url}{query}")).send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(status, 403, "{query}: {body}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["Message"], "Forbidden", "{body}");
    }
    let logs = cloud.function_logs().await.unwrap();
    assert!(!logs.contains("lead-export"), "the function was reached: {logs}");
}

#[tokio::test]
async fn a_key_is_rotated_without_a_moment_in_which_the_sender_has_none_that_opens() {
    let cloud = borrow().await.unwrap();
    let (old, new) = (cloud.intake_key().to_owned(), "a-new-key.0123456789".to_owned());
    let url = cloud.function_url("IntakeUrl").unwrap();
    let http = reqwest::Client::new();
    let opens =
        async |key: &str| http.post(format!("{url}?code={key}")).body(LEAD).send().await.unwrap().status() != 401;
    assert_eq!((opens(&old).await, opens(&new).await), (true, false));
    // First both keys are valid, so that the sender can change to the new one at any time. Then the new one alone is.
    for (keys, expected) in [(format!("{old},{new}"), (true, true)), (new.clone(), (false, true))] {
        cloud.set_secret("intake-keys", &keys).await.unwrap();
        cloud.restart("IntakeFunction").await.unwrap();
        assert_eq!((opens(&old).await, opens(&new).await), expected);
    }
    assert_eq!(cloud.table().rows(cloud.leads_table()).await.unwrap().len(), 1);
}
