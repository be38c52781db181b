//! How invocations go on, call by call, and how Lambda treats them: begins them as there is room, kills them at their time-out, tries again what failed.

use crate::breakage::Breakage;
use crate::coverage::Sometimes;
use crate::desk::Verdict;
use crate::export::Received;
use crate::lambda::{BUDGET, Invocation, Progress, Request, Task};
use crate::leads::marker;
use crate::model::{Promise, Violation};
use crate::queue::CONCURRENCY;
use crate::routing::{READER, address};
use crate::sent::Sent;
use crate::tape::hash;
use crate::world::{Event, World};
use jiff::SignedDuration;
use marketplace_leads::quarantine::PARTITION as QUARANTINE;

/// How long Lambda waits before an asynchronous invocation is tried again, once for each further attempt.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
const RETRIES: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(2)];

impl World {
    /// A call of an invocation gets its verdict.
    pub(crate) fn answer(&mut self, invocation: u64, call: u64, verdict: Verdict) {
        let Some(found) = self.invocations.iter().find(|other| other.number == invocation) else { return };
        if let Some(until) = found.frozen_until.filter(|_| found.is_frozen(self.clock.now())) {
            return self.at(until, Event::Answer { invocation, call, verdict });
        }
        if found.desk.decide(call, verdict) {
            self.counts.requests += 1;
            self.hash = hash(hash(self.hash, invocation), hash(call, verdict.number()));
            self.say(|| format!("invocation {invocation} call {call}: {verdict:?}"));
            self.go_on(invocation);
        }
    }

    /// Lets an invocation go on as far as it can, and sees what it did.
    pub(crate) fn go_on(&mut self, number: u64) {
        let Some(place) = self.invocations.iter().position(|other| other.number == number) else { return };
        let progress = self.invocations[place].poll();
        self.see_effects(number);
        match progress {
            Progress::Waits => {
                let desk = self.invocations[place].desk.clone();
                for call in desk.new_calls() {
                    self.say(|| format!("invocation {number} call {}: {:?} {}", call.number, call.service, call.what));
                    self.plan(number, &call);
                }
                let is_nudged = &mut self.invocations[place].is_nudged;
                if !desk.is_anything_waiting() && !std::mem::replace(is_nudged, true) {
                    self.after(SignedDuration::from_secs(1), Event::Nudge { invocation: number });
                }
            }
            Progress::Panicked(message) => {
                self.violate(Violation::new(Promise::NoPanics, message));
                self.end_of(number, "panics");
            }
            Progress::Ended(answer) => self.ended(number, answer),
        }
    }

    /// Sees what was accepted, and which limits were hit.
    fn see_effects(&mut self, number: u64) {
        for mail in self.mail.accepted() {
            if mail.to == [address(READER)] {
                self.coverage.note(Sometimes::Summary);
            }
            if mail.to.len() == marketplace_leads::mail::MAX_RECIPIENTS {
                self.coverage.note(Sometimes::ManyRecipients);
            }
            self.see_sent(number, &Sent::from(&mail));
        }
        for received in self.receivers.accepted() {
            self.coverage.note(Sometimes::Posted);
            self.see_sent(number, &Sent::from(&received));
        }
        for (promise, refused) in [
            (Promise::TableLimits, self.leads.refused()),
            (Promise::TableLimits, self.state.refused()),
            (Promise::MailLimits, self.mail.refused()),
            (Promise::QueueLimits, self.queue.refused()),
            (Promise::RightRequests, self.receivers.wrong()),
        ] {
            for seen in refused {
                self.violate(Violation::new(promise, seen));
            }
        }
        self.expect_messages();
    }

    /// Something went out.
    fn see_sent(&mut self, number: u64, sent: &Sent<'_>) {
        let task = self.invocations.iter().find(|other| other.number == number).map(|found| &found.request.task);
        let is_run = task == Some(&Task::Run);
        if is_run && self.paused_from.is_some_and(|from| number >= from) {
            let seen = format!("invocation {number} sends, and began after `pause` had said that it was done");
            self.violate(Violation::new(Promise::HonestCommands, seen));
        }
        let is_kind = self.config.is_kind;
        let (leads, state) = (&self.leads, &self.state);
        let rows = |keys: &[(String, String)]| {
            let count = |(partition, row): &(String, String)| {
                let table = if partition == QUARANTINE { state } else { leads };
                table.count(partition, row)
            };
            keys.iter().map(count).sum()
        };
        match self.model.accept(sent, is_kind, number, rows) {
            Ok(leads) => {
                let shut = self.routing.shut(self.clock.now(), self.clock.now() + self.config.our_skew);
                if is_run && !leads.is_empty() && sent.to & shut != 0 {
                    let seen = format!("leads {leads:?} go out while the window of their route is shut");
                    self.violate(Violation::new(Promise::InItsHours, seen));
                }
                if sent.to & self.routing.patient() != 0 {
                    self.coverage.note(Sometimes::Patient);
                }
                self.say(|| format!("accepted for {} people, with leads {leads:?}", sent.to.count_ones()));
                if let Some(invocation) = self.invocations.iter_mut().find(|other| other.number == number) {
                    invocation.mails += 1;
                }
            }
            Err(violation) => self.violate(violation),
        }
    }

