//! What the code under test tells: events for the logs. None of them may hold a person or a secret.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Parts of persons and secrets of every world.
const FORBIDDEN: [&str; 8] =
    ["@", "16175555555", "Doe", "key-of-the-world", "Fabrikam", "Please call", "/hidden", "whsec"];

/// Listens to events. Clones share what they heard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Option<String>>>);

impl Told {
    /// An event that must not be, if there was one since this was asked last.
    pub(crate) fn wrong(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Looks at a text that somebody can read.
    pub(crate) fn hear(&self, text: &str) {
        if FORBIDDEN.iter().any(|part| text.contains(part)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| text.to_owned());
        }
    }
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("marketplace_leads")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.hear(&text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event's fields, one after the other.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_holds_an_address_is_heard() {
        let told = Told::default();
        tracing::subscriber::with_default(told.clone(), || {
            tracing::info!(target: "marketplace_leads::notify", leads = 3, "mailed");
            assert_eq!(told.wrong(), None);
            tracing::info!(target: "marketplace_leads::notify", to = "ann@contoso.example", "mailed");
            assert!(told.wrong().is_some());
        });
    }
}
