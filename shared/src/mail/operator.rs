//! The mail that tells the operator what a person has to do about a destination.

use super::frame::Frame;
use super::language::fill;
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

/// A recipient of digests to whom the mail service delivers nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SuppressedRecipient {
    /// The id of this mail, which stays the same however often it is sent.
    pub id: String,
    /// The recipient's address.
    pub address: String,
    /// The ids of the routes in which it stands.
    pub routes: String,
}

/// Writes the mail that names a recipient to whom the mail service delivers nothing. It holds nothing of a lead.
pub fn render_suppressed(recipient: &SuppressedRecipient, settings: &RenderSettings) -> Rendered {
    let p = &settings.language.phrases.operator;
    let (address, routes) = (display::line(&recipient.address), display::line(&recipient.routes));
    let text = Text {
        subject: fill(&p.suppressed, &[("address", &address)]),
        facts: fill(&p.suppressed_facts, &[("routes", &routes)]),
        why: &p.suppressed_why,
        cure: &p.suppressed_cure,
        once: &p.suppressed_once,
    };
    text.rendered(&recipient.id, settings)
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
    let text = Text { subject, facts, why, cure: &p.operator.commands, once: &p.operator.once };
    text.rendered(&trouble.id, settings)
}

/// What a mail to the operator says.
struct Text<'a> {
    subject: String,
    facts: String,
    why: &'a str,
    cure: &'a str,
    once: &'a str,
}

impl Text<'_> {
    fn rendered(self, id: &str, settings: &RenderSettings) -> Rendered {
        let f = Frame::new(settings.language, &self.subject, &self.facts);
        let html = HtmlTrouble { f, text: &self }.to_string();
        let Self { subject, facts, why, cure, once } = self;
        let text = format!("{subject}\n\n{why}\n\n{facts}\n\n{cure}\n\n{once}\n");
        Rendered { subject, html, text, csv: None, headers: headers(id), reply_to: settings.reply_to() }
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct HtmlTrouble<'a> {
    f: Frame<'a>,
    text: &'a Text<'a>,
}
