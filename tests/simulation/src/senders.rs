//! The senders of leads by HTTPS: what they send, when they try again, and what the answers promise.

use crate::config::LeadKind;
use crate::coverage::Sometimes;
use crate::lambda::{Request, Task};
use crate::leads::{ACTIONS, NAME, OFFERS, marker};
use crate::model::{Promise, Target, Violation};
use crate::tape::Tape;
use crate::world::{Event, World};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::intake_keys::KnownKeys;
use marketplace_leads::lead::{Lead, MAX_BODY_BYTES, StoredLead};
use marketplace_leads::quarantine::{PARTITION as QUARANTINE, Quarantined};
use marketplace_leads::secret::Secret;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The bodies of `tests/fixtures/leads`, by name.
macro_rules! bodies {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../../fixtures/leads/", $name)).as_slice())),*]
    };
}

/// Every recorded body; a test compares the list with the folder.
pub(crate) const RECORDED: &[(&str, &[u8])] = bodies! {
    "64-kib-and-one-byte.json" "64-kib.json" "array.json" "byte-order-mark.json" "camel-case.json" "campaign.json"
    "control-characters.json" "cut-off.bin" "deep-nesting-as-user-details.json" "deep-nesting.json"
    "do-not-contact.json" "documented.json" "duplicate-keys.json" "empty.bin" "faq-malformed.json" "form.bin"
    "invalid-utf-8.bin" "lead-source-long.json" "lead-source-short.json" "lone-surrogate.json" "long-values.json"
    "missing-parts.json" "nothing-of-a-lead.json" "nulls.json" "numbers-and-booleans.json"
    "other-casing-and-order.json" "right-to-left-and-emoji.json" "test-lead.json" "text-with-a-rest.bin" "text.json"
    "unknown-keys.json" "user-details-as-text.json" "user-details-null.json" "user-details-number-alone.json"
    "utf-16.bin" "white-space.bin" "withheld-edu.json"
};

/// A body on its way to intake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Post {
    /// The lead's number.
    pub(crate) lead: usize,
    /// The body.
    pub(crate) body: Arc<[u8]>,
    /// Which request it is of those that the customer really made with this body, from 0.
    pub(crate) ordinal: u32,
    /// How often the sender has tried before.
    pub(crate) tries: u32,
    /// How often it tries again.
    pub(crate) patience: u32,
    /// After what time the customer makes the same request again, if ever.
    pub(crate) again: Option<SignedDuration>,
}

/// What somebody who reads the keys gets: their text, or nothing while they cannot be read.
type Readable = Arc<Mutex<Option<String>>>;

/// The keys that open intake, as an operator rotates them: the new one is added, senders change, the old one is removed.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    readable: Readable,
    is_unreadable: bool,
    number: u32,
    are_two: bool,
    /// Whether only the newer one of two is valid.
    is_replaced: bool,
}

impl Default for Keys {
    fn default() -> Self {
        let mut keys =
            Self { readable: Readable::default(), is_unreadable: false, number: 1, are_two: false, is_replaced: false };
        keys.set_unreadable(false);
        keys
    }
}

impl Keys {
    fn key(number: u32) -> String {
        format!("key-of-the-world.{number:08}")
    }

    /// The setting.
    pub(crate) fn setting(&self) -> String {
        let first = self.number + u32::from(self.is_replaced);
        let keys = (first..=self.number + u32::from(self.are_two)).map(Self::key);
        keys.collect::<Vec<_>>().join(",")
    }

    /// Whether the old one and the new one are valid.
    pub(crate) fn are_two(&self) -> bool {
        self.are_two
    }

