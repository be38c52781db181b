//! The phrases of a language, in the shape of its file. A phrase that is added here is asked for in every file.

use super::countries::Countries;
use crate::lead::Marketplace;
use icu_plurals::PluralCategory;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A phrase, as a walk through all of them meets it.
pub(super) enum Phrase<'a> {
    /// A text.
    Text(&'a str),
    /// A phrase that depends on a number.
    Counted(&'a Plural),
    /// Several texts in order.
    List(&'a [String]),
    /// Names by their codes.
    Names(&'a BTreeMap<String, String>),
}

/// Shows all phrases within to a visitor, with their paths in the file (`/subject/leads`).
pub(super) trait Walk {
    fn walk<'a>(&'a self, path: &str, visit: &mut dyn FnMut(&str, Phrase<'a>));
}

impl Walk for String {
    fn walk<'a>(&'a self, path: &str, visit: &mut dyn FnMut(&str, Phrase<'a>)) {
        visit(path, Phrase::Text(self));
    }
}

impl Walk for Plural {
    fn walk<'a>(&'a self, path: &str, visit: &mut dyn FnMut(&str, Phrase<'a>)) {
        visit(path, Phrase::Counted(self));
    }
}

impl Walk for Countries {
    fn walk<'a>(&'a self, path: &str, visit: &mut dyn FnMut(&str, Phrase<'a>)) {
        visit(path, Phrase::Names(&self.0));
    }
}

impl Walk for Vec<String> {
    fn walk<'a>(&'a self, path: &str, visit: &mut dyn FnMut(&str, Phrase<'a>)) {
        visit(path, Phrase::List(self));
    }
}

impl<const N: usize> Walk for [String; N] {
    fn walk<'a>(&'a self, path: &str, visit: &mut dyn FnMut(&str, Phrase<'a>)) {
        visit(path, Phrase::List(self));
    }
}

impl MarketplacePhrases {
    /// What a marketplace is called in this language, by its name in [`Marketplace::name`]. One that is not known keeps
    /// its name.
    pub(in crate::mail) fn of<'a>(&'a self, name: &'a str) -> &'a str {
        let known = [
            (Marketplace::AzureMarketplace, &self.azure_marketplace),
            (Marketplace::AzurePortal, &self.azure_portal),
            (Marketplace::AppSource, &self.app_source),
            (Marketplace::TestDrive, &self.test_drive),
        ];
        known.into_iter().find(|(marketplace, _)| marketplace.name() == name).map_or(name, |(_, phrase)| phrase)
    }
}

/// A phrase that depends on a number, in the forms of the language's plural categories.
///
/// <https://cldr.unicode.org/index/cldr-spec/plural-rules>
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plural {
    zero: Option<String>,
    one: Option<String>,
    two: Option<String>,
    few: Option<String>,
    many: Option<String>,
    other: String,
}

impl Plural {
    /// The form for a category; every language has the form `other`.
    pub(super) fn form(&self, category: PluralCategory) -> &str {
        self.own_form(category).unwrap_or(&self.other)
    }

    /// The form for a category, if there is one for just that category.
    pub(super) fn own_form(&self, category: PluralCategory) -> Option<&str> {
        match category {
            PluralCategory::Zero => self.zero.as_deref(),
            PluralCategory::One => self.one.as_deref(),
            PluralCategory::Two => self.two.as_deref(),
            PluralCategory::Few => self.few.as_deref(),
            PluralCategory::Many => self.many.as_deref(),
            PluralCategory::Other => Some(&self.other),
        }
    }
}

macro_rules! phrases {
    ($($name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            pub(crate) struct $name { $(pub(crate) $field: $type),* }

            impl Walk for $name {
                fn walk<'a>(&'a self, path: &str, visit: &mut dyn FnMut(&str, Phrase<'a>)) {
                    $(self.$field.walk(&format!("{path}/{}", stringify!($field)), visit);)*
                }
            }
        )*
    };
}

phrases! {
    Phrases {
        direction: String,
        fonts: String,
        zone_style: String,
        months: [String; 12],
        weekdays: [String; 7],
        date: String,
        date_with_year: String,
        date_time: String,
        time_unknown: String,
        comma: String,
        about_comma: String,
        colon: String,
        semicolon: String,
        brackets: String,
        subject: SubjectPhrases,
        notice: NoticePhrases,
        replies: ReplyPhrases,
        overview: OverviewPhrases,
        marketplaces: MarketplacePhrases,
        action: ActionPhrases,
        past_action: ActionPhrases,
        earlier_actions: EarlierActionPhrases,
        lead: LeadPhrases,
        unreadable: UnreadablePhrases,
        reduced: ReducedPhrases,
        footer: FooterPhrases,
        chat: ChatPhrases,
        operator: OperatorPhrases,
        silence: SilencePhrases,
        summary: SummaryPhrases,
        countries: Countries,
    }
    SubjectPhrases {
        leads: Plural,
        leads_again: Plural,
        tests: Plural,
        one: String,
        one_again: String,
        one_do_not_contact: String,
        unreadable: Plural,
        nothing: String,
        some: String,
        test_drives: Plural,
        do_not_contact: String,
        other_action: String,
        more_offers: Plural,
        more: Plural,
        maybe_repeated: String,
    }
    NoticePhrases { maybe_repeated: String, more: Plural, backfill: String, shortened: String, redirected: String }
    ReplyPhrases { customer: String, address: String, sender: String }
    OverviewPhrases {
        heading: String,
        offer: String,
        contact_me: String,
        create: String,
        start_test_drive: String,
        install: String,
        other: String,
        do_not_contact: String,
        all: String,
    }
    MarketplacePhrases { azure_marketplace: String, azure_portal: String, app_source: String, test_drive: String }
    ActionPhrases {
        install: String,
        contact_me: String,
        create: String,
        start_test_drive: String,
        do_not_contact: String,
        other: String,
        none: String,
    }
    EarlierActionPhrases {
        ordinals: Vec<String>,
        within: Plural,
        beyond: Plural,
        past: String,
        past_other_offer: String,
        earlier: Plural,
    }
    LeadPhrases {
        nameless: String,
        no_offer: String,
        do_not_contact: String,
        do_not_contact_why: String,
        test: String,
        same_request: String,
        same_request_when: String,
        same_request_without_person: String,
        earlier_actions: String,
        withheld: String,
        withheld_why: String,
        email: String,
        phone: String,
        domain: String,
        age: Plural,
        crm: String,
        note: String,
        campaign: String,
        further: String,
        row: String,
        shortened: String,
        more: Plural,
    }
    UnreadablePhrases {
        rows: Plural,
        rows_why: String,
        bodies: Plural,
        bodies_why: String,
        reason: String,
        reasons: ReasonPhrases,
        size: Plural,
        shortened: String,
        more: Plural,
    }
    ReasonPhrases {
        customer_info: String,
        no_value: String,
        values: String,
        deleted: String,
        too_long: String,
        encoding: String,
        empty: String,
        no_object: String,
        json_start: String,
        json: String,
        no_lead: String,
        kept: String,
    }
    ReducedPhrases { leads: Plural, rows: Plural, why: String }
    FooterPhrases { attached: Plural, zone: String, digest: String }
    ChatPhrases { maybe_repeated: String, write: String, call: String, shortened: String, reduced_why: String }
    OperatorPhrases {
        refused: String,
        refused_why: String,
        waiting: String,
        waiting_why: String,
        facts: String,
        commands: String,
        once: String,
        suppressed: String,
        suppressed_why: String,
        suppressed_facts: String,
        suppressed_cure: String,
        suppressed_once: String,
    }
    SilencePhrases { subject: Plural, last: String, never: String, maybe: String, checks: Vec<String>, once: String }
    SummaryPhrases {
        subject: String,
        leads: Plural,
        days: String,
        weeks: String,
        offers: String,
        actions: String,
        marketplaces: String,
        countries: String,
        before: String,
        unnamed: String,
        others: Plural,
        delay: String,
        delays: [String; 4],
        also: String,
        repeats: Plural,
        do_not_contact: Plural,
        tests: Plural,
        unreadable: Plural,
        parked: Plural,
        quiet: Plural,
        footer: String,
    }
}
