//! The notifier against tables and a mail service in memory.

mod blame;
mod breakit;
mod cadence;
mod collecting;
mod commands;
mod counting;
mod defects;
mod delays;
mod delivering;
mod destinations;
mod erase;
mod faults;
mod hooked;
mod moving;
mod patrol;
mod recipients;
mod routes;
mod slow;
mod starving;
mod summary;
mod upkeep;

use super::*;
use crate::destinations::memory::{MemoryPoster, MemorySource};
use crate::lead::{Day, StoredLead};
use crate::mail::Message;
use crate::mail::memory::{MemoryMailer, SendFault};
use crate::quarantine;
use crate::table::memory::{FaultKind, MemoryTable};
use crate::table::{Entity, Keys};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

pub(super) const REPEAT: &str = "may be a repeat";
pub(super) const HOUR: SignedDuration = SignedDuration::from_hours(1);
pub(super) const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A lead of an offer that the tests' routes do not name.
const BACKUP: &str = "SPZA-INS|contoso.backup";

/// Tables, mail service and clock that outlive the notifiers working on them.
#[derive(Clone)]
pub(super) struct World {
    pub(super) leads: MemoryTable,
    pub(super) state: MemoryTable,
    pub(super) mailer: MemoryMailer,
    source: MemorySource,
    poster: MemoryPoster,
    destinations: Destinations,
    pub(super) now: Arc<Mutex<Timestamp>>,
    settings: BTreeMap<String, String>,
    /// A shorter time than settings allow, for which records are kept.
    retention: Option<Duration>,
    runs: Arc<AtomicUsize>,
    chance: Arc<AtomicU64>,
    idle_runs: Arc<AtomicU64>,
}

impl World {
    /// A Tuesday, early in the afternoon.
    pub(super) fn new() -> Self {
        let (source, poster) = (MemorySource::default(), MemoryPoster::default());
        let world = Self {
            leads: MemoryTable::new(),
            state: MemoryTable::new(),
            mailer: MemoryMailer::new(),
            destinations: Destinations::in_memory(&source, &poster),
            source,
            poster,
            now: Arc::new(Mutex::new("2026-11-03T14:00:00Z".parse().unwrap())),
            settings: BTreeMap::new(),
            retention: None,
            runs: Arc::default(),
            chance: Arc::default(),
            idle_runs: Arc::default(),
        };
        let settings = [
            ("LEADS_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true"),
            ("LEADS_MAIL_FROM", "leads@contoso.example"),
            ("LEADS_MAIL_TO", "sales@contoso.example"),
            // Most tests are about what a run finds and sends, not about when.
            ("LEADS_CADENCE", "immediately"),
            ("LEADS_INTERVAL_MINUTES", "60"),
        ];
        let world = settings.into_iter().fold(world, |world, (name, value)| world.with(name, value));
        world.advance(SignedDuration::ZERO);
        world
    }

    /// The same world under another setting.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same world, in which records are kept for so many days, fewer than settings allow.
    fn keeping_days(self, days: u64) -> Self {
        Self { retention: Some(Duration::from_hours(24 * days)), ..self }
    }

    /// The same world with these tables in it.
    fn with_tables(self, leads: MemoryTable, state: MemoryTable) -> Self {
        let world = Self { leads, state, ..self };
        world.advance(SignedDuration::ZERO);
        world
    }

    pub(super) fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    pub(super) fn advance(&self, by: SignedDuration) {
        let now = {
            let mut now = self.now.lock().unwrap();
            *now += by;
            *now
        };
        self.leads.set_now(now);
        self.state.set_now(now);
    }

    fn notifier(&self) -> Notifier<MemoryTable, MemoryMailer> {
        self.notifier_on(self.leads.clone(), self.state.clone(), self.mailer.clone())
    }