    /// Whether nobody can read them.
    pub(crate) fn set_unreadable(&mut self, is_unreadable: bool) {
        self.is_unreadable = is_unreadable;
        let text = (!is_unreadable).then(|| self.setting());
        *self.readable.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// The keys as an invocation that starts now knows them: it reads them when it first needs them.
    pub(crate) fn known(&self) -> KnownKeys {
        let readable = self.readable.clone();
        KnownKeys::new(Arc::new(move || {
            let text = readable.lock().unwrap_or_else(PoisonError::into_inner).clone();
            async move { text.map(Secret::new).ok_or_else(|| "the parameter cannot be read".to_owned()) }.boxed()
        }))
    }

    /// The key that senders use. While there are two, it is either.
    fn of_senders(&self, tape: &mut Tape) -> String {
        Self::key(self.number + u32::from(self.are_two && tape.chance(0.5)))
    }

    /// One step of a rotation.
    pub(crate) fn rotate(&mut self, is_broken: bool) {
        // Senders still have the old key.
        self.is_replaced = is_broken && !self.are_two;
        self.number += u32::from(self.are_two);
        self.are_two = !self.are_two;
        self.set_unreadable(self.is_unreadable);
    }
}

impl World {
    /// Somebody sends a lead by HTTPS.
    pub(crate) fn one_is_sent(&mut self, kind: LeadKind) {
        let number = self.model.next();
        let workload = &mut self.tapes.workload;
        let offer = workload.below(4) as usize;
        let action = workload.pick(&ACTIONS);
        let patience = workload.pick(&[3, 3, 0, 8]);
        // Longer than a sender goes on, and than what counts as its retry then.
        let least = if kind == LeadKind::HttpsWithheld { MINUTE * 40 } else { MINUTE * 100 };
        let again = workload.chance(0.3).then(|| workload.between(least, MINUTE * (60 * 60)));
        let (offer_id, offer_title) = OFFERS[offer];
        let mut body = json!({
            "UserDetails": {"FirstName": marker(number), "LastName": "Doe", "Email": format!("{}@fabrikam.example", marker(number)),
                "Phone": "16175555555", "Country": "US", "Company": "Fabrikam", "Title": "CTO"},
            "LeadSource": format!("AzureMarketplace-{action}|{offer_id}"), "ActionCode": action, "OfferTitle": offer_title,
            "Description": workload.pick(&["", "Please call."]),
        });
        let mut target = Target::Known { offer: Some(offer), action: Some(action) };
        let bytes = match kind {
            LeadKind::HttpsRecorded => {
                let (name, bytes) = RECORDED[workload.below(RECORDED.len() as u32) as usize];
                let lead = Lead::from_body(bytes, bytes.len());
                let id = lead.as_ref().map_or_else(|_| name.to_owned(), Lead::id);
                if !self.recorded.insert(id) {
                    return;
                }
                target = lead.map_or(Target::Known { offer: None, action: None }, |lead| Target::Read(Box::new(lead)));
                bytes.to_vec()
            }
            LeadKind::HttpsWithheld => {
                body["UserDetails"] = json!({"Country": "US"});
                body["Description"] = format!("campaign {}", marker(number)).into();
                body.to_string().into_bytes()
            }
            LeadKind::HttpsHostile => {
                let text = body.to_string();
                target = Target::Known { offer: None, action: None };
                match workload.below(5) {
                    4 => format!("{text}{}", " ".repeat(MAX_BODY_BYTES)).into_bytes(),
                    0 => text.as_bytes()[..text.len() - 2].to_vec(),
                    1 => [text.as_bytes(), &[0xff, 0xfe]].concat(),
                    2 => format!("[{text}]").into_bytes(),
                    _ => format!("{}{}", "[".repeat(20_000), marker(number)).into_bytes(),
                }
            }
            _ => body.to_string().into_bytes(),
        };
        let is_recorded = kind == LeadKind::HttpsRecorded;
        let again = again.filter(|_| !is_recorded && kind != LeadKind::HttpsHostile);
        let kind = if Lead::from_body(&bytes, bytes.len()).is_err() { LeadKind::Quarantined } else { kind };
        self.model.add_target(kind, target, &self.routing);
        if let Some((before, at)) = &self.routing_before
            && self.clock.now().duration_since(*at) < MINUTE * 60
        {
            self.model.allow_too(number, before);
        }
        self.say(|| format!("lead {} ({kind:?}) is sent by HTTPS", marker(number)));
        let post = Post { lead: number, body: bytes.into(), ordinal: 0, tries: 0, patience, again };
        self.after(SignedDuration::ZERO, Event::Post(post));
    }

