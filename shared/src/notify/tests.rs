//! The notifier against tables and a mail service in memory.

use super::*;
use crate::lead::Lead;
use crate::mail::memory::{MemoryMailer, SendFault};
use crate::mail::{MAX_RECIPIENTS, Message};
use crate::table::memory::MemoryTable;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const REPEAT: &str = "may be a repeat";
pub(super) const HOUR: SignedDuration = SignedDuration::from_hours(1);
pub(super) const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// Tables, mail service and clock that outlive the notifiers working on them.
#[derive(Clone)]
pub(super) struct World {
    pub(super) leads: MemoryTable,
    pub(super) state: MemoryTable,
    pub(super) mailer: MemoryMailer,
    pub(super) now: Arc<Mutex<Timestamp>>,
    settings: BTreeMap<String, String>,
    runs: Arc<AtomicUsize>,
}

impl World {
    /// A Tuesday, early in the afternoon.
    pub(super) fn new() -> Self {
        let world = Self {
            leads: MemoryTable::new(),
            state: MemoryTable::new(),
            mailer: MemoryMailer::new(),
            now: Arc::new(Mutex::new("2026-11-03T14:00:00Z".parse().unwrap())),
            settings: BTreeMap::new(),
            runs: Arc::default(),
        };
        let settings = [
            ("LEADS_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true"),
            ("LEADS_MAIL_FROM", "leads@contoso.example"),
            ("LEADS_MAIL_TO", "sales@contoso.example"),
        ];
        let world = settings.into_iter().fold(world, |world, (name, value)| world.with(name, value));
        world.advance(SignedDuration::ZERO);
        world
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    pub(super) fn advance(&self, by: SignedDuration) {
        let mut now = self.now.lock().unwrap();
        *now += by;
        self.leads.set_now(*now);
        self.state.set_now(*now);
    }

    fn notifier(&self) -> Notifier<MemoryTable, MemoryMailer> {
        self.notifier_on(self.leads.clone(), self.state.clone(), self.mailer.clone())
    }

    pub(super) fn notifier_on<T: Table, M: Mailer>(&self, leads: T, state: T, mailer: M) -> Notifier<T, M> {
        let now = self.now.clone();
        let (leads_table, state_table) = (self.leads.clone(), self.state.clone());
        Notifier {
            leads,
            state,
            mailer,
            settings: NotifierSettings::from_pairs(self.settings.clone()).unwrap(),
            language: Language::find("en").unwrap(),
            clock: Arc::new(move || *now.lock().unwrap()),
            requests: Arc::new(move || (leads_table.calls() + state_table.calls()) as u64),
        }
    }

    fn run_id(&self) -> String {
        format!("run{}", self.runs.fetch_add(1, Ordering::Relaxed))
    }

    fn deadline(&self) -> Timestamp {
        self.now() + MINUTE * 5
    }

    async fn run(&self) -> RunRecord {
        self.notifier().run(&self.run_id(), self.deadline()).await.unwrap()
    }

    async fn execute(&self, event: serde_json::Value) -> Result<serde_json::Value, NotifyError> {
        self.notifier().execute(Command::parse(&event).unwrap(), &self.run_id(), self.deadline()).await
    }

    /// Writes rows as Microsoft does.
    async fn arrive(&self, names: &[&str]) {
        for name in names {
            self.arrive_under(&Day::of(self.now()).partition_key(), name, "AzureMarketplace-INS|contoso.backup").await;
        }
    }

    async fn arrive_under(&self, partition_key: &str, name: &str, lead_source: &str) {
        self.leads.insert(&microsoft_row(partition_key, name, lead_source)).await.unwrap();
    }

    /// How many mails a lead is in.
    fn mails_with(&self, name: &str) -> usize {
        self.mailer.accepted().iter().filter(|mail| mail.text.contains(name)).count()
    }

    fn subjects(&self) -> Vec<String> {
        self.mailer.accepted().into_iter().map(|mail| mail.subject).collect()
    }

    async fn checkpoint(&self) -> Checkpoint {
        State::new(self.state.clone()).checkpoint().await.unwrap().unwrap()
    }
}

pub(super) fn microsoft_row(partition_key: &str, name: &str, lead_source: &str) -> Entity {
    let customer = json!({"FirstName": name, "LastName": "Doe", "Email": format!("{name}@fabrikam.example"),
        "Phone": "1", "Country": "US", "Company": "Fabrikam", "Title": "CTO"});
    Entity::new(partition_key, format!("row-{name}"))
        .with("ActionCode", "INS")
        .with("CreatedTime", "2026-11-03T13:00:00Z")
        .with("CustomerInfo", customer.to_string())
        .with("Description", "")
        .with("LeadSource", lead_source)
        .with("OfferDisplayName", "Contoso Backup")
}

#[tokio::test]
async fn leads_of_both_sources_go_out_in_one_mail_and_only_once() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let body = br#"{"UserDetails":{"FirstName":"Grace"},"LeadSource":"SPZA-PLT|contoso.vm","OfferTitle":"Contoso VM"}"#;
    let stored = StoredLead::received(Lead::from_json(body).unwrap(), world.now());
    world.leads.insert(&stored.to_entity()).await.unwrap();
    let record = world.run().await;
    assert_eq!((record.outcome, record.leads, record.leads_by_https, record.digests), (Outcome::Complete, 2, 1, 1));
    assert_eq!(world.subjects().len(), 1);
    assert_eq!((world.mails_with("Ada"), world.mails_with("Grace")), (1, 1));
    for _ in 0..30 {
        world.advance(MINUTE);
        assert_eq!(world.run().await.mails, 0);
    }
    assert_eq!(world.subjects().len(), 1);
}

#[tokio::test]
async fn without_new_leads_there_is_no_mail() {
    let world = World::new();
    let record = world.run().await;
    assert_eq!((record.outcome, record.mails), (Outcome::Complete, 0));
    assert!(world.mailer.accepted().is_empty());
}

#[tokio::test]
async fn the_first_run_looks_back_as_far_as_it_is_told() {
    let world = World::new().with("LEADS_FIRST_LOOKBACK_MINUTES", "90");
    world.arrive(&["Early"]).await;
    world.advance(HOUR);
    world.arrive(&["Late"]).await;
    world.advance(MINUTE * 31);
    world.run().await;
    assert_eq!((world.mails_with("Early"), world.mails_with("Late")), (0, 1));
}

