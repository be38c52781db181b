//! A digest as a mail: subject, HTML, text, headers and the attached file. Pure: the same digest is the same mail.
//!
//! Whatever a lead holds, it is text here: [`display`] makes it visible, the templates escape it for HTML, and headers get
//! one line of it. The HTML stays under [`MAX_HTML_BYTES`]: where everything does not fit, every lead is shortened to the
//! same measure ([`DETAIL`]), longest texts first, and the attached file has the whole.

use super::contact::{Address, phone_link};
use super::digest::{Digest, DigestLead, Occasion, PastAction};
use super::language::{ActionPhrases, Language, Phrases, fill};
use super::{Attachment, MAX_RECIPIENTS, Message};
use crate::lead::{Action, UnknownField};
use crate::{columns, display};
use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// The HTML of a mail stays under this many bytes: Gmail cuts longer ones off.
pub const MAX_HTML_BYTES: usize = 100_000;

/// So many leads, unreadable rows and bodies at least are all shown in the HTML of one mail, whatever they hold. Of more
/// than fit, the HTML and the text say how many are in the attached file alone.
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
    /// The leads as a file; see [`columns`]. `None` where there is no lead.
    pub csv: Option<Attachment>,
    /// Further headers: name and value, ASCII.
    pub headers: Vec<(String, String)>,
    /// The customer's address where this mail is about exactly one who may be contacted.
    pub reply_to: Option<String>,
}

impl Rendered {
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
        // Exchange looks at this one: no out-of-office note goes to the customer to whom answers go.
        ("X-Auto-Response-Suppress".to_owned(), "OOF, AutoReply".to_owned()),
        (DIGEST_HEADER.to_owned(), id),
    ]
}

/// An id as a header, a file name and a person can take it.
fn header_safe(id: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    id.chars().take(120).map(|character| if allowed(character) { character } else { '-' }).collect()
}

/// Writes the mail of a digest.
pub fn render(digest: &Digest, settings: &RenderSettings) -> Rendered {
    let writer = Writer { digest, settings, phrases: &settings.language.phrases };
    let groups = writer.groups();
    let subject = writer.subject(&groups);
    let csv = writer.csv();
    let (html, text) = writer.bodies(&groups, &subject);
    Rendered { subject, html, text, csv, headers: headers(&digest.id), reply_to: writer.reply_to() }
}

/// How much of each lead is shown.
#[derive(Clone, Copy)]
struct Detail {
    /// One line for each lead instead of a card.
    brief: bool,
    /// Only who, what, when and which row.
    terse: bool,
    /// The longest note, in bytes of HTML.
    note: usize,
    /// The most lines of a note.
    lines: usize,
    /// The longest other text, in bytes of HTML.
    field: usize,
    /// The longest key of a row, in bytes of HTML.
    key: usize,
    /// The most rows of a table of fields.
    rows: usize,
    /// The most earlier actions.
    history: usize,
    /// The most entries of each kind.
    entries: usize,
}

const CARDS: Detail = Detail {
    brief: false,
    terse: false,
    note: 6_000,
    lines: 80,
    field: 300,
    key: 300,
    rows: 60,
    history: 12,
    entries: usize::MAX,
};
const LINES: Detail = Detail {
    brief: true,
    terse: false,
    note: 0,
    lines: 0,
    field: 60,
    key: 70,
    rows: 0,
    history: 0,
    entries: usize::MAX,
};

/// What is tried, in this order, until the HTML is short enough.
const DETAIL: [Detail; 9] = [
    CARDS,
    Detail { note: 3_000, lines: 50, field: 200, key: 200, rows: 30, ..CARDS },
    Detail { note: 1_500, lines: 25, field: 150, key: 120, rows: 15, history: 6, ..CARDS },
    Detail { note: 700, lines: 12, field: 120, key: 100, rows: 8, history: 5, ..CARDS },
    Detail { note: 300, lines: 6, field: 80, key: 80, rows: 4, history: 3, ..CARDS },
    Detail { note: 100, lines: 2, field: 60, key: 80, rows: 2, history: 2, ..CARDS },
    LINES,
    Detail { field: 30, key: 50, ..LINES },
    Detail { terse: true, field: 12, key: 24, ..LINES },
];

/// The leads for one offer, newest first.
struct Group<'a> {
    offer: String,
    leads: Vec<&'a DigestLead>,
}

struct Writer<'a> {
    digest: &'a Digest,
    settings: &'a RenderSettings,
    phrases: &'static Phrases,
}

