//! The templates and what they lay out.

use crate::mail::language::{Language, Phrases};
use askama::Template;

#[derive(Template)]
#[template(path = "digest.html")]
pub(super) struct HtmlDigest<'a> {
    pub(super) v: &'a View,
}

#[derive(Template)]
#[template(path = "digest.txt")]
pub(super) struct TextDigest<'a> {
    pub(super) v: &'a View,
}

/// What the templates lay out. Its texts are harmless to look at; the template for HTML escapes them.
pub(super) struct View {
    pub(super) language: &'static Language,
    /// The phrases of that language.
    pub(super) p: &'static Phrases,
    /// The sides on which lines start and end. Mail programs do not know CSS's `start` and `end`.
    pub(super) start: &'static str,
    pub(super) end: &'static str,
    pub(super) title: String,
    pub(super) heading: String,
    pub(super) flags: String,
    /// What lists of mails show beside the subject.
    pub(super) preheader: String,
    pub(super) notices: Vec<String>,
    pub(super) brief: bool,
    pub(super) groups: Vec<GroupView>,
    pub(super) more: Option<String>,
    pub(super) sections: Vec<SectionView>,
    pub(super) footer: Vec<String>,
}

pub(super) struct GroupView {
    pub(super) name: String,
    pub(super) ids: String,
    pub(super) leads: Vec<LeadView>,
}

pub(super) struct LeadView {
    pub(super) name: String,
    pub(super) about: Vec<String>,
    pub(super) do_not_contact: bool,
    pub(super) test: bool,
    pub(super) withheld: bool,
    pub(super) badges: Vec<String>,
    pub(super) email: Option<EmailView>,
    pub(super) phone: Option<PhoneView>,
    pub(super) action: String,
    pub(super) marketplace: String,
    pub(super) time: String,
    pub(super) note: Vec<String>,
    pub(super) tables: Vec<TableView>,
    /// What the same person did before.
    pub(super) earlier_actions: Option<String>,
    /// When the same request came at another time.
    pub(super) same_request: Option<String>,
    pub(super) row: String,
    pub(super) shortened: bool,
}

pub(super) struct EmailView {
    pub(super) text: String,
    pub(super) link: Option<String>,
    pub(super) domain: Option<String>,
}

impl EmailView {
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.text.split('@')
    }
}

pub(super) struct PhoneView {
    pub(super) text: String,
    pub(super) link: Option<String>,
}

pub(super) struct TableView {
    pub(super) heading: String,
    pub(super) rows: Vec<(String, String)>,
}

pub(super) struct SectionView {
    pub(super) heading: String,
    pub(super) why: String,
    pub(super) entries: Vec<EntryView>,
    pub(super) more: Option<String>,
}

pub(super) struct EntryView {
    pub(super) row: String,
    pub(super) reason: String,
    pub(super) about: String,
    pub(super) columns: Vec<(String, String)>,
    pub(super) excerpt: Vec<String>,
    pub(super) shortened: bool,
}
