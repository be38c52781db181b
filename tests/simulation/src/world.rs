//! One world, from its beginning to its end: the calendar of what happens, and the driver that lets it happen.

use crate::breakage::{Breakage, Broken};
use crate::config::{Config, Permanent};
use crate::coverage::{Coverage, Sometimes};
use crate::desk::{Service, SimClock};
pub use crate::event::{Counts, Outcome};
pub(crate) use crate::event::{Down, Event};
use crate::idle::Idle;
use crate::lambda::{Invocation, Request, Task, catch_panics};
use crate::logs::Told;
use crate::mail::{MailService, broken, forbidden};
use crate::model::{Model, Promise, Violation};
use crate::queue::QueueService;
use crate::receivers::Receivers;
use crate::routing::{Routing, address, has_receiver, receiver_bit, set};
use crate::senders::Keys;
use crate::table::TableService;
use crate::tape::{Tapes, hash};
use futures::task::AtomicWaker;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::settings::NotifierSettings;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// A world.
pub struct World {
    pub(crate) config: Config,
    pub(crate) tapes: Tapes,
    pub(crate) broken: Broken,
    pub(crate) clock: SimClock,
    pub(crate) began: Timestamp,
    pub(crate) leads: TableService,
    pub(crate) state: TableService,
    pub(crate) mail: MailService,
    pub(crate) receivers: Receivers,
    pub(crate) queue: QueueService,
    /// When the queue is asked for messages next.
    pub(crate) receive_at: Option<Timestamp>,
    /// The keys that open intake.
    pub(crate) keys: Keys,
    /// The recorded bodies that were sent, by their ids.
    pub(crate) recorded: BTreeSet<String>,
    /// Runs that find nothing to do.
    pub(crate) idle: Idle,
    pub(crate) settings: NotifierSettings,
    pub(crate) routing: Routing,
    /// The settings before, and when they were changed.
    pub(crate) routing_before: Option<(Routing, Timestamp)>,
    pub(crate) model: Model,
    pub(crate) dead: crate::routing::People,
    calendar: BTreeMap<(Timestamp, u64), Event>,
    entries: u64,
    /// Until when the scheduler ticks.
    pub(crate) ticks_until: Timestamp,
    pub(crate) invocations: Vec<Invocation>,
    pub(crate) requests: VecDeque<Request>,
    pub(crate) begun: u64,
    /// While the notifier is paused: the number of the first invocation that began since.
    pub(crate) paused_from: Option<u64>,
    pub(crate) down: Down,
    pub(crate) is_stormy: bool,
    /// Faults since the others have stopped.
    pub(crate) hunted: i32,
    pub(crate) is_over: bool,
    pub(crate) violation: Option<Violation>,
    /// A lead that was mailed later than it may be, or not yet.
    late: Option<Violation>,
    pub(crate) coverage: Coverage,
    pub(crate) counts: Counts,
    pub(crate) driver: Arc<AtomicWaker>,
    pub(crate) hash: u64,
    /// What was told that must not be.
    pub(crate) told: Told,
    trace: Option<Vec<String>>,
}

/// Lives one world to its end, or to the first thing that must not be.
pub fn live(tapes: Tapes, breakage: Breakage, is_traced: bool) -> Outcome {
    live_with(tapes, breakage, is_traced, true)
}

/// The same, with a choice: whether runs that would find nothing to do may be skipped.
pub fn live_with(tapes: Tapes, breakage: Breakage, is_traced: bool, may_skip: bool) -> Outcome {
    catch_panics();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output starts");
    runtime.block_on(tokio::task::unconstrained(async move {
        let mut world = World::new(tapes, breakage, is_traced);
        world.idle.may_skip = may_skip;
        let _listening = world.listen();
        world.schedule_everything();
        while world.violation.is_none() && !world.is_over {
            let Some(((time, number), event)) = world.calendar.pop_first() else { break };
            if !world.time_passes(time).await {
                // An invocation was woken by a timer of its own; the event is still to come.
                world.calendar.insert((time, number), event);
                continue;
            }
            world.happen(event);
            if world.has_tasks() {
                // What invocations have spawned goes on.
                tokio::task::yield_now().await;
            }
        }
        world.end()
    }))
}

