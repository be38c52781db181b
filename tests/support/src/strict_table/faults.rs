//! What goes wrong on purpose.

use super::refusal::Refusal;
use super::request::Operation;
use std::collections::VecDeque;
use std::time::Duration;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and nothing is done.
    Before(Refusal),
    /// It is done, and answered as if it had not been.
    After(Refusal),
    /// The connection breaks, and nothing is done.
    CutBefore,
    /// It is done, and the connection breaks before the answer is whole.
    CutAfter,
    /// It is done after this time. With a long one, the caller gives up first, and then it is done all the same.
    Wait(Duration),
    /// What it writes is seen by reads only after this time, by the service's clock; its timestamp is from now.
    VisibleAfter(Duration),
    /// A property of the row that it inserts gets this value, as JSON, in place of its own.
    Changed {
        /// The property's name.
        property: &'static str,
        /// Its value.
        json: String,
    },
}

/// A request for which a fault may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// How many requests came before it.
    pub number: u64,
    /// What it is.
    pub operation: Operation,
    /// The table that it names.
    pub table: Option<String>,
    /// The partition that it names.
    pub partition_key: Option<String>,
}

/// Chooses what goes wrong with a request; `None`: nothing.
pub type Chooser = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

/// The faults to come: first those of the queue, one for each request, then those of the function.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) queue: VecDeque<Fault>,
    pub(crate) chooser: Option<Chooser>,
}

impl Faults {
    pub(crate) fn next(&mut self, asked: &Asked) -> Option<Fault> {
        self.queue.pop_front().or_else(|| self.chooser.as_mut()?(asked))
    }
}
