//! What was tried: every line of the code under test that calls a service, with every way in which the call can end; and
//! a list of things that must happen sometimes, or the worlds are too kind.

use crate::desk::{Kind, Service};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How a call ended, as far as coverage goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// It was answered.
    Answered,
    /// It failed, and nothing was done.
    Before,
    /// It failed, and everything was done.
    After,
    /// It was answered late.
    Delayed,
    /// The invocation was killed meanwhile.
    Killed,
}

impl Ending {
    /// Every ending, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Before, Self::After, Self::Delayed, Self::Killed];
}

/// Something that must happen sometimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sometimes {
    /// Two invocations of the notifier were at work at the same time.
    TwoRunsAtOnce,
    /// A run was killed with a call that the service had done.
    KilledAfterAct,
    /// An invocation was frozen and went on later.
    Frozen,
    /// A run failed, was tried again by Lambda, and the retry mailed something.
    RetryMailed,
    /// The same of a run that was killed.
    RetryAfterKill,
    /// A run ended before its work was done, because its time was over.
    StoppedInTime,
    /// A run took longer than the function may.
    TimedOut,
    /// A lead came again in a mail that said so.
    MarkedRepeat,
    /// A mail was accepted and its answer lost.
    MailAnswerLost,
    /// A row became visible after a later one had been read.
    LateRow,
    /// A row was written into a day long past.
    OldDay,
    /// A row was written under a key that is no day.
    OddKey,
    /// A mail was refused for its content.
    Poison,
    /// A destination was refused as a whole.
    DeadDestination,
    /// A page ended before its time, or was empty.
    ShortPage,
    /// A mail to more than fifty people was cut into several.
    ManyRecipients,
    /// The operator paused the notifier.
    Paused,
    /// The operator changed who gets what.
    RoutesChanged,
    /// A row held characters that no text can hold.
    DamagedRow,
    /// A person was erased.
    Erased,
    /// The scheduler missed a tick.
    MissedTick,
    /// The scheduler sent a tick twice.
    DoubledTick,
    /// A lead was put onto the queue.
    Queued,
    /// Intake had a lead already.
    Duplicate,
    /// Messages of the queue were redelivered.
    Redelivered,
    /// A message came again although it had been deleted.
    MessageAgain,
    /// The operator sent dead letters back to the queue.
    DeadLetter,
    /// A sender got no answer, or was asked to try again.
    SenderTriesAgain,
    /// A sender gave up.
    SenderGivesUp,
    /// A customer made the same request again.
    SameRequestAgain,
    /// The operator rotated the keys of intake.
    KeysRotated,
    /// The operator changed other settings.
    SettingsChanged,
    /// Somebody got a whole export.
    Exported,
    /// An export broke off, and somebody went on with it.
    ExportWentOn,
    /// The operator had leads mailed again.
    Backfilled,
    /// The state of the version before was moved over.
    Upgraded,
    /// A run that would have found nothing to do was skipped.
    Skipped,
    /// A destination that is no mailbox accepted something.
    Posted,
    /// It refused something, or did not answer.
    PostRefused,
    /// What it should have went to the default recipients, since its parameter was deleted.
    DestinationGone,
    /// Its parameter could not be understood.
    DestinationDamaged,
    /// Leads waited for the hours of their route, or for its next time.
    Patient,
    /// A weekly summary was mailed.
    Summary,
    /// A body that was too long for intake was sent.
    TooLong,
    /// Intake or redelivery could not read its keys.
    KeysUnreadable,
    /// The mail service dropped what was for a recipient.
    Suppressed,
}

impl Sometimes {
    /// All of them.
    pub const ALL: [Self; 46] = [
        Self::TwoRunsAtOnce,
        Self::KilledAfterAct,
        Self::Frozen,
        Self::RetryMailed,
        Self::RetryAfterKill,
        Self::StoppedInTime,
        Self::TimedOut,
        Self::MarkedRepeat,
        Self::MailAnswerLost,
        Self::LateRow,
        Self::OldDay,
        Self::OddKey,
        Self::Poison,
        Self::DeadDestination,
        Self::ShortPage,
        Self::ManyRecipients,
        Self::Paused,
        Self::RoutesChanged,
        Self::DamagedRow,
        Self::Erased,
        Self::MissedTick,
        Self::DoubledTick,
        Self::Queued,
        Self::Duplicate,
        Self::Redelivered,
        Self::MessageAgain,
        Self::DeadLetter,
        Self::SenderTriesAgain,
        Self::SenderGivesUp,
        Self::SameRequestAgain,
        Self::KeysRotated,
        Self::SettingsChanged,
        Self::Exported,
        Self::ExportWentOn,
        Self::Backfilled,
        Self::Upgraded,
        Self::Skipped,
        Self::Posted,
        Self::PostRefused,
        Self::DestinationGone,
        Self::DestinationDamaged,
        Self::Patient,
        Self::Summary,
        Self::TooLong,
        Self::KeysUnreadable,
        Self::Suppressed,
    ];
}

