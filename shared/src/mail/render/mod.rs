//! Writes a digest as a mail: subject, HTML, text, headers and the attached file. The same digest always becomes the
//! same mail.
//!
//! Whatever a lead holds, it stays text: [`display`] makes it visible, the templates escape it for HTML, and headers
//! get one line of it. The HTML stays under [`MAX_HTML_BYTES`]. If not everything fits, all leads are shortened to the
//! same measure ([`DETAIL`]), the longest texts first; the attached file has the leads in full. [`leads_that_fit`] says
//! how many leads one attached file can hold, and [`render_reduced`] writes a mail without the texts of the leads.

mod chat;
mod detail;
mod leads;
mod overview;
mod reduced;
mod size;
mod subject;
mod unread;
mod view;

pub(crate) use chat::{CHAT_STEPS, chat, chat_reduced};
pub(super) use leads::words as action_in_words;
pub use reduced::render_reduced;
pub use size::leads_that_fit;
pub(crate) use view::{EntryView, GroupView, LeadView, TableView, View};

use super::digest::{Digest, DigestLead, Occasion};
use super::language::{Language, Phrases, fill};
use super::links::Address;
use super::message::content_size;
use super::{Attachment, CrmSearch, MAX_RECIPIENTS, Message, Replies};
use crate::lead::{ShownTime, plausible};
use crate::{columns, display};
use detail::{CARDS, DETAIL, Detail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use leads::may_be_contacted;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use view::{HtmlDigest, SectionView, TextDigest};

/// The HTML of a mail stays under this many bytes, because Gmail cuts longer ones off.
pub const MAX_HTML_BYTES: usize = 100_000;

/// Up to this many leads, unreadable rows and bodies are all shown in the HTML of one mail, whatever they hold. If
/// there are more, and they do not fit, the first ones are shown, and HTML and text say how many are in the attached
/// file alone.
pub const MAX_ENTRIES: usize = 200;

/// The header that holds the digest's id.
pub const DIGEST_HEADER: &str = "X-Marketplace-Leads-Digest";

/// How mails are written.
#[derive(Clone)]
pub struct RenderSettings {
    /// The language.
    pub language: &'static Language,
    /// The zone in which times are written.
    pub time_zone: TimeZone,
    /// For how many days back a person's earlier actions are known.
    pub contact_window_days: u32,
    /// Who gets the answers.
    pub replies: Replies,
    /// The link that searches a CRM for a customer, if mails are to have one.
    pub crm_search: Option<CrmSearch>,
}

impl RenderSettings {
    /// Settings with answers to the customer, and without a link to a CRM.
    pub fn new(language: &'static Language, time_zone: TimeZone, contact_window_days: u32) -> Self {
        Self { language, time_zone, contact_window_days, replies: Replies::Customer, crm_search: None }
    }

    /// Where answers go to a mail that is not about one customer alone. `None`: to its sender.
    pub(super) fn reply_to(&self) -> Option<String> {
        match &self.replies {
            Replies::Address(address) => Some(address.as_str().to_owned()),
            Replies::Customer | Replies::Sender => None,
        }
    }
}

/// A mail without sender and recipients.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Subject: one line.
    pub subject: String,
    /// HTML part, under [`MAX_HTML_BYTES`].
    pub html: String,
    /// Text part.
    pub text: String,
    /// The leads as a file; see [`columns`]. `None` if there is no lead.
    pub csv: Option<Attachment>,
    /// Further headers: name and value, ASCII.
    pub headers: Vec<(String, String)>,
    /// Where answers go, if not to the sender: by default to the customer, if the mail is about exactly one who may be
    /// contacted. It has at most
    /// [`MAX_ADDRESS_BYTES`](super::MAX_ADDRESS_BYTES).
    pub reply_to: Option<String>,
}

impl Rendered {
    /// A bound of the size in bytes of each of its [messages](Self::messages) as they are sent; see [`Message::size`].
    pub fn size(&self) -> usize {
        /// An address with a name, encoded.
        const ADDRESS: usize = 512;
        // The recipients, the sender, and the address for answers.
        let addresses = (MAX_RECIPIENTS + 2) * ADDRESS;
        addresses + content_size(&self.subject, &self.html, &self.text, &self.headers, &self.csv)
    }

    /// The mail from a sender to recipients: one message for every [`MAX_RECIPIENTS`] of them, in order.
    pub fn messages(&self, from: &str, to: &[String]) -> Vec<Message> {
        to.chunks(MAX_RECIPIENTS)
            .map(|to| Message {
                from: from.to_owned(),
                to: to.to_vec(),
                reply_to: self.reply_to.clone(),
                subject: self.subject.clone(),
                html: self.html.clone(),
                text: self.text.clone(),
                headers: self.headers.clone(),
                attachments: self.csv.iter().cloned().collect(),
            })
            .collect()
    }
}

