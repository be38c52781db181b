//! The notifier's protocol, explored: the real [`Notifier`], several invocations of it at once, on tables and a mail
//! service where every request waits until a scheduler lets it through.
//!
//! A schedule is a list of choices. The scheduler's first choice is always the dull one (the invocation at work goes on;
//! when it has ended, the next one begins); every other choice is a deviation: another invocation goes on instead, one is
//! killed, a request fails before or after the service acted, a lead arrives, one becomes visible late, time passes.
//! [`Exhaustive`] walks through every schedule with at most so many deviations, by running each from the start;
//! [`random`] draws longer ones.
//!
//! Why by hand: a model checker such as stateright wants states that it can copy and compare, and a future is neither.
//! It would check a copy of the protocol; here it is the code itself.

use super::tests::{HOUR, MINUTE, REPEAT, World, microsoft_row, refused};
use super::*;
use crate::mail::Message;
use crate::mail::memory::MemoryMailer;
use crate::table::memory::MemoryTable;
use crate::table::{Continuation, ETag, Page};
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::task::noop_waker;
use proptest::arbitrary::any;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::task::Context;

/// How long a request takes.
const REQUEST: SignedDuration = SignedDuration::from_secs(2);
/// How long a slow one takes; two of them outlast a run's deadline.
const SLOW: SignedDuration = SignedDuration::from_secs(170);
/// How late a row can become visible: just less than the overlap.
const LATE: SignedDuration = SignedDuration::from_secs(10 * 60 - 1);
/// How long an invocation may take.
const TIMEOUT: SignedDuration = SignedDuration::from_mins(5);

/// How the protocol is broken, to see whether that is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// As it is.
    Sound,
    /// The watermark moves when the run begins.
    WatermarkFirst,
    /// Rows are read from the watermark on.
    NoOverlap,
    /// A digest is recorded only after it was sent.
    SentBeforeRecorded,
    /// Writes do not depend on the checkpoint's version: the lease is checked, then taken.
    CheckThenWrite,
}

/// An invocation, or what happens between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A lead arrives.
    Arrive,
    /// So much time passes that the lease of an invocation that was killed is over.
    Wait,
    Run,
    /// The same invocation once more, as Lambda's queue may deliver it.
    SameRun,
    Pause,
    Resume,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    script: &'static [Step],
    /// Our clock less the service's.
    skew: SignedDuration,
    /// Whether requests fail, invocations are killed, leads arrive and time passes at any moment; otherwise the
    /// invocations just interleave.
    faults: bool,
    variant: Variant,
}

/// What one request is, as far as its failing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Mail,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Act,
    FailBefore,
    FailAfter,
}

/// The requests of one invocation that wait for a verdict.
#[derive(Clone, Default)]
struct Desk(Arc<Mutex<VecDeque<Waiting>>>);

/// A request that waits for its verdict.
type Waiting = (Kind, oneshot::Sender<Verdict>);

impl Desk {
    async fn verdict(&self, kind: Kind) -> Verdict {
        let (sender, verdict) = oneshot::channel();
        self.0.lock().unwrap().push_back((kind, sender));
        verdict.await.expect("an invocation is dropped before its requests are")
    }

    /// The kinds of the requests that wait.
    fn waiting(&self) -> Vec<Kind> {
        let mut requests = self.0.lock().unwrap();
        requests.retain(|(_, sender)| !sender.is_canceled());
        requests.iter().map(|(kind, _)| *kind).collect()
    }

    fn decide(&self, number: usize, verdict: Verdict) {
        let (_, sender) = self.0.lock().unwrap().remove(number).expect("a request waits");
        let _ = sender.send(verdict);
    }
}

/// What is watched at every write.
#[derive(Default)]
struct Watch {
    /// Which invocation holds the lease.
    holder: Option<usize>,
    violations: Vec<String>,
}

/// A table, or the mail service, as one invocation sees it.
#[derive(Clone)]
struct Gated<S> {
    service: S,
    desk: Desk,
    variant: Variant,
    /// The invocation, and whether it is a run.
    invocation: (usize, bool),
    clock: Clock,
    watch: Arc<Mutex<Watch>>,
}