    pub(super) fn notifier_on<T: Table, M: Mailer>(&self, leads: T, state: T, mailer: M) -> Notifier<T, M> {
        let (now, chance) = (self.now.clone(), self.chance.clone());
        let (leads_table, state_table) = (self.leads.clone(), self.state.clone());
        let mut settings = NotifierSettings::from_pairs(self.settings.clone()).unwrap();
        settings.retention = self.retention.unwrap_or(settings.retention);
        Notifier {
            leads,
            state,
            mailer,
            destinations: self.destinations.clone(),
            settings,
            language: Language::find("en").unwrap(),
            clock: Arc::new(move || *now.lock().unwrap()),
            chance: Arc::new(move || chance.fetch_add(1, Ordering::Relaxed)),
            requests: Arc::new(move || (leads_table.calls() + state_table.calls()) as u64),
            idle_runs: self.idle_runs.clone(),
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

    /// So many runs, and so much time after each.
    async fn runs(&self, count: usize, every: SignedDuration) {
        for _ in 0..count {
            self.run().await;
            self.advance(every);
        }
    }

    async fn execute(&self, event: Json) -> Result<Json, NotifyError> {
        self.notifier().execute(Command::parse(&event).unwrap(), &self.run_id(), self.deadline()).await
    }

    /// The key of today's partition.
    fn today(&self) -> String {
        Day::of(self.now()).partition_key()
    }

    /// Writes rows as Microsoft does.
    async fn arrive(&self, names: &[&str]) {
        for name in names {
            self.arrive_under(&self.today(), name, "AzureMarketplace-INS|contoso.backup").await;
        }
    }

    async fn arrive_under(&self, partition_key: &str, name: &str, lead_source: &str) {
        self.leads.insert(&microsoft_row(partition_key, name, lead_source)).await.unwrap();
    }

    /// Quarantines a body as intake does.
    async fn quarantine(&self, body: &[u8]) {
        let unreadable = crate::lead::Lead::from_json(body).unwrap_err();
        let random = self.chance.fetch_add(1, Ordering::Relaxed);
        quarantine::keep(&self.state, body, &unreadable, self.now(), random).await.unwrap();
    }

    /// Lets each call of a table, and each send, take so long.
    fn slow_down(&self, table: SignedDuration, mail: SignedDuration) {
        for slow in [&self.leads, &self.state] {
            let world = self.clone();
            slow.set_fault(Some(Box::new(move |_| {
                world.advance(table);
                None
            })));
        }
        let world = self.clone();
        self.mailer.set_fault(Some(Box::new(move |_| {
            world.advance(mail);
            None
        })));
    }

    fn end_faults(&self) {
        self.leads.set_fault(None);
        self.state.set_fault(None);
        self.mailer.set_fault(None);
    }

    /// How many mails a lead is in.
    fn mails_with(&self, name: &str) -> usize {
        self.mailer.accepted().iter().filter(|mail| mail.text.contains(name)).count()
    }

    /// The texts of the mails to one recipient.
    fn texts_to(&self, address: &str) -> String {
        let mails = self.mailer.accepted().into_iter().filter(|mail| mail.to.iter().any(|to| to == address));
        mails.map(|mail| mail.text).collect()
    }

    fn subjects(&self) -> Vec<String> {
        self.mailer.accepted().into_iter().map(|mail| mail.subject).collect()
    }

    /// Where the notifier stands. What each channel owes by its count, it owes by the log.
    async fn status(&self) -> Status {
        let status = super::status(&self.state, self.now()).await.unwrap().unwrap();
        for channel in &status.channels {
            assert_eq!(channel.owed, channel.counted, "{channel:?}");
        }
        status
    }

    /// How many leads are still owed to somebody.
    async fn owed(&self) -> usize {
        self.status().await.channels.iter().map(|channel| channel.owed).sum()
    }

    /// The keys of the state table's rows in the notifier's partition that begin so.
    fn state_keys(&self, prefix: &str) -> Vec<String> {
        let rows = self.state.rows().into_iter().filter(|row| row.partition_key == PARTITION);
        rows.map(|row| row.row_key).filter(|key| key.starts_with(prefix)).collect()
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

fn unavailable() -> FaultKind {
    FaultKind::Before(TableError::Unavailable { reason: "test".to_owned() })
}

fn csv(mail: &Message) -> String {
    String::from_utf8(mail.attachments[0].content.clone()).unwrap()
}

/// How often each name that begins so, goes on with digits and ends with an `x` is in the texts.
fn occurrences<'a>(texts: impl IntoIterator<Item = &'a str>, prefix: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for text in texts {
        for (at, _) in text.match_indices(prefix) {
            let digits = text[at + prefix.len()..].bytes().take_while(u8::is_ascii_digit).count();
            let end = at + prefix.len() + digits;
            if digits > 0 && text[end..].starts_with('x') {
                *counts.entry(text[at..=end].to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

fn keys(table: &MemoryTable, partition_key: &str) -> Vec<String> {
    let rows = table.rows().into_iter().filter(|row| row.partition_key == partition_key);
    rows.map(|row| row.row_key).collect()
}