impl<'a> Writer<'a> {
    /// The leads by offer: offers by their newest lead, leads within them newest first.
    fn groups(&self) -> Vec<Group<'a>> {
        let mut leads: Vec<_> = self.digest.leads.iter().collect();
        leads.sort_by_cached_key(|DigestLead { stored, .. }| {
            (Reverse(stored.time()), stored.partition_key.clone(), stored.row_key.clone())
        });
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

    fn offer_name(&self, offer: &str, bytes: usize) -> String {
        if offer.is_empty() { self.phrases.lead.no_offer.clone() } else { display::shorten(offer, bytes, 1).0 }
    }

    /// How many leads there are, as a phrase.
    fn heading(&self) -> String {
        let phrases = &self.phrases.subject;
        let leads = self.digest.leads.len();
        let unread = self.digest.unreadable.len() + self.digest.quarantined.len();
        match (&self.digest.occasion, leads, unread) {
            (_, 0, 0) => phrases.nothing.clone(),
            (_, 0, unread) => phrases.unreadable.of(unread),
            (Occasion::Backfill { .. }, leads, _) => phrases.leads_again.of(leads),
            (_, leads, _) => phrases.leads.of(leads),
        }
    }

    /// How many of the leads are tests or must not be contacted: `1 test, 2 do not contact`.
    fn flags(&self) -> String {
        let Phrases { subject, comma, .. } = self.phrases;
        let leads = &self.digest.leads;
        let all = leads.len();
        let tests = leads.iter().filter(|lead| lead.stored.lead.is_test()).count();
        let do_not_contact = leads.iter().filter(|lead| lead.stored.lead.is_do_not_contact()).count();
        let flags: Vec<_> = [(tests, &subject.test), (do_not_contact, &subject.do_not_contact)]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| {
                if count == all {
                    what.clone()
                } else {
                    fill(&subject.some, &[("count", &count.to_string()), ("what", what)])
                }
            })
            .collect();
        flags.join(comma)
    }

    /// `3 new leads: Contoso Backup (2), Contoso VM`
    fn subject(&self, groups: &[Group<'_>]) -> String {
        /// Inbox lists show little more.
        const MAX_OFFERS_BYTES: usize = 110;
        let Phrases { subject: phrases, brackets, comma, colon, semicolon, .. } = self.phrases;
        let mut subject = self.heading();
        let flags = self.flags();
        if !flags.is_empty() {
            subject += &fill(brackets, &[("text", &flags)]);
        }
        let mut offers = String::new();
        for (number, group) in groups.iter().enumerate() {
            let mut offer = self.offer_name(&group.offer, 60);
            if group.leads.len() > 1 {
                offer += &fill(brackets, &[("text", &group.leads.len().to_string())]);
            }
            if number > 0 {
                offers += comma;
                if offers.len() + offer.len() > MAX_OFFERS_BYTES {
                    offers += &phrases.more_offers.of(groups.len() - number);
                    break;
                }
            }
            offers += &offer;
        }
        if !offers.is_empty() {
            subject += colon;
            subject += &offers;
            let unread = self.digest.unreadable.len() + self.digest.quarantined.len();
            if unread > 0 {
                subject += semicolon;
                subject += &phrases.unreadable.of(unread);
            }
        }
        match self.digest.occasion {
            Occasion::MaybeRepeated => fill(&phrases.maybe_repeated, &[("subject", &subject)]),
            Occasion::New | Occasion::Backfill { .. } => subject,
        }
    }

    fn file_name(&self) -> String {
        format!("leads-{}.csv", header_safe(&self.digest.id))
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

    /// Answers go to the customer only where nobody else is in the mail, and the customer may be written to.
    fn reply_to(&self) -> Option<String> {
        let Digest { leads, unreadable, quarantined, .. } = self.digest;
        let [DigestLead { stored, .. }] = leads.as_slice() else { return None };
        if !unreadable.is_empty() || !quarantined.is_empty() || !may_be_contacted(&stored.lead) {
            return None;
        }
        Address::of(&stored.lead.customer.email).header
    }

    /// HTML and text with as much of everything as fits.
    fn bodies(&self, groups: &[Group<'_>], subject: &str) -> (String, String) {
        let mut steps = DETAIL.into_iter();
        let mut detail = CARDS;
        loop {
            detail = match steps.next() {
                Some(next) => next,
                // More than `MAX_ENTRIES`: as many as fit.
                None => Detail { entries: detail.entries.min(self.entries()) * 3 / 4, ..detail },
            };
            let view = self.view(groups, subject, detail);
            let html = HtmlDigest { v: &view }.to_string();
            if html.len() < MAX_HTML_BYTES {
                return (html, TextDigest { v: &view }.to_string());
            }
        }
    }

    /// The longest of the three lists.
    fn entries(&self) -> usize {
        let Digest { leads, unreadable, quarantined, .. } = self.digest;
        leads.len().max(unreadable.len()).max(quarantined.len())
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

        let mut notices = Vec::new();
        match self.digest.occasion {
            Occasion::New => {}
            Occasion::MaybeRepeated => notices.push(notice.maybe_repeated.clone()),
            Occasion::Backfill { since, until } => {
                let (since, until) = (self.time(Some(since)), self.time(Some(until)));
                notices.push(fill(&notice.backfill, &[("since", &since), ("until", &until)]));
            }
        }
        if detail.brief && all > 0 {
            notices.push(notice.shortened.clone());
        }
        let zone = self.settings.time_zone.iana_name().unwrap_or("UTC");
        let mut footer_lines = Vec::new();
        if all > 0 {
            footer_lines.push(footer.attached.fill(all, &[("file", &self.file_name())]));
        }
        footer_lines.push(fill(&footer.zone, &[("zone", zone)]));
        footer_lines.push(fill(&footer.digest, &[("id", &header_safe(&self.digest.id))]));
        let preheader: Vec<_> = group_views
            .iter()
            .flat_map(|group| &group.leads)
            .take(4)
            .map(|lead| display::shorten(&lead.name, 40, 1).0)
            .collect();
        let (start, end) = self.settings.language.sides();
        View {
            language: self.settings.language,
            p: self.phrases,
            start,
            end,
            title: subject.to_owned(),
            heading: self.heading(),
            flags: self.flags(),
            preheader: preheader.join(comma),
            notices,
            brief: detail.brief,
            groups: group_views,
            more: (hidden > 0).then(|| lead_phrases.more.of(hidden)),
            sections: [self.unreadable(detail), self.quarantined(detail)].into_iter().flatten().collect(),
            footer: footer_lines,
        }
    }

    fn lead(&self, digest_lead: &DigestLead, offer: &str, detail: Detail) -> LeadView {
        let DigestLead { stored, history } = digest_lead;
        let lead = &stored.lead;
        let customer = &lead.customer;
        let phrases = &self.phrases.lead;
        let mut cut = Cut { detail, shortened: false };
        let linked = may_be_contacted(lead);

        let email = Some(cut.field(&customer.email)).filter(|text| !text.is_empty());
        let phone = Some(cut.field(&customer.phone)).filter(|text| !text.is_empty() && !detail.terse);
        let about: Vec<_> = [&customer.title, &customer.company, &customer.country]
            .into_iter()
            .map(|text| cut.field(text))
            .filter(|text| !text.is_empty() && !detail.terse)
            .collect();
        let name = match cut.field(&customer.name()) {
            name if !name.is_empty() => name,
            _ => phrases.nameless.clone(),
        };

        let mut tables = Vec::new();
        let mut note = Vec::new();
        match lead.campaign() {
            Some(parameters) => tables.push((&phrases.campaign, parameters)),
            None => note = cut.block(&lead.description),
        }
        let text = |field: &UnknownField| (field.name.clone(), field.text());
        tables.push((&phrases.further, customer.unknown.iter().chain(&lead.unknown).map(text).collect()));
        let tables = tables
            .into_iter()
            .map(|(heading, rows)| TableView { heading: heading.clone(), rows: cut.table(&rows) })
            .filter(|table| !table.rows.is_empty())
            .collect();

        let is_withheld = lead.is_withheld();
        let badges =
            [(lead.is_test(), &phrases.test), (!history.is_empty(), &phrases.repeat), (is_withheld, &phrases.withheld)];
        let address = Address::of(&customer.email);
        let source = lead.source();
        LeadView {
            name,
            about,
            do_not_contact: lead.is_do_not_contact(),
            test: lead.is_test(),
            withheld: is_withheld,
            badges: badges.into_iter().filter(|(is, _)| *is).map(|(_, badge)| badge.clone()).collect(),
            email: email.map(|text| EmailView {
                text,
                link: address.link.filter(|link| linked && link.len() <= 2 * detail.field),
                domain: address
                    .ascii_domain
                    .filter(|_| !detail.terse)
                    .map(|domain| fill(&phrases.domain, &[("domain", &display::shorten(&domain, detail.field, 1).0)])),
            }),
            phone: phone
                .map(|text| PhoneView { text, link: phone_link(&customer.phone).filter(|_| linked && !detail.brief) }),
            action: cut.field(&words(&lead.action(), &self.phrases.action)),
            marketplace: cut.field(source.marketplace.name()),
            time: self.time(stored.time()),
            note,
            tables,
            repeat: (!history.is_empty()).then(|| self.repeat(history, stored.time(), offer, detail)),
            row: cut.row(&stored.partition_key, &stored.row_key),
            shortened: cut.shortened,
        }
    }

    /// `Third action in 180 days: installed on 3 Nov, test drive on 9 Nov`
    fn repeat(&self, history: &[PastAction], time: Option<Timestamp>, offer: &str, detail: Detail) -> String {
        let Phrases { repeat, past_action, comma, .. } = self.phrases;
        let zone = &self.settings.time_zone;
        let year = time.map_or(i16::MIN, |time| time.to_zoned(zone.clone()).year());
        let mut actions: Vec<_> = history
            .iter()
            .take(detail.history)
            .map(|past| {
                let action = words(&Action::parse(&past.action_code), past_action);
                let action = display::shorten(&display::line(&action), detail.field, 1).0;
                let date = self.settings.language.date(past.time.to_zoned(zone.clone()).date(), year);
                let past_offer = display::line(&past.offer);
                if past_offer.is_empty() || past_offer == offer {
                    fill(&repeat.past, &[("action", &action), ("date", &date)])
                } else {
                    let past_offer = display::shorten(&past_offer, detail.field, 1).0;
                    fill(&repeat.past_other_offer, &[("action", &action), ("date", &date), ("offer", &past_offer)])
                }
            })
            .collect();
        if history.len() > actions.len() {
            actions.push(repeat.earlier.of(history.len() - actions.len()));
        }
        // Told in the order in which it happened.
        actions.reverse();
        let actions = actions.join(comma);
        let days = usize::try_from(self.settings.contact_window_days).unwrap_or(usize::MAX);
        match repeat.ordinals.get(history.len()) {
            Some(ordinal) => repeat.within.fill(days, &[("ordinal", ordinal), ("actions", &actions)]),
            None => {
                let number = (history.len() + 1).to_string();
                repeat.beyond.fill(days, &[("number", &number), ("actions", &actions)])
            }
        }
    }

    fn unreadable(&self, detail: Detail) -> Option<SectionView> {
        let rows = &self.digest.unreadable;
        let phrases = &self.phrases.unreadable;
        let entries = rows.iter().take(detail.entries).map(|row| {
            let mut cut = Cut { detail, shortened: false };
            EntryView {
                row: cut.row(&row.partition_key, &row.row_key),
                reason: cut.field(&row.reason),
                about: row.timestamp.map(|time| self.time(Some(time))).unwrap_or_default(),
                columns: cut.columns(&row.columns),
                excerpt: Vec::new(),
                shortened: cut.shortened && !detail.brief,
            }
        });
        self.section(phrases.rows.of(rows.len()), &phrases.rows_why, entries.collect(), rows.len())
    }

    fn quarantined(&self, detail: Detail) -> Option<SectionView> {
        let bodies = &self.digest.quarantined;
        let phrases = &self.phrases.unreadable;
        let entries = bodies.iter().take(detail.entries).map(|body| {
            let mut cut = Cut { detail, shortened: false };
            let size = phrases.size.of(body.size);
            let received = body.received.map(|time| format!(" · {}", self.time(Some(time)))).unwrap_or_default();
            EntryView {
                row: cut.row(&body.partition_key, &body.row_key),
                reason: cut.field(&body.reason),
                about: format!("{size}{received}"),
                columns: Vec::new(),
                excerpt: cut.block(&body.excerpt),
                // The excerpt is the beginning of the body at most.
                shortened: (cut.shortened || body.excerpt.len() < body.size) && !detail.brief,
            }
        });
        self.section(phrases.bodies.of(bodies.len()), &phrases.bodies_why, entries.collect(), bodies.len())
    }

    fn section(&self, heading: String, why: &str, entries: Vec<EntryView>, all: usize) -> Option<SectionView> {
        let hidden = all - entries.len();
        (all > 0).then(|| SectionView {
            heading,
            why: why.to_owned(),
            entries,
            more: (hidden > 0).then(|| self.phrases.unreadable.more.of(hidden)),
        })
    }

    fn time(&self, time: Option<Timestamp>) -> String {
        match time {
            Some(time) => self.settings.language.date_time(time, &self.settings.time_zone),
            None => self.phrases.time_unknown.clone(),
        }
    }
}

/// Whether a lead is a person to whom one may write.
fn may_be_contacted(lead: &crate::lead::Lead) -> bool {
    !lead.is_do_not_contact() && !lead.is_test()
}

/// An action in words.
fn words<'a>(action: &Action, phrases: &'a ActionPhrases) -> Cow<'a, str> {
    Cow::Borrowed(match action {
        Action::Install => &phrases.install,
        Action::ContactMe => &phrases.contact_me,
        Action::Create => &phrases.create,
        Action::StartTestDrive => &phrases.start_test_drive,
        Action::DoNotContact => &phrases.do_not_contact,
        Action::Other(code) if code.is_empty() => &phrases.none,
        Action::Other(code) => return Cow::Owned(fill(&phrases.other, &[("code", code)])),
    })
}

