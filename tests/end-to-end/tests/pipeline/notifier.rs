//! The notifier as it is deployed: many leads, two runs at once, many old leads. Faults are in `faults.rs`.

use local_cloud::{Invocation, LocalCloud, Mail, MicrosoftLead, Options, borrow, partition_of};
use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use marketplace_leads::table::{ConnectionString, Entity, Operation, Table as _};
use serde_json::json;

async fn run(cloud: &LocalCloud) -> Invocation {
    cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap()
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn with<'a>(mails: &'a [Mail], name: &str) -> Vec<&'a Mail> {
    mails.iter().filter(|mail| mail.body.text.contains(name)).collect()
}

fn leads_table(cloud: &LocalCloud) -> AzureTable {
    let connection = ConnectionString::parse(&cloud.table().connection_string()).unwrap();
    AzureTables::new(&connection, Limits::default()).unwrap().table(cloud.leads_table())
}

#[tokio::test]
async fn a_backlog_of_three_pages_goes_out_whole_and_in_digests_of_a_hundred() {
    let cloud = borrow().await.unwrap();
    a_backlog_goes_out_whole(&cloud).await;
}

pub(crate) async fn a_backlog_goes_out_whole(cloud: &LocalCloud) {
    let table = leads_table(cloud);
    let partition_key = partition_of(now());
    let rows: Vec<_> = (0..2_500)
        .map(|number| {
            let customer = json!({ "FirstName": format!("Lead{number:04}x"), "Email": format!("{number}@a.example") });
            let row = Entity::new(&partition_key, format!("row{number:04}x"))
                .with("ActionCode", "INS")
                .with("CustomerInfo", customer.to_string())
                .with("LeadSource", "SPZA-INS|contoso.backup-suite")
                .with("OfferDisplayName", "Backup Suite");
            Operation::Insert(row)
        })
        .collect();
    for batch in rows.chunks(100) {
        table.submit(&partition_key, batch).await.unwrap();
    }
    let answer = run(cloud).await;
    assert_eq!(answer.function_error, None, "{}", answer.payload);
    assert_eq!((&answer.payload["leads"], &answer.payload["digests"]), (&json!(2_500), &json!(25)));
    let mails = cloud.inbox().mails().await.unwrap();
    assert_eq!(mails.len(), 25);
    let attached: String = mails.iter().map(|mail| String::from_utf8(mail.attachments[0].bytes()).unwrap()).collect();
    for number in 0..2_500 {
        assert_eq!(attached.matches(&format!("row{number:04}x")).count(), 1, "row {number}");
    }
    assert!(mails.iter().all(|mail| mail.body.html.len() < 100 * 1024));
}

#[tokio::test]
async fn of_two_runs_at_once_each_lead_is_in_one_mail() {
    // Without reserved concurrency Lambda lets all of them run. Then only the lease keeps them apart.
    let parameters = vec![("ReserveConcurrency".to_owned(), "false".to_owned())];
    let cloud = LocalCloud::start(Options { proxies: true, parameters, ..Options::default() }).await.unwrap();
    runs_at_once_share_the_leads(&cloud).await;
}

/// Nothing but the lease keeps the runs apart.
pub(crate) async fn runs_at_once_share_the_leads(cloud: &LocalCloud) {
    let names: Vec<_> = (0..5).map(|number| format!("Twice{number}x")).collect();
    for name in &names {
        cloud.table().insert_microsoft_lead(cloud.leads_table(), &MicrosoftLead::of(name), now()).await.unwrap();
    }
    let answers = futures::join!(run(cloud), run(cloud), run(cloud));
    for answer in [&answers.0, &answers.1, &answers.2] {
        assert_eq!(answer.function_error, None, "{}", answer.payload);
    }
    let mails = cloud.inbox().mails().await.unwrap();
    for name in &names {
        assert_eq!(with(&mails, name).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn the_number_of_table_requests_does_not_grow_with_the_table() {
    let cloud = borrow().await.unwrap();
    requests_do_not_grow_with_the_table(&cloud).await;
}

pub(crate) async fn requests_do_not_grow_with_the_table(cloud: &LocalCloud) {
    let (table, proxy) = (leads_table(cloud), cloud.table_proxy().unwrap());
    let (mut requests, mut idle) = (Vec::new(), Vec::new());
    // The first run begins the notifier's memory, and the second one searches the whole table, as is due once a day.
    for _ in 0..2 {
        assert_eq!(run(cloud).await.function_error, None);
    }
    for (round, old) in [(0, 0), (1, 1_000), (2, 9_000)] {
        // Old leads of some years, in the partitions of their days.
        for day in 0..old / 100 {
            let partition_key = partition_of(now() - jiff::SignedDuration::from_hours(24 * (3 + round * 400 + day)));
            let rows: Vec<_> = (0..100)
                .map(|number| Entity::new(&partition_key, format!("old{number}")).with("LeadSource", "SPZA"))
                .map(Operation::Insert)
                .collect();
            table.submit(&partition_key, &rows).await.unwrap();
        }
        run(cloud).await;
        for number in 0..20 {
            let name = format!("Round{round}n{number}x");
            cloud.table().insert_microsoft_lead(cloud.leads_table(), &MicrosoftLead::of(&name), now()).await.unwrap();
        }
        proxy.forget();
        let answer = run(cloud).await;
        assert_eq!((answer.function_error, &answer.payload["leads"]), (None, &json!(20)));
        requests.push(proxy.requests().len());
        proxy.forget();
        let answer = run(cloud).await;
        assert_eq!((answer.function_error, &answer.payload["outcome"]), (None, &json!("idle")));
        let asked = proxy.requests();
        assert!(asked.iter().all(|seen| seen.method == "GET"), "a run that finds nothing writes nothing: {asked:?}");
        idle.push(asked.len());
    }
    println!(
        "table requests of a run with 20 new leads on 0, 1,000 and 10,000 old ones: {requests:?}, and without: {idle:?}"
    );
    for (requests, most) in [(requests, 14), (idle, 6)] {
        let (fewest, highest) = (requests.iter().min().unwrap(), requests.iter().max().unwrap());
        assert!(highest - fewest <= 1 && *highest <= most, "{requests:?}");
    }
    // All runs so far, with their cold starts, have opened few connections: they are used again.
    assert!(proxy.connections() <= 8, "{} connections", proxy.connections());
}
