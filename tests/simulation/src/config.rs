//! What kind of world it is, drawn from the seed. Whole kinds of faults and of leads are missing in many worlds, so that
//! one kind does not hide another, and rates are drawn from extremes.

use crate::tape::Tape;
use jiff::SignedDuration;

/// How often things go wrong, by the call.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// A call fails and does nothing.
    pub before: f64,
    /// A call acts, and its answer is lost.
    pub after: f64,
    /// A call takes as long as our clients let it, or nearly.
    pub slow: f64,
    /// The service asks to slow down.
    pub throttled: f64,
    /// The invocation is killed.
    pub killed: f64,
    /// The invocation is frozen for minutes.
    pub frozen: f64,
    /// A page ends early, or is empty with a token.
    pub short_page: f64,
}

/// What is broken for ever, while the rest has to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permanent {
    /// Nothing.
    Nothing,
    /// The mail service refuses mails that hold a word of some lead's text.
    PoisonedText,
    /// The mail service refuses mails that hold the key of some lead.
    PoisonedKey,
    /// The mail service takes nothing for the recipients of one destination.
    DeadDestination,
    /// The first destination that is no mailbox answers that it is gone.
    DeadReceiver,
}

/// What a lead is like. Each world has some kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeadKind {
    /// As Microsoft writes most of them.
    Plain,
    /// Of a person who came before.
    SamePerson,
    /// With next to nothing in it.
    Withheld,
    /// A test of Partner Center.
    Test,
    /// Of a customer who must not be contacted.
    DoNotContact,
    /// With characters that have to be escaped, or cannot be seen.
    OddText,
    /// With texts as long as a column holds.
    HugeText,
    /// With a time of the beginning or the end of all times.
    OddTime,
    /// With an address that is longer in ASCII than it looks.
    OddAddress,
    /// A row that is no lead.
    Unreadable,
    /// A row with half a surrogate pair in a text.
    HalfPair,
    /// Under a key that is no day.
    OddKey,
    /// Under a day long past.
    OldDay,
    /// Received by us days ago, and redelivered now.
    Redelivered,
    /// A body that is no lead, received by us and put into quarantine now.
    Quarantined,
    /// The same, put there by something that leaves no cue.
    QuarantinedUncued,
    /// Sent to our intake.
    Https,
    /// Sent to our intake, without a person in it.
    HttpsWithheld,
    /// Sent to our intake, and no lead.
    HttpsHostile,
    /// A recorded body, sent to our intake.
    HttpsRecorded,
}

impl LeadKind {
    /// Whether it is sent to our intake.
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Https | Self::HttpsWithheld | Self::HttpsHostile | Self::HttpsRecorded)
    }

    /// Whether it is a body in quarantine.
    pub fn is_quarantined(self) -> bool {
        matches!(self, Self::Quarantined | Self::QuarantinedUncued)
    }

    /// Whether the patrol alone finds it.
    pub fn is_for_patrol(self) -> bool {
        matches!(self, Self::OddKey | Self::OldDay | Self::QuarantinedUncued)
    }
}

/// Every kind but the plain one, which is in every world.
const KINDS: [LeadKind; 19] = [
    LeadKind::SamePerson,
    LeadKind::Withheld,
    LeadKind::Test,
    LeadKind::DoNotContact,
    LeadKind::OddText,
    LeadKind::HugeText,
    LeadKind::OddTime,
    LeadKind::OddAddress,
    LeadKind::Unreadable,
    LeadKind::HalfPair,
    LeadKind::OddKey,
    LeadKind::OldDay,
    LeadKind::Redelivered,
    LeadKind::Quarantined,
    LeadKind::QuarantinedUncued,
    LeadKind::Https,
    LeadKind::HttpsWithheld,
    LeadKind::HttpsHostile,
    LeadKind::HttpsRecorded,
];

