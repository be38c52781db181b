//! Worlds in which one thing would take the time or the place of another: one partition, one row, one route, one cue.

use super::hooked::{Before, Call, Hooked};
use super::*;
use crate::cue::{self, Cued};
use futures::FutureExt as _;
use std::future::ready;

impl World {
    /// A run in which readings of the leads table are decided so, by their partition: how long each takes, and how it ends.
    async fn run_half_down(
        &self,
        decide: impl Fn(&str) -> (SignedDuration, Result<(), TableError>) + Send + Sync + 'static,
    ) -> RunRecord {
        let world = self.clone();
        let before: Before = Arc::new(move |call| {
            let (time, answer) = match &call {
                Call::Change => (SignedDuration::ZERO, Ok(())),
                Call::Get(_) | Call::Page(..) => decide(call.partition()),
            };
            world.advance(time);
            ready(answer).boxed()
        });
        let leads = Hooked { service: self.leads.clone(), before };
        let state = Hooked { service: self.state.clone(), before: Arc::new(|_| ready(Ok(())).boxed()) };
        self.notifier_on(leads, state, self.mailer.clone()).run(&self.run_id(), self.deadline()).await.unwrap()
    }
}

fn down() -> Result<(), TableError> {
    Err(TableError::Unavailable { reason: "test".to_owned() })
}

#[tokio::test]
async fn a_lead_whose_row_cannot_be_read_keeps_no_other_one_of_its_route_waiting() {
    for (old, is_repeat) in [(1, false), (1, true), (150, false)] {
        let world = World::new();
        world.run().await;
        let yesterday = world.today();
        for number in 0..old {
            world.leads.put(microsoft_row(&yesterday, &format!("Old{number:03}x"), BACKUP));
        }
        // Either nobody has it, or the mail service may have it.
        world.mailer.fail_next(1, &if is_repeat { SendFault::lost_answer() } else { SendFault::busy() });
        world.run().await;
        let before = world.mailer.accepted().len();
        world.advance(HOUR * 24);
        for number in 0..3 {
            world.arrive(&[format!("New{number}x").as_str()]).await;
            let unreadable = yesterday.clone();
            world
                .run_half_down(move |partition_key| {
                    (SignedDuration::ZERO, if partition_key == unreadable { down() } else { Ok(()) })
                })
                .await;
            assert_eq!(world.mails_with(&format!("New{number}x")), 1, "{old} {is_repeat}: New{number}");
            world.advance(HOUR);
        }
        world.runs(2, HOUR).await;
        assert_eq!(world.owed().await, 0);
        let mails = world.mailer.accepted().split_off(before);
        let files: Vec<_> = mails.iter().map(csv).collect();
        let found = occurrences(files.iter().map(String::as_str), "row-Old");
        for number in 0..old {
            assert_eq!(found.get(&format!("row-Old{number:03}x")), Some(&1), "{old} {is_repeat}: {number}");
        }
        let with_old = mails.iter().filter(|mail| csv(mail).contains("row-Old"));
        assert!(with_old.into_iter().all(|mail| !is_repeat || mail.text.contains(REPEAT)));
    }
}

#[tokio::test]
async fn a_partition_that_no_run_can_read_to_its_end_keeps_no_other_one_waiting() {
    let world = World::new().with_tables(MemoryTable::new().with_page_size(1), MemoryTable::new());
    world.runs(2, MINUTE).await;
    let (today, tomorrow) = (world.today(), Day::of(world.now()).after().partition_key());
    for number in 0..120 {
        world.leads.put(microsoft_row(&today, &format!("Bulk{number:03}x"), BACKUP));
    }
    for number in 0..3 {
        world.arrive_under(&tomorrow, &format!("New{number}x"), BACKUP).await;
        let slow = today.clone();
        let takes = move |partition_key: &str| SECOND * if partition_key == slow { 9 } else { 0 };
        world.run_half_down(move |partition_key| (takes(partition_key), Ok(()))).await;
        assert_eq!(world.mails_with(&format!("New{number}x")), 1, "New{number}");
        world.advance(MINUTE);
    }
    let read = world.mailer.accepted().iter().map(csv).collect::<String>().matches("row-Bulk").count();
    assert!(read >= 30, "the slow partition goes on as well: {read} in three runs");
    let mut runs = 0;
    while world.run().await.outcome == Outcome::Stopped {
        runs += 1;
        assert!(runs < 40, "it never ends");
    }
    let files: Vec<_> = world.mailer.accepted().iter().map(csv).collect();
    let found = occurrences(files.iter().map(String::as_str), "row-Bulk");
    for number in 0..120 {
        assert_eq!(found.get(&format!("row-Bulk{number:03}x")), Some(&1), "{number}");
    }
}