#[tokio::test]
async fn a_first_run_that_is_cut_short_or_paused_is_made_up_for_by_later_ones() {
    let cut_short = World::new().with("LEADS_DIGEST_SIZE", "1");
    cut_short.arrive(&["Ada", "Grace", "Joan"]).await;
    let slow = cut_short.clone();
    cut_short.mailer.set_fault(Some(Box::new(move |_| {
        *slow.now.lock().unwrap() += MINUTE * 5;
        None
    })));
    assert_eq!(cut_short.run().await.outcome, Outcome::Stopped);
    cut_short.mailer.set_fault(None);

    let paused = World::new();
    paused.execute(json!({"command": "pause"})).await.unwrap();
    paused.arrive(&["Ada", "Grace", "Joan"]).await;
    assert_eq!(paused.run().await.outcome, Outcome::Paused);
    paused.execute(json!({"command": "resume"})).await.unwrap();

    for world in [cut_short, paused] {
        world.advance(HOUR * 5);
        world.run().await;
        for name in ["Ada", "Grace", "Joan"] {
            assert_eq!(world.mails_with(name), 1, "{name}");
        }
    }
}

#[tokio::test]
async fn a_run_that_is_a_week_late_misses_nothing() {
    let world = World::new();
    world.run().await;
    for day in 0..7 {
        world.advance(HOUR * 24);
        world.arrive(&[format!("Lead{day}x").as_str()]).await;
    }
    world.advance(HOUR);
    let record = world.run().await;
    assert_eq!(record.leads, 7);
    for day in 0..7 {
        assert_eq!(world.mails_with(&format!("Lead{day}x")), 1);
    }
}

#[tokio::test]
async fn leads_that_arrive_while_a_run_reads_are_sent_by_it_or_by_the_next() {
    let world = World::new();
    let count = Arc::new(AtomicUsize::new(0));
    let (arrivals, busy) = (count.clone(), world.clone());
    world.leads.set_fault(Some(Box::new(move |_| {
        let name = format!("Arrival{}x", arrivals.fetch_add(1, Ordering::Relaxed));
        let today = Day::of(busy.now()).partition_key();
        busy.leads.put(microsoft_row(&today, &name, "AzurePortal-Create|contoso.backup"));
        busy.advance(SignedDuration::from_secs(1));
        None
    })));
    for _ in 0..4 {
        world.run().await;
        world.advance(HOUR);
    }
    world.leads.set_fault(None);
    world.run().await;
    let count = count.load(Ordering::Relaxed);
    assert!(count >= 12, "{count} leads arrived");
    for number in 0..count {
        assert_eq!(world.mails_with(&format!("Arrival{number}x")), 1, "arrival {number}");
    }
}

#[tokio::test]
async fn writers_whose_clocks_differ_by_five_minutes_lose_nothing() {
    let world = World::new();
    world.run().await;
    for step in 0..40 {
        // Each row is written by a server whose clock is ahead or behind; the state table's clock is right.
        let skew = if step % 2 == 0 { MINUTE * 5 } else { MINUTE * -5 };
        world.leads.set_now(world.now() + skew);
        let name = format!("Skewed{step}x");
        world.leads.put(microsoft_row(&Day::of(world.now()).partition_key(), &name, "SPZA-INS|contoso.backup"));
        world.advance(MINUTE * 7);
        world.run().await;
    }
    world.advance(HOUR);
    world.run().await;
    for step in 0..40 {
        assert_eq!(world.mails_with(&format!("Skewed{step}x")), 1, "step {step}");
    }
}

#[tokio::test]
async fn a_window_of_several_pages_goes_out_whole_in_digests_of_bounded_size() {
    let world = World::new();
    let world = World { leads: MemoryTable::new().with_page_size(1000), ..world };
    world.advance(SignedDuration::ZERO);
    for number in 0..2_500 {
        let today = Day::of(world.now()).partition_key();
        world.leads.put(microsoft_row(&today, &format!("Lead{number:04}x"), "SPZA-INS|contoso.backup"));
    }
    let record = world.run().await;
    assert_eq!((record.outcome, record.leads, record.digests, record.mailed), (Outcome::Complete, 2_500, 25, 2_500));
    let mails = world.mailer.accepted();
    let csv = |mail: &Message| String::from_utf8(mail.attachments[0].content.clone()).unwrap();
    let all: String = mails.iter().map(csv).collect();
    for number in 0..2_500 {
        assert_eq!(all.matches(&format!("row-Lead{number:04}x")).count(), 1);
    }
}

#[tokio::test]
async fn the_number_of_requests_does_not_grow_with_the_table() {
    let mut requests = Vec::new();
    for old in [0, 1_000, 100_000] {
        let world = World::new();
        world.run().await;
        world.leads.set_now(world.now() - HOUR * 24);
        for number in 0..old {
            // The old leads of some years, some of them in partitions that a run reads.
            let day = Day::of(world.now() - HOUR * (24 * (1 + number % 700)));
            let row = microsoft_row(&day.partition_key(), &format!("Old{number}x"), "SPZA-INS|contoso.backup");
            world.leads.put(row);
        }
        world.advance(HOUR * 2);
        // The first run takes the rows that were just written as new; the second one is the one that counts.
        world.run().await;
        world.advance(HOUR * 2);
        for number in 20..40 {
            world.arrive(&[format!("New{number}x").as_str()]).await;
        }
        let rows_before = world.leads.rows_read();
        let record = world.run().await;
        assert_eq!((record.leads, record.digests), (20, 1));
        assert!(world.leads.rows_read() - rows_before <= 40, "rows read: {}", world.leads.rows_read() - rows_before);
        requests.push(record.requests);
    }
    assert!(requests.iter().max().unwrap() - requests.iter().min().unwrap() <= 1, "{requests:?}");
}

#[tokio::test]
async fn of_two_runs_at_once_one_works_and_each_lead_is_mailed_once() {
    let world = World::new();
    world.arrive(&["Ada", "Grace"]).await;
    let second = world.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        // While the first run sends, a second one begins, and a third.
        for _ in 0..2 {
            assert_eq!(futures::executor::block_on(second.run()).outcome, Outcome::Busy);
        }
        None
    })));
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    assert_eq!((world.mails_with("Ada"), world.mails_with("Grace")), (1, 1));
}

