//! The smallest budget that is permitted, over a network of 20 ms with TLS.

use aws_sdk_sqs::config::{BehaviorVersion, Region};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use marketplace_leads::aws::SdkConfig;
use marketplace_leads::aws::{Queue, http_client};
use marketplace_leads::function_url::{Body, Request};
use marketplace_leads::intake::{Intake, table_limits};
use marketplace_leads::intake_keys::KnownKeys;
use marketplace_leads::secret::{Secret, no_secret};
use marketplace_leads::settings::{Expected, VARIABLES};
use marketplace_leads::table::azure::{Account, AccountTable};
use std::time::Duration;
use support::strict_table::{Fault, Settings, StrictTable};

const KEY: &str = "valid-key.0123456789";

/// What a request takes on a new connection where a round trip takes 20 ms: one for TCP, two for TLS at most, one for the
/// request. Each of these requests takes so long, as if each had a new connection.
const REQUEST: Duration = Duration::from_millis(80);

/// An intake with the smallest budget that is permitted, its table, and a queue that takes everything.
async fn smallest() -> (Intake<AccountTable>, StrictTable) {
    let budget = VARIABLES.iter().find(|variable| variable.name == "LEADS_INTAKE_BUDGET_MS").unwrap();
    let Expected::WholeNumber { min, .. } = budget.expected else { panic!("{:?}", budget.expected) };
    let budget = Duration::from_millis(min);
    let table = StrictTable::start(Settings { latency: REQUEST, ..Settings::default() }).unwrap();
    table.create("Leads").unwrap();
    table.create("State").unwrap();
    let account = Account::new(no_secret("it is not read again"), table_limits(budget));
    account.hold(Secret::new(table.connection_string())).unwrap();

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let send = || async {
        tokio::time::sleep(REQUEST).await;
        (StatusCode::OK, r#"{"MessageId":"m","MD5OfMessageBody":""}"#)
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(send))).await });
    let credentials = aws_sdk_sqs::config::Credentials::new("id", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(&address)
        .credentials_provider(aws_sdk_sqs::config::SharedCredentialsProvider::new(credentials))
        .http_client(http_client())
        .build();
    let intake = Intake {
        keys: KnownKeys::fixed(&Secret::new(KEY)),
        leads: account.table("Leads"),
        state: account.table("State"),
        queue: Queue::new(config, format!("{address}/000000000000/queue").parse().unwrap()),
        chance: marketplace_leads::clock::chance(),
        budget,
    };
    (intake, table)
}

async fn post_at(intake: &Intake<AccountTable>, body: &str, now: &str) -> u16 {
    let query = format!("code={KEY}");
    let request = Request { method: "POST", path: "/leads", query: &query, body: Body::Text(body) };
    intake.answer(&request, "request-1", now.parse().unwrap()).await.status
}

#[tokio::test]
async fn the_smallest_budget_works_over_a_network_of_20_ms_with_tls() {
    let lead = r#"{"UserDetails":{"Email":"someone@contoso.com"},"LeadSource":"AzureMarketplace"}"#;
    let (intake, table) = smallest().await;
    // After midnight the day before is looked up as well. A connection that breaks is tried again.
    for (number, time) in [(0, "2026-11-22T12:00:00Z"), (1, "2026-11-23T00:10:00Z")] {
        for is_cut in [false, true] {
            if is_cut {
                table.queue_fault(Fault::CutBefore);
            }
            let other = lead.replace("someone", &format!("someone-{number}-{is_cut}"));
            assert_eq!(post_at(&intake, &other, time).await, 201, "{time}, {is_cut}");
            assert_eq!(post_at(&intake, &other, time).await, 200, "{time}, {is_cut}");
        }
        assert_eq!(post_at(&intake, "no lead", time).await, 400);
    }
    assert_eq!((table.rows("Leads"), table.rows("State")), (4, 4), "two bodies in quarantine, with a cue for each");
    // The queue has enough time where the table takes all of its own.
    table.set_faults(Some(Box::new(|_| Some(Fault::Wait(Duration::from_secs(60))))));
    assert_eq!(post_at(&intake, &lead.replace("someone", "waiting"), "2026-11-23T00:10:00Z").await, 202);
    assert_eq!(post_at(&intake, "another one", "2026-11-23T00:10:00Z").await, 400);
}