impl<S> Gated<S> {
    /// Another service before the same desk.
    fn with<R>(&self, service: R) -> Gated<R> {
        Gated {
            service,
            desk: self.desk.clone(),
            variant: self.variant,
            invocation: self.invocation,
            clock: self.clock.clone(),
            watch: self.watch.clone(),
        }
    }
}

impl Gated<MemoryTable> {
    async fn call<R>(&self, kind: Kind, call: impl Future<Output = Result<R, TableError>>) -> Result<R, TableError> {
        let unavailable = TableError::Unavailable { reason: "test".to_owned() };
        match self.desk.verdict(kind).await {
            Verdict::Act => call.await,
            Verdict::FailBefore => Err(unavailable),
            Verdict::FailAfter => call.await.and(Err(unavailable)),
        }
    }

    fn checkpoint(&self) -> Option<Entity> {
        self.service.get(PARTITION, "checkpoint").now_or_never().expect("memory does not wait").ok()
    }

    /// A batch, broken as the variant wants it.
    fn broken(&self, operations: &[Operation]) -> Vec<Operation> {
        let mut operations = operations.to_vec();
        for operation in &mut operations {
            let (Operation::Insert(entity) | Operation::Replace(entity, _) | Operation::InsertOrReplace(entity)) =
                operation
            else {
                continue;
            };
            match self.variant {
                Variant::WatermarkFirst if entity.row_key == "checkpoint" => entity.set("Watermark", (self.clock)()),
                Variant::SentBeforeRecorded if entity.row_key == "checkpoint" => entity.set_text("Pending", ""),
                Variant::CheckThenWrite => *operation = Operation::InsertOrReplace(entity.clone()),
                _ => {}
            }
        }
        if self.variant == Variant::SentBeforeRecorded {
            operations.retain(|operation| {
                !matches!(operation, Operation::InsertOrReplace(row) if row.string("Status") == Some("pending"))
            });
        }
        operations
    }

    /// What must hold whenever the state was written.
    fn watch(&self, checkpoint_before: Option<&Entity>) {
        let mut watch = self.watch.lock().unwrap();
        let mut violate = |what: String| watch.violations.push(what);
        let Some(entity) = self.checkpoint() else { return violate("the checkpoint is gone".into()) };
        let checkpoint = Checkpoint::from_entity(&entity);
        let digests = State::new(self.service.clone()).digests_since(Timestamp::MIN).now_or_never().unwrap();
        match digests {
            Err(error) => violate(format!("the state cannot be read: {error}")),
            Ok(digests) => {
                let pending = digests.into_iter().filter(|digest| digest.status == DigestStatus::Pending);
                let recorded: BTreeSet<_> = pending.map(|digest| digest.id).collect();
                if recorded != checkpoint.pending.iter().cloned().collect() {
                    violate(format!("{recorded:?} are recorded, {:?} would be sent", checkpoint.pending));
                }
            }
        }
        let before = checkpoint_before.map(Checkpoint::from_entity).unwrap_or_default();
        if checkpoint_before.is_some_and(|before| before.etag == entity.etag) {
            return;
        }
        let is_held = before.lease_until.is_some_and(|until| until > (self.clock)());
        let (invocation, is_run) = self.invocation;
        if is_run {
            if let Some(holder) = watch.holder.filter(|holder| is_held && *holder != invocation) {
                watch.violations.push(format!("{invocation} wrote while {holder} held the lease"));
            }
            watch.holder = checkpoint.lease_owner.map(|_| invocation);
        } else if checkpoint.lease_owner != before.lease_owner {
            watch.violations.push("a command touched the lease".to_owned());
        }
    }
}

impl Table for Gated<MemoryTable> {
    async fn insert(&self, entity: &Entity) -> Result<(), TableError> {
        self.call(Kind::Write, self.service.insert(entity)).await
    }

    async fn get(&self, partition_key: &str, row_key: &str) -> Result<Entity, TableError> {
        self.call(Kind::Read, self.service.get(partition_key, row_key)).await
    }

