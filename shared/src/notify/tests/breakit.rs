//! Worlds in which a lead would be lost, a repeat not be marked, or one thing stop another.

use crate::clock::Clock;
use crate::cue::{self, Cued};
use crate::lead::Day;
use crate::mail::memory::{MemoryMailer, SendFault};
use crate::mail::{Language, Message};
use crate::notify::{Command, Notifier, NotifyError, Outcome, RunRecord};
use crate::settings::NotifierSettings;
use crate::table::memory::{FaultKind, MemoryTable};
use crate::table::{Entity, Keys, TableError};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const REPEAT: &str = "may be a repeat";
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Tables, mail service and clock that outlive the notifiers working on them.
#[derive(Clone)]
struct World {
    leads: MemoryTable,
    state: MemoryTable,
    mailer: MemoryMailer,
    now: Arc<Mutex<Timestamp>>,
    settings: BTreeMap<String, String>,
    runs: Arc<AtomicUsize>,
}

impl World {
    fn new() -> Self {
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
            ("LEADS_CADENCE", "immediately"),
            ("LEADS_INTERVAL_MINUTES", "60"),
            ("LEADS_MAIL_TO", "sales@contoso.example"),
        ];
        let world = settings.into_iter().fold(world, |world, (name, value)| world.with(name, value));
        world.advance(SignedDuration::ZERO);
        world
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// So many recipients of everything.
    fn with_recipients(self, count: usize) -> Self {
        let to: Vec<_> = (0..count).map(|number| format!("person{number}@contoso.example")).collect();
        self.with("LEADS_MAIL_TO", &to.join(";"))
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn advance(&self, by: SignedDuration) {
        let mut now = self.now.lock().unwrap();
        *now += by;
        self.leads.set_now(*now);
        self.state.set_now(*now);
    }

    fn notifier(&self) -> Notifier<MemoryTable, MemoryMailer> {
        let now = self.now.clone();
        let clock: Clock = Arc::new(move || *now.lock().unwrap());
        let chance = Arc::new(AtomicU64::new(self.runs.load(Ordering::Relaxed) as u64 * 1_000_000));
        Notifier {
            leads: self.leads.clone(),
            state: self.state.clone(),
            mailer: self.mailer.clone(),
            destinations: crate::destinations::Destinations::none(),
            settings: NotifierSettings::from_pairs(self.settings.clone()).unwrap(),
            language: Language::find("en").unwrap(),
            clock,
            chance: Arc::new(move || chance.fetch_add(1, Ordering::Relaxed)),
            requests: Arc::new(|| 0),
            idle_runs: Arc::default(),
        }
    }

    fn run_id(&self) -> String {
        format!("run{}", self.runs.fetch_add(1, Ordering::Relaxed))
    }

    fn deadline(&self) -> Timestamp {
        self.now() + MINUTE * 5
    }

    async fn try_run(&self) -> Result<RunRecord, NotifyError> {
        let id = self.run_id();
        self.notifier().run(&id, self.deadline()).await
    }

    async fn run(&self) -> RunRecord {
        self.try_run().await.unwrap()
    }

    /// A run in each of so many intervals.
    async fn runs(&self, count: usize) {
        for _ in 0..count {
            self.advance(MINUTE * 5);
            let _ = self.try_run().await;
        }
    }

    async fn execute(&self, event: Value) -> Result<Value, NotifyError> {
        let id = self.run_id();
        self.notifier().execute(Command::parse(&event).unwrap(), &id, self.deadline()).await
    }

    fn arrive(&self, name: &str) {
        self.leads.put(row(&self.today(), name));
    }

    fn today(&self) -> String {
        Day::of(self.now()).partition_key()
    }

    fn mails_with(&self, name: &str) -> Vec<Message> {
        self.mailer.accepted().into_iter().filter(|mail| mail.text.contains(name)).collect()
    }

    /// How often this recipient has a lead in a mail that is not marked.
    fn unmarked(&self, name: &str, to: &str) -> usize {
        let mails = self.mails_with(name).into_iter();
        mails.filter(|mail| mail.to.iter().any(|known| known.contains(to)) && !mail.text.contains(REPEAT)).count()
    }

    /// Lets each call of the leads table take so many milliseconds.
    fn slow_down_leads(&self, milliseconds: i64) {
        let now = self.now.clone();
        self.leads.set_fault(Some(Box::new(move |_| {
            *now.lock().unwrap() += SignedDuration::from_millis(milliseconds);
            None
        })));
    }
}

fn row(partition_key: &str, name: &str) -> Entity {
    let customer = json!({"FirstName": name, "LastName": "Doe", "Email": format!("{name}@fabrikam.example"),
        "Phone": "1", "Country": "US", "Company": "Fabrikam", "Title": "CTO"});
    Entity::new(partition_key, format!("row-{name}"))
        .with("ActionCode", "INS")
        .with("CreatedTime", "2026-11-03T13:00:00Z")
        .with("CustomerInfo", customer.to_string())
        .with("Description", "")
        .with("LeadSource", "AzureMarketplace-INS|contoso.backup")
        .with("OfferDisplayName", "Contoso Backup")
}

fn unavailable() -> TableError {
    TableError::Unavailable { reason: "a test".to_owned() }
}

#[tokio::test]
async fn rows_of_the_log_that_do_not_fit_into_memory_are_sent_all_the_same() {
    let world = World::new().with("LEADS_DIGEST_SIZE", "200");
    world.runs(3).await;
    // Large leads, and behind them a small one: under a key that only the patrol finds, all in one slice.
    for number in 0..20 {
        let large = (0..14).fold(row("elsewhere", &format!("large{number:03}")), |row, column| {
            row.with(&format!("Column{column}"), "x".repeat(32_000))
        });
        world.leads.put(large);
    }
    world.leads.put(row("elsewhere", "small"));
    world.advance(HOUR * 24 * 8);
    world.runs(60).await;
    for name in (0..20).map(|number| format!("large{number:03}")).chain(["small".to_owned()]) {
        assert!(!world.mails_with(&name).is_empty(), "{name} is in no mail");
    }
}

#[tokio::test]
async fn recipients_who_have_their_part_of_a_digest_get_no_unmarked_repeat_when_time_runs_out_between_the_parts() {
    let world = World::new().with_recipients(60);
    world.run().await;
    world.arrive("Ada");
    world.advance(MINUTE * 5);
    // The first part takes almost the whole run.
    let slow = world.clone();
    let mut sends = 0;
    world.mailer.set_fault(Some(Box::new(move |_| {
        sends += 1;
        if sends == 1 {
            *slow.now.lock().unwrap() += SignedDuration::from_secs(270);
        }
        None
    })));
    world.run().await;
    assert_eq!(world.mails_with("Ada").len(), 1, "the first part is out");
    world.advance(SignedDuration::ZERO);
    world.runs(3).await;
    for number in 0..60 {
        let person = format!("person{number}@");
        let mails = world.mails_with("Ada").into_iter().filter(|mail| mail.to.iter().any(|to| to.contains(&person)));
        assert!(mails.count() >= 1, "person {number} has it");
        assert!(world.unmarked("Ada", &person) <= 1, "person {number} has no unmarked repeat");
    }
}

#[tokio::test]
async fn a_refused_recipient_in_the_last_mail_of_a_digest_keeps_nothing_from_the_others() {
    for fault in [SendFault::destination(), SendFault::message()] {
        let world = World::new().with_recipients(51);
        world.run().await;
        let decided = fault.clone();
        let refused = move |mail: &Message| mail.to.iter().any(|to| to.contains("person50@")).then(|| decided.clone());
        world.mailer.set_fault(Some(Box::new(refused)));
        for name in ["Ada", "Grace", "Joan"] {
            world.arrive(name);
            world.runs(3).await;
        }
        world.runs(24).await;
        for name in ["Ada", "Grace", "Joan"] {
            assert_eq!(world.mails_with(name).len(), 1, "{name} {fault:?}");
        }
    }
}

#[tokio::test]
async fn recipients_behind_ten_that_are_refused_get_their_mail() {
    let world = World::new().with_recipients(25);
    world.run().await;
    let works = |mail: &Message| mail.to.iter().all(|to| to.contains("person24@"));
    world.mailer.set_fault(Some(Box::new(move |mail| (!works(mail)).then(SendFault::destination))));
    world.arrive("Ada");
    world.runs(60).await;
    assert_eq!(world.mails_with("Ada").len(), 1);
}

#[tokio::test]
async fn an_account_that_is_paused_between_the_mails_of_a_digest_costs_nobody_his_mail() {
    let world = World::new().with_recipients(60);
    world.run().await;
    let mut sends = 0;
    world.mailer.set_fault(Some(Box::new(move |_| {
        sends += 1;
        let code = "SendingPausedException".to_owned();
        let paused = crate::mail::MailError::Destination { code, cure: "resume sending".to_owned() };
        (2..6).contains(&sends).then_some(SendFault::Before(paused))
    })));
    world.arrive("Ada");
    world.runs(30).await;
    let got: usize = world.mails_with("Ada").iter().map(|mail| mail.to.len()).sum();
    assert_eq!(got, 60);
}

#[tokio::test]
async fn a_pause_of_the_version_before_this_one_ends_with_resume() {
    let world = World::new();
    let checkpoint = Entity::new("notifier", "checkpoint")
        .with("Watermark", world.now() - HOUR)
        .with("Paused", true)
        .with("Pending", "");
    world.state.put(checkpoint);
    world.arrive("Ada");
    assert_eq!(world.run().await.outcome, Outcome::Paused);
    world.execute(json!({"command": "resume"})).await.unwrap();
    world.advance(MINUTE * 5);
    world.runs(2).await;
    assert_eq!(world.mails_with("Ada").len(), 1);
}

#[tokio::test]
async fn a_cued_row_that_cannot_be_read_keeps_no_other_lead_from_being_mailed() {
    let world = World::new();
    world.run().await;
    let cued = Cued::Lead(Keys::new("1:2F1:2F2026", "row-Old"));
    cue::leave(&world.state, &cued, 1).await.unwrap();
    world.leads.put(row("1:2F1:2F2026", "Old"));
    world.arrive("Ada");
    // The first call of the run reads the cued row.
    world.advance(MINUTE * 5);
    let first = world.leads.calls();
    world.leads.set_fault(Some(Box::new(move |call| (call == first).then(|| FaultKind::Before(unavailable())))));
    world.run().await;
    assert_eq!(world.mails_with("Ada").len(), 1);
    world.leads.set_fault(None);
    world.runs(1).await;
    assert_eq!(world.mails_with("Old").len(), 1);
}

#[tokio::test]
async fn a_patrol_that_could_not_begin_for_days_misses_nothing_of_these_days() {
    let world = World::new();
    world.run().await;
    world.advance(HOUR);
    world.leads.put(row("elsewhere", "Odd"));
    // Only the scan over partitions fails: it is the last call of a run that finds a lead.
    for day in 0..5 {
        world.advance(HOUR * 24);
        world.arrive(&format!("Daily{day}"));
        let mails = world.mailer.clone();
        let sent = mails.accepted().len();
        world.leads.set_fault(Some(Box::new(move |_| {
            (mails.accepted().len() > sent).then(|| FaultKind::Before(unavailable()))
        })));
        world.run().await;
    }
    world.leads.set_fault(None);
    world.runs(4).await;
    assert_eq!(world.mails_with("Odd").len(), 1);
}

#[tokio::test]
async fn a_lead_under_tomorrow_that_came_before_tomorrow_is_read_is_mailed_once() {
    let world = World::new();
    world.run().await;
    world.runs(4).await;
    // Tomorrow is read from 14 hours before it begins: at 10:00. The patrol passed by yesterday and comes again at 14:00.
    world.advance(HOUR * 17);
    world.runs(12).await;
    world.leads.put(row("11:2F5:2F2026", "Future"));
    world.runs(60).await;
    for _ in 0..24 * 4 {
        world.advance(HOUR);
        world.run().await;
    }
    assert_eq!(world.mails_with("Future").len(), 1);
}

#[tokio::test]
async fn what_was_given_up_for_a_route_that_is_gone_goes_to_the_default_recipients_on_retry() {
    let routes = r#"[{"name":"vm","offers":["contoso.backup"],"to":["vm@contoso.example"]}]"#;
    let world = World::new().with("LEADS_ROUTES", routes);
    world.run().await;
    world.mailer.set_refused_content(Some(Box::new(|_| true)));
    world.arrive("Ada");
    world.runs(3).await;
    assert!(world.mailer.accepted().is_empty());
    world.mailer.set_refused_content(None);
    let world = world.with("LEADS_ROUTES", "[]");
    // A day later, channels without a route are forgotten.
    world.advance(HOUR * 25);
    world.run().await;
    world.execute(json!({"command": "retry"})).await.unwrap();
    world.runs(2).await;
    assert_eq!(world.mails_with("Ada").len(), 1);
}

#[tokio::test]
async fn a_slow_table_or_a_failing_one_makes_no_run_outlive_its_deadline() {
    // In this clock, calls that are made side by side take their times one after the other.
    for (slow_leads, slow_state) in [(0, 0), (600, 0), (0, 600), (600, 600), (0, 5_000)] {
        for failing in [false, true] {
            let world = World::new().with("LEADS_DIGEST_SIZE", "200");
            world.run().await;
            for number in 0..300 {
                world.leads.put(row(&world.today(), &format!("lead{number:03}")));
                let cued = Cued::Lead(Keys::new(world.today(), format!("row-lead{number:03}")));
                cue::leave(&world.state, &cued, number).await.unwrap();
            }
            // Found, and not sent: what is read again later.
            world.mailer.set_fault(Some(Box::new(|_| Some(SendFault::unavailable()))));
            world.advance(MINUTE * 5);
            world.run().await;
            world.mailer.set_fault(None);
            world.advance(HOUR);
            for number in 0..300 {
                let cued = Cued::Lead(Keys::new(world.today(), format!("row-late{number:03}")));
                world.leads.put(row(&world.today(), &format!("late{number:03}")));
                cue::leave(&world.state, &cued, 1000 + number).await.unwrap();
            }
            world.slow_down_leads(slow_leads);
            let calls = world.state.calls();
            let slow = world.clone();
            world.state.set_fault(Some(Box::new(move |call| {
                *slow.now.lock().unwrap() += SignedDuration::from_millis(slow_state);
                (failing && call > calls + 3).then(|| FaultKind::Before(unavailable()))
            })));
            let deadline = world.deadline();
            let result = world.notifier().run("slow", deadline).await;
            assert!(
                world.now() <= deadline,
                "{slow_leads} {slow_state} {failing}: {} {result:?}",
                world.now() - deadline
            );
        }
    }
}

/// Numbers that look random, the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn is_one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

impl World {
    /// Lets calls of a table fail before or after they are done, take time, or be the last of their process.
    fn storm(&self, table: &MemoryTable, seed: u64) {
        let (now, mut numbers) = (self.now.clone(), Numbers(seed));
        let mut dies = false;
        table.set_fault(Some(Box::new(move |_| {
            if std::mem::take(&mut dies) {
                std::panic::resume_unwind(Box::new("the process is killed"));
            }
            *now.lock().unwrap() += SignedDuration::from_millis(numbers.below(200).try_into().unwrap());
            match numbers.below(120) {
                0 => Some(FaultKind::Before(unavailable())),
                1 => Some(FaultKind::After(unavailable())),
                2 => std::panic::resume_unwind(Box::new("the process is killed")),
                3 => {
                    dies = true;
                    Some(FaultKind::After(unavailable()))
                }
                4 => Some(FaultKind::Before(TableError::Refused {
                    status: 403,
                    code: "AuthorizationFailure".to_owned(),
                })),
                _ => None,
            }
        })));
    }

