//! What can happen in a world, what was done in it, and how it ended.

use crate::config::Config;
use crate::coverage::Coverage;
use crate::desk::{Service, Verdict};
use crate::lambda::Request;
use crate::model::Violation;
use crate::receivers::Parameter;
use crate::senders::Post;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Something on the calendar.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Somebody writes leads.
    Arrive,
    /// A row can be seen from now on.
    Visible(Box<crate::workload::Row>),
    /// The scheduler's time has come.
    Tick,
    /// Lambda begins an invocation, as soon as there is room.
    Invoke(Request),
    /// A call gets its verdict.
    Answer { invocation: u64, call: u64, verdict: Verdict },
    /// An invocation is killed.
    Kill { invocation: u64 },
    /// An invocation's time is over.
    TimeOut { invocation: u64 },
    /// An invocation that waits for nothing but time is polled again.
    Nudge { invocation: u64 },
    /// A sender tries to send a lead.
    Post(Post),
    /// Lambda asks the queue for messages.
    Receive,
    /// The operator sends dead letters back to the queue.
    Redrive,
    /// The operator makes one step of a rotation of intake's keys.
    RotateKeys,
    /// The operator changes other settings than who gets what.
    ChangeSettings,
    /// A service goes down, or comes back.
    Outage { service: Service, is_down: bool },
    /// The mail service refuses every recipient, or does no longer.
    Sandbox(bool),
    /// The mail service accepts mails to some recipients and drops them, or does no longer.
    Suppress(bool),
    /// The operator changes who gets what.
    ChangeRoutes,
    /// A destination that is no mailbox answers so from now on; `None` ends that.
    Mood(u32, Option<(u16, Option<&'static str>)>),
    /// Something becomes of the parameter of a destination.
    LoseParameter(Parameter),
    /// Intake's keys cannot be read, or can again.
    KeysUnreadable(bool),
    /// The faults begin.
    StormBegins,
    /// The faults stop.
    StormEnds,
    /// So much quiet time has passed that everything must be mailed that was written until then where runs look.
    RunsWereMade { written_until: Timestamp },
    /// So much quiet time has passed that everything written until then must be mailed.
    QuietEnds { written_until: Timestamp },
}

/// What is down at the moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Down {
    pub(crate) tables: bool,
    pub(crate) mail: bool,
    pub(crate) queue: bool,
    /// How many outages of intake's keys there are.
    pub(crate) keys: u32,
}

/// What was done in a world.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Calls on the services that were answered, or failed.
    pub requests: u64,
    /// Calls that failed or were late.
    pub faults: u64,
    /// Invocations that were killed before their time-out.
    pub kills: u64,
    /// Runs of the notifier.
    pub runs: u64,
    /// Runs that would have found nothing to do, and were skipped.
    pub skipped: u64,
    /// Requests to intake.
    pub posts: u64,
    /// Leads written.
    pub leads: u64,
    /// Mails accepted.
    pub mails: u64,
    /// Leads that came again, marked.
    pub repeats: u64,
    /// Leads that nobody could be asked to mail.
    pub excuses: BTreeMap<&'static str, u64>,
    /// Simulated time.
    pub time: SignedDuration,
}

/// How a world ended.
pub struct Outcome {
    /// What must not be, if anything was.
    pub violation: Option<Violation>,
    /// A hash over everything that was decided, and when.
    pub hash: u64,
    /// What was chosen, to play it again.
    pub records: [Vec<u32>; 4],
    /// What was tried.
    pub coverage: Coverage,
    /// What was done.
    pub counts: Counts,
    /// What kind of world it was.
    pub config: Config,
    /// Who did what when, if it was asked for.
    pub trace: Vec<String>,
    /// The same number in two worlds in which the same leads were written and everybody has the same of them.
    pub summary: u64,
}