/// The headers of every mail. `id` names the mail's digest, or what else it is about.
pub(super) fn headers(id: &str) -> Vec<(String, String)> {
    let id = header_safe(id);
    vec![
        // RFC 3834
        ("Auto-Submitted".to_owned(), "auto-generated".to_owned()),
        // Exchange heeds this one, so that no out-of-office note goes to the customer to whom answers go.
        ("X-Auto-Response-Suppress".to_owned(), "OOF, AutoReply".to_owned()),
        (DIGEST_HEADER.to_owned(), id),
    ]
}

/// An id in characters that stand in a header and in a file name as they are.
fn header_safe(id: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    id.chars().take(120).map(|character| if allowed(character) { character } else { '-' }).collect()
}

/// Writes the mail of a digest.
pub fn render(digest: &Digest, settings: &RenderSettings) -> Rendered {
    let writer = Writer::new(digest, settings);
    let groups = writer.groups();
    let subject = writer.subject(&writer.heading(), &groups);
    let (html, view, _) = writer.fitting_html(&DETAIL, |detail| writer.view(&groups, &subject, detail));
    let text = TextDigest { v: &view }.to_string();
    let csv = writer.csv();
    Rendered { subject, html, text, csv, headers: headers(&digest.id), reply_to: writer.reply_to() }
}

/// The leads for one offer, newest first.
struct Group<'a> {
    offer: String,
    leads: Vec<&'a DigestLead>,
}

/// What lists of mails show of a mail that names nobody.
fn why_of(sections: &[SectionView]) -> String {
    sections.first().map(|section| section.why.clone()).unwrap_or_default()
}

struct Writer<'a> {
    digest: &'a Digest,
    settings: &'a RenderSettings,
    phrases: &'static Phrases,
}

impl<'a> Writer<'a> {
    fn new(digest: &'a Digest, settings: &'a RenderSettings) -> Self {
        Self { digest, settings, phrases: &settings.language.phrases }
    }