#[tokio::test]
async fn each_of_many_routes_has_its_turn_however_slow_tables_and_mail_service_are() {
    let route = |number: usize| {
        json!({"id": format!("r{number}"), "offers": [format!("offer{number:02}")],
            "to": [format!("r{number}@contoso.example")], "cadence": "immediately"})
    };
    let routes: Vec<_> = (0..12).map(route).collect();
    let world = World::new().with("LEADS_ROUTES", &json!(routes).to_string()).with("LEADS_INTERVAL_MINUTES", "5");
    world.runs(2, MINUTE).await;
    for run in 0..8 {
        for number in 0..12 {
            let source = format!("AzureMarketplace-INS|offer{number:02}");
            world.arrive_under(&world.today(), &format!("Lead{run}and{number}x"), &source).await;
        }
        let began = world.now();
        world.run_slowly(SECOND * 10, SECOND * 18, world.deadline());
        world.advance((MINUTE * 5 - world.now().duration_since(began)).max(SECOND));
    }
    for number in 0..12 {
        assert!(!world.texts_to(&format!("r{number}@contoso.example")).is_empty(), "route {number} got nothing");
    }
}

#[tokio::test]
async fn a_backlog_of_mails_keeps_nothing_from_other_destinations_and_from_mail_that_failed_once() {
    const WEBHOOK: &str = r#"{"kind":"webhook","url":"https://crm.contoso.example/hidden","secrets":["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]}"#;
    let routes = r#"[{"id":"all","to":["crm","ops@contoso.example"],"cadence":"immediately"},
        {"id":"one","offers":["single"],"to":["one@contoso.example"],"cadence":"immediately"}]"#;
    let world =
        World::new().with("LEADS_ROUTES", routes).with("LEADS_DIGEST_SIZE", "1").with("LEADS_INTERVAL_MINUTES", "5");
    world.source.set("crm", Some(WEBHOOK));
    world.run().await;
    world.arrive_under(&world.today(), "Single", "AzureMarketplace-INS|single").await;
    world
        .mailer
        .set_fault(Some(Box::new(|mail| mail.to.iter().any(|to| to.starts_with("one@")).then(SendFault::busy))));
    world.run().await;
    world.mailer.set_fault(None);
    for number in 0..300 {
        world.leads.put(microsoft_row(&world.today(), &format!("Lead{number:03}x"), BACKUP));
    }
    world.advance(MINUTE * 5);
    let posted = world.poster.accepted().len();
    for _ in 0..3 {
        let slow = world.clone();
        world.mailer.set_fault(Some(Box::new(move |_| {
            slow.advance(SECOND * 10);
            None
        })));
        world.run().await;
        world.advance(MINUTE);
    }
    assert!(world.poster.accepted().len() > posted, "the webhook got nothing in three runs");
    assert!(!world.texts_to("one@contoso.example").is_empty(), "mail that failed once got no turn in three runs");
}

fn is_to_vm(mail: &Message) -> bool {
    mail.to.iter().any(|to| to.starts_with("vm@"))
}

/// So many leads, one an hour, of which a route is owed each sixtieth: its mailbox has been busy all the time.
async fn far_apart(leads: usize) -> World {
    let routes = r#"[{"id":"vm","offers":["single"],"to":["vm@contoso.example"],"cadence":"immediately"},
        {"id":"all","offers":["contoso.backup"],"to":["all@contoso.example"],"cadence":"immediately"}]"#;
    let world = World::new().with("LEADS_ROUTES", routes).with_tables(MemoryTable::new(), MemoryTable::new());
    world.run().await;
    world.mailer.set_fault(Some(Box::new(|mail| is_to_vm(mail).then(SendFault::busy))));
    for number in 0..leads {
        let source = if number % 60 == 0 { "AzureMarketplace-INS|single" } else { BACKUP };
        world.arrive_under(&world.today(), &format!("Lead{number:03}x"), source).await;
        world.run().await;
        world.advance(HOUR);
    }
    world
}

/// Twelve runs over short and slow pages of the state table, with a new lead for each.
async fn slow_runs(world: World) -> World {
    let world = World { state: world.state.clone().with_page_size(1), ..world };
    for run in 0..12 {
        world.advance(MINUTE * 2);
        world.arrive(&[format!("New{run}x").as_str()]).await;
        world.run_slowly(SECOND * 4, SECOND, world.deadline());
    }
    world
}

#[tokio::test]
async fn a_route_whose_leads_lie_far_apart_in_the_log_gets_them_however_short_and_slow_the_pages_are() {
    let world = far_apart(120).await;
    world.mailer.set_fault(None);
    world.execute(json!({"command": "retry"})).await.unwrap();
    let world = slow_runs(world).await;
    let texts = world.texts_to("vm@contoso.example");
    assert!(texts.contains("Lead000x") && texts.contains("Lead060x"), "the route got nothing in twelve runs: {texts}");
    assert!(world.texts_to("all@contoso.example").contains("New0x"));
}

