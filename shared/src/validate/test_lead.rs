//! Test leads in Microsoft's form, marked so that no mail and no export ever holds them.

use crate::lead::{Customer, Day, Lead, Origin, StoredLead, VALIDATION_DESCRIPTION};
use crate::mail::{Digest, DigestLead, Occasion};
use crate::table::Keys;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use std::sync::{Mutex, PoisonError};

/// 0001-01-01 in seconds since 1970, where .NET begins to count.
const DOTNET_EPOCH: i64 = -62_135_596_800;

/// The time in .NET's ticks: 100 ns since 0001-01-01.
fn ticks(now: Timestamp) -> i128 {
    (now.as_nanosecond() - i128::from(DOTNET_EPOCH) * 1_000_000_000) / 100
}

/// A test lead such as Partner Center's *Validate* makes.
///
/// <https://learn.microsoft.com/partner-center/marketplace-offers/partner-center-portal/commercial-marketplace-get-customer-leads>
pub(super) fn test_lead(now: Timestamp) -> Lead {
    let text = format!("MSFT_TEST_{}", ticks(now));
    Lead {
        customer: Customer {
            first_name: text.clone(),
            last_name: text.clone(),
            email: format!("{text}@test.com"),
            phone: "1234567890".to_owned(),
            country: "US".to_owned(),
            company: text.clone(),
            title: text.clone(),
            ..Customer::default()
        },
        lead_source: format!("{text}-{text}|{text}"),
        action_code: text.clone(),
        offer_title: text,
        description: VALIDATION_DESCRIPTION.to_owned(),
        ..Lead::default()
    }
}

/// The same as a row that Microsoft wrote: its columns, all texts, in the partition of the day.
pub(super) fn test_row(now: Timestamp) -> StoredLead {
    let mut lead = test_lead(now);
    let created = now.to_zoned(TimeZone::UTC);
    lead.created_time = created.strftime("%m/%d/%Y %H:%M:%S").to_string();
    StoredLead {
        keys: Keys::new(Day::of(now).partition_key(), &lead.customer.first_name),
        lead,
        timestamp: None,
        received: None,
        same_request: None,
        origin: Origin::Table,
    }
}

/// A digest with such a row, for every way that a digest can go.
pub(super) fn test_digest(now: Timestamp) -> Digest {
    let stored = test_row(now);
    Digest {
        id: format!("validation-{}", stored.keys.row),
        occasion: Occasion::New,
        is_redirected: false,
        more: 0,
        leads: vec![DigestLead { stored, history: Vec::new() }],
        unreadable: Vec::new(),
        quarantined: Vec::new(),
    }
}

/// The test leads that are in the table, or may be. A check notes each of them before it is written, so that it is named even
/// where the check is cut off.
#[derive(Debug, Default)]
pub(super) struct TestLeads(Mutex<Vec<Keys>>);

impl TestLeads {
    /// A row is about to be written.
    pub(super) fn note(&self, keys: Keys) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !noted.contains(&keys) {
            noted.push(keys);
        }
    }

    /// A row is not there, or is to stay.
    pub(super) fn strike(&self, keys: &Keys) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|noted| noted != keys);
    }

    /// What was noted and not struck.
    pub(super) fn remaining(self) -> Vec<Keys> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Another time for a second test lead, so that it is another lead.
pub(super) fn next(now: Timestamp) -> Timestamp {
    now + SignedDuration::from_nanos(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_those_of_microsofts_test_leads() {
        assert_eq!(ticks("2018-09-28T18:24:18.7117715Z".parse().unwrap()), 636_737_558_587_117_715);
    }

    #[test]
    fn a_test_lead_is_known_as_validations_own_after_a_round_trip() {
        let row = test_row("2026-11-22T10:00:00Z".parse().unwrap());
        assert_eq!(row.keys.partition, "11:2F22:2F2026");
        assert_eq!(row.lead.created_time, "11/22/2026 10:00:00");
        let row_of = |time: &str| test_row(time.parse().unwrap()).lead.created_time;
        assert_eq!(row_of("2026-01-02T20:04:05Z"), "01/02/2026 20:04:05", "as Microsoft's rows of 2025 have it");
        let back = StoredLead::from_entity(&row.to_entity()).unwrap();
        assert!(back.lead.is_test() && back.lead.is_validation());
        assert_eq!(back, row);
    }
}