    async fn page(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, TableError> {
        self.call(Kind::Read, self.service.page(query, from)).await
    }

    async fn submit(&self, partition_key: &str, operations: &[Operation]) -> Result<Vec<Option<ETag>>, TableError> {
        let write = async {
            if partition_key != PARTITION {
                return self.service.submit(partition_key, operations).await;
            }
            let before = self.checkpoint();
            let done = self.service.submit(partition_key, &self.broken(operations)).await;
            if done.is_ok() {
                self.watch(before.as_ref());
            }
            done
        };
        self.call(Kind::Write, write).await
    }

    async fn delete(&self, partition_key: &str, row_key: &str) -> Result<(), TableError> {
        self.call(Kind::Write, self.service.delete(partition_key, row_key)).await
    }

    async fn create(&self) -> Result<(), TableError> {
        self.call(Kind::Write, self.service.create()).await
    }
}

impl Mailer for Gated<MemoryMailer> {
    async fn send(&self, message: &Message) -> Result<String, MailError> {
        match self.desk.verdict(Kind::Mail).await {
            Verdict::Act => self.service.send(message).await,
            Verdict::FailBefore => Err(refused()),
            Verdict::FailAfter => {
                self.service.send(message).await.and(Err(MailError::Unavailable { code: "test".to_owned() }))
            }
        }
    }
}

/// One invocation under way.
struct Invocation {
    number: usize,
    is_run: bool,
    future: BoxFuture<'static, Result<serde_json::Value, NotifyError>>,
    desk: Desk,
    /// When Lambda kills it, by the service's clock.
    deadline: Timestamp,
}

/// What the scheduler can do next.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// Lets a request of an invocation through, or not.
    Decide {
        invocation: usize,
        request: usize,
        verdict: Verdict,
    },
    /// Takes the next step of the script; while an invocation is under way, the next one but waiting.
    Next,
    Kill {
        invocation: usize,
    },
    Arrive {
        late: bool,
    },
    Slow,
}

/// One schedule under way.
struct Exploration {
    scenario: Scenario,
    world: World,
    watch: Arc<Mutex<Watch>>,
    script: VecDeque<Step>,
    /// Those under way; the last one is at work.
    invocations: Vec<Invocation>,
    started: usize,
    leads: usize,
    steps: usize,
    /// Whether a request failed or an invocation was killed: without that, no run fails and no lead comes twice.
    disturbed: bool,
    /// The deviations, each with the number of the move that it was.
    deviations: Vec<(usize, Move)>,
}

impl Exploration {
    fn new(scenario: Scenario) -> Self {
        let world = World::new().with("LEADS_SWEEP_HOURS", "0").with("LEADS_SILENCE_DAYS", "0");
        // A lead that came before the first run wrote anything down is promised only as far as that.
        let world = world.with("LEADS_FIRST_LOOKBACK_MINUTES", "1440");
        Self {
            scenario,
            world,
            watch: Arc::default(),
            script: scenario.script.iter().copied().collect(),
            invocations: Vec::new(),
            started: 0,
            leads: 0,
            steps: 0,
            disturbed: false,
            deviations: Vec::new(),
        }
    }

    fn begin(&mut self, step: Step) {
        match step {
            Step::Arrive => return self.arrive(SignedDuration::ZERO),
            Step::Wait => return self.advance(MINUTE * 20),
            Step::Run | Step::SameRun | Step::Pause | Step::Resume => {}
        }
        let (number, is_same) = (self.started, step == Step::SameRun);
        self.started += 1;
        let (command, is_run) = match step {
            Step::Pause => (Command::Pause, false),
            Step::Resume => (Command::Resume { full_reads: None }, false),
            Step::Run | Step::SameRun | Step::Arrive | Step::Wait => (Command::Run, true),
        };
        let (now, skew) = (self.world.now.clone(), self.scenario.skew);
        let clock: Clock = Arc::new(move || *now.lock().unwrap() + skew);
        let desk = Desk::default();
        let gated = Gated {
            service: self.world.leads.clone(),
            desk: desk.clone(),
            variant: self.scenario.variant,
            invocation: (number, is_run),
            clock: clock.clone(),
            watch: self.watch.clone(),
        };
        let (state, mailer) = (gated.with(self.world.state.clone()), gated.with(self.world.mailer.clone()));
        let mut notifier = Notifier { clock, ..self.world.notifier_on(gated, state, mailer) };
        if self.scenario.variant == Variant::NoOverlap {
            notifier.settings.schedule.overlap = std::time::Duration::ZERO;
        }
        let deadline = self.world.now() + TIMEOUT;
        let id = format!("run{}", number - usize::from(is_same));
        let future = async move { notifier.execute(command, &id, deadline + skew).await }.boxed();
        self.invocations.push(Invocation { number, is_run, future, desk, deadline });
        self.poll();
    }

