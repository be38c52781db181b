//! What becomes of a call: drawn from the tapes, by the world's rates and by what is down at the moment.

use crate::config::Rates;
use crate::coverage::{Ending, Sometimes};
use crate::desk::{Call, Kind, Service, Verdict};
use crate::lambda::Task;
use crate::world::{Event, World};
use jiff::SignedDuration;
use marketplace_leads::destinations::MAX_POST;
use marketplace_leads::mail::{MAX_QUESTION, MAX_SEND};

/// How long one send may take: the client gives up then.
const MAIL_CALL: SignedDuration = SignedDuration::from_secs(MAX_SEND.as_secs().cast_signed());

/// The same of a question about a recipient.
const QUESTION: SignedDuration = SignedDuration::from_secs(MAX_QUESTION.as_secs().cast_signed());

/// The same of a message to another destination.
const POST: SignedDuration = SignedDuration::from_secs(MAX_POST.as_secs().cast_signed());

/// How long the parameters of destinations may take.
const PARAMETERS: SignedDuration = SignedDuration::from_secs(8);

/// How long the queue may take.
const QUEUE_CALL: SignedDuration = SignedDuration::from_secs(30);

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A call's verdict, and when it comes.
struct Plan {
    verdict: Verdict,
    ending: Ending,
    after: SignedDuration,
}

impl World {
    /// Decides about a call that has just come to the desk, and puts what will become of it on the calendar.
    pub fn plan(&mut self, invocation: u64, call: &Call) {
        let is_doomed = self.invocations.iter().any(|other| other.number == invocation && other.is_doomed);
        if call.has_acted && is_doomed {
            self.coverage.count(call.site, (call.service, call.kind), Ending::Killed);
            self.coverage.note(Sometimes::KilledAfterAct);
            return self.after(SignedDuration::ZERO, Event::Kill { invocation });
        }
        // In a quiet time nothing is drawn, so that runs which find nothing to do can be skipped there and nothing else changes.
        const MILLIS: [i64; 5] = [20, 5, 60, 250, 1200];
        let millis = if self.is_stormy { self.tapes.order.pick(&MILLIS) } else { MILLIS[(call.number % 5) as usize] };
        let mut latency = SignedDuration::from_millis(millis);
        if self.is_stormy && call.kind == Kind::Scan && !self.config.scan.is_zero() {
            latency += self.tapes.order.between(SignedDuration::ZERO, self.config.scan);
        }
        let Plan { verdict, ending, after } = self.verdict(invocation, call, latency);
        self.coverage.count(call.site, (call.service, call.kind), ending);
        if ending != Ending::Answered {
            self.counts.faults += 1;
        }
        if !(ending == Ending::Killed && verdict == Verdict::Act) {
            self.after(after, Event::Answer { invocation, call: call.number, verdict });
        }
    }

    fn verdict(&mut self, invocation: u64, call: &Call, latency: SignedDuration) -> Plan {
        let is_mail = call.kind == Kind::Mail;
        let task = self.invocations.iter().find(|other| other.number == invocation).map(|found| &found.request.task);
        let limit = match call.service {
            Service::Mail if call.kind == Kind::Question => QUESTION,
            Service::Mail => MAIL_CALL,
            Service::Queue => QUEUE_CALL,
            Service::Receiver => POST,
            Service::Parameters => PARAMETERS,
            Service::Leads | Service::State => task.map_or(SECOND * 10, Task::table_call),
        };
        let answered = Plan { verdict: Verdict::Act, ending: Ending::Answered, after: latency };
        let faults = &mut self.tapes.faults;
        if call.has_acted {
            let after = faults.between(SECOND, limit - SECOND * 2);
            return Plan { after, ending: Ending::Delayed, ..answered };
        }
        let is_down = match call.service {
            Service::Mail => self.down.mail,
            Service::Queue => self.down.queue,
            // What they answer meanwhile is decided by them.
            Service::Receiver | Service::Parameters => false,
            Service::Leads | Service::State => self.down.tables,
        };
        if is_down {
            let is_late = faults.chance(0.3);
            let after = if is_late { faults.between(SECOND, limit) } else { latency };
            return match faults.which(&[0.05, 0.2]) {
                1 => self.answer_lost(is_mail, after),
                2 => Plan { verdict: Verdict::Throttle, ending: Ending::Before, after },
                _ => Plan { verdict: Verdict::FailBefore, ending: Ending::Before, after },
            };
        }
        // A line that is reached for the first time is tried in a quiet time, too: some are seldom reached in any other.
        let calls = self.coverage.calls(call.site, (call.service, call.kind));
        if self.config.is_hunting && calls < 4 && faults.chance(0.8) {
            self.hunted += 1;
            return match faults.which(&[0.25, 0.25, 0.25, 0.25]) {
                1 => Plan { verdict: Verdict::FailBefore, ending: Ending::Before, after: latency },
                2 => self.answer_lost(is_mail, latency),
                3 => Plan { after: faults.between(SECOND, limit), ending: Ending::Delayed, ..answered },
                4 => {
                    self.after(latency, Event::Kill { invocation });
                    Plan { ending: Ending::Killed, ..answered }
                }
                _ => answered,
            };
        }
        if !self.is_stormy {
            return answered;
        }
        let Rates { before, after, slow, throttled, killed, frozen, short_page } = match call.service {
            Service::Mail => self.config.mail.clone(),
            Service::Queue => self.config.queue.clone(),
            Service::Receiver => self.config.posts.clone(),
            Service::Parameters => self.config.parameters.clone(),
            Service::Leads | Service::State => self.config.tables.clone(),
        };
        let is_page = call.what.starts_with("page");
        let short_page = if is_page { short_page } else { 0.0 };
        let rates = [before, after, slow / 2.0, slow / 2.0, throttled, killed / 2.0, killed / 2.0, frozen, short_page];
        match faults.which(&rates) {
            1 => Plan { verdict: Verdict::FailBefore, ending: Ending::Before, after: latency },
            2 => self.answer_lost(is_mail, latency),
            3 => Plan { after: faults.between(SECOND, limit), ending: Ending::Delayed, ..answered },
            4 => Plan { verdict: Verdict::ActAndWait, ..answered },
            5 => {
                let after = faults.between(SECOND, limit);
                Plan { verdict: Verdict::Throttle, ending: Ending::Before, after }
            }
            6 => {
                self.after(latency, Event::Kill { invocation });
                Plan { ending: Ending::Killed, ..answered }
            }
            7 => {
                if let Some(doomed) = self.invocations.iter_mut().find(|other| other.number == invocation) {
                    doomed.is_doomed = true;
                }
                Plan { verdict: Verdict::ActAndWait, ..answered }
            }
            8 => {
                let until = self.clock.now() + faults.between(SECOND, SECOND * 400);
                if let Some(frozen) = self.invocations.iter_mut().find(|other| other.number == invocation) {
                    frozen.frozen_until = Some(until);
                    frozen.was_frozen = true;
                }
                self.coverage.note(Sometimes::Frozen);
                Plan { ending: Ending::Delayed, ..answered }
            }
            9 => {
                let rows = faults.pick(&[1, 0, 2, 50]);
                self.coverage.note(Sometimes::ShortPage);
                Plan { verdict: Verdict::ShortPage(rows), ..answered }
            }
            _ => answered,
        }
    }

    fn answer_lost(&mut self, is_mail: bool, after: SignedDuration) -> Plan {
        if is_mail {
            self.coverage.note(Sometimes::MailAnswerLost);
        }
        Plan { verdict: Verdict::FailAfter, ending: Ending::After, after }
    }
}