#[tokio::test]
async fn a_refused_lead_that_lies_far_behind_in_the_log_stops_no_run_however_slow_the_pages_are() {
    let world = far_apart(61).await;
    // The first of its two is given up, and the second one is refused like it.
    world.mailer.set_fault(Some(Box::new(|mail| is_to_vm(mail).then(SendFault::message))));
    world.execute(json!({"command": "retry"})).await.unwrap();
    world.run().await;
    let outbox = world.execute(json!({"command": "outbox"})).await.unwrap();
    assert_eq!(outbox["parked"].as_array().unwrap().len(), 1, "{outbox}");
    world.mailer.set_fault(None);
    let world = slow_runs(world).await;
    assert!(world.texts_to("vm@contoso.example").contains("Lead060x"));
    assert!(world.texts_to("all@contoso.example").contains("New11x"));
}

#[tokio::test]
async fn cues_whose_rows_never_come_keep_no_other_one_waiting() {
    for (count, each) in [(900_u64, SECOND * 10), (4_500, SignedDuration::ZERO)] {
        let world = World::new();
        world.runs(2, MINUTE).await;
        world.quarantine(b"Readable").await;
        // A queue that is tried again and again, and a table that takes none of its leads.
        let leave = async |round: u64| {
            for number in 0..count {
                let mut row = Entity::new(PARTITION, format!("cue-{number:016x}-{round:016x}"));
                row.set("CuedPartition", "10:2F1:2F2026");
                row.set("CuedRow", format!("row-{number}"));
                world.state.put(row);
            }
        };
        for round in 0..6 {
            leave(round).await;
            world.run_slowly(each, each, world.deadline());
            world.advance(MINUTE * 2);
        }
        assert_eq!(world.mails_with("Readable"), 1, "{count}");
    }
    // What this is about: each attempt leaves a cue of its own, before the row.
    let table = MemoryTable::new();
    for random in 0..3 {
        cue::leave(&table, &Cued::Lead(Keys::new("p", "r")), random).await.unwrap();
    }
    assert_eq!(table.rows().len(), 3);
}

#[tokio::test]
async fn an_erasure_ends_before_its_deadline_however_long_the_log_is_and_gets_on_with_each_call() {
    let world = World::new();
    for number in 0..240 {
        world.arrive(&[format!("Lead{number:03}x").as_str()]).await;
        world.run().await;
        world.advance(MINUTE);
    }
    for number in 0..3 {
        world.quarantine(format!("Ann@fabrikam.example {number}").as_bytes()).await;
    }
    world.run().await;
    let left = || keys(&world.state, quarantine::PARTITION).len();
    assert_eq!(left(), 3);
    let mut event = json!({"command": "erase", "address": "ann@fabrikam.example", "confirm": true});
    world.slow_down(SECOND * 9, SECOND);
    for calls in 0.. {
        let deadline = world.deadline();
        let answer = world.execute(event.clone()).await.unwrap();
        let late = world.now().duration_since(deadline);
        assert!(late <= SignedDuration::ZERO, "it ended {late:#} after its deadline");
        if answer["complete"] == json!(true) {
            break;
        }
        event["after"] = answer["after"].clone();
        assert!(calls < 12, "it never ends: {} bodies are left", left());
    }
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn a_summary_over_slow_and_short_pages_keeps_no_run_beyond_its_deadline() {
    let routes = r#"[{"id":"week","to":["boss@contoso.example"],"summary":"weekly on mon at 08:00"}]"#;
    let world = World::new().with("LEADS_ROUTES", routes).with_tables(MemoryTable::new(), MemoryTable::new());
    world.run().await;
    for day in 0..34_i64 {
        let day = world.now() - HOUR * 24 * i32::try_from(day).unwrap();
        world.state.put(Entity::new(PARTITION, format!("day-{}", Day::of(day))).with("Counts", "{}"));
    }
    let world = World { state: world.state.clone().with_page_size(1), ..world };
    // All the days of a week: the summary is due on one of them.
    for _ in 0..7 {
        world.run_slowly(SECOND * 10, SECOND, world.deadline());
        world.advance(HOUR * 23);
    }
}

#[tokio::test]
async fn a_partition_under_another_key_of_which_one_page_alone_could_be_read_is_searched_again_to_its_end() {
    let world = World::new().with_tables(MemoryTable::new().with_page_size(1), MemoryTable::new());
    world.runs(2, HOUR).await;
    for name in ["First", "Second", "Third"] {
        world.arrive_under("leads", name, BACKUP).await;
    }
    let reads = Arc::new(AtomicUsize::new(0));
    for _ in 0..30 {
        let reads = reads.clone();
        let answer = move |partition_key: &str| {
            let is_down = partition_key == "leads" && reads.fetch_add(1, Ordering::Relaxed) > 0;
            (SignedDuration::ZERO, if is_down { down() } else { Ok(()) })
        };
        world.run_half_down(answer).await;
        world.advance(HOUR);
    }
    assert_eq!((world.mails_with("First"), world.mails_with("Second")), (1, 0));
    world.runs(30, HOUR).await;
    for name in ["First", "Second", "Third"] {
        assert_eq!(world.mails_with(name), 1, "{name}");
    }
}