    /// A sender tries.
    pub(crate) fn post(&mut self, post: Post) {
        let key = self.keys.of_senders(&mut self.tapes.workload);
        let id = format!("request-{}-{}-{}", post.lead, post.ordinal, post.tries);
        if post.tries == 0
            && let Some(again) = post.again
        {
            let repeat = Post { ordinal: post.ordinal + 1, again: None, ..post.clone() };
            self.after(again, Event::Post(repeat));
        }
        self.requests.push_back(Request::new(id, Task::Intake { post, key }));
        self.begin_what_waits();
    }

    /// Intake begins with a body: under which keys it may be stored.
    pub(crate) fn may_be_stored(&mut self, number: usize, body: &[u8], received: Timestamp) {
        match Lead::from_body(body, body.len()) {
            Ok(lead) => {
                let stored = StoredLead::received(lead, received);
                let name = stored.keys.row[..NAME].to_owned();
                if self.model.is_to_be_named(number) {
                    self.model.is_named(number, name);
                } else {
                    self.model.has_key(number, name);
                }
                self.model.may_be_stored(number, stored.keys.partition, stored.keys.row);
            }
            Err(unreadable) => {
                let row = Quarantined::new(body, &unreadable.message, received);
                self.model.is_named(number, row.row_key[..NAME].to_owned());
                self.model.may_be_stored(number, QUARANTINE.to_owned(), row.row_key);
            }
        }
    }

    /// A sender got an answer, or none.
    pub(crate) fn answered(&mut self, post: Post, status: Option<u16>) {
        match status {
            Some(200..=202 | 400 | 413) => {
                let is_too_long = post.body.len() > MAX_BODY_BYTES;
                if status == Some(413) && !is_too_long {
                    let seen = "a body that is not too long is answered as if it were";
                    self.violate(Violation::new(Promise::NothingRefused, seen));
                }
                match status {
                    _ if is_too_long => self.coverage.note(Sometimes::TooLong),
                    Some(202) if self.down.keys > 0 => self.coverage.note(Sometimes::KeysUnreadable),
                    Some(202) => self.coverage.note(Sometimes::Queued),
                    Some(200) => self.coverage.note(Sometimes::Duplicate),
                    _ => {}
                }
                if post.ordinal > 0 {
                    self.coverage.note(Sometimes::SameRequestAgain);
                }
                self.model.acknowledged(post.lead, post.ordinal, self.clock.now());
            }
            Some(503) | None => {
                self.coverage.note(Sometimes::SenderTriesAgain);
                if post.tries < post.patience {
                    let wait = self.tapes.workload.between(MINUTE, MINUTE * 4);
                    self.after(wait, Event::Post(Post { tries: post.tries + 1, ..post }));
                } else {
                    self.coverage.note(Sometimes::SenderGivesUp);
                }
            }
            Some(status) => {
                let seen =
                    format!("a request with a valid key and a body that is not too long is answered with {status}");
                self.violate(Violation::new(Promise::NothingRefused, seen));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_recorded_body_is_sent() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/leads");
        let names = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let names: BTreeSet<_> = names.filter(|name| name.ends_with(".json") || name.ends_with(".bin")).collect();
        assert_eq!(names, RECORDED.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn while_keys_are_rotated_the_old_one_and_the_new_one_are_valid() {
        let mut keys = Keys::default();
        let old = keys.setting();
        keys.rotate(false);
        let (first, second) = keys.setting().split_once(',').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(first, old);
        keys.rotate(false);
        assert_eq!(keys.setting(), second);
    }
}
