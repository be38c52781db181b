//! The reduced form of a mail: it says which leads there are, and nothing of what they say.

use super::detail::{Cut, Detail, KEYS};
use super::view::{EntryView, SectionView, TextDigest, View};
use super::{RenderSettings, Rendered, Writer, headers, why_of};
use crate::mail::digest::{Digest, DigestLead};
use crate::table::Keys;

/// Writes a mail for a digest whose texts the mail service does not take, or which is too large. It has the keys and
/// times of the rows, and says which leads are tests, must not be contacted, or are the same request again. It has no text of a lead and no attached
/// file, and answers never go to a customer.
///
/// If not all rows fit into the HTML, it shows the newest ones. The text has all of them.
pub fn render_reduced(digest: &Digest, settings: &RenderSettings) -> Rendered {
    let writer = Writer::new(digest, settings);
    let heading = match digest.leads.len() {
        0 => writer.heading(),
        leads => settings.language.counted(&writer.phrases.reduced.leads, leads),
    };
    let subject = writer.subject(&heading, &[]);
    let view = |detail| writer.reduced_view(&heading, &subject, detail);
    let (html, _, detail) = writer.fitting_html(&KEYS, view);
    let text = TextDigest { v: &view(Detail { entries: usize::MAX, ..detail }) }.to_string();
    Rendered { subject, html, text, csv: None, headers: headers(&digest.id), reply_to: settings.reply_to() }
}

impl Writer<'_> {
    pub(super) fn reduced_view(&self, heading: &str, subject: &str, detail: Detail) -> View {
        let Digest { leads, unreadable, quarantined, .. } = self.digest;
        let (reduced, unread) = (&self.phrases.reduced, &self.phrases.unreadable);
        let entry = |keys: &Keys, time: String, badges: &[&str]| EntryView {
            row: Cut::to_detail(detail).row(keys),
            reason: String::new(),
            about: [&[time.as_str()], badges].concat().join(" · "),
            columns: Vec::new(),
            excerpt: Vec::new(),
            shortened: false,
        };
        let lead = |DigestLead { stored, .. }: &DigestLead| {
            let words = &self.phrases.lead;
            let badges = [
                (stored.lead.is_do_not_contact(), &words.do_not_contact),
                (stored.lead.is_test(), &words.test),
                (stored.same_request.is_some(), &words.same_request),
            ];
            let badges: Vec<_> = badges.into_iter().filter(|(is, _)| *is).map(|(_, badge)| badge.as_str()).collect();
            entry(&stored.keys, self.known_time(stored.shown_time()), &badges)
        };
        let groups = self.groups();
        let newest_first = groups.iter().flat_map(|group| &group.leads);
        let language = self.settings.language;
        let sections: [Option<SectionView>; 3] = [
            self.section(
                language.counted(&reduced.rows, leads.len()),
                &reduced.why,
                newest_first.take(detail.entries).map(|digest_lead| lead(digest_lead)).collect(),
                leads.len(),
            ),
            self.section(
                language.counted(&unread.rows, unreadable.len()),
                &unread.rows_why,
                unreadable
                    .iter()
                    .take(detail.entries)
                    .map(|row| entry(&row.keys, self.time(row.timestamp), &[]))
                    .collect(),
                unreadable.len(),
            ),
            self.section(
                language.counted(&unread.bodies, quarantined.len()),
                &unread.bodies_why,
                quarantined
                    .iter()
                    .take(detail.entries)
                    .map(|body| entry(&body.keys, self.time(body.received), &[]))
                    .collect(),
                quarantined.len(),
            ),
        ];
        let sections: Vec<_> = sections.into_iter().flatten().collect();
        View {
            language,
            p: self.phrases,
            title: subject.to_owned(),
            heading: heading.to_owned(),
            flags: self.marks(),
            preheader: why_of(&sections),
            replies: None,
            notices: self.notices(),
            brief: detail.brief,
            overview: None,
            groups: Vec::new(),
            more: None,
            sections,
            footer: self.footer().into_iter().chain([self.replies(self.settings.reply_to().as_deref())]).collect(),
        }
    }
}