#[tokio::test]
async fn a_run_that_dies_keeps_the_others_out_only_until_its_lease_ends() {
    let world = World::new();
    world.run().await;
    world.arrive(&["Ada"]).await;
    let calls = world.leads.calls();
    // Dies after it took the lease, at its first look at the leads.
    world.leads.set_fault(Some(Box::new(move |_| Some(unavailable()))));
    world.state.set_fault(Some(Box::new({
        let leads = world.leads.clone();
        move |_| (leads.calls() > calls).then(unavailable)
    })));
    assert!(world.notifier().run("dies", world.deadline()).await.is_err());
    world.leads.set_fault(None);
    world.state.set_fault(None);
    assert_eq!(world.run().await.outcome, Outcome::Busy);
    world.advance(MINUTE * 7);
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    assert_eq!(world.mails_with("Ada"), 1);
}

fn unavailable() -> crate::table::memory::FaultKind {
    crate::table::memory::FaultKind::Before(TableError::Unavailable { reason: "test".to_owned() })
}

pub(super) fn refused() -> MailError {
    MailError::Destination { code: "MessageRejected".to_owned(), cure: "verify the sender".to_owned() }
}

#[tokio::test]
async fn a_refused_route_fails_the_run_but_not_the_other_routes_and_is_made_up_for() {
    let routes = json!([{"name": "backup", "offers": ["contoso.backup"], "to": ["backup@contoso.example"]},
        {"name": "vm", "offers": ["contoso.vm"], "to": ["vm@contoso.example"]}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string());
    let today = Day::of(world.now()).partition_key();
    world.arrive_under(&today, "Ada", "SPZA-INS|contoso.backup").await;
    world.arrive_under(&today, "Grace", "SPZA-INS|contoso.vm").await;
    world.arrive_under(&today, "Joan", "SPZA-INS|contoso.other").await;
    world.mailer.set_fault(Some(Box::new(|mail| {
        mail.to.contains(&"backup@contoso.example".to_owned()).then(|| SendFault::Before(refused()))
    })));
    let error = world.execute(json!({"command": "run"})).await.unwrap_err();
    assert!(error.to_string().contains("verify the sender"), "{error}");
    assert_eq!((world.mails_with("Ada"), world.mails_with("Grace"), world.mails_with("Joan")), (0, 1, 1));
    assert_eq!(world.checkpoint().await.pending.len(), 1);
    world.mailer.set_fault(None);
    world.advance(HOUR);
    let record = world.run().await;
    assert_eq!((record.outcome, record.pending), (Outcome::Complete, 0));
    let late = world.mailer.accepted().pop().unwrap();
    assert_eq!(late.to, ["backup@contoso.example"]);
    assert!(late.text.contains("Ada") && late.text.contains("may be a repeat"), "{}", late.text);
}

#[tokio::test]
async fn leads_go_to_every_route_that_matches_and_dropped_ones_to_none() {
    let routes = json!([{"name": "contact", "actions": ["plt"], "to": ["contact@contoso.example"]},
        {"name": "vm", "offers": ["CONTOSO.VM"], "to": ["vm@contoso.example"]}]);
    let world = World::new()
        .with("LEADS_ROUTES", &routes.to_string())
        .with("LEADS_TEST_LEADS", "drop")
        .with("LEADS_DO_NOT_CONTACT", "drop");
    let today = Day::of(world.now()).partition_key();
    let row = |name: &str, action: &str, source: &str| microsoft_row(&today, name, source).with("ActionCode", action);
    world.leads.put(row("Both", "PLT", "SPZA-PLT|contoso.vm"));
    world.leads.put(row("Neither", "INS", "SPZA-INS|contoso.backup"));
    world.leads.put(row("Leave", "DNC", "SPZA-DNC|contoso.vm"));
    world.leads.put(row("MSFT_TEST_1", "INS", "MSFT_TEST_1-MSFT_TEST_1|contoso.vm"));
    let record = world.run().await;
    assert_eq!((record.leads, record.mailed, record.mails), (4, 3, 3));
    let to = |address: &str| {
        let mails = world.mailer.accepted().into_iter().filter(|mail| mail.to == [address]);
        mails.map(|mail| mail.text).collect::<String>()
    };
    assert!(to("contact@contoso.example").contains("Both") && to("vm@contoso.example").contains("Both"));
    assert!(to("sales@contoso.example").contains("Neither") && !to("sales@contoso.example").contains("Both"));
    assert_eq!((world.mails_with("Leave"), world.mails_with("MSFT_TEST_1")), (0, 0));
    world.advance(MINUTE);
    assert_eq!(world.run().await.leads, 0, "what was dropped is handled");
}

#[tokio::test]
async fn more_recipients_than_one_mail_takes_get_several_and_none_of_them_twice() {
    let to: Vec<_> = (0..120).map(|number| format!("person{number}@contoso.example")).collect();
    let world = World::new().with("LEADS_MAIL_TO", &to.join(";"));
    world.arrive(&["Ada"]).await;
    let second = "person60@contoso.example".to_owned();
    world.mailer.set_fault(Some(Box::new(move |mail| {
        mail.to
            .contains(&second)
            .then(|| SendFault::Before(MailError::Unavailable { code: "Throttling".to_owned(), may_be_accepted: true }))
    })));
    assert_eq!(world.run().await.outcome, Outcome::Failed);
    world.mailer.set_fault(None);
    world.advance(HOUR);
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    let mails = world.mailer.accepted();
    assert!(mails.iter().all(|mail| mail.to.len() <= MAX_RECIPIENTS));
    let mut got: Vec<_> = mails.into_iter().flat_map(|mail| mail.to).collect();
    got.sort();
    let mut wanted = to;
    wanted.sort();
    assert_eq!(got, wanted);
}

#[tokio::test]
async fn rows_and_bodies_that_cannot_be_read_are_named_and_stop_nothing() {
    let world = World::new();
    world.arrive(&["Ada", "Grace"]).await;
    let today = Day::of(world.now()).partition_key();
    world.leads.put(Entity::new(&today, "broken").with("CustomerInfo", "{not json").with("LeadSource", "SPZA"));
    world.leads.put(Entity::new(&today, "empty").with("Whatever", Value::Int32(1)));
    let unreadable = Lead::from_json(b"{\"a\" 1}").unwrap_err();
    quarantine::keep(&world.state, b"{\"a\" 1}", &unreadable, world.now()).await.unwrap();
    let record = world.run().await;
    assert_eq!((record.outcome, record.leads, record.quarantined, record.mails), (Outcome::Complete, 4, 1, 1));
    let mail = world.mailer.accepted().pop().unwrap();
    for part in ["Ada", "Grace", "broken", "empty", "CustomerInfo", "{\"a\" 1}"] {
        assert!(mail.text.contains(part), "{part} in {}", mail.text);
    }
    world.advance(MINUTE);
    let record = world.run().await;
    assert_eq!((record.leads, record.quarantined), (0, 0));
}

#[tokio::test]
async fn a_sweep_finds_a_row_under_another_key_and_full_reads_last_until_told() {
    let world = World::new();
    world.run().await;
    world.advance(HOUR);
    world.arrive_under("2026-11-03", "Odd", "SPZA-INS|contoso.backup").await;
    for _ in 0..22 {
        world.run().await;
        assert_eq!(world.mails_with("Odd"), 0);
        world.advance(HOUR);
    }
    world.advance(HOUR * 2);
    world.run().await;
    assert_eq!(world.mails_with("Odd"), 1, "the daily sweep finds it");
    assert!(world.checkpoint().await.full_reads);
    world.arrive_under("anything", "Other", "SPZA-INS|contoso.backup").await;
    world.advance(MINUTE);
    world.run().await;
    assert_eq!((world.mails_with("Odd"), world.mails_with("Other")), (1, 1), "the next run sees it at once");
    world.execute(json!({"command": "resume", "full-reads": false})).await.unwrap();
    assert!(!world.checkpoint().await.full_reads);
}

#[tokio::test]
async fn silence_is_said_once_and_again_only_after_a_lead() {
    let world = World::new().with("LEADS_SILENCE_DAYS", "2");
    world.arrive(&["Ada"]).await;
    for _ in 0..(24 * 5) {
        world.run().await;
        world.advance(HOUR);
    }
    assert_eq!(world.subjects().len(), 2, "{:?}", world.subjects());
    world.arrive(&["Grace"]).await;
    for _ in 0..(24 * 3) {
        world.run().await;
        world.advance(HOUR);
    }
    assert_eq!(world.subjects().len(), 4, "{:?}", world.subjects());
}

#[tokio::test]
async fn a_paused_notifier_says_so_and_loses_nothing() {
    let world = World::new();
    world.run().await;
    world.execute(json!({"command": "pause"})).await.unwrap();
    world.arrive(&["Ada"]).await;
    for _ in 0..30 {
        assert_eq!(world.run().await.outcome, Outcome::Paused);
        world.advance(HOUR);
    }
    assert_eq!(world.mails_with("Ada"), 0);
    let answer = world.execute(json!({"command": "resume"})).await.unwrap();
    assert_eq!(answer["paused"], false);
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn a_pause_during_a_run_lets_the_run_end_and_stays() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let paused = world.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        let pause = futures::executor::block_on(paused.execute(json!({"command": "pause"})));
        assert!(pause.is_ok(), "{pause:?}");
        None
    })));
    let record = world.run().await;
    assert_eq!((record.outcome, record.mails), (Outcome::Complete, 1));
    assert!(world.checkpoint().await.paused);
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_sent_and_changes_nothing() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let rows = |table: &MemoryTable| table.rows().len();
    let before = (rows(&world.leads), rows(&world.state));
    let answer = world.execute(json!({"command": "dry-run"})).await.unwrap();
    assert_eq!((answer["found"].as_u64(), answer["digests"][0]["leads"].as_u64()), (Some(1), Some(1)));
    assert!(answer["digests"][0]["text"].as_str().unwrap().contains("Ada"));
    assert_eq!((rows(&world.leads), rows(&world.state)), before);
    assert!(world.mailer.accepted().is_empty());
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn a_backfill_sends_again_marked_and_leaves_the_watermark() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    world.run().await;
    world.advance(HOUR * 3);
    world.arrive(&["Grace"]).await;
    world.run().await;
    let watermark = world.checkpoint().await.watermark;
    let event = json!({"command": "backfill", "since": "2026-11-03T13:00:00Z", "until": "2026-11-03T15:00:00Z",
        "to": "archive@contoso.example"});
    let answer = world.execute(event).await.unwrap();
    assert_eq!((answer["leads"].as_u64(), answer["mails"].as_u64()), (Some(1), Some(1)));
    let mail = world.mailer.accepted().pop().unwrap();
    assert_eq!(mail.to, ["archive@contoso.example"]);
    assert!(mail.text.contains("Ada") && !mail.text.contains("Grace") && mail.text.contains("Sent again on demand"));
    assert_eq!(world.checkpoint().await.watermark, watermark);
}