/// What cannot be tried: the end of a file's path, the kind of call, the ending, and why.
const IMPOSSIBLE: [(&str, Kind, Ending, &str); 0] = [];

/// A line that calls a service: file, line, service and kind of call.
type Site = (&'static str, u32, Service, Kind);

/// What was tried in one world, or in many.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    sites: BTreeMap<Site, BTreeMap<Ending, u64>>,
    sometimes: BTreeMap<Sometimes, u64>,
}

impl Coverage {
    /// Counts how a call ended.
    pub fn count(&mut self, site: &'static std::panic::Location<'static>, call: (Service, Kind), ending: Ending) {
        let site = (site.file(), site.line(), call.0, call.1);
        *self.sites.entry(site).or_default().entry(ending).or_default() += 1;
    }

    /// How many calls this line has made.
    pub fn calls(&self, site: &'static std::panic::Location<'static>, call: (Service, Kind)) -> u64 {
        let endings = self.sites.get(&(site.file(), site.line(), call.0, call.1));
        endings.map_or(0, |endings| endings.values().sum())
    }

    /// Counts something that must happen sometimes.
    pub fn note(&mut self, what: Sometimes) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    /// Adds what another world tried.
    pub fn add(&mut self, other: &Self) {
        for (site, endings) in &other.sites {
            for (ending, count) in endings {
                *self.sites.entry(*site).or_default().entry(*ending).or_default() += count;
            }
        }
        for (what, count) in &other.sometimes {
            *self.sometimes.entry(*what).or_default() += count;
        }
    }

    /// How often something happened.
    pub fn times(&self, what: Sometimes) -> u64 {
        self.sometimes.get(&what).copied().unwrap_or_default()
    }

    /// How many lines call a service, with how many ways of ending, and how often the one was tried that was tried least.
    pub fn cells(&self) -> (usize, usize, u64) {
        let least = self.sites.values().flat_map(|endings| Ending::ALL.map(|ending| endings.get(&ending).copied()));
        let least = least.map(Option::unwrap_or_default).filter(|count| *count > 0).min().unwrap_or_default();
        (self.sites.len(), self.sites.len() * Ending::ALL.len(), least)
    }

    /// The lines and endings that were never tried, and what never happened that must happen sometimes, without what cannot.
    pub fn untried(&self) -> Vec<String> {
        let missing = self.sites.iter().flat_map(|((file, line, service, kind), endings)| {
            let missing = Ending::ALL.iter().filter(|ending| !endings.contains_key(ending));
            let missing = missing.filter(move |ending| {
                !IMPOSSIBLE
                    .iter()
                    .any(|(path, which, cannot, _)| file.ends_with(path) && which == kind && cannot == *ending)
            });
            missing.map(move |ending| format!("{file}:{line} {service:?} {kind:?} was never {ending:?}"))
        });
        let never = Sometimes::ALL.iter().filter(|what| self.times(**what) == 0);
        missing.chain(never.map(|what| format!("{what:?} never happened"))).collect()
    }

    /// Both tables, for people.
    pub fn report(&self) -> String {
        let mut text = format!("{:60}", "calls by line");
        for ending in Ending::ALL {
            let _ = write!(text, "{:>10}", format!("{ending:?}").to_lowercase());
        }
        text.push('\n');
        for ((file, line, service, kind), endings) in &self.sites {
            let place = format!("{}:{line} {service:?} {kind:?}", file.trim_start_matches("shared/src/"));
            let _ = write!(text, "{place:60}");
            for ending in Ending::ALL {
                let _ = write!(text, "{:>10}", endings.get(&ending).copied().unwrap_or_default());
            }
            text.push('\n');
        }
        text.push_str("\nwhat must happen sometimes\n");
        for what in Sometimes::ALL {
            let _ = writeln!(text, "{:60}{:>10}", format!("{what:?}"), self.times(what));
        }
        text
    }
}
