//! How Lambda treats invocations: begins them as there is room, kills them at their time-out, tries again what failed.

use crate::coverage::Sometimes;
use crate::lambda::{Invocation, Request, TIMEOUT, Task};
use crate::model::Violation;
use crate::world::{Event, World};
use jiff::SignedDuration;

/// How long Lambda waits before an asynchronous invocation is tried again, once for each further attempt.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
const RETRIES: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(2)];

/// How long a message of the queue is hidden after it was received.
const VISIBILITY: SignedDuration = SignedDuration::from_mins(6);

impl World {
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
            let invocation = Invocation::begin(self, request, number);
            self.invocations.push(invocation);
            self.after(TIMEOUT, Event::TimeOut { invocation: number });
            self.go_on(number);
        }
    }

    /// An invocation is no more. Gives what it was asked, and has it tried again.
    pub(crate) fn end_of(&mut self, number: u64, how: &str) -> Option<Request> {
        let ended = self.remove(number)?;
        self.say(|| format!("invocation {number} {how}"));
        self.try_again(ended.clone());
        self.begin_what_waits();
        Some(ended)
    }

    fn remove(&mut self, number: u64) -> Option<Request> {
        let place = self.invocations.iter().position(|other| other.number == number)?;
        let invocation = self.invocations.remove(place);
        invocation.desk.close();
        Some(invocation.request)
    }

    fn try_again(&mut self, request: Request) {
        let again = Request { attempt: request.attempt + 1, ..request };
        match again.task {
            Task::Redeliver { .. } => self.after(VISIBILITY, Event::Invoke(again)),
            // A person repeats a command until it is done.
            Task::Pause | Task::Resume => self.after(RETRIES[0], Event::Invoke(again)),
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
            self.violate(Violation::new(4, format!("the invocation {name} outlived its deadline")));
        }
    }

    /// An invocation ended by itself.
    pub(crate) fn ended(&mut self, number: u64, answer: Result<String, String>) {
        let Some(place) = self.invocations.iter().position(|other| other.number == number) else { return };
        let (mails, attempt) = (self.invocations[place].mails, self.invocations[place].request.attempt);
        let Some(request) = self.remove(number) else { return };
        self.say(|| format!("invocation {number} ends: {answer:?}"));
        match answer {
            Ok(outcome) => {
                if outcome == "stopped" {
                    self.coverage.note(Sometimes::StoppedInTime);
                }
                if attempt > 1 && mails > 0 && request.task == Task::Run {
                    self.coverage.note(Sometimes::RetryMailed);
                }
                match request.task {
                    Task::Redeliver { lead, .. } => {
                        self.coverage.note(Sometimes::RedeliveredLate);
                        self.model.since(lead, self.clock.now());
                    }
                    Task::Pause => self.coverage.note(Sometimes::Paused),
                    Task::Run | Task::Resume => {}
                }
            }
            Err(error) => {
                if self.config.is_kind {
                    self.violate(Violation::new(4, format!("{} failed in a kind world: {error}", request.id)));
                }
                self.try_again(request);
            }
        }
        self.begin_what_waits();
    }
}
