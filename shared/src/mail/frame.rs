//! What the HTML of all mails has in common: the template `frame.html`, which the templates of the mails extend.

use super::language::Language;

/// What `frame.html` needs to know of a mail.
pub(super) struct Frame<'a> {
    /// The language of the mail.
    pub(super) language: &'static Language,
    /// The sides on which lines start and end. Mail programs do not know CSS's `start` and `end`.
    pub(super) start: &'static str,
    pub(super) end: &'static str,
    pub(super) title: &'a str,
    /// What lists of mails show beside the subject.
    pub(super) preheader: &'a str,
}

impl<'a> Frame<'a> {
    pub(super) fn new(language: &'static Language, title: &'a str, preheader: &'a str) -> Self {
        let (start, end) = language.sides();
        Self { language, start, end, title, preheader }
    }
}
