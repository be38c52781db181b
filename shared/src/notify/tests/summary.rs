//! The weekly summary.

use super::*;
use crate::cadence::SummaryTime;
use jiff::civil::Weekday;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A world of which somebody wants the summary, on Mondays at 08:00 in Berlin.
fn world() -> World {
    let routes =
        json!([{"id": "weekly", "to": ["boss@contoso.example"], "summary": "weekly", "zone": "Europe/Berlin"}]);
    World::new().with("LEADS_ROUTES", &routes.to_string())
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// Runs every hour until a time.
async fn until(world: &World, time: &str) {
    while world.now() < at(time) {
        world.run().await;
        world.advance(HOUR);
    }
}

fn summaries(world: &World) -> Vec<Message> {
    let is_summary = |mail: &Message| mail.headers.iter().any(|(_, value)| value.starts_with("summary-"));
    world.mailer.accepted().into_iter().filter(is_summary).collect()
}

#[tokio::test]
async fn the_summary_comes_once_a_week_at_its_time_and_counts_every_lead_of_the_seven_days_before() {
    let world = world();
    world.arrive(&["One", "Two", "Test"]).await;
    until(&world, "2026-11-09T07:00:00Z").await;
    assert!(summaries(&world).is_empty(), "it is not eight o'clock in Berlin");
    world.run().await;
    let mails = summaries(&world);
    assert_eq!(mails.len(), 1);
    assert_eq!(
        (mails[0].subject.as_str(), &mails[0].to),
        ("3 leads in the last 7 days: 2 Nov to 8 Nov 2026", &vec!["boss@contoso.example".to_owned()])
    );
    assert!(mails[0].text.contains("- Contoso Backup: 3"), "{}", mails[0].text);
    // From the third of November on leads were counted: the day before it is not known to have been quiet.
    assert!(mails[0].text.contains("On 5 days no lead came."), "{}", mails[0].text);
    // This lead comes on the day of the summary, and counts in the next one.
    world.arrive(&["Three"]).await;
    until(&world, "2026-11-16T08:00:00Z").await;
    let mails = summaries(&world);
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[1].subject, "1 lead in the last 7 days: 9 Nov to 15 Nov 2026");
    assert!(mails[1].text.contains("- Contoso Backup: 1 (was 3)"), "{}", mails[1].text);
    assert!(!world.texts_to("boss@contoso.example").contains("fabrikam"), "a summary names no customer");
    // Each lead was mailed to those who sell, as if there were no summary.
    assert!(["One", "Two", "Three"].iter().all(|name| world.mails_with(name) == 1));
}

#[tokio::test]
async fn a_lead_counts_once_however_often_its_batch_is_written() {
    let world = world();
    world.run().await;
    world.advance(MINUTE);
    world.arrive(&["One"]).await;
    // Each answer of the state table is lost once.
    let answers = AtomicUsize::new(0);
    let lost = TableError::Unavailable { reason: "lost".to_owned() };
    world.state.set_fault(Some(Box::new(move |_| {
        answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(2).then(|| FaultKind::After(lost.clone()))
    })));
    for _ in 0..5 {
        let _ = world.notifier().run(&world.run_id(), world.deadline()).await;
        world.advance(MINUTE * 2);
    }
    world.end_faults();
    until(&world, "2026-11-09T08:00:00Z").await;
    let mails = summaries(&world);
    assert_eq!(mails.len(), 1);
    assert!(mails[0].subject.starts_with("1 lead in the last 7 days"), "{}", mails[0].subject);
}

#[tokio::test]
async fn a_summary_that_cannot_be_sent_now_is_sent_by_a_later_run_and_one_that_is_refused_is_not_tried_for_ever() {
    let world = world();
    world.arrive(&["One"]).await;
    until(&world, "2026-11-09T07:00:00Z").await;
    world.mailer.fail_next(2, &SendFault::busy());
    for expected in [0, 0, 1, 1] {
        world.run().await;
        world.advance(MINUTE);
        assert_eq!(summaries(&world).len(), expected);
    }
    until(&world, "2026-11-16T07:00:00Z").await;
    let calls = world.mailer.calls();
    world.mailer.fail_next(1, &SendFault::message());
    world.runs(5, MINUTE).await;
    assert_eq!((summaries(&world).len(), world.mailer.calls() - calls), (1, 1));
}

