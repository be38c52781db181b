//! What a day or a week brought, in numbers. Holds no person: names of offers, actions, marketplaces and countries alone.

use crate::lead::StoredLead;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most names that are counted apart in one respect. Further names are counted together, so that the counts of a
/// day stay small, whatever is sent.
const MAX_NAMES: usize = 50;

/// The most characters of a name.
const MAX_NAME: usize = 80;

/// How many leads there were of each name in one respect, such as the offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// The names that came first, with their numbers.
    pub names: BTreeMap<String, u64>,
    /// How many leads there were of all other names.
    pub others: u64,
}

impl Tally {
    fn add(&mut self, name: &str, count: u64) {
        let name: String = name.trim().chars().take(MAX_NAME).collect();
        // The texts are a stranger's. A mail address is no name of these, and would be a person's that no erasure finds.
        let may_be_kept = !name.contains(['@', '＠']);
        if may_be_kept && (self.names.len() < MAX_NAMES || self.names.contains_key(&name)) {
            let number = self.names.entry(name).or_default();
            *number = number.saturating_add(count);
        } else {
            self.others = self.others.saturating_add(count);
        }
    }

    fn add_all(&mut self, other: &Self) {
        for (name, count) in &other.names {
            self.add(name, *count);
        }
        self.others = self.others.saturating_add(other.others);
    }
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Leads that are no test leads.
    pub leads: u64,
    /// These by the offer's name.
    pub offers: Tally,
    /// By Microsoft's action code.
    pub actions: Tally,
    /// By marketplace.
    pub marketplaces: Tally,
    /// By the customer's country, as it was sent.
    pub countries: Tally,
    /// Leads of customers who must not be contacted.
    pub do_not_contact: u64,
    /// Leads that are the same request again.
    pub repeats: u64,
    /// Test leads.
    pub tests: u64,
    /// Rows and bodies that could not be read.
    pub unreadable: u64,
    /// Leads that were given up, because a destination refused them for good.
    pub parked: u64,
    /// How many leads a destination had within a minute, within five minutes, within an hour, and later.
    pub delays: [u64; 4],
}

impl Counts {
    /// Counts a lead. Leads of `lead-validation` do not count at all.
    pub fn add_lead(&mut self, stored: &StoredLead) {
        let lead = &stored.lead;
        if lead.is_validation() {
            return;
        }
        if lead.is_test() {
            self.tests += 1;
            return;
        }
        self.leads += 1;
        self.do_not_contact += u64::from(lead.is_do_not_contact());
        self.repeats += u64::from(stored.same_request.is_some());
        self.offers.add(&lead.offer(), 1);
        self.actions.add(lead.action().code(), 1);
        self.marketplaces.add(lead.source().marketplace.name(), 1);
        self.countries.add(&lead.customer.country, 1);
    }

    /// Counts leads that a destination took so long after they came.
    pub fn add_delay(&mut self, delay: SignedDuration, leads: u64) {
        let bounds = [SignedDuration::from_mins(1), SignedDuration::from_mins(5), SignedDuration::from_hours(1)];
        let place = bounds.iter().position(|bound| delay <= *bound).unwrap_or(bounds.len());
        self.delays[place] += leads;
    }

    /// Adds what was counted on another day.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.leads, other.leads),
            (&mut self.do_not_contact, other.do_not_contact),
            (&mut self.repeats, other.repeats),
            (&mut self.tests, other.tests),
            (&mut self.unreadable, other.unreadable),
            (&mut self.parked, other.parked),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.delays.iter_mut().zip(other.delays) {
            *sum = sum.saturating_add(more);
        }
        self.offers.add_all(&other.offers);
        self.actions.add_all(&other.actions);
        self.marketplaces.add_all(&other.marketplaces);
        self.countries.add_all(&other.countries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lead::Lead;

    fn lead(json: &str) -> StoredLead {
        StoredLead::received(Lead::from_json(json.as_bytes()).unwrap(), "2026-11-12T10:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_lead_counts_once_in_each_respect_and_a_test_lead_only_as_such() {
        let mut counts = Counts::default();
        let json = r#"{"UserDetails":{"FirstName":"Ada","Email":"ada@contoso.com","Country":"SE"},
            "LeadSource":"AzureMarketplace-INS|contoso.vm","ActionCode":"INS","OfferTitle":"Contoso VM"}"#;
        counts.add_lead(&lead(json));
        counts.add_lead(&lead(json));
        let one = |name: &str| Tally { names: [(name.to_owned(), 2)].into(), others: 0 };
        assert_eq!(counts.leads, 2);
        assert_eq!(
            [&counts.offers, &counts.actions, &counts.marketplaces, &counts.countries],
            [&one("Contoso VM"), &one("INS"), &one("Azure Marketplace"), &one("SE")]
        );
        assert!(!format!("{counts:?}").contains("Ada"), "a person is in the counts");
    }

    #[test]
    fn however_many_names_come_the_counts_of_a_day_fit_into_a_property_and_none_is_lost() {
        let mut counts = Counts::default();
        for number in 0..1_000 {
            let long = format!("{number}{}", "\u{1f600}\"".repeat(300));
            let json = serde_json::json!({"UserDetails": {"Country": long}, "LeadSource": "x-y|z", "ActionCode": long,
                "OfferTitle": long});
            counts.add_lead(&lead(&json.to_string()));
        }
        for tally in [&counts.offers, &counts.actions, &counts.countries] {
            assert_eq!(tally.names.values().sum::<u64>() + tally.others, 1_000);
        }
        let text = serde_json::to_string(&counts).unwrap();
        assert!(text.encode_utf16().count() < crate::table::MAX_STRING_UNITS, "{}", text.len());
        let mut twice = counts.clone();
        twice.add(&counts);
        assert_eq!(twice.offers.names.values().sum::<u64>() + twice.offers.others, 2_000);
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
    }

    #[test]
    fn an_address_in_the_place_of_a_name_is_counted_and_not_kept() {
        let mut counts = Counts::default();
        let json = r#"{"UserDetails":{"Country":"ada@contoso.com"},"LeadSource":"x@y.example-z@y.example|o@y.example",
            "ActionCode":"ada@contoso.com","OfferTitle":"for ada@contoso.com"}"#;
        counts.add_lead(&lead(json));
        assert!(!format!("{counts:?}").contains('@'), "{counts:?}");
        assert_eq!((counts.leads, counts.countries.others, counts.offers.others), (1, 1, 1));
    }

    #[test]
    fn a_delay_falls_into_one_of_four_classes() {
        let mut counts = Counts::default();
        for (seconds, leads) in [(0, 1), (60, 1), (61, 10), (300, 10), (301, 100), (3_600, 100), (3_601, 1_000)] {
            counts.add_delay(SignedDuration::from_secs(seconds), leads);
        }
        assert_eq!(counts.delays, [2, 20, 200, 1_000]);
    }
}