    /// Lets the invocation at work go on to its next request, or to its end.
    fn poll(&mut self) {
        let invocation = self.invocations.last_mut().expect("an invocation is at work");
        let waker = noop_waker();
        let poll = invocation.future.as_mut().poll(&mut Context::from_waker(&waker));
        if let std::task::Poll::Ready(result) = poll {
            let (number, is_run) = (invocation.number, invocation.is_run);
            self.invocations.pop();
            if let (Err(error), true, false) = (result, is_run, self.disturbed) {
                self.violate(format!("{number} failed: {error}"));
            }
        } else {
            assert!(!invocation.desk.waiting().is_empty(), "an invocation waits for nothing");
        }
    }

    fn violate(&self, what: String) {
        self.watch.lock().unwrap().violations.push(what);
    }

    /// A lead arrives, written so long before it can be seen.
    fn arrive(&mut self, late: SignedDuration) {
        let (now, number) = (self.world.now(), self.leads);
        self.leads += 1;
        self.world.leads.set_now(now - late);
        let today = Day::of(now).partition_key();
        self.world.leads.put(microsoft_row(&today, &format!("Lead{number}x"), "SPZA-INS|contoso.backup"));
        self.world.leads.set_now(now);
    }

    fn advance(&mut self, by: SignedDuration) {
        self.world.advance(by);
        let now = self.world.now();
        let before = self.invocations.len();
        self.invocations.retain(|invocation| invocation.deadline > now);
        self.disturbed |= before != self.invocations.len();
    }