    /// A run that may be killed.
    async fn stormy_run(&self) {
        use futures::FutureExt as _;
        let _ = std::panic::AssertUnwindSafe(self.try_run()).catch_unwind().await;
        self.advance(SignedDuration::ZERO);
    }
}

#[tokio::test]
async fn in_a_storm_of_faults_no_lead_is_lost_and_every_repeat_is_marked() {
    for seed in [0, 21] {
        let routes = r#"[{"name":"plt","actions":["PLT"],"to":["plt@contoso.example"]},
            {"name":"vm","offers":["contoso.vm"],"to":["vm@contoso.example","vm2@contoso.example"]}]"#;
        let world = World::new().with_recipients(52).with("LEADS_ROUTES", routes).with("LEADS_DIGEST_SIZE", "7");
        let mut numbers = Numbers(seed);
        world.run().await;
        world.storm(&world.leads, seed + 1_000);
        world.storm(&world.state, seed + 2_000);
        let mut chances = Numbers(seed + 3_000);
        let slow = world.now.clone();
        world.mailer.set_fault(Some(Box::new(move |_| {
            *slow.lock().unwrap() +=
                SignedDuration::from_secs(chances.below(40).saturating_sub(20).try_into().unwrap());
            match chances.below(12) {
                0 => Some(SendFault::unavailable()),
                1 => Some(SendFault::lost_answer()),
                2 => Some(SendFault::lost_request()),
                3 => Some(SendFault::busy()),
                _ => None,
            }
        })));
        world.mailer.set_refused_content(Some(Box::new(|mail| mail.text.contains("poison"))));
        let mut leads = Vec::new();
        for _ in 0..40 {
            for _ in 0..numbers.below(6) * numbers.below(6) {
                let poison = if numbers.is_one_in(40) { "poison" } else { "" };
                let name = format!("{poison}lead{:04}", leads.len());
                let partition = match numbers.below(12) {
                    0 => "elsewhere".to_owned(),
                    1 => "11:2F1:2F2026".to_owned(),
                    2 => Day::of(world.now() + HOUR * 14).partition_key(),
                    3 => Day::of(world.now() + HOUR * 40).partition_key(),
                    4 => Day::of(world.now() - HOUR * 12).partition_key(),
                    _ => world.today(),
                };
                let source =
                    ["SPZA-PLT|contoso.backup", "SPZA-INS|contoso.vm", "SPZA-PLT|contoso.vm", "SPZA-INS|contoso.x"]
                        [usize::try_from(numbers.below(4)).unwrap()];
                let row = row(&partition, &name).with("LeadSource", source);
                let row = if numbers.is_one_in(10) { row.with("Description", "x".repeat(30_000)) } else { row };
                if numbers.is_one_in(5) {
                    let visible = world.now() + MINUTE * 8;
                    world.leads.put_late(row, visible);
                } else {
                    world.leads.put(row);
                }
                leads.push((name, source));
            }
            world.advance(MINUTE * if numbers.is_one_in(20) { 600 } else { 5 });
            world.stormy_run().await;
            if numbers.is_one_in(8) {
                world.stormy_run().await;
            }
        }
        world.leads.set_fault(None);
        world.state.set_fault(None);
        world.mailer.set_fault(None);
        for _ in 0..90 {
            world.advance(HOUR);
            world.run().await;
        }
        let mut seen: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
        for mail in world.mailer.accepted() {
            let is_marked = mail.text.contains(REPEAT);
            let names = mail.text.match_indices("lead").filter_map(|(at, _)| mail.text.get(at..at + 8));
            let names: BTreeSet<_> = names.filter(|name| name[4..].bytes().all(|byte| byte.is_ascii_digit())).collect();
            for to in &mail.to {
                for name in &names {
                    let (marked, unmarked) = seen.entry((to.clone(), (*name).to_owned())).or_default();
                    *(if is_marked { marked } else { unmarked }) += 1;
                }
            }
        }
        for ((to, name), (_, unmarked)) in &seen {
            assert!(*unmarked <= 1, "seed {seed}: {name} came to {to} {unmarked} times without a mark");
        }
        for (name, source) in leads.iter().filter(|(name, _)| !name.contains("poison")) {
            let mut to = Vec::new();
            if source.contains("PLT") {
                to.push("plt@contoso.example".to_owned());
            }
            if source.contains("vm") {
                to.extend(["vm@contoso.example".to_owned(), "vm2@contoso.example".to_owned()]);
            }
            if to.is_empty() {
                to.extend((0..52).map(|number| format!("person{number}@contoso.example")));
            }
            for to in &to {
                assert!(seen.contains_key(&(to.clone(), name.clone())), "seed {seed}: {name} is lost for {to}");
            }
            let others = seen.keys().filter(|(known, lead)| lead == name && !to.contains(known));
            assert_eq!(others.count(), 0, "seed {seed}: {name} came to somebody else");
        }
    }
}
