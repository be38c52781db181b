//! The weekly summary: how many leads came, for what, and how soon people had them.

use super::counts::{Counts, Tally};
use super::frame::Frame;
use super::language::{Language, Phrases, Plural, fill};
use super::render::{RenderSettings, Rendered, action_in_words, headers};
use crate::display;
use crate::lead::Action;
use askama::Template;
use jiff::ToSpan as _;
use jiff::civil::Date;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The most names that are shown in one respect.
const ROWS: usize = 10;

/// The most bytes of a name.
const NAME_BYTES: usize = 120;

/// What seven days brought, and the weeks before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The id of this summary, which stays the same however often it is sent.
    pub id: String,
    /// The last of the seven days.
    pub last_day: Date,
    /// What these days brought.
    pub week: Counts,
    /// What the weeks before them brought, the oldest first. Weeks before the first count are not in it.
    pub before: Vec<Counts>,
    /// On how many of the seven days no lead came.
    pub quiet_days: u32,
}

/// Writes the summary's mail.
pub fn render_summary(summary: &Summary, settings: &RenderSettings) -> Rendered {
    let view = Writer { summary, language: settings.language, p: &settings.language.phrases }.view();
    let html = HtmlSummary { f: Frame::new(settings.language, &view.title, &view.preheader), v: &view }.to_string();
    let text = TextSummary { v: &view }.to_string();
    Rendered {
        subject: view.title,
        html,
        text,
        csv: None,
        headers: headers(&summary.id),
        reply_to: settings.reply_to(),
    }
}

#[derive(Template)]
#[template(path = "summary.html")]
struct HtmlSummary<'a> {
    f: Frame<'a>,
    v: &'a View,
}

#[derive(Template)]
#[template(path = "summary.txt")]
struct TextSummary<'a> {
    v: &'a View,
}

struct View {
    title: String,
    heading: String,
    days: String,
    preheader: String,
    charts: Vec<Chart>,
    also: Vec<String>,
    also_heading: &'static str,
    colon: &'static str,
    footer: &'static str,
}

/// Bars under one heading.
struct Chart {
    heading: String,
    bars: Vec<Bar>,
    more: Option<String>,
}

struct Bar {
    name: String,
    count: u64,
    /// How long the bar is, in percent of the longest one. Whatever is counted has at least one.
    percent: u64,
    /// What the week before had.
    before: Option<String>,
}

struct Writer<'a> {
    summary: &'a Summary,
    language: &'static Language,
    p: &'static Phrases,
}