    /// What can happen now, the dull first.
    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        let decide = |invocation, request, verdict| Move::Decide { invocation, request, verdict };
        for (number, invocation) in self.invocations.iter().enumerate().rev() {
            let waiting = invocation.desk.waiting();
            moves.extend((0..waiting.len()).map(|request| decide(number, request, Verdict::Act)));
        }
        match self.script.front() {
            Some(_) => moves.push(Move::Next),
            None if moves.is_empty() => return moves,
            None => {}
        }
        if let (true, Some(at_work)) = (self.scenario.faults, self.invocations.last()) {
            let number = self.invocations.len() - 1;
            moves.push(Move::Kill { invocation: number });
            moves.push(decide(number, 0, Verdict::FailBefore));
            if at_work.desk.waiting()[0] != Kind::Read {
                moves.push(decide(number, 0, Verdict::FailAfter));
            }
            moves.extend([Move::Arrive { late: false }, Move::Arrive { late: true }, Move::Slow]);
        }
        moves
    }

    fn make(&mut self, chosen: Move) {
        match chosen {
            Move::Decide { invocation, request, verdict } => {
                self.steps += 1;
                self.disturbed |= verdict != Verdict::Act;
                let at_work = self.invocations.remove(invocation);
                at_work.desk.decide(request, verdict);
                self.invocations.push(at_work);
                self.poll();
                self.advance(REQUEST);
            }
            Move::Next => {
                self.advance(REQUEST);
                while let Some(step) = self.script.pop_front() {
                    if step != Step::Wait || self.invocations.is_empty() {
                        self.begin(step);
                        break;
                    }
                }
            }
            Move::Kill { invocation } => {
                self.disturbed = true;
                self.invocations.remove(invocation);
            }
            Move::Arrive { late: true } => self.arrive(LATE),
            Move::Arrive { late: false } => self.arrive(SignedDuration::ZERO),
            Move::Slow => self.advance(SLOW),
        }
    }

    /// Follows a schedule to its end, lets a clean run follow and another one, and looks at what was mailed.
    fn run(mut self, choose: &mut dyn FnMut(usize) -> usize) -> Result<usize, String> {
        for number in 0.. {
            let moves = self.moves();
            if moves.is_empty() {
                break;
            }
            let chosen = choose(moves.len());
            if chosen > 0 {
                self.deviations.push((number, moves[chosen]));
            }
            self.make(moves[chosen]);
        }
        let undisturbed = !std::mem::take(&mut self.disturbed);
        for step in [Step::Resume, Step::Run] {
            self.advance(HOUR);
            self.begin(step);
            while let Some(dull) = self.moves().first().copied() {
                self.make(dull);
            }
        }
        let mails = self.world.mailer.accepted().len();
        self.advance(MINUTE);
        self.begin(Step::Run);
        while let Some(dull) = self.moves().first().copied() {
            self.make(dull);
        }
        if self.world.mailer.accepted().len() != mails {
            self.violate("a clean run left something to do".to_owned());
        }
        for number in 0..self.leads {
            let name = format!("Lead{number}x");
            let accepted = self.world.mailer.accepted();
            let with: Vec<_> = accepted.iter().filter(|mail| mail.text.contains(&name)).collect();
            match with.split_first() {
                None => self.violate(format!("{name} is in no mail")),
                Some((_, later)) if !later.iter().all(|mail| mail.text.contains(REPEAT)) => {
                    self.violate(format!("{name} came again unmarked"));
                }
                Some((_, later)) if undisturbed && !later.is_empty() => {
                    self.violate(format!("{name} came again for no reason"));
                }
                Some(_) => {}
            }
        }
        let watch = self.watch.lock().unwrap();
        match watch.violations.first() {
            None => Ok(self.steps),
            Some(violation) => Err(format!("{violation}: {:?} with {:?}", self.scenario, self.deviations)),
        }
    }
}

/// What was explored.
#[derive(Default)]
struct Explored {
    schedules: usize,
    steps: usize,
}

/// Every schedule with at most so many deviations, one after the other.
struct Exhaustive {
    deviations: u32,
    /// What was chosen so far, of how many.
    path: Vec<(usize, usize)>,
}

impl Exhaustive {
    fn explore(scenario: Scenario, deviations: u32) -> Result<Explored, String> {
        let mut all = Self { deviations, path: Vec::new() };
        let mut explored = Explored::default();
        loop {
            let mut at = 0;
            explored.schedules += 1;
            let run = Exploration::new(scenario).run(&mut |options| {
                at += 1;
                all.choose(at - 1, options)
            });
            explored.steps += run.map_err(|violation| format!("schedule {}: {violation}", explored.schedules))?;
            if !all.next() {
                return Ok(explored);
            }
        }
    }

    fn choose(&mut self, at: usize, options: usize) -> usize {
        if at == self.path.len() {
            let spent = self.path.iter().filter(|(chosen, _)| *chosen > 0).count();
            self.path.push((0, if spent < self.deviations as usize { options } else { 1 }));
        }
        self.path[at].0
    }

    fn next(&mut self) -> bool {
        while let Some((chosen, options)) = self.path.pop() {
            if chosen + 1 < options {
                self.path.push((chosen + 1, options));
                return true;
            }
        }
        false
    }
}