    /// Whether any request to intake is under way, or any message on the queue.
    pub(crate) fn is_anything_on_its_way(&self) -> bool {
        let is_request = |task: &Task| matches!(task, Task::Intake { .. });
        !self.queue.is_empty()
            || self.invocations.iter().any(|other| is_request(&other.request.task))
            || self.requests.iter().any(|other| is_request(&other.task))
    }

    /// Has the queue asked for messages as soon as there are any.
    pub(crate) fn expect_messages(&mut self) {
        let Some(next) = self.queue.next() else { return };
        let at_work = self.invocations.iter().filter(|other| matches!(other.request.task, Task::Redeliver(_))).count();
        let next = next.max(self.clock.now() + SignedDuration::from_millis(500));
        if at_work < CONCURRENCY && self.receive_at.is_none_or(|at| next < at) {
            self.receive_at = Some(next);
            self.at(next, Event::Receive);
        }
    }

    /// Lambda asks the queue for messages.
    pub(crate) fn receive(&mut self) {
        if self.receive_at.is_none_or(|at| at > self.clock.now()) {
            return;
        }
        self.receive_at = None;
        let at_work = self.invocations.iter().filter(|other| matches!(other.request.task, Task::Redeliver(_))).count();
        if at_work < CONCURRENCY {
            let messages = self.queue.receive(self.clock.now(), &mut self.tapes.order);
            if let Some(first) = messages.first() {
                let id = format!("messages-{}", first.id);
                if self.broken.breakage == Breakage::DeletedBeforeStored {
                    for message in &messages {
                        self.queue.delete(message.id, &mut self.tapes.faults);
                    }
                }
                self.requests.push_back(Request::new(id, Task::Redeliver(messages)));
                self.begin_what_waits();
            }
        }
        self.expect_messages();
    }

    /// Begins invocations that wait, as far as there is room.
    pub(crate) fn begin_what_waits(&mut self) {
        let mut place = 0;
        while place < self.requests.len() {
            let is_run = self.requests[place].task == Task::Run;
            let runs = self.invocations.iter().filter(|other| other.request.task == Task::Run).count();
            if is_run && runs >= self.config.concurrency {
                place += 1;
                continue;
            }
            let Some(request) = self.requests.remove(place) else { break };
            if request.task == Task::Resume {
                self.paused_from = None;
            }
            if let Task::Erase { person, after: None } = request.task
                && !self.model.erasing(person, &request.id)
            {
                continue;
            }
            if let Task::Intake { post, .. } = &request.task {
                let (post, received) = (post.clone(), self.clock.now() + self.config.our_skew);
                self.may_be_stored(post.lead, &post.body, received);
                self.counts.posts += 1;
            }
            if is_run {
                self.counts.runs += 1;
                if runs > 0 {
                    self.coverage.note(Sometimes::TwoRunsAtOnce);
                }
            }
            let number = self.begun;
            self.begun += 1;
            let attempt = request.attempt;
            let name = request.id.clone();
            self.say(|| format!("invocation {number} begins: {name}, attempt {attempt}"));
            let timeout = request.task.timeout();
            let invocation = Invocation::begin(self, request, number);
            self.invocations.push(invocation);
            self.after(timeout, Event::TimeOut { invocation: number });
            self.go_on(number);
        }
    }

    /// An invocation is no more. Gives what it was asked, and has it tried again.
    pub(crate) fn end_of(&mut self, number: u64, how: &str) -> Option<Request> {
        let (ended, received) = self.remove(number)?;
        self.say(|| format!("invocation {number} {how}"));
        self.try_again(Request { was_killed: true, ..ended.clone() }, &received.borrow());
        self.begin_what_waits();
        Some(ended)
    }

    fn remove(&mut self, number: u64) -> Option<(Request, Received)> {
        let place = self.invocations.iter().position(|other| other.number == number)?;
        let invocation = self.invocations.remove(place);
        invocation.desk.close();
        Some((invocation.request, invocation.received))
    }

    /// `received` is what has arrived of an export.
    fn try_again(&mut self, request: Request, received: &[u8]) {
        let again = Request { attempt: request.attempt + 1, ..request };
        match again.task {
            // Its messages are visible again after a while.
            Task::Redeliver(_) => self.expect_messages(),
            Task::Intake { post, .. } => self.answered(post, None),
            Task::Export(ref wanted) => {
                let wanted = wanted.clone();
                self.export_broke_off(again, wanted, received);
            }
            Task::Backfill { .. } if again.attempt > 3 => {}
            // A person repeats a command until it is done.
            Task::Pause | Task::Resume | Task::Command(_) | Task::Erase { .. } | Task::Backfill { .. } => {
                self.after(RETRIES[0], Event::Invoke(again));
            }
            Task::Run => {
                if let Some(wait) = RETRIES.get(again.attempt as usize - 2) {
                    self.after(*wait, Event::Invoke(again));
                }
            }
        }
    }