impl Writer<'_> {
    fn view(&self) -> View {
        let Summary { week, last_day, .. } = self.summary;
        let p = &self.p.summary;
        let days = self.days(*last_day);
        let leads = self.counted(&p.leads, week.leads);
        let title = fill(&p.subject, &[("leads", &leads), ("days", &days)]);
        let charts = [
            self.weeks(),
            self.chart(&p.offers, |counts| &counts.offers, |name| Cow::Borrowed(name)),
            self.chart(
                &p.actions,
                |counts| &counts.actions,
                |code| action_in_words(&Action::parse(code), &self.p.action),
            ),
            self.chart(
                &p.marketplaces,
                |counts| &counts.marketplaces,
                |name| Cow::Borrowed(self.p.marketplaces.of(name)),
            ),
            self.chart(&p.countries, |counts| &counts.countries, |name| Cow::Borrowed(self.language.country(name))),
            self.delays(),
        ];
        let also = self.also();
        View {
            heading: leads,
            preheader: also.first().cloned().unwrap_or_else(|| days.clone()),
            title,
            days,
            charts: charts.into_iter().flatten().collect(),
            also,
            also_heading: &p.also,
            colon: &self.p.colon,
            footer: &p.footer,
        }
    }

    /// The seven days that end with this one: `16 Nov to 22 Nov 2026`.
    fn days(&self, last: Date) -> String {
        let first = last.checked_sub(6.days()).unwrap_or(last);
        // The year is said once, where a reader comes to it first or last.
        let years = if self.p.date_with_year.starts_with("{year}") {
            [i16::MIN, first.year()]
        } else {
            [last.year(), i16::MIN]
        };
        let [from, until] = [(first, years[0]), (last, years[1])].map(|(day, year)| self.language.date(day, year));
        fill(&self.p.summary.days, &[("from", &from), ("until", &until)])
    }

    /// The weeks beside each other. Without an earlier week there is nothing to compare.
    fn weeks(&self) -> Option<Chart> {
        let Summary { week, before, last_day, .. } = self.summary;
        if before.is_empty() {
            return None;
        }
        let last_of =
            |ago: usize| last_day.checked_sub((7 * i64::try_from(ago).unwrap_or(0)).days()).unwrap_or(*last_day);
        let numbers: Vec<_> = before.iter().chain([week]).map(|counts| counts.leads).collect();
        let longest = numbers.iter().copied().max().unwrap_or_default();
        let bars = (0..numbers.len()).rev().zip(&numbers);
        let bars = bars.map(|(ago, count)| Bar {
            name: self.days(last_of(ago)),
            count: *count,
            percent: percent(*count, longest),
            before: None,
        });
        Some(Chart { heading: self.p.summary.weeks.clone(), bars: bars.collect(), more: None })
    }

    /// The names of one respect, those with most leads first.
    fn chart(
        &self,
        heading: &str,
        tally: impl Fn(&Counts) -> &Tally,
        words: impl Fn(&str) -> Cow<'_, str>,
    ) -> Option<Chart> {
        let p = &self.p.summary;
        let (now, before) = (tally(&self.summary.week), self.summary.before.last().map(&tally));
        // Several names may be the same in words, such as `SE` and `Sweden`.
        let mut counts: BTreeMap<Cow<'_, str>, (u64, u64)> = BTreeMap::new();
        for (name, count) in &now.names {
            counts.entry(words(name)).or_default().0 += count;
        }
        for (name, count) in before.into_iter().flat_map(|tally| &tally.names) {
            counts.entry(words(name)).or_default().1 += count;
        }
        let mut rows: Vec<_> =
            counts.into_iter().map(|(name, (count, earlier))| (count, before.map(|_| earlier), name)).collect();
        rows.sort_by(|a, b| (b.0, b.1, &a.2).cmp(&(a.0, a.1, &b.2)));
        let longest = rows.iter().map(|row| row.0).max().unwrap_or_default().max(now.others);
        let hidden = rows.split_off(rows.len().min(ROWS));
        let hidden = hidden.iter().map(|row| row.0).sum::<u64>() + now.others;
        let bars: Vec<_> = rows
            .into_iter()
            .map(|(count, before, name)| Bar {
                name: if name.is_empty() { p.unnamed.clone() } else { shown(&name) },
                count,
                percent: percent(count, longest),
                before: before.map(|before| fill(&p.before, &[("count", &before.to_string())])),
            })
            .collect();
        let more = (hidden > 0).then(|| self.counted(&p.others, hidden));
        (!bars.is_empty()).then(|| Chart { heading: heading.to_owned(), bars, more })
    }

    /// How soon the leads were delivered.
    fn delays(&self) -> Option<Chart> {
        let p = &self.p.summary;
        let delays = self.summary.week.delays;
        let longest = delays.iter().copied().max().filter(|longest| *longest > 0)?;
        let bars = p.delays.iter().zip(delays).map(|(name, count)| Bar {
            name: name.clone(),
            count,
            percent: percent(count, longest),
            before: None,
        });
        Some(Chart { heading: p.delay.clone(), bars: bars.collect(), more: None })
    }

    /// What is worth a line of its own, as far as it happened.
    fn also(&self) -> Vec<String> {
        let Summary { week, quiet_days, .. } = self.summary;
        let p = &self.p.summary;
        [
            (&p.repeats, week.repeats),
            (&p.do_not_contact, week.do_not_contact),
            (&p.tests, week.tests),
            (&p.unreadable, week.unreadable),
            (&p.parked, week.parked),
            (&p.quiet, u64::from(*quiet_days)),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(phrase, count)| self.counted(phrase, count))
        .collect()
    }

    fn counted(&self, phrase: &Plural, count: u64) -> String {
        self.language.counted(phrase, usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// A name that came with a lead, as text that is harmless to look at.
fn shown(name: &str) -> String {
    display::shorten(&display::line(name), NAME_BYTES, 1).0
}

fn percent(count: u64, longest: u64) -> u64 {
    if count == 0 { 0 } else { (count.saturating_mul(100) / longest.max(1)).clamp(1, 100) }
}
