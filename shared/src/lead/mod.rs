//! The lead: what Microsoft says about one customer's interest in one offer.
//!
//! One type serves both ways in which a lead arrives: the JSON that Microsoft POSTs ([`Lead::from_json`]) and the row
//! that Microsoft, or our intake, writes into the Azure table ([`StoredLead::from_entity`]). Texts are kept as they came;
//! what they mean is asked through methods.

mod day;
mod parse;
mod row;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod time;
mod window;

pub use day::Day;
pub use parse::{MAX_BODY_BYTES, Unreadable, UnreadableKind};
pub use row::{Origin, ShownTime, StoredLead, UnreadableRow, column};
pub use source::{Action, LeadSource, Marketplace};
pub use store::{RETRY_WINDOW, RETRY_WINDOW_WITHOUT_PERSON};
pub(crate) use store::{Stored, is_near_midnight, store};
pub use time::DateOrder;
pub(crate) use time::{plausible, read as read_time, to_millisecond};
pub(crate) use window::{days, time_or_day};

use sha2::{Digest as _, Sha256};
use std::fmt;

/// The description of the test leads that `lead-validation` writes.
pub const VALIDATION_DESCRIPTION: &str = "Test lead of lead-validation";

/// A lead. Every text is as it came and may be empty: Microsoft requires none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Lead {
    /// Who is interested.
    pub customer: Customer,
    /// `Source-Action|Offer`, or just the source; see [`Lead::source`].
    pub lead_source: String,
    /// What the customer did, as a code; see [`Lead::action`].
    pub action_code: String,
    /// The offer's display name: `OfferTitle` by HTTPS, `OfferDisplayName` in the table.
    pub offer_title: String,
    /// Free text, or a JSON text of the listing URL's campaign parameters; see [`Lead::campaign`].
    pub description: String,
    /// When Microsoft says that the lead was made, in whatever form it came. Empty for leads by HTTPS.
    pub created_time: String,
    /// Fields that are not known here, and second values of those that are, in the order in which they came.
    pub unknown: Vec<UnknownField>,
}

/// The customer of a lead. Every text is as it came and may be empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Customer {
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Mail address, not validated.
    pub email: String,
    /// Phone number in any form.
    pub phone: String,
    /// Country, mostly an ISO 3166 code or an English name.
    pub country: String,
    /// Company.
    pub company: String,
    /// Job title.
    pub title: String,
    /// Fields that are not known here.
    pub unknown: Vec<UnknownField>,
}

/// A field that this version does not know, kept so that it can be given back.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// The key as it came.
    pub name: String,
    /// The value as JSON text, exactly as it came.
    pub json: String,
}

impl UnknownField {
    /// The value as text: the content of a string, the JSON text of anything else.
    pub fn text(&self) -> String {
        parse::text_of(&self.json).into_owned()
    }
}