/// Shortens texts to a measure, and remembers whether it did.
struct Cut {
    detail: Detail,
    shortened: bool,
}

impl Cut {
    /// A text made harmless by `clean`, and then short.
    fn to(&mut self, text: &str, clean: fn(&str) -> String, bytes: usize, lines: usize) -> String {
        // Cleaning a text of which most will be cut off would take most of the time. What is left of it can only be too
        // short where it is mostly white space.
        let start = &text[..text.floor_char_boundary(4 * bytes + 256)];
        let (mut short, mut shortened) = display::shorten(&clean(start), bytes, lines);
        if start.len() < text.len() && !shortened {
            short.push('…');
            shortened = true;
        }
        self.shortened |= shortened;
        short
    }

    fn line(&mut self, text: &str, bytes: usize) -> String {
        self.to(text, display::line, bytes, 1)
    }

    fn field(&mut self, text: &str) -> String {
        self.line(text, self.detail.field)
    }

    /// The lines of a note.
    fn block(&mut self, text: &str) -> Vec<String> {
        let Detail { note, lines, .. } = self.detail;
        if note == 0 {
            return Vec::new();
        }
        self.to(text, display::block, note, lines).lines().map(str::to_owned).collect()
    }

    fn table(&mut self, rows: &[(String, String)]) -> Vec<(String, String)> {
        self.shortened |= rows.len() > self.detail.rows;
        rows.iter().take(self.detail.rows).map(|(name, value)| (self.field(name), self.field(value))).collect()
    }

