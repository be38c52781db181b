//! The benchmark in small: that every measurement works and counts what it should. Counts alone: times say nothing on a
//! machine that has other things to do.

use bench::measure::{digest, export, intake, notifier, tls};
use bench::{Build, Stage};
use jiff::Timestamp;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn every_subject_stores_each_lead_with_one_request_over_one_connection() {
    let stage = Stage::set(Build::Dev).await.unwrap();
    let [ours, node, python] = stage.all("intake").unwrap();
    for (subject, is_ours) in [(ours, true), (node, false), (python, false)] {
        // In the hour after midnight, ours first asks whether the same lead came on the day before.
        let asks_twice = || is_ours && Timestamp::now().strftime("%H").to_string() == "00";
        let before = asks_twice();
        let counts = intake::count(&stage, &subject, 5).await.unwrap();
        let expected = match (before, asks_twice()) {
            (false, false) => 5..=5,
            (true, true) => 10..=10,
            // The hour began or ended meanwhile.
            _ => 5..=10,
        };
        assert!(expected.contains(&counts.requests), "{}: {counts:?}", subject.name);
        assert_eq!((counts.connections, counts.rows), (1, 5), "{}", subject.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_endpoint_is_named_the_table_is_connected_beside_the_secrets_and_each_way_has_one_connection() {
    let stage = Stage::set(Build::Dev).await.unwrap();
    let [ours, node, python] = stage.all("intake").unwrap();
    for (subject, names_endpoint) in [(&ours, true), (&ours, false), (&node, true), (&python, true)] {
        // In the hour after midnight, ours first asks whether the same lead came on the day before.
        let asks_twice = || subject.name == ours.name && Timestamp::now().strftime("%H").to_string() == "00";
        let before = asks_twice();
        let first = tls::count(&stage, subject, names_endpoint).await.unwrap();
        let name = format!("{}, endpoint named: {names_endpoint}: {first:?}", subject.name);
        assert_eq!((first.connections, first.is_opened_before_secrets), ([1, 1], names_endpoint), "{name}");
        // The request that opens the connection, and the insert.
        let table = 1 + usize::from(names_endpoint) + usize::from(before);
        if before == asks_twice() {
            // The opening of each connection is a round trip, too.
            assert_eq!((first.requests, first.trips), ([1, table], [2, table + 1]), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_the_notifier_costs_the_same_whatever_the_table_holds() {
    let stage = Stage::set(Build::Dev).await.unwrap();
    let runs = notifier::runs(&stage, &[10, 1000], 3, Duration::ZERO).await.unwrap();
    let [small, large] = &runs[..] else { panic!("two runs") };
    assert_eq!(small.kinds, large.kinds);
    assert_eq!((small.mails, large.mails), (1, 1));
    assert_eq!(small.rows, large.rows);
    assert!(large.rows <= 6, "{large:?}");
    assert!(large.bytes.abs_diff(small.bytes) < 1000, "{runs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_every_lead_and_reads_each_page_once() {
    let stage = Stage::set(Build::Dev).await.unwrap();
    let service = export::table(2_000, 30, Duration::ZERO).unwrap();
    let [ours, node, python] = stage.all("export").unwrap();
    for subject in [&ours, &node, &python] {
        let exported = export::run(&stage, subject, &service).await.unwrap();
        // The answer in Python is one JSON text, without lines.
        let lines = if subject.name == "Python" { 0 } else { 2_001 };
        assert_eq!(exported.lines, lines, "{}", subject.name);
        // A page for each of 30 days. Ours finds the days by hopping, a request each, from twelve months at the same time.
        let most = if subject.name == ours.name { 30 + 30 + 13 } else { 30 };
        assert!((30..=most).contains(&exported.requests), "{}: {exported:?}", subject.name);
        assert!(exported.bytes > 400_000, "{exported:?}");
    }
}

#[test]
fn a_digest_of_100_leads_is_smaller_than_a_mail_may_be() {
    let (page, attached) = digest::rendered(100).unwrap();
    assert!((20_000..1_000_000).contains(&page), "{page}");
    assert!((10_000..200_000).contains(&attached), "{attached}");
}