#[tokio::test]
async fn history_tells_of_the_last_runs_and_forgets_after_the_retention() {
    let world = World::new().with("LEADS_RETENTION_DAYS", "3");
    world.arrive(&["Ada"]).await;
    for _ in 0..(24 * 6) {
        world.run().await;
        world.advance(HOUR);
    }
    let answer = world.execute(json!({"command": "history", "last": 1000})).await.unwrap();
    let runs = answer["runs"].as_array().unwrap();
    assert!((72..=97).contains(&runs.len()), "{} runs are kept", runs.len());
    let started: Vec<_> = runs.iter().map(|run| run["started"].as_str().unwrap()).collect();
    assert!(started.is_sorted_by(|newer, older| newer > older), "newest first");
    assert_eq!(runs[0]["outcome"], "complete");
    assert!(world.state.rows().iter().all(|row| !row.row_key.starts_with("digest-")), "the digest is too old");
    let people = || world.state.rows().into_iter().filter(|row| row.partition_key == CONTACTS_PARTITION).count();
    assert_eq!(people(), 1);
    world.advance(HOUR * 24 * 181);
    world.run().await;
    assert_eq!(people(), 0, "who did nothing within the window is forgotten");
}

#[tokio::test]
async fn repeats_carry_the_history_of_the_person() {
    let world = World::new();
    let arrive = |name: &str, row_key: &str| {
        let mut row = microsoft_row(&Day::of(world.now()).partition_key(), name, "SPZA-INS|contoso.backup");
        row.properties.remove("CreatedTime");
        row.row_key = row_key.to_owned();
        world.leads.put(row);
    };
    arrive("Ada", "first");
    world.run().await;
    world.advance(HOUR * 24);
    arrive("ADA", "second");
    world.run().await;
    let mails = world.mailer.accepted();
    assert!(!mails[0].text.contains("180 days") && mails[1].text.contains("180 days"), "{}", mails[1].text);
}