    /// An invocation's time is over.
    pub(crate) fn time_out(&mut self, number: u64) {
        let Some(invocation) = self.invocations.iter().find(|other| other.number == number) else { return };
        let (was_frozen, name) = (invocation.was_frozen, invocation.request.id.clone());
        self.coverage.note(Sometimes::TimedOut);
        self.end_of(number, "is killed at its time-out");
        if !was_frozen {
            self.violate(Violation::new(Promise::Deadlines, format!("the invocation {name} had to be killed")));
        }
    }

    /// An invocation ended by itself.
    pub(crate) fn ended(&mut self, number: u64, answer: Result<String, String>) {
        let Some(place) = self.invocations.iter().position(|other| other.number == number) else { return };
        let mails = self.invocations[place].mails;
        let took = self.clock.now().duration_since(self.invocations[place].began);
        let is_to_be_in_time = matches!(self.invocations[place].request.task, Task::Intake { .. });
        if is_to_be_in_time && took > BUDGET && !self.invocations[place].was_frozen {
            self.violate(Violation::new(Promise::Deadlines, format!("intake answers after {took:#}")));
        }
        let Some((request, received)) = self.remove(number) else { return };
        let said = |answer: &Result<String, String>| match answer {
            Ok(answer) if answer.len() > 200 => format!("{} bytes", answer.len()),
            answer => format!("{answer:?}"),
        };
        self.say(|| format!("invocation {number} ends: {}", said(&answer)));
        match answer {
            Ok(outcome) => {
                if outcome == "stopped" {
                    self.coverage.note(Sometimes::StoppedInTime);
                }
                if request.attempt > 1 && mails > 0 && request.task == Task::Run {
                    let is_after_kill = request.was_killed;
                    self.coverage.note(if is_after_kill { Sometimes::RetryAfterKill } else { Sometimes::RetryMailed });
                }
                match request.task {
                    Task::Redeliver(messages) => {
                        self.coverage.note(Sometimes::Redelivered);
                        let done: Vec<_> = outcome.split_whitespace().collect();
                        for message in messages.iter().filter(|message| done.contains(&message.id.to_string().as_str()))
                        {
                            if self.queue.delete(message.id, &mut self.tapes.faults) {
                                self.coverage.note(Sometimes::MessageAgain);
                            }
                        }
                    }
                    Task::Intake { post, .. } => self.answered(post, outcome.parse().ok()),
                    Task::Export(ref wanted) => {
                        let wanted = wanted.clone();
                        self.export_ended(request, wanted, received.take());
                    }
                    Task::Backfill { .. } => self.coverage.note(Sometimes::Backfilled),
                    Task::Pause => {
                        self.coverage.note(Sometimes::Paused);
                        let is_resumed = self.invocations.iter().any(|other| other.request.task == Task::Resume);
                        self.paused_from = (!is_resumed).then_some(self.begun);
                        // One that succeeds only when the faults have stopped may come after the last `resume`.
                        if !self.is_stormy {
                            let id = format!("resume-{}", request.id);
                            self.after(SignedDuration::from_mins(1), Event::Invoke(Request::new(id, Task::Resume)));
                        }
                    }
                    Task::Erase { person, .. } if outcome == "done" => {
                        self.coverage.note(Sometimes::Erased);
                        self.model.erased(person, self.begun);
                        self.check_rows(false);
                    }
                    Task::Erase { person, .. } => {
                        let task = Task::Erase { person, after: Some(outcome) };
                        self.after(SignedDuration::from_secs(5), Event::Invoke(Request::new(request.id, task)));
                    }
                    Task::Run | Task::Resume | Task::Command(_) => {}
                }
            }
            Err(error) => {
                self.told.hear(&error);
                if self.config.is_kind && self.dead == 0 {
                    self.violate(Violation::new(Promise::NoNeedlessFailures, format!("{}: {error}", request.id)));
                }
                self.try_again(Request { was_killed: false, ..request }, &received.borrow());
            }
        }
        self.begin_what_waits();
        self.expect_messages();
    }

    /// Compares the leads table with what must be in it, and must not.
    /// `is_quiet` says whether nothing is on its way any more.
    pub(crate) fn check_rows(&mut self, is_quiet: bool) {
        let wrong = self.model.rows(is_quiet).find_map(|(number, keys, allowed)| {
            let found: usize = keys.iter().map(|(partition, row)| self.leads.count(partition, row)).sum();
            (!allowed.contains(&found)).then(|| (number, found, *allowed.start()))
        });
        if let Some((number, found, least)) = wrong {
            let promise = if found > 0 && least == 0 { Promise::ErasedForGood } else { Promise::NothingLost };
            let seen = format!("lead {} is in {found} rows, and should be in {least}", marker(number));
            self.violate(Violation::new(promise, seen));
        }
    }
}
