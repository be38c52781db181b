//! The templates and what they lay out.

use crate::mail::frame::Frame;
use crate::mail::language::{Language, Phrases, fill};
use askama::Template;

#[derive(Template)]
#[template(path = "digest.html")]
pub(super) struct HtmlDigest<'a> {
    pub(super) f: Frame<'a>,
    pub(super) v: &'a View,
}

#[derive(Template)]
#[template(path = "digest.txt")]
pub(super) struct TextDigest<'a> {
    pub(super) v: &'a View,
}

impl<'a> HtmlDigest<'a> {
    pub(super) fn new(v: &'a View) -> Self {
        Self { f: Frame::new(v.language, &v.title, &v.preheader), v }
    }
}

/// What the templates lay out. Its texts are harmless to look at; the template for HTML escapes them.
pub(crate) struct View {
    pub(crate) language: &'static Language,
    /// The phrases of that language.
    pub(crate) p: &'static Phrases,
    pub(crate) title: String,
    pub(crate) heading: String,
    pub(crate) flags: String,
    /// What lists of mails show beside the subject.
    pub(crate) preheader: String,
    /// Who gets the answers, where that is a customer.
    pub(crate) replies: Option<String>,
    pub(crate) notices: Vec<String>,
    pub(crate) brief: bool,
    pub(crate) overview: Option<OverviewView>,
    pub(crate) groups: Vec<GroupView>,
    pub(crate) more: Option<String>,
    pub(crate) sections: Vec<SectionView>,
    pub(crate) footer: Vec<String>,
}

impl View {
    /// A text behind another one, in the brackets of the language.
    pub(super) fn bracketed(&self, text: &str) -> String {
        fill(&self.p.brackets, &[("text", text)])
    }

    /// A number behind what it counts.
    pub(super) fn counted(&self, count: usize) -> String {
        self.bracketed(&count.to_string())
    }
}

/// How many leads there are for each offer and action.
pub(crate) struct OverviewView {
    pub(crate) heading: String,
    pub(crate) offer: String,
    pub(crate) columns: Vec<String>,
    /// The offers, each with a number for each column.
    pub(crate) rows: Vec<(String, Vec<String>)>,
    /// The same for a text that has no columns.
    pub(crate) lines: Vec<String>,
    pub(crate) more: Option<String>,
}

pub(crate) struct GroupView {
    pub(crate) name: String,
    pub(crate) ids: String,
    pub(crate) leads: Vec<LeadView>,
}

pub(crate) struct LeadView {
    pub(crate) name: String,
    pub(crate) about: Vec<String>,
    pub(crate) do_not_contact: bool,
    pub(crate) test: bool,
    pub(crate) withheld: bool,
    pub(crate) badges: Vec<String>,
    pub(crate) email: Option<EmailView>,
    pub(crate) phone: Option<PhoneView>,
    pub(crate) action: String,
    pub(crate) marketplace: String,
    pub(crate) time: String,
    pub(crate) note: Vec<String>,
    pub(crate) tables: Vec<TableView>,
    /// A link that searches the CRM for the customer.
    pub(crate) crm: Option<String>,
    /// What the same person did before.
    pub(crate) earlier_actions: Option<String>,
    /// When the same request came at another time.
    pub(crate) same_request: Option<String>,
    pub(crate) row: String,
    pub(crate) shortened: bool,
}

pub(crate) struct EmailView {
    pub(crate) text: String,
    pub(crate) link: Option<String>,
    pub(crate) domain: Option<String>,
}

impl EmailView {
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.text.split('@')
    }
}

pub(crate) struct PhoneView {
    pub(crate) text: String,
    pub(crate) link: Option<String>,
}

pub(crate) struct TableView {
    pub(crate) heading: String,
    pub(crate) rows: Vec<(String, String)>,
}

pub(crate) struct SectionView {
    pub(crate) heading: String,
    pub(crate) why: String,
    pub(crate) entries: Vec<EntryView>,
    pub(crate) more: Option<String>,
}

pub(crate) struct EntryView {
    pub(crate) row: String,
    pub(crate) reason: String,
    pub(crate) about: String,
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) excerpt: Vec<String>,
    pub(crate) shortened: bool,
}