#[tokio::test]
async fn in_a_backlog_nobody_is_looked_up_who_is_new_and_no_history_is_forgotten() {
    for page_size in [7, 1000] {
        let world = World { state: MemoryTable::new().with_page_size(page_size), ..World::new() };
        world.advance(SignedDuration::ZERO);
        let arrive = |name: &str, row_key: &str| {
            let mut row = microsoft_row(&Day::of(world.now()).partition_key(), name, "SPZA-INS|contoso.backup");
            row.properties.remove("CreatedTime");
            row.row_key = row_key.to_owned();
            world.leads.put(row);
        };
        for number in 0..30 {
            arrive(&format!("Known{number}"), &format!("first-{number}"));
        }
        world.run().await;
        world.advance(HOUR * 24);
        for number in 0..30 {
            arrive(&format!("Known{number}"), &format!("second-{:03}", number * 10));
        }
        for number in 0..270 {
            arrive(&format!("New{number}"), &format!("second-{:03}", number * 10 / 9 + 1));
        }
        let record = world.run().await;
        assert_eq!((record.leads, record.digests), (300, 3));
        let mails = world.mailer.accepted();
        let histories: usize = mails.iter().map(|mail| mail.text.matches("Second action in 180 days").count()).sum();
        assert_eq!(histories, 30, "{page_size} rows a page");
        // One for each known person, some pages, and what a run and its digests need; not one for each of 300.
        assert!(record.requests <= 70, "{page_size} rows a page: {} requests", record.requests);
    }
}

#[tokio::test]
async fn a_run_stops_before_its_deadline_and_the_next_one_reads_on() {
    let world = World::new().with("LEADS_DIGEST_SIZE", "10");
    let names: Vec<_> = (0..400).map(|number| format!("Lead{number:03}x")).collect();
    for name in &names {
        world.arrive(&[name.as_str()]).await;
    }
    let slow = world.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        *slow.now.lock().unwrap() += SignedDuration::from_secs(15);
        None
    })));
    let deadline = world.deadline();
    let record = world.run().await;
    assert_eq!(record.outcome, Outcome::Stopped);
    assert!(world.now() < deadline && record.digests >= 3, "{record:?}");
    for _ in 0..3 {
        world.run().await;
    }
    for name in &names {
        assert_eq!(world.mails_with(name), 1, "{name}");
    }
}

#[tokio::test]
async fn first_runs_that_fail_or_are_paused_do_not_move_how_far_the_first_one_looks_back() {
    for paused in [false, true] {
        let world = World::new();
        world.arrive(&["Ada"]).await;
        world.advance(MINUTE * 50);
        if paused {
            world.execute(json!({"command": "pause"})).await.unwrap();
        } else {
            world.leads.set_fault(Some(Box::new(|_| Some(unavailable()))));
        }
        for _ in 0..30 {
            assert_ne!(world.run().await.outcome, Outcome::Complete);
            world.advance(HOUR);
        }
        world.leads.set_fault(None);
        world.execute(json!({"command": "resume"})).await.unwrap();
        world.run().await;
        assert_eq!(world.mails_with("Ada"), 1, "paused: {paused}");
    }
}

#[tokio::test]
async fn a_run_that_saw_a_pause_leaves_alone_what_another_run_wrote_meanwhile() {
    let world = World::new();
    world.run().await;
    world.execute(json!({"command": "pause"})).await.unwrap();
    world.advance(HOUR);
    world.arrive(&["Ada"]).await;
    let (other, before) = (world.clone(), world.state.calls());
    world.state.set_fault(Some(Box::new(move |call| {
        // Between the reading of the checkpoint and the next write, somebody resumes, and a run cannot send.
        if call == before + 1 {
            other.mailer.fail_next(1, &SendFault::Before(refused()));
            futures::executor::block_on(other.execute(json!({"command": "resume"}))).unwrap();
            assert_eq!(futures::executor::block_on(other.run()).pending, 1);
        }
        None
    })));
    assert_eq!(world.run().await.outcome, Outcome::Paused);
    world.state.set_fault(None);
    world.advance(HOUR);
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn an_invocation_that_is_delivered_twice_is_one_run() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let second = world.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        let record = futures::executor::block_on(second.notifier().run("same", second.deadline())).unwrap();
        assert_eq!(record.outcome, Outcome::Busy);
        None
    })));
    assert_eq!(world.notifier().run("same", world.deadline()).await.unwrap().outcome, Outcome::Complete);
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn what_becomes_visible_behind_a_slow_run_is_found_although_our_clock_is_ahead() {
    let world = World::new();
    world.run().await;
    world.advance(HOUR);
    let (other, before) = (world.clone(), world.leads.calls());
    world.leads.set_fault(Some(Box::new(move |call| {
        // Yesterday's and today's rows are read; then a row of today becomes visible, just less late than the overlap,
        // and minutes later one comes under tomorrow's key.
        if call == before + 2 {
            let (now, today) = (other.now(), Day::of(other.now()));
            other.leads.set_now(now - MINUTE * 10 + SignedDuration::from_secs(1));
            other.leads.put(microsoft_row(&today.partition_key(), "Late", "SPZA-INS|contoso.backup"));
            other.leads.set_now(now);
            other.advance(MINUTE * 4);
            other.leads.put(microsoft_row(&today.after().partition_key(), "New", "SPZA-INS|contoso.backup"));
        }
        None
    })));
    let now = world.now.clone();
    let ahead = Notifier { clock: Arc::new(move || *now.lock().unwrap() + MINUTE * 5), ..world.notifier() };
    ahead.run("ahead", world.deadline() + MINUTE * 5).await.unwrap();
    world.leads.set_fault(None);
    assert_eq!((world.mails_with("New"), world.mails_with("Late")), (1, 0), "the race was run");
    world.advance(HOUR);
    world.run().await;
    assert_eq!(world.mails_with("Late"), 1);
}

