//! The mail that tells the operator what a person has to do about a destination.

use super::frame::Frame;
use super::language::{Phrases, fill};
use super::render::{RenderSettings, Rendered, headers};
use crate::display;
use askama::Template;
use jiff::Timestamp;

/// What the operator is told of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The id of this mail, which stays the same however often it is sent.
    pub id: String,
    /// The destination's name.
    pub destination: String,
    /// The id of the route that sends to it.
    pub route: String,
    /// How many leads wait.
    pub waiting: usize,
    /// What it answered the last time.
    pub reason: String,
    /// Since when leads have been waiting, where that is what is told. `None`: it is told that they are refused.
    pub waiting_since: Option<Timestamp>,
}

/// Writes the mail. It holds nothing of a lead.
pub fn render_trouble(trouble: &Trouble, settings: &RenderSettings) -> Rendered {
    let language = settings.language;
    let p = &language.phrases;
    let destination = display::line(&trouble.destination);
    let (subject, why) = match trouble.waiting_since {
        Some(time) => {
            let time = language.date_time(time, &settings.time_zone);
            let subject = fill(&p.operator.waiting, &[("destination", &destination), ("time", &time)]);
            (subject, &p.operator.waiting_why)
        }
        None => (fill(&p.operator.refused, &[("destination", &destination)]), &p.operator.refused_why),
    };
    let (route, reason) = (display::line(&trouble.route), display::line(&trouble.reason));
    let count = trouble.waiting.to_string();
    let facts = fill(&p.operator.facts, &[("route", &route), ("count", &count), ("reason", &reason)]);
    let html =
        HtmlTrouble { f: Frame::new(language, &subject, &facts), p, subject: &subject, why, facts: &facts }.to_string();
    let text = format!("{subject}\n\n{why}\n\n{facts}\n\n{}\n\n{}\n", p.operator.commands, p.operator.once);
    Rendered { subject, html, text, csv: None, headers: headers(&trouble.id), reply_to: settings.reply_to() }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct HtmlTrouble<'a> {
    f: Frame<'a>,
    p: &'static Phrases,
    subject: &'a str,
    why: &'a str,
    facts: &'a str,
}
