//! The mail that says that no lead has come for a number of days.

use super::frame::Frame;
use super::language::{Phrases, fill};
use super::render::{RenderSettings, Rendered, headers};
use askama::Template;
use jiff::Timestamp;

/// A period in which no lead has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// The id of this alert, which stays the same however often it is sent.
    pub id: String,
    /// For how many days no lead has come.
    pub days: u32,
    /// When the last one came, if any did.
    pub last_lead: Option<Timestamp>,
}

/// Writes the alert's mail: since when, what to check, and that it will not repeat until a lead comes.
pub fn render_silence(silence: &Silence, settings: &RenderSettings) -> Rendered {
    let language = settings.language;
    let p = &language.phrases;
    let days = usize::try_from(silence.days).unwrap_or(usize::MAX);
    let subject = language.counted(&p.silence.subject, days);
    let last = match silence.last_lead {
        Some(time) => fill(&p.silence.last, &[("time", &language.date_time(time, &settings.time_zone))]),
        None => p.silence.never.clone(),
    };
    let html = HtmlSilence { f: Frame::new(language, &subject, &last), p, subject: &subject, last: &last }.to_string();
    let text = TextSilence { p, subject: &subject, last: &last }.to_string();
    Rendered { subject, html, text, csv: None, headers: headers(&silence.id), reply_to: settings.reply_to() }
}

#[derive(Template)]
#[template(path = "silence.html")]
struct HtmlSilence<'a> {
    f: Frame<'a>,
    p: &'static Phrases,
    subject: &'a str,
    last: &'a str,
}

#[derive(Template)]
#[template(path = "silence.txt")]
struct TextSilence<'a> {
    p: &'static Phrases,
    subject: &'a str,
    last: &'a str,
}