#[tokio::test]
async fn a_digest_whose_sending_could_not_be_noted_in_two_tries_is_noted_with_the_run() {
    let world = World::new();
    world.arrive(&["Ada"]).await;
    let state = world.state.clone();
    let failing = Arc::new(AtomicUsize::new(0));
    let left = failing.clone();
    world.state.set_fault(Some(Box::new(move |_| {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok().then(unavailable)
    })));
    world.mailer.set_fault(Some(Box::new(move |_| {
        failing.store(2, Ordering::Relaxed);
        None
    })));
    assert_eq!(world.run().await.outcome, Outcome::Failed);
    let digests = State::new(state).digests_since(Timestamp::MIN).await.unwrap();
    assert_eq!((digests[0].status, world.checkpoint().await.pending.len()), (DigestStatus::Sent, 0));
    world.advance(HOUR);
    world.run().await;
    assert_eq!(world.mails_with("Ada"), 1);
}

#[tokio::test]
async fn what_comes_late_out_of_the_queue_is_mailed_and_does_not_make_every_run_read_the_whole_table() {
    let world = World::new();
    world.run().await;
    let received = world.now();
    world.advance(HOUR * 24 * 6);
    world.run().await;
    let body = br#"{"UserDetails":{"FirstName":"Grace"},"LeadSource":"SPZA-PLT|contoso.vm","OfferTitle":"Contoso VM"}"#;
    world.leads.put(StoredLead::received(Lead::from_json(body).unwrap(), received).to_entity());
    let unreadable = Lead::from_json(b"{\"a\" 1}").unwrap_err();
    quarantine::keep(&world.state, b"{\"a\" 1}", &unreadable, received).await.unwrap();
    world.advance(HOUR);
    assert_eq!(world.run().await.quarantined, 1);
    world.advance(HOUR * 24);
    world.run().await;
    assert_eq!(world.mails_with("Grace"), 1);
    assert!(!world.checkpoint().await.full_reads);
}

#[tokio::test]
async fn no_digest_is_forgotten_while_a_read_can_still_find_its_leads() {
    // Sweeps further apart than digests are kept.
    let world = World::new().with("LEADS_SWEEP_HOURS", "120").with("LEADS_RETENTION_DAYS", "2");
    world.run().await;
    for day in 0..20 {
        world.arrive(&[format!("Lead{day}x").as_str()]).await;
        for _ in 0..4 {
            world.advance(HOUR * 6);
            world.run().await;
        }
        match day {
            // A row under another key: every run reads the whole table for a week.
            9 => world.arrive_under("anything", "Odd", "SPZA-INS|contoso.backup").await,
            17 => drop(world.execute(json!({"command": "resume", "full-reads": false})).await.unwrap()),
            _ => {}
        }
    }
    assert_eq!(world.mails_with("Odd"), 1);
    for day in 0..20 {
        assert_eq!(world.mails_with(&format!("Lead{day}x")), 1, "day {day}");
    }
    let digests = world.state.rows().into_iter().filter(|row| row.row_key.starts_with("digest-")).count();
    assert!(digests < 10, "{digests} digests are kept");
}

#[tokio::test]
async fn however_much_is_too_old_it_is_deleted_as_far_as_time_allows() {
    let world = World::new();
    world.run().await;
    world.arrive(&["Ada"]).await;
    world.mailer.fail_next(1, &SendFault::Before(refused()));
    world.run().await;
    for number in 0..2_500 {
        world.state.put(Entity::new(quarantine::PARTITION, format!("2026-11-03-{number:04}")));
        world.state.put(Entity::new(CONTACTS_PARTITION, format!("{number:04}")));
        world.state.put(Entity::new(PARTITION, format!("run-{number:04}")));
    }
    let old = |partition_key: &str| {
        let rows = world.state.rows().into_iter();
        rows.filter(|row| row.partition_key == partition_key && !row.row_key.starts_with("run-8")).count()
    };
    assert_eq!((old(quarantine::PARTITION), old(CONTACTS_PARTITION)), (2_500, 2_501));
    world.advance(HOUR * 24 * 200);
    // What is old became so unnoticed: the quarantined bodies are in no mail any more.
    let mut state = world.checkpoint().await;
    state.watermark = Some(world.now());
    State::new(world.state.clone()).overwrite(state, "test".to_owned()).await.unwrap();
    let slow = world.clone();
    let calls = world.state.calls();
    world.state.set_fault(Some(Box::new(move |call| {
        *slow.now.lock().unwrap() += SignedDuration::from_secs(if call > calls + 30 { 10 } else { 0 });
        None
    })));
    world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::Before(refused())))));
    world.run().await;
    world.state.set_fault(None);
    assert!(old(CONTACTS_PARTITION) > 2_000, "time did not suffice");
    world.advance(HOUR);
    world.run().await;
    assert_eq!((old(quarantine::PARTITION), old(CONTACTS_PARTITION)), (0, 0));
    let kept = |row: &Entity| row.partition_key == PARTITION && row.row_key != "checkpoint";
    let rows: Vec<_> = world.state.rows().into_iter().filter(kept).collect();
    assert_eq!(
        rows.iter().filter(|row| row.string("Status") == Some("pending")).count(),
        1,
        "what waits is never too old"
    );
    assert_eq!(rows.len(), 3, "and the last two runs");
}

/// Ann in every place where a person can be, and others whose addresses are like hers.
async fn world_with_ann() -> World {
    let world = World::new().with("LEADS_DIGEST_SIZE", "1");
    let today = Day::of(world.now()).partition_key();
    let row = |key: &str, customer: serde_json::Value, description: &str| {
        Entity::new(&today, key)
            .with("CustomerInfo", customer.to_string())
            .with("Description", description)
            .with("LeadSource", "SPZA-INS|contoso.backup")
    };
    world.leads.put(row("by-address", json!({"FirstName": "Ann", "Email": " Ann@Fabrikam.example"}), ""));
    world.leads.put(row("by-note", json!({"Email": "bob@fabrikam.example"}), "ask\nann@fabrikam.example, please"));
    world.leads.put(row("by-field", json!({"Email": "", "Other": {"deep": ["ann@fabrikam.example"]}}), ""));
    world.leads.put(row("joann", json!({"Email": "joann@fabrikam.example"}), ""));
    let body = br#"{"UserDetails":{"Email":"x@fabrikam.example"},"LeadSource":"S","Cc":"ann\u0040fabrikam.example"}"#;
    world.leads.put(StoredLead::received(Lead::from_json(body).unwrap(), world.now()).to_entity());
    world.leads.put(Entity::new("another", "unreadable").with("CustomerInfo", "{ann@fabrikam.example"));
    // An address in a text of two columns, across both.
    let mut long = row("long", json!({"Email": "y@fabrikam.example"}), "");
    long.set_text("Description", &format!("{}ann@fabrikam.example", " ".repeat(crate::table::MAX_STRING_UNITS - 5)));
    world.leads.put(long);
    for body in [
        &br#"{"Email":"ann\u0040fabrikam.example" 1}"#[..],
        b"email=ann%40fabrikam.example",
        b"{joann@fabrikam.example",
    ] {
        let unreadable = Lead::from_json(body).unwrap_err();
        quarantine::keep(&world.state, body, &unreadable, world.now()).await.unwrap();
    }
    world
}

