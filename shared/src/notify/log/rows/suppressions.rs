//! The row `checked`: what the mail service said of recipients. Holds hashes of their addresses, and no address.

use super::PARTITION;
use crate::table::Entity;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// For how long an answer is kept. A recipient who gets no mail for so long is asked about anew.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// The most answers that are kept: more than recipients fit into the settings.
const MOST: usize = 1_000;

/// What the mail service said of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suppression {
    /// When it was asked.
    pub(crate) asked: Timestamp,
    /// Whether it drops mails to this recipient.
    pub(crate) is_suppressed: bool,
    /// Whether the operator was told so.
    #[serde(default)]
    pub(crate) is_told: bool,
}

/// What the mail service said of recipients, by the hash of their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Suppressions(BTreeMap<String, Suppression>);

impl Suppressions {
    /// What is known of a recipient.
    pub(crate) fn get(&self, hash: &str) -> Option<&Suppression> {
        self.0.get(hash)
    }

    /// Notes an answer, and forgets those that are too old.
    pub(in crate::notify::log) fn note(&mut self, hash: String, answer: Suppression) {
        let now = answer.asked;
        self.0.insert(hash, answer);
        self.0.retain(|_, known| now.duration_since(known.asked) <= KEPT);
        while self.0.len() > MOST {
            let oldest = self.0.iter().min_by_key(|(_, known)| known.asked).map(|(hash, _)| hash.clone());
            self.0.remove(&oldest.unwrap_or_default());
        }
    }

    /// Notes that the operator was told of a recipient.
    pub(in crate::notify::log) fn note_told(&mut self, hash: &str) {
        if let Some(known) = self.0.get_mut(hash) {
            known.is_told = true;
        }
    }

    /// Reads the row. What cannot be read counts as nothing: the mail service is asked again.
    pub(in crate::notify::log) fn from_entity(row: &Entity) -> Self {
        Self(row.text("Recipients").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    pub(in crate::notify::log) fn to_entity(&self) -> Entity {
        let mut row = Entity::new(PARTITION, super::CHECKED);
        row.set_text("Recipients", &serde_json::to_string(&self.0).unwrap_or_default());
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_were_written_and_there_are_never_too_many() {
        let start: Timestamp = "2026-11-03T14:00:00Z".parse().unwrap();
        let answer = |second: i64, is_suppressed| Suppression {
            asked: start + SignedDuration::from_secs(second),
            is_suppressed,
            is_told: false,
        };
        let mut answers = Suppressions::default();
        for number in 0..1_100 {
            answers.note(format!("{number:016x}"), answer(number, number % 2 == 0));
        }
        assert_eq!((answers.get(&format!("{:016x}", 99)), answers.0.len()), (None, MOST));
        answers.note_told(&format!("{:016x}", 1_098));
        let read = Suppressions::from_entity(&answers.to_entity());
        assert_eq!(read, answers);
        assert!(read.get(&format!("{:016x}", 1_098)).is_some_and(|known| known.is_suppressed && known.is_told));
        answers.note("late".to_owned(), answer(40 * 24 * 3_600, true));
        assert_eq!(answers.0.len(), 1, "what is too old is forgotten");
        let damaged = Entity::new(PARTITION, super::super::CHECKED).with("Recipients", "{");
        assert_eq!(Suppressions::from_entity(&damaged), Suppressions::default());
    }
}