#[tokio::test]
async fn a_route_that_is_new_is_not_told_of_a_week_that_is_long_over_and_an_idle_run_costs_no_more() {
    let world = World::new();
    until(&world, "2026-11-11T07:00:00Z").await;
    let routes = json!([{"id": "weekly", "to": ["boss@contoso.example"], "summary": "weekly on mon at 08:00"}]);
    let world = world.with("LEADS_ROUTES", &routes.to_string());
    world.runs(2, MINUTE).await;
    let (leads, state) = (world.leads.calls(), world.state.calls());
    world.run().await;
    assert!((world.leads.calls() - leads) + (world.state.calls() - state) <= 6);
    until(&world, "2026-11-15T07:00:00Z").await;
    assert!(summaries(&world).is_empty());
}

#[tokio::test]
async fn counts_are_kept_for_ten_weeks() {
    let world = world();
    for _ in 0..100 {
        world.leads.insert(&microsoft_row(&world.today(), &world.now().to_string(), BACKUP)).await.unwrap();
        world.run().await;
        world.advance(DAY);
    }
    world.run().await;
    let days = world.state_keys("day-");
    assert!((69..=72).contains(&days.len()), "{} days", days.len());
    assert_eq!(world.state_keys("counts").len(), 1);
}

#[test]
fn the_time_of_a_summary_is_read_in_its_forms_and_nothing_else_is() {
    let time = |text: &str| SummaryTime::parse(text).map(|time| (time.weekday, time.at.to_string()));
    assert_eq!(time("weekly"), Ok((Weekday::Monday, "08:00:00".to_owned())));
    assert_eq!(time(" Weekly on FRI at 16:30"), Ok((Weekday::Friday, "16:30:00".to_owned())));
    for text in ["", "monthly", "weekly at 08:00", "weekly on mon", "weekly on mon at 25:00", "weekly on xyz at 08:00"]
    {
        assert!(time(text).is_err(), "{text}");
    }
}

#[test]
fn a_route_for_a_summary_takes_nothing_that_is_about_single_leads() {
    for (route, expected) in [
        (json!({"to": ["a@b.example"], "summary": "weekly"}), true),
        (json!({"to": ["a@b.example"], "summary": "weekly", "zone": "Asia/Tokyo", "name": "Boss"}), true),
        (json!({"to": ["crm"], "summary": "weekly"}), false),
        (json!({"to": ["a@b.example"], "summary": "weekly", "offers": ["x"]}), false),
        (json!({"to": ["a@b.example"], "summary": "weekly", "cadence": "immediately"}), false),
        (json!({"to": ["a@b.example"], "summary": "now and then"}), false),
    ] {
        let read = crate::settings::Route::parse_all(&json!([route]).to_string());
        assert_eq!(read.is_ok(), expected, "{route}: {read:?}");
    }
}

#[tokio::test]
async fn a_recipient_whom_the_mail_service_refuses_keeps_no_summary_from_the_others() {
    for fault in [SendFault::message(), SendFault::destination()] {
        let routes =
            json!([{"id": "weekly", "to": ["left@contoso.example", "boss@contoso.example"], "summary": "weekly"}]);
        let world = World::new().with("LEADS_ROUTES", &routes.to_string());
        world.mailer.set_fault(Some(Box::new(move |mail| {
            mail.to.contains(&"left@contoso.example".to_owned()).then(|| fault.clone())
        })));
        world.arrive(&["One"]).await;
        until(&world, "2026-11-09T12:00:00Z").await;
        let mails = summaries(&world);
        assert_eq!(mails.iter().map(|mail| mail.to.clone()).collect::<Vec<_>>(), [["boss@contoso.example"]]);
    }
}