fn keys(table: &MemoryTable, partition_key: &str) -> Vec<String> {
    let rows = table.rows().into_iter().filter(|row| row.partition_key == partition_key);
    rows.map(|row| row.row_key).collect()
}

#[tokio::test]
async fn erase_says_what_it_would_remove_and_with_confirm_removes_one_person_and_nobody_else() {
    let world = world_with_ann().await;
    world.run().await;
    let today = Day::of(world.now()).partition_key();
    let counts = json!({"MarketplaceLeads": {&today: 5, "another": 1},
        "MarketplaceLeadsState": {"contacts": 1, "quarantine": 2}});
    let before = (world.leads.rows(), world.state.rows());
    let answer = world.execute(json!({"command": "erase", "address": "ANN@fabrikam.example "})).await.unwrap();
    assert_eq!((&answer["would_remove"], &answer["complete"]), (&counts, &json!(true)));
    assert!((world.leads.rows(), world.state.rows()) == before, "nothing changes without `confirm`");
    let event = json!({"command": "erase", "address": "ann@fabrikam.example", "confirm": true});
    let answer = world.execute(event.clone()).await.unwrap();
    assert_eq!((&answer["removed"], &answer["complete"]), (&counts, &json!(true)));
    assert!(!answer.to_string().contains("ann@"), "{answer}");
    assert_eq!(keys(&world.leads, &today), ["joann"]);
    let kept = world.state.rows().into_iter().find(|row| row.partition_key == quarantine::PARTITION).unwrap();
    assert_eq!(crate::quarantine::Quarantined::from_entity(&kept).body, b"{joann@fabrikam.example");
    assert_eq!(keys(&world.state, CONTACTS_PARTITION).len(), 4, "the others are known as before");
    let answer = world.execute(event).await.unwrap();
    assert_eq!(answer["removed"], json!({"MarketplaceLeads": {}, "MarketplaceLeadsState": {}}));
    let mails = world.mailer.accepted().len();
    world.advance(HOUR);
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    assert_eq!(world.mailer.accepted().len(), mails);
}

#[tokio::test]
async fn a_digest_that_waits_says_of_an_erased_lead_only_that_it_was_deleted() {
    let world = world_with_ann().await;
    world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::Before(refused())))));
    world.run().await;
    world.mailer.set_fault(None);
    world.execute(json!({"command": "erase", "address": "ann@fabrikam.example", "confirm": true})).await.unwrap();
    world.advance(HOUR);
    assert_eq!(world.run().await.outcome, Outcome::Complete);
    let mails = world.mailer.accepted();
    assert!(mails.iter().all(|mail| !mail.text.replace("joann", "").contains("ann@")));
    assert!(mails.iter().any(|mail| mail.text.contains("by-address") && mail.text.contains("it was deleted")));
}

#[tokio::test]
async fn erase_waits_for_no_run_and_no_run_begins_meanwhile() {
    let world = world_with_ann().await;
    let erase = json!({"command": "erase", "address": "ann@fabrikam.example", "confirm": true});
    let (second, event) = (world.clone(), erase.clone());
    world.mailer.set_fault(Some(Box::new(move |_| {
        assert_eq!(futures::executor::block_on(second.execute(event.clone())), Err(NotifyError::Busy));
        None
    })));
    world.run().await;
    world.mailer.set_fault(None);
    let second = world.clone();
    world.leads.set_fault(Some(Box::new(move |_| {
        assert_eq!(futures::executor::block_on(second.run()).outcome, Outcome::Busy);
        None
    })));
    world.execute(erase).await.unwrap();
    world.leads.set_fault(None);
    assert_eq!(world.run().await.outcome, Outcome::Complete, "the lease is given back");
}

#[tokio::test]
async fn erase_says_that_it_stopped_early_and_goes_on_when_it_is_asked_again() {
    let world = World::new();
    for number in 0..1_200 {
        let row = microsoft_row("1:2F2:2F2026", &format!("Old{number:04}"), "SPZA-INS|contoso.backup");
        let customer = json!({"FirstName": "Ann", "Email": "ann@fabrikam.example"}).to_string();
        world.leads.put(row.with("CustomerInfo", customer));
    }
    let slow = world.clone();
    world.leads.set_fault(Some(Box::new(move |_| {
        *slow.now.lock().unwrap() += SignedDuration::from_millis(500);
        None
    })));
    let event = json!({"command": "erase", "address": "ann@fabrikam.example", "confirm": true});
    let answer = world.execute(event.clone()).await.unwrap();
    assert_eq!(answer["complete"], false);
    let removed = answer["removed"]["MarketplaceLeads"]["1:2F2:2F2026"].as_u64().unwrap();
    assert_eq!(world.leads.rows().len() as u64, 1_200 - removed);
    assert!((100..1_200).contains(&removed), "{removed}");
    world.leads.set_fault(None);
    assert_eq!(world.execute(event).await.unwrap()["complete"], true);
    assert!(world.leads.rows().is_empty());
}

#[tokio::test]
async fn an_erasure_that_a_table_fails_says_so_without_the_address_and_gives_the_lease_back() {
    let world = world_with_ann().await;
    world.leads.set_fault(Some(Box::new(|call| (call > 3).then(unavailable))));
    let event = json!({"command": "erase", "address": "ann@fabrikam.example", "confirm": true});
    let error = world.execute(event).await.unwrap_err();
    assert!(matches!(error, NotifyError::Table(_)) && !error.to_string().contains("ann"), "{error}");
    world.leads.set_fault(None);
    assert!(!world.checkpoint().await.is_leased(world.now()));
}