impl Lead {
    /// The lead's id: the first 128 bits of a SHA-256 of its content, as 32 hexadecimal digits.
    ///
    /// It depends on nothing but the lead: the casing and the order of keys do not matter, every value does. It is the
    /// row key under which intake stores the lead, and the beginning of the key where the same request comes again.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        self.hashed_texts().into_iter().for_each(&mut add);
        for fields in [&self.customer.unknown, &self.unknown] {
            let mut fields: Vec<_> = fields.iter().map(|field| (field.name.to_lowercase(), &field.json)).collect();
            fields.sort();
            add(&fields.len().to_string());
            for (name, json) in fields {
                add(&name);
                add(json);
            }
        }
        hex::encode(&hash.finalize()[..16])
    }

    /// The texts of which [`Lead::id`] is made, before the unknown fields, in the order in which they are hashed.
    ///
    /// This list is one of its own so that nothing else moves row keys. Whoever changes it, or its order, gives every lead
    /// another key: a lead that was stored before the deployment, and that its sender or the queue sends again after it,
    /// is then stored and mailed twice. A field that gets a place of its own in [`Lead`] does not belong here. It was
    /// hashed as an unknown field until then, with its name and its JSON text, and has to be hashed so in future, too.
    fn hashed_texts(&self) -> [&str; 12] {
        let Customer { first_name, last_name, email, phone, country, company, title, unknown: _ } = &self.customer;
        let Self { customer: _, lead_source, action_code, offer_title, description, created_time, unknown: _ } = self;
        [
            first_name,
            last_name,
            email,
            phone,
            country,
            company,
            title,
            lead_source,
            action_code,
            offer_title,
            description,
            created_time,
        ]
    }

    /// The parts of [`Lead::lead_source`].
    pub fn source(&self) -> LeadSource {
        LeadSource::parse(&self.lead_source)
    }

    /// What the customer did: the action code, or the action within the lead source where there is no code.
    pub fn action(&self) -> Action {
        self.action_in(&self.source())
    }

    /// The same where its source is read already.
    pub(crate) fn action_in(&self, source: &LeadSource) -> Action {
        match self.action_code.trim() {
            "" => source.action.clone(),
            code => Action::parse(code),
        }
    }

    /// The name under which people know the offer: its title, or else its id within the lead source.
    pub fn offer(&self) -> String {
        self.offer_in(&self.source()).to_owned()
    }

    /// The same where its source is read already.
    pub(crate) fn offer_in<'a>(&'a self, source: &'a LeadSource) -> &'a str {
        match self.offer_title.trim() {
            "" => &source.offer,
            title => title,
        }
    }

    /// Whether the lead is of one of these offers (by title or id) and of one of these actions (by code), in any casing.
    /// An empty list takes all.
    pub fn is_of(&self, offers: &[String], actions: &[String]) -> bool {
        if offers.is_empty() && actions.is_empty() {
            return true;
        }
        let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
        let any = |wanted: &[String], have: &[&str]| {
            wanted.is_empty()
                || wanted.iter().any(|wanted| have.iter().any(|have| !have.is_empty() && same(wanted, have)))
        };
        let (source, action) = (self.source(), self.action());
        any(offers, &[&self.offer_title, &source.offer])
            && any(actions, &[action.code(), &self.action_code, source.action.code()])
    }

    /// The campaign parameters, where `Description` holds a JSON object of them (a listing URL's `mktcmpid`, …): name
    /// and value, in order. `None` where it is free text.
    pub fn campaign(&self) -> Option<Vec<(String, String)>> {
        let fields = parse::Fields::read(self.description.trim().as_bytes()).ok()?;
        let pair = |field: &parse::Field<'_>| (field.name.to_string(), field.text().into_owned());
        Some(fields.0.iter().map(pair).collect())
    }

    /// Whether the customer left a note: text in `Description` that is no campaign and not what Microsoft puts there where
    /// there is none.
    pub fn has_note(&self) -> bool {
        !matches!(self.description.trim(), "" | "Campaigns:") && self.campaign().is_none()
    }

    /// Whether this is a test lead of Partner Center's *Validate* or *Publish* (`MSFT_TEST_…`), or one of ours in that
    /// form.
    pub fn is_test(&self) -> bool {
        [&self.customer.email, &self.customer.first_name, &self.customer.last_name, &self.lead_source]
            .iter()
            .any(|text| starts_with_ignoring_case(text.trim(), "MSFT_TEST_"))
    }

    /// Whether `lead-validation` wrote it, to see whether the way is free. Such leads are in no mail and in no export.
    pub fn is_validation(&self) -> bool {
        self.description == VALIDATION_DESCRIPTION && self.is_test()
    }

    /// Whether the customer must not be contacted: the lead is for information only.
    pub fn is_do_not_contact(&self) -> bool {
        self.action() == Action::DoNotContact || self.source().action == Action::DoNotContact
    }

    /// Whether Microsoft withheld the personal fields: there is no name and no phone, which its forms ask every customer for.
    pub fn is_withheld(&self) -> bool {
        let Customer { first_name, last_name, phone, .. } = &self.customer;
        [first_name, last_name, phone].iter().all(|text| text.trim().is_empty())
    }

    /// Whether it names a person: there is a name, an address or a phone number.
    pub fn names_a_person(&self) -> bool {
        let Customer { first_name, last_name, email, phone, .. } = &self.customer;
        [first_name, last_name, email, phone].iter().any(|text| text.contains(char::is_alphanumeric))
    }

    /// The address in the form by which a person's earlier actions are found: trimmed and in lower case. Empty where there is none.
    pub fn normalized_email(&self) -> String {
        self.customer.email.trim().to_lowercase()
    }
}

impl Customer {
    /// First and last name, as far as there are any.
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name.trim(), self.last_name.trim()).trim().to_owned()
    }

    /// The known fields with Microsoft's names, in Microsoft's order.
    pub fn known(&self) -> [(&'static str, &String); 7] {
        [
            ("FirstName", &self.first_name),
            ("LastName", &self.last_name),
            ("Email", &self.email),
            ("Phone", &self.phone),
            ("Country", &self.country),
            ("Company", &self.company),
            ("Title", &self.title),
        ]
    }
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Shows no person: only what kind of lead this is.
impl fmt::Debug for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lead")
            .field("test", &self.is_test())
            .field("do_not_contact", &self.is_do_not_contact())
            .field("withheld", &self.is_withheld())
            .field("unknown", &self.unknown.len())
            .finish_non_exhaustive()
    }
}

/// Shows no person.
impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Customer { .. }")
    }
}

/// Shows neither name nor value: both come from outside.
impl fmt::Debug for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnknownField { .. }")
    }
}