/// The names of a world's routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteNames {
    /// Each has its own.
    Own,
    /// None has any.
    Missing,
    /// Two have the same.
    Same,
    /// One has the name that another one without a name is given.
    LikeANumber,
}

/// A world.
#[derive(Debug, Clone)]
pub struct Config {
    /// Nothing goes wrong, but for what is broken for ever: then no run may fail for another reason, nothing may come
    /// twice, and every lead is mailed at once.
    pub is_kind: bool,
    /// How often the notifier runs.
    pub interval: SignedDuration,
    /// How long each time of faults lasts; a quiet time follows each.
    pub storms: Vec<SignedDuration>,
    /// `LEADS_SWEEP_HOURS`
    pub sweep_hours: u32,
    /// `LEADS_DIGEST_SIZE`
    pub digest_size: u32,
    /// `LEADS_RETENTION_DAYS`
    pub retention_days: u32,
    /// How many people get what no route takes.
    pub recipients: u32,
    /// How many routes there are.
    pub routes: u32,
    /// What they are called.
    pub route_names: RouteNames,
    /// So many days before the beginning hold old rows.
    pub old_days: u32,
    /// Leads a day.
    pub leads_a_day: u32,
    /// The most leads that come at the same moment.
    pub burst: u32,
    /// The kinds of leads beside the plain one.
    pub kinds: Vec<LeadKind>,
    /// How often the tables go wrong.
    pub tables: Rates,
    /// How often the mail service goes wrong.
    pub mail: Rates,
    /// How many times the tables are down, and for how long at most.
    pub table_outages: (u32, SignedDuration),
    /// The same of the mail service.
    pub mail_outages: (u32, SignedDuration),
    /// How long the mail service refuses every recipient, in hours.
    pub sandbox_hours: u32,
    /// A page ends when the service has looked at so many rows.
    pub rows_looked_at: Option<usize>,
    /// Whether a token at the end of a partition names the next partition alone.
    pub tokens_without_row_key: bool,
    /// How long a page of a whole table takes at most.
    pub scan: SignedDuration,
    /// How far the clocks of partition servers are from the right time, at most.
    pub partition_skew: SignedDuration,
    /// How far our clock is from the right time.
    pub our_skew: SignedDuration,
    /// How late a row can become visible, at most.
    pub late: SignedDuration,
    /// How often a tick of the scheduler is late, missed or doubled.
    pub ticks: (f64, f64, f64),
    /// How many invocations of the notifier there can be at once.
    pub concurrency: usize,
    /// How often the operator pauses and resumes the notifier.
    pub pauses: u32,
    /// How many other commands the operator gives, `erase` among them.
    pub commands: u32,
    /// How often the operator changes who gets what.
    pub route_changes: u32,
    /// What is broken for ever.
    pub permanent: Permanent,
    /// For how many hours the mail service accepts mails to some recipients and drops them; in a kind world for ever.
    pub suppressed_hours: u32,
    /// How often the queue goes wrong.
    pub queue: Rates,
    /// How many times the queue takes nothing, and for how long at most.
    pub queue_outages: (u32, SignedDuration),
    /// How often a message of the queue stays although it was deleted.
    pub queue_stays: f64,
    /// How many exports somebody asks for.
    pub exports: u32,
    /// How often the operator rotates the keys of intake.
    pub key_rotations: u32,
    /// How often the operator changes other settings: the size of digests, the sweeps.
    pub setting_changes: u32,
    /// Whether the world begins with the state of the version before this one.
    pub is_upgraded: bool,
    /// Whether lines that call a service for the first time in this world are likely to see it fail.
    pub is_hunting: bool,
    /// How many destinations there are that are no mailboxes, each of a route of its own.
    pub receivers: u32,
    /// How often they go wrong, by the request.
    pub posts: Rates,
    /// How often the parameters go wrong that say where they are.
    pub parameters: Rates,
    /// How many times one of them answers something else for a while, and for how long at most.
    pub moods: (u32, SignedDuration),
    /// The largest message that they take, where it is less than what their kinds take.
    pub most_bytes: Option<usize>,
    /// How many times the operator deletes or damages the parameter of the first one, until the faults end.
    pub lost_parameters: u32,
    /// Whether routes send now and then, or in their hours alone.
    pub is_patient: bool,
    /// Whether somebody gets a weekly summary.
    pub has_summary: bool,
    /// How many times intake's keys cannot be read, and for how long at most.
    pub key_outages: (u32, SignedDuration),
    /// How many days the world goes on after its last faults, with a few leads and nothing that fails.
    pub calm_days: u32,
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

impl Config {
    /// Draws a world.
    pub fn draw(tape: &mut Tape) -> Self {
        let is_kind = !tape.chance(0.8);
        let storms = 1 + tape.below(3);
        let mut config = Self {
            is_kind,
            interval: MINUTE * tape.pick(&[60, 60, 60, 15, 60, 60, 15, 60, 60, 15, 60, 5, 1]),
            storms: (0..storms).map(|_| HOUR * tape.pick(&[24, 6, 48, 96, 240])).collect(),
            sweep_hours: tape.pick(&[24, 24, 24, 6, 0]),
            digest_size: tape.pick(&[100, 100, 1, 3, 20, 200]),
            retention_days: tape.pick(&[90, 90, 30]),
            recipients: tape.pick(&[1, 2, 1, 3, 60]),
            routes: tape.pick(&[0, 0, 1, 2, 3]),
            route_names: tape.pick(&[RouteNames::Own, RouteNames::Missing, RouteNames::Same, RouteNames::LikeANumber]),
            old_days: tape.pick(&[0, 0, 30, 90]),
            leads_a_day: tape.pick(&[5, 1, 20, 20, 100]),
            burst: tape.pick(&[1, 1, 3, 80]),
            kinds: KINDS.into_iter().filter(|_| tape.chance(0.25)).collect(),
            tables: Rates::default(),
            mail: Rates::default(),
            table_outages: (0, HOUR),
            mail_outages: (0, HOUR),
            sandbox_hours: 0,
            rows_looked_at: None,
            tokens_without_row_key: false,
            scan: SignedDuration::ZERO,
            partition_skew: SignedDuration::ZERO,
            our_skew: SignedDuration::ZERO,
            late: SignedDuration::ZERO,
            ticks: (0.0, 0.0, 0.0),
            concurrency: 1,
            pauses: 0,
            commands: 0,
            route_changes: 0,
            permanent: Permanent::Nothing,
            suppressed_hours: tape.pick(&[0, 0, 0, 30]),
            queue: Rates::default(),
            queue_outages: (0, HOUR),
            queue_stays: 0.0,
            exports: tape.pick(&[0, 0, 2]),
            key_rotations: tape.pick(&[0, 0, 3]),
            setting_changes: 0,
            is_upgraded: tape.chance(0.08),
            is_hunting: false,
            receivers: 0,
            posts: Rates::default(),
            parameters: Rates::default(),
            moods: (0, HOUR),
            most_bytes: None,
            lost_parameters: 0,
            is_patient: tape.chance(0.15),
            has_summary: tape.chance(0.3),
            key_outages: (0, HOUR),
            calm_days: tape.pick(&[0, 14, 100, 500, 1000, 2000]),
        };
        config.receivers = tape.pick(&[0, 1, 2, 3]).min(config.routes);
        if config.interval < HOUR / 2 {
            config.calm_days = config.calm_days.min(14);
        }
        config.is_hunting = tape.chance(0.7) && !is_kind;
        if config.burst > 3 && tape.chance(0.2) {
            config.burst = 700;
        }
        if is_kind {
            if config.routes > 0 {
                let dead = if config.receivers > 0 { Permanent::DeadReceiver } else { Permanent::DeadDestination };
                config.permanent = tape.pick(&[Permanent::Nothing, dead, Permanent::DeadDestination]);
            }
            config.shorten_calm();
            return config;
        }
        config.tables = Rates::draw(tape);
        config.mail = Rates::draw(tape);
        config.queue = Rates::draw(tape);
        let lengths = [HOUR / 6, HOUR, HOUR * 10, HOUR * 60];
        config.table_outages = (tape.pick(&[0, 0, 1, 3]), tape.pick(&lengths));
        config.mail_outages = (tape.pick(&[0, 0, 1, 3]), tape.pick(&lengths));
        config.queue_outages = (tape.pick(&[0, 0, 1, 3]), tape.pick(&lengths));
        config.queue_stays = tape.pick(&[0.0, 0.0, 0.02, 0.3]);
        config.setting_changes = tape.pick(&[0, 0, 2]);
        config.suppressed_hours = tape.pick(&[0, 0, 0, 30, 200]);
        config.sandbox_hours = tape.pick(&[0, 0, 0, 5, 50]);
        config.rows_looked_at = tape.pick(&[None, None, Some(1000), Some(100), Some(20)]);
        config.tokens_without_row_key = tape.chance(0.3);
        config.scan = SignedDuration::from_secs(tape.pick(&[0, 0, 1, 5]));
        config.partition_skew = SignedDuration::from_secs(tape.pick(&[0, 0, 1, 120]));
        config.our_skew = SignedDuration::from_secs(tape.pick(&[0, 0, 20, -20, 300, -300]));
        config.late = SignedDuration::from_secs(tape.pick(&[0, 0, 10, 300]));
        config.ticks = (tape.pick(&[0.0, 0.0, 0.3]), tape.pick(&[0.0, 0.0, 0.1, 0.6]), tape.pick(&[0.0, 0.0, 0.3]));
        config.concurrency = tape.pick(&[1, 1, 1, 2, 3]);
        config.pauses = tape.pick(&[0, 0, 2]);
        config.commands = tape.pick(&[0, 0, 4, 12]);
        if config.commands > 4 && !config.kinds.contains(&LeadKind::SamePerson) {
            // Somebody is there to be erased.
            config.kinds.push(LeadKind::SamePerson);
        }
        config.route_changes = tape.pick(&[0, 0, 0, 2]);
        config.permanent = tape.pick(&[
            Permanent::Nothing,
            Permanent::Nothing,
            Permanent::PoisonedText,
            Permanent::PoisonedKey,
            Permanent::DeadDestination,
        ]);
        config.key_outages = (tape.pick(&[0, 0, 1, 3]), tape.pick(&lengths));
        if config.receivers > 0 {
            config.posts = Rates::draw(tape);
            config.parameters = Rates::draw(tape);
            config.moods = (tape.pick(&[0, 1, 4]), tape.pick(&[HOUR / 6, HOUR, HOUR * 10, HOUR * 168]));
            config.most_bytes = tape.pick(&[None, None, Some(6_000)]);
            config.lost_parameters = tape.pick(&[0, 0, 1, 2]);
            if tape.chance(0.2) {
                config.permanent = Permanent::DeadReceiver;
            }
        }
        config.shorten_calm();
        config
    }

    /// What is tried again each hour for ever, or renders megabytes, takes the time of many worlds.
    fn shorten_calm(&mut self) {
        if self.permanent != Permanent::Nothing || self.kinds.contains(&LeadKind::HugeText) {
            self.calm_days = self.calm_days.min(14);
        }
    }
}

impl Rates {
    fn draw(tape: &mut Tape) -> Self {
        let mut rate = || tape.pick(&[0.0, 0.0, 0.0, 0.0, 0.002, 0.02, 0.15]);
        Self {
            before: rate(),
            after: rate(),
            slow: rate(),
            throttled: rate(),
            killed: rate().min(0.02),
            frozen: rate().min(0.02),
            short_page: rate() * 3.0,
        }
    }
}