/// One fault at one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// An error that may pass, before anything was done.
    ErrorBefore,
    /// The answer is lost after the service acted.
    ErrorAfter,
    /// An error that will not pass.
    RefusedBefore,
    /// The process dies before the request.
    KilledBefore,
    /// The process dies after the service acted.
    KilledAfter,
}

/// Lets requests pass until the one with the fault; after a kill nothing passes.
#[derive(Default)]
struct Gate {
    requests: usize,
    at: Option<(usize, Fault)>,
    dead: bool,
    /// Which requests were mails.
    mails: Vec<usize>,
}

impl Gate {
    /// Whether this request fails, and whether after the service acted.
    fn pass(&mut self, is_mail: bool) -> Option<(Fault, bool)> {
        let number = self.requests;
        self.requests += 1;
        if is_mail {
            self.mails.push(number);
        }
        if self.dead {
            return Some((Fault::KilledBefore, false));
        }
        let (_, fault) = self.at.filter(|(at, _)| *at == number)?;
        self.dead = matches!(fault, Fault::KilledBefore | Fault::KilledAfter);
        Some((fault, matches!(fault, Fault::ErrorAfter | Fault::KilledAfter)))
    }
}

/// Ends what cannot go on: a process that was killed answers to nobody.
async fn with_gate(world: &World, gate: &Arc<Mutex<Gate>>) {
    use crate::table::memory::FaultKind;
    let table_fault = |gate: Arc<Mutex<Gate>>| -> crate::table::memory::Fault {
        Box::new(move |_| {
            let (fault, after) = gate.lock().unwrap().pass(false)?;
            let error = match fault {
                Fault::RefusedBefore => TableError::Refused { status: 403, code: "AuthenticationFailed".to_owned() },
                _ => TableError::Unavailable { reason: "test".to_owned() },
            };
            Some(if after { FaultKind::After(error) } else { FaultKind::Before(error) })
        })
    };
    world.leads.set_fault(Some(table_fault(gate.clone())));
    world.state.set_fault(Some(table_fault(gate.clone())));
    let mail_gate = gate.clone();
    world.mailer.set_fault(Some(Box::new(move |_| {
        let (fault, after) = mail_gate.lock().unwrap().pass(true)?;
        let error = match fault {
            Fault::RefusedBefore => refused(),
            _ => MailError::Unavailable { code: "test".to_owned(), may_be_accepted: true },
        };
        Some(if after { SendFault::After(error) } else { SendFault::Before(error) })
    })));
    let _ = world.notifier().run(&world.run_id(), world.deadline()).await;
    world.leads.set_fault(None);
    world.state.set_fault(None);
    world.mailer.set_fault(None);
}

/// A world in which a run has everything to do: pending digests, several pages and routes, a sweep, silence, deletions.
async fn eventful_world() -> World {
    let routes = json!([{"name": "vm", "offers": ["contoso.vm"], "to": ["vm@contoso.example"]}]);
    let world = World::new().with("LEADS_ROUTES", &routes.to_string()).with("LEADS_DIGEST_SIZE", "3");
    let world = World { leads: MemoryTable::new().with_page_size(4), ..world };
    world.advance(SignedDuration::ZERO);
    world.arrive(&["Zero"]).await;
    world.mailer.fail_next(1, &SendFault::Before(refused()));
    world.run().await;
    world.advance(HOUR * 25);
    let today = Day::of(world.now()).partition_key();
    for number in 1..8 {
        let source = if number % 3 == 0 { "SPZA-INS|contoso.vm" } else { "SPZA-INS|contoso.backup" };
        world.arrive_under(&today, &format!("Number{number}x"), source).await;
    }
    world.arrive_under("another", "Number8x", "SPZA-INS|contoso.backup").await;
    let unreadable = Lead::from_json(b"Number9x").unwrap_err();
    quarantine::keep(&world.state, b"Number9x", &unreadable, world.now()).await.unwrap();
    world.advance(MINUTE);
    world
}

#[tokio::test]
async fn whatever_fails_at_whichever_request_every_lead_is_mailed_and_repeats_are_marked() {
    let mut scenarios = 0;
    let mut repeats = 0;
    for fault in [Fault::ErrorBefore, Fault::ErrorAfter, Fault::RefusedBefore, Fault::KilledBefore, Fault::KilledAfter]
    {
        for at in 0.. {
            let world = eventful_world().await;
            let gate = Arc::new(Mutex::new(Gate { at: Some((at, fault)), ..Gate::default() }));
            with_gate(&world, &gate).await;
            let (requests, mails) = {
                let gate = gate.lock().unwrap();
                (gate.requests, gate.mails.clone())
            };
            if requests <= at {
                assert!(at > 30, "a run of {at} requests walks through nothing");
                break;
            }
            scenarios += 1;
            // Somebody looks an hour later, twice: the second time nothing is left to do.
            world.advance(HOUR);
            let record = world.run().await;
            assert_eq!((record.outcome, record.pending), (Outcome::Complete, 0), "{fault:?} at {at}: {record:?}");
            world.advance(MINUTE);
            let record = world.run().await;
            assert_eq!((record.outcome, record.mails), (Outcome::Complete, 0), "{fault:?} at {at}");
            for name in ["Zero", "Number1x", "Number2x", "Number3x", "Number4x", "Number5x", "Number6x", "Number7x"]
                .into_iter()
                .chain(["Number8x", "Number9x"])
            {
                let with: Vec<_> =
                    world.mailer.accepted().into_iter().filter(|mail| mail.text.contains(name)).collect();
                assert!(!with.is_empty(), "{name} is in no mail: {fault:?} at {at}");
                for mail in &with[1..] {
                    assert!(mail.text.contains(REPEAT), "{name} came again unmarked: {fault:?} at {at}");
                }
                repeats += with.len() - 1;
                // Accepted and not yet noted is the one window for repeats: the mail's own answer was lost, or the
                // write after it did not happen.
                let after_a_mail = mails.contains(&at) || at > 0 && mails.contains(&(at - 1));
                assert!(with.len() == 1 || after_a_mail, "{name} came again outside the window: {fault:?} at {at}");
            }
        }
    }
    println!("{scenarios} faults survived, {repeats} leads repeated and marked");
    assert!(repeats > 0, "the window was not walked through");
}
