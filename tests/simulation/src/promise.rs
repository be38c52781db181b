//! The promises that worlds watch, and what it is when one is broken.

use std::fmt;

/// A promise that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// 1: every lead gets to everybody who should have it.
    NothingLost,
    /// 2: a lead comes again only in a mail that says so.
    RepeatsMarked,
    /// 2: where nothing goes wrong, no lead comes again.
    NoNeedlessRepeats,
    /// 2: nobody gets what is not for them.
    OnlyTheRightPeople,
    /// 2: nobody gets anything outside the hours of their route.
    InItsHours,
    /// 2, 3: what destinations get that are no mailboxes is as their documentation has it.
    RightRequests,
    /// 3: no request goes beyond a limit of the table service.
    TableLimits,
    /// 3: no mail goes beyond a limit of the mail service.
    MailLimits,
    /// 3: no message goes beyond a limit of the queue.
    QueueLimits,
    /// 4: no invocation outlives its deadline.
    Deadlines,
    /// 4: none panics.
    NoPanics,
    /// 4: where nothing goes wrong, none fails.
    NoNeedlessFailures,
    /// 1: no lead that comes with a valid key is refused.
    NothingRefused,
    /// 5: what a command says is so.
    HonestCommands,
    /// 5: after an erasure, nothing of what there was is mailed.
    ErasedForGood,
    /// 6: what is broken elsewhere delays a lead by a bounded number of runs.
    NoDelays,
    /// 7: nothing that is logged, or said in an error, holds a person or a secret.
    NothingTold,
    /// 8: state that the version before this one wrote is read, and is left so that it does nothing.
    OldState,
    /// 9: an export is whole or visibly broken off.
    WholeExports,
}

impl Promise {
    /// What is seen where it is broken, in a few words.
    pub fn broken(self) -> &'static str {
        match self {
            Self::NothingLost => "a lead is lost",
            Self::NothingRefused => "a lead is refused",
            Self::RepeatsMarked => "a repeat is not marked",
            Self::NoNeedlessRepeats => "a lead comes again for no reason",
            Self::OnlyTheRightPeople => "somebody gets what is not for them",
            Self::InItsHours => "something is sent outside the hours of its route",
            Self::RightRequests => "a destination gets a request that is wrong",
            Self::TableLimits => "a limit of the table service is hit",
            Self::MailLimits => "a limit of the mail service is hit",
            Self::QueueLimits => "a limit of the queue is hit",
            Self::Deadlines => "an invocation outlives its deadline",
            Self::NoPanics => "an invocation panics",
            Self::NoNeedlessFailures => "an invocation fails for no reason",
            Self::HonestCommands => "a command says what is not so",
            Self::ErasedForGood => "something of an erased person is there",
            Self::NoDelays => "a lead is late",
            Self::NothingTold => "a person or a secret is logged",
            Self::OldState => "the state of the version before is misread",
            Self::WholeExports => "an export looks whole and is not",
        }
    }

    /// The number of the invariant, as `lib.rs` lists them.
    pub fn invariant(self) -> u8 {
        match self {
            Self::NothingLost | Self::NothingRefused => 1,
            Self::RepeatsMarked
            | Self::NoNeedlessRepeats
            | Self::OnlyTheRightPeople
            | Self::InItsHours
            | Self::RightRequests => 2,
            Self::TableLimits | Self::MailLimits | Self::QueueLimits => 3,
            Self::Deadlines | Self::NoPanics | Self::NoNeedlessFailures => 4,
            Self::HonestCommands | Self::ErasedForGood => 5,
            Self::NoDelays => 6,
            Self::NothingTold => 7,
            Self::OldState => 8,
            Self::WholeExports => 9,
        }
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise was broken.
    pub promise: Promise,
    /// What was seen.
    pub seen: String,
}

impl Violation {
    /// A promise that was broken.
    pub fn new(promise: Promise, seen: impl Into<String>) -> Self {
        Self { promise, seen: seen.into() }
    }
}

/// `invariant 1 (NothingLost) is broken: …`
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} ({:?}) is broken: {}", self.promise.invariant(), self.promise, self.seen)
    }
}