impl World {
    fn new(mut tapes: Tapes, breakage: Breakage, is_traced: bool) -> Self {
        let mut config = Config::draw(&mut tapes.world);
        let mut routing = Routing::draw(&mut tapes.world, &config);
        let settings = routing.settings(&config).unwrap_or_else(|| {
            config.route_names = crate::config::RouteNames::Own;
            routing = Routing::draw(&mut tapes.world, &config);
            routing.settings(&config).expect("settings without a trick are right")
        });
        // A Tuesday in November, early in the afternoon.
        let began = "2026-11-03T14:00:00Z".parse().expect("a time");
        let clock = SimClock::starting(began);
        let mail = MailService::default();
        let mut dead = 0;
        if config.permanent == Permanent::DeadDestination
            && let Some(route) = routing.routes.iter().find(|route| !has_receiver(&route.to))
        {
            dead = set(&route.to);
            mail.set(|mail| mail.dead = route.to.iter().map(|person| address(*person)).collect());
        }
        if config.permanent == Permanent::DeadReceiver {
            dead |= receiver_bit(0);
        }
        let is_text = config.permanent == Permanent::PoisonedText;
        let key = (config.permanent == Permanent::PoisonedKey)
            .then(|| format!("row-{}", crate::leads::marker(crate::workload::POISONED)));
        mail.set(|mail| {
            mail.forbidden = forbidden(is_text, key);
            broken(mail, breakage);
        });
        let is_kind = config.is_kind;
        let leaves_out = config.recipients > 50 && config.sandbox_hours > 0;
        Self {
            leads: TableService::new(clock, &config),
            state: TableService::new(clock, &config),
            receivers: Receivers::new(&config, breakage),
            queue: QueueService::new(config.queue_stays, breakage),
            receive_at: None,
            keys: Keys::default(),
            recorded: BTreeSet::new(),
            idle: Idle::default(),
            told: Told::default(),
            config,
            tapes,
            broken: Broken::new(breakage),
            clock,
            began,
            mail,
            settings,
            routing,
            routing_before: None,
            model: Model::new(leaves_out, is_kind),
            dead,
            calendar: BTreeMap::new(),
            entries: 0,
            ticks_until: began,
            invocations: Vec::new(),
            requests: VecDeque::new(),
            begun: 0,
            paused_from: None,
            down: Down::default(),
            is_stormy: false,
            hunted: 0,
            is_over: false,
            violation: None,
            late: None,
            coverage: Coverage::default(),
            counts: Counts::default(),
            driver: Arc::default(),
            hash: 0,
            trace: is_traced.then(Vec::new),
        }
    }

    /// Puts something on the calendar.
    pub(crate) fn at(&mut self, time: Timestamp, event: Event) {
        self.entries += 1;
        self.calendar.insert((time, self.entries), event);
    }

    /// Puts something on the calendar, so much later than now.
    pub(crate) fn after(&mut self, time: SignedDuration, event: Event) {
        self.at(self.clock.now() + time, event);
    }