    /// The raw columns of a row, whose values may be as long as notes.
    fn columns(&mut self, columns: &[(String, String)]) -> Vec<(String, String)> {
        self.shortened |= columns.len() > self.detail.rows;
        let bytes = self.detail.note.max(self.detail.field);
        columns.iter().take(self.detail.rows).map(|(name, value)| (self.field(name), self.line(value, bytes))).collect()
    }

    /// The keys of a row.
    fn row(&mut self, partition_key: &str, row_key: &str) -> String {
        let [partition_key, row_key] = [partition_key, row_key].map(|key| self.line(key, self.detail.key));
        format!("{partition_key} / {row_key}")
    }
}

#[derive(Template)]
#[template(path = "digest.html")]
struct HtmlDigest<'a> {
    v: &'a View,
}

#[derive(Template)]
#[template(path = "digest.txt")]
struct TextDigest<'a> {
    v: &'a View,
}

/// What the templates lay out. Its texts are harmless to look at, not yet escaped.
struct View {
    language: &'static Language,
    /// The phrases of that language.
    p: &'static Phrases,
    /// The sides on which lines start and end. Mail programs do not know CSS's `start` and `end`.
    start: &'static str,
    end: &'static str,
    title: String,
    heading: String,
    flags: String,
    /// What inbox lists show beside the subject.
    preheader: String,
    notices: Vec<String>,
    brief: bool,
    groups: Vec<GroupView>,
    more: Option<String>,
    sections: Vec<SectionView>,
    footer: Vec<String>,
}

struct GroupView {
    name: String,
    ids: String,
    leads: Vec<LeadView>,
}

struct LeadView {
    name: String,
    about: Vec<String>,
    do_not_contact: bool,
    test: bool,
    withheld: bool,
    badges: Vec<String>,
    email: Option<EmailView>,
    phone: Option<PhoneView>,
    action: String,
    marketplace: String,
    time: String,
    note: Vec<String>,
    tables: Vec<TableView>,
    repeat: Option<String>,
    row: String,
    shortened: bool,
}

struct EmailView {
    text: String,
    link: Option<String>,
    domain: Option<String>,
}

impl EmailView {
    fn parts(&self) -> impl Iterator<Item = &str> {
        self.text.split('@')
    }
}

struct PhoneView {
    text: String,
    link: Option<String>,
}

struct TableView {
    heading: String,
    rows: Vec<(String, String)>,
}

struct SectionView {
    heading: String,
    why: String,
    entries: Vec<EntryView>,
    more: Option<String>,
}

struct EntryView {
    row: String,
    reason: String,
    about: String,
    columns: Vec<(String, String)>,
    excerpt: Vec<String>,
    shortened: bool,
}