    /// The leads by offer. The offer with the newest lead comes first, and so does the newest lead of each offer.
    fn groups(&self) -> Vec<Group<'a>> {
        let mut leads: Vec<_> = self.digest.leads.iter().collect();
        leads.sort_by_cached_key(|DigestLead { stored, .. }| (Reverse(stored.time()), stored.keys.clone()));
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut places = HashMap::new();
        for lead in leads {
            let offer = display::line(&lead.stored.lead.offer());
            let place = *places.entry(offer.clone()).or_insert_with(|| {
                groups.push(Group { offer, leads: Vec::new() });
                groups.len() - 1
            });
            groups[place].leads.push(lead);
        }
        groups
    }

    /// `leads-2026-11-24-2036-25.csv`: the minute in which the digest was put together, where its readers are, and its
    /// number in that run.
    fn file_name(&self) -> String {
        match self.digest.moment() {
            Some((time, number)) => {
                let time = time.to_zoned(self.settings.time_zone.clone());
                format!("leads-{}-{number}.csv", time.strftime("%Y-%m-%d-%H%M"))
            }
            None => format!("leads-{}.csv", header_safe(&self.digest.id)),
        }
    }

    fn csv(&self) -> Option<Attachment> {
        if self.digest.leads.is_empty() {
            return None;
        }
        let mut writer = columns::writer(columns::BYTE_ORDER_MARK.to_vec());
        columns::write_headings(&mut writer, columns::Column::heading).ok()?;
        for lead in self.groups().iter().flat_map(|group| &group.leads) {
            columns::write_lead(&mut writer, &lead.stored).ok()?;
        }
        // Writing into memory does not fail.
        let content = writer.into_inner().ok()?;
        Some(Attachment { name: self.file_name(), content_type: "text/csv".to_owned(), content })
    }

    /// Where answers go: by default to the customer, if nobody else is in the mail and the customer may be written to.
    fn reply_to(&self) -> Option<String> {
        if self.settings.replies == Replies::Customer { self.only_customer() } else { self.settings.reply_to() }
    }

    fn only_customer(&self) -> Option<String> {
        let Digest { leads, unreadable, quarantined, .. } = self.digest;
        let [DigestLead { stored, .. }] = leads.as_slice() else { return None };
        if !unreadable.is_empty() || !quarantined.is_empty() || !may_be_contacted(&stored.lead) {
            return None;
        }
        Address::of(&stored.lead.customer.email).header
    }

    /// Who gets the answers, in words.
    fn replies(&self, reply_to: Option<&str>) -> String {
        let phrases = &self.phrases.replies;
        match (reply_to, &self.settings.replies) {
            (None, _) => phrases.sender.clone(),
            (Some(address), Replies::Customer) => fill(&phrases.customer, &[("address", address)]),
            (Some(address), _) => fill(&phrases.address, &[("address", address)]),
        }
    }

    /// The HTML with as much detail as fits, with its view and that detail. It is the first of the steps with which the
    /// HTML is short enough.
    fn fitting_html(&self, steps: &[Detail], view: impl Fn(Detail) -> View) -> (String, View, Detail) {
        let mut steps = steps.iter().copied();
        let mut detail = CARDS;
        loop {
            detail = match steps.next() {
                Some(next) => next,
                // There are more than `MAX_ENTRIES`. The first ones are shown, as many as fit.
                None if detail.entries > MAX_ENTRIES => Detail { entries: MAX_ENTRIES, ..detail },
                None => Detail { entries: detail.entries * 3 / 4, ..detail },
            };
            let view = view(detail);
            let html = HtmlDigest::new(&view).to_string();
            if html.len() < MAX_HTML_BYTES || detail.entries == 0 {
                return (html, view, detail);
            }
        }
    }

    fn view(&self, groups: &[Group<'_>], subject: &str, detail: Detail) -> View {
        let Phrases { notice, footer, lead: lead_phrases, comma, .. } = self.phrases;
        let mut room = detail.entries;
        let mut group_views = Vec::new();
        for group in groups {
            if room == 0 {
                break;
            }
            let leads: Vec<_> =
                group.leads.iter().take(room).map(|lead| self.lead(lead, &group.offer, detail)).collect();
            room -= leads.len();
            let ids: BTreeSet<_> =
                group.leads.iter().map(|lead| display::line(&lead.stored.lead.source().offer)).collect();
            let ids = ids.into_iter().filter(|id| !id.is_empty() && *id != group.offer).collect::<Vec<_>>().join(comma);
            let ids = if detail.brief { String::new() } else { display::shorten(&ids, detail.field, 1).0 };
            group_views.push(GroupView { name: self.offer_name(&group.offer, detail.field), ids, leads });
        }
        let all = self.digest.leads.len();
        let hidden = all - group_views.iter().map(|group| group.leads.len()).sum::<usize>();

        let mut notices = self.notices();
        if detail.brief && all > 0 {
            notices.push(notice.shortened.clone());
        }
        let reply_to = self.reply_to();
        let mut replies = Some(self.replies(reply_to.as_deref()));
        let mut footer_lines = self.footer();
        // An answer to a customer must not be a surprise. All else is said at the end.
        if reply_to.is_none() || self.settings.replies != Replies::Customer {
            footer_lines.extend(replies.take());
        }
        if all > 0 {
            let file = self.file_name();
            footer_lines.insert(0, self.settings.language.counted_with(&footer.attached, all, &[("file", &file)]));
        }
        let sections: Vec<_> = [self.unreadable(detail), self.quarantined(detail)].into_iter().flatten().collect();
        let preheader: Vec<_> = group_views
            .iter()
            .flat_map(|group| &group.leads)
            .take(4)
            .map(|lead| display::shorten(&lead.name, 40, 1).0)
            .collect();
        View {
            language: self.settings.language,
            p: self.phrases,
            title: subject.to_owned(),
            heading: self.heading(),
            flags: self.flags(),
            preheader: if preheader.is_empty() { why_of(&sections) } else { preheader.join(comma) },
            replies,
            notices,
            brief: detail.brief,
            overview: self.overview(groups),
            groups: group_views,
            more: (hidden > 0).then(|| self.settings.language.counted(&lead_phrases.more, hidden)),
            sections,
            footer: footer_lines,
        }
    }

    /// What a reader must know of the mail before its leads.
    fn notices(&self) -> Vec<String> {
        let notice = &self.phrases.notice;
        let occasion = match self.digest.occasion {
            Occasion::New => None,
            Occasion::MaybeRepeated => Some(notice.maybe_repeated.clone()),
            Occasion::Backfill { since, until } => {
                let (since, until) = (self.time(Some(since)), self.time(Some(until)));
                Some(fill(&notice.backfill, &[("since", &since), ("until", &until)]))
            }
        };
        let more = (self.digest.more > 0).then(|| self.settings.language.counted(&notice.more, self.digest.more));
        let redirected = self.digest.is_redirected.then(|| notice.redirected.clone());
        occasion.into_iter().chain(redirected).chain(more).collect()
    }

    fn footer(&self) -> Vec<String> {
        let footer = &self.phrases.footer;
        let zone = self.settings.time_zone.iana_name().unwrap_or("UTC");
        let id = header_safe(&self.digest.id);
        vec![fill(&footer.zone, &[("zone", zone)]), fill(&footer.digest, &[("id", &id)])]
    }

    /// The time of a lead in words, without anything that came from outside.
    fn known_time(&self, time: ShownTime<'_>) -> String {
        self.time(match time {
            ShownTime::Known(time) => Some(time),
            ShownTime::AsItCame(_) | ShownTime::Unknown => None,
        })
    }

    /// A time in words. A time that is not plausible is called unknown.
    fn time(&self, time: Option<Timestamp>) -> String {
        match time.and_then(plausible) {
            Some(time) => self.settings.language.date_time(time, &self.settings.time_zone),
            None => self.phrases.time_unknown.clone(),
        }
    }
}