/// So many schedules drawn at random, the same ones each time; one that fails is made as short as possible.
fn random(scenario: Scenario, schedules: u32) -> Result<Explored, String> {
    let config =
        Config { cases: schedules, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let explored = std::cell::RefCell::new(Explored::default());
    let done = runner.run(&proptest::collection::vec(any::<u16>(), 0..250), |bytes| {
        let mut bytes = bytes.into_iter().map(usize::from);
        let steps = Exploration::new(scenario).run(&mut |options| match bytes.next().unwrap_or(0) {
            // One in eight is a deviation.
            byte if byte % 8 == 7 => byte / 8 % options,
            _ => 0,
        });
        let mut explored = explored.borrow_mut();
        explored.schedules += 1;
        explored.steps += steps.map_err(TestCaseError::fail)?;
        Ok(())
    });
    match done {
        Ok(()) => Ok(explored.into_inner()),
        Err(TestError::Fail(reason, _)) => Err(reason.to_string()),
        Err(TestError::Abort(reason)) => Err(reason.to_string()),
    }
}

use Step::{Arrive, Pause, Resume, Run, SameRun, Wait};

/// Nothing but the invocations, in every order.
fn at_once(script: &'static [Step]) -> Scenario {
    Scenario { script, skew: SignedDuration::ZERO, faults: false, variant: Variant::Sound }
}

/// Three runs, and everything can happen at any moment; our clock is so far from the service's.
fn eventful(skew: SignedDuration) -> Scenario {
    Scenario { skew, faults: true, ..at_once(&[Arrive, Run, Wait, Arrive, Run, Run]) }
}

const CLOCKS: [SignedDuration; 3] = [SignedDuration::ZERO, SignedDuration::from_mins(5), SignedDuration::from_mins(-5)];

/// A number of the environment, for those who have more time.
fn bound(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

fn report(name: &str, explored: Result<Explored, String>) {
    let Explored { schedules, steps } = explored.unwrap_or_else(|violation| panic!("{name}: {violation}"));
    println!("{name}: {schedules} schedules, {steps} requests");
}

#[test]
fn whatever_happens_at_any_moment_of_three_runs_every_lead_is_mailed_and_repeats_are_marked() {
    let deviations = bound("EXPLORE_DEVIATIONS", 1);
    for skew in CLOCKS {
        report(&format!("anything, our clock {skew:#}"), Exhaustive::explore(eventful(skew), deviations));
    }
}

#[test]
fn schedules_drawn_at_random_keep_the_same_promises() {
    let schedules = bound("EXPLORE_SCHEDULES", 200);
    for skew in CLOCKS {
        report(&format!("at random, our clock {skew:#}"), random(eventful(skew), schedules));
    }
}

#[test]
fn however_runs_interleave_each_lead_is_mailed_once() {
    let deviations = bound("EXPLORE_DEVIATIONS", 1) + 1;
    for (name, script) in [
        ("two runs at once", &[Arrive, Run, Run, Wait, Run]),
        ("three runs at once", &[Arrive, Run, Run, Run, Wait]),
        ("one run delivered twice", &[Arrive, Run, SameRun, Wait, Run]),
    ] {
        report(name, Exhaustive::explore(at_once(script), deviations));
    }
}

#[test]
fn a_pause_or_a_resume_at_any_moment_of_runs_loses_nothing() {
    let deviations = bound("EXPLORE_DEVIATIONS", 1) + 1;
    report("pause, then resume", Exhaustive::explore(at_once(&[Arrive, Pause, Run, Resume, Run]), deviations));
    report("resume, then pause", Exhaustive::explore(at_once(&[Pause, Arrive, Run, Resume, Run, Pause]), deviations));
}

#[test]
fn each_way_of_breaking_the_protocol_is_noticed() {
    let (anything, two_runs) = (eventful(SignedDuration::ZERO), at_once(&[Arrive, Run, Run, Wait, Run]));
    for (variant, scenario, deviations, expected) in [
        (Variant::WatermarkFirst, anything, 1, "is in no mail"),
        (Variant::NoOverlap, anything, 1, "is in no mail"),
        (Variant::SentBeforeRecorded, anything, 1, "came again unmarked"),
        (Variant::CheckThenWrite, two_runs, 2, "held the lease"),
    ] {
        let explored = Exhaustive::explore(Scenario { variant, ..scenario }, deviations);
        let violation = explored.map(|explored| explored.schedules).unwrap_err();
        println!("{variant:?}: {violation}");
        assert!(violation.contains(expected), "{variant:?}: {violation}");
    }
}