    /// When something happens next beside the scheduler's ticks, while no invocation is under way.
    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        // What belongs to an invocation means nothing where none is under way.
        let is_of_the_world = |event: &Event| {
            !matches!(
                event,
                Event::Tick | Event::Answer { .. } | Event::Kill { .. } | Event::TimeOut { .. } | Event::Nudge { .. }
            )
        };
        let next = self.calendar.iter().find(|(_, event)| is_of_the_world(event));
        next.map(|((time, _), _)| *time)
    }

    /// Listens to what the code under test tells, while the answer lives.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        tracing::subscriber::set_default(self.told.clone())
    }

    /// Notes something that must not be.
    pub(crate) fn violate(&mut self, violation: Violation) {
        self.say(|| violation.to_string());
        self.violation.get_or_insert(violation);
    }

    /// Writes a line of the trace.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        let time = self.clock.now().duration_since(self.began).as_millis();
        if let Some(trace) = &mut self.trace {
            let (days, rest) = (time / 86_400_000, time % 86_400_000);
            let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
            let (seconds, millis) = (rest / 1000 % 60, rest % 1000);
            let number = trace.len();
            trace
                .push(format!("{number:>7} day {days:>3} {hours:02}:{minutes:02}:{seconds:02}.{millis:03} {}", line()));
        }
    }

    /// Lets time pass until then. Says whether it did: an invocation's own timer may come first.
    async fn time_passes(&mut self, until: Timestamp) -> bool {
        if let Some(told) = self.told.wrong() {
            self.violate(Violation::new(Promise::NothingTold, told));
        }
        if until > self.clock.now() {
            let sleep = tokio::time::sleep_until(self.clock.instant(until));
            tokio::pin!(sleep);
            poll_fn(|context| {
                self.driver.register(context.waker());
                let is_woken = self.invocations.iter().any(|other| other.can_go_on(self.clock.now()));
                if sleep.as_mut().poll(context).is_ready() || is_woken { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        let woken: Vec<_> = self
            .invocations
            .iter()
            .filter(|other| other.can_go_on(self.clock.now()))
            .map(|other| other.number)
            .collect();
        for number in &woken {
            self.go_on(*number);
        }
        woken.is_empty()
    }

    fn happen(&mut self, event: Event) {
        let now = self.clock.now().as_millisecond();
        self.hash = hash(self.hash, now.unsigned_abs());
        match event {
            Event::Arrive => self.arrive(),
            Event::Visible(row) => self.become_visible(*row),
            Event::Tick => self.tick(),
            Event::Invoke(request) => {
                self.requests.push_back(request);
                self.begin_what_waits();
            }
            Event::Answer { invocation, call, verdict } => self.answer(invocation, call, verdict),
            Event::Kill { invocation } => {
                if self.end_of(invocation, "is killed").is_some_and(|request| request.task == Task::Run) {
                    self.counts.kills += 1;
                }
            }
            Event::TimeOut { invocation } => self.time_out(invocation),
            Event::Nudge { invocation } => {
                if let Some(found) = self.invocations.iter_mut().find(|other| other.number == invocation) {
                    found.is_nudged = false;
                    self.go_on(invocation);
                }
            }
            Event::Post(post) => self.post(post),
            Event::Receive => self.receive(),
            Event::Redrive => {
                let count = self.queue.redrive(self.clock.now());
                if count > 0 {
                    self.coverage.note(Sometimes::DeadLetter);
                    self.say(|| format!("the operator sends {count} dead letters back to the queue"));
                }
                self.expect_messages();
            }
            // The old key goes only when nothing is on its way that came with it.
            Event::RotateKeys if self.keys.are_two() && self.is_anything_on_its_way() => {
                self.after(SignedDuration::from_mins(30), Event::RotateKeys);
            }
            Event::RotateKeys => {
                self.keys.rotate(self.broken.breakage == Breakage::KeyRemovedAtOnce);
                self.coverage.note(Sometimes::KeysRotated);
                self.say(|| "the operator rotates the keys of intake".to_owned());
            }
            Event::ChangeSettings => self.change_settings(),
            Event::Outage { service, is_down } => {
                match service {
                    Service::Mail => self.down.mail = is_down,
                    Service::Queue => self.down.queue = is_down,
                    Service::Leads | Service::State => self.down.tables = is_down,
                    // They have moods instead.
                    Service::Receiver | Service::Parameters => {}
                }
                let what = if is_down { "down" } else { "back" };
                self.say(|| format!("{service:?}: {what}"));
            }
            Event::Sandbox(is_on) => {
                self.mail.set(|mail| mail.sandbox = is_on);
                self.say(|| format!("the mail service refuses everybody: {is_on}"));
            }
            Event::Suppress(is_on) => self.suppress(is_on),
            Event::ChangeRoutes => self.change_routes(),
            Event::Mood(receiver, mood) => {
                self.receivers.set_mood(receiver, mood);
                self.say(|| format!("receiver {receiver} answers {mood:?}"));
            }
            Event::LoseParameter(parameter) => self.lose_parameter(parameter),
            Event::KeysUnreadable(is_down) => {
                let keys = &mut self.down.keys;
                *keys = if is_down { *keys + 1 } else { keys.saturating_sub(1) };
                self.keys.set_unreadable(self.down.keys > 0);
                self.say(|| format!("intake's keys cannot be read: {is_down}"));
            }
            Event::StormBegins => {
                self.is_stormy = true;
                self.say(|| "faults begin".to_owned());
            }
            Event::StormEnds => self.quiet(),
            // Faults of lines that are reached for the first time hold up runs, also when the others have stopped.
            Event::RunsWereMade { written_until } if self.hunted > 2 => {
                let runs = std::mem::take(&mut self.hunted);
                self.after(self.config.interval * runs, Event::RunsWereMade { written_until });
            }
            Event::RunsWereMade { written_until } => {
                self.say(|| "everything that no patrol has to find must be mailed by now".to_owned());
                self.check_delays(written_until);
            }
            Event::QuietEnds { written_until } => {
                self.say(|| "everything written must be mailed by now".to_owned());
                self.check_rows(true);
                self.check_old_state();
                if !self.queue.is_empty() {
                    let seen = "messages are on the queue at the end of a quiet time";
                    self.violate(Violation::new(Promise::NothingLost, seen));
                }
                if let Some(violation) = self.model.missing(written_until, self.dead, false).or(self.late.take()) {
                    self.violate(violation);
                }
                self.is_over = self.calendar.values().all(|event| !matches!(event, Event::QuietEnds { .. }));
            }
        }
    }

    /// Notes where a lead that no patrol has to find is late. Whether it is lost shows at the end of the quiet time.
    pub(crate) fn check_delays(&mut self, before: Timestamp) {
        if self.late.is_none()
            && let Some(late) = self.model.missing(before, self.dead | self.routing.patient(), true)
        {
            self.say(|| format!("late: {late}"));
            self.late = Some(late);
        }
    }

    /// Whether any invocation has tasks of its own.
    fn has_tasks(&self) -> bool {
        self.invocations.iter().any(|other| matches!(other.request.task, Task::Export(_)))
    }

    fn end(mut self) -> Outcome {
        self.counts.leads = self.model.written() as u64;
        self.counts.mails = self.model.mails;
        self.counts.repeats = self.model.repeats;
        self.counts.time = self.clock.now().duration_since(self.began);
        for excuse in self.model.excuses() {
            *self.counts.excuses.entry(excuse).or_default() += 1;
        }
        for (count, what) in [
            (self.model.repeats, Sometimes::MarkedRepeat),
            (self.mail.refused_for_content(), Sometimes::Poison),
            (self.mail.refused_for_recipients(), Sometimes::DeadDestination),
            (self.receivers.refused(), Sometimes::PostRefused),
            (self.mail.dropped(), Sometimes::Suppressed),
        ] {
            if count > 0 {
                self.coverage.note(what);
            }
        }
        Outcome {
            summary: self.model.summary(),
            violation: self.violation,
            hash: hash(self.hash, self.tapes.hash()),
            records: self.tapes.records(),
            coverage: self.coverage,
            counts: self.counts,
            config: self.config,
            trace: self.trace.unwrap_or_default(),
        }
    }
}
