//! A digest: how long it takes to render all its parts.

use crate::report::{ms, spread};
use crate::{Report, Result, body};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::lead::{Lead, StoredLead};
use marketplace_leads::mail::{Digest, DigestLead, Language, Occasion, RenderSettings, render};
use std::time::Instant;

/// A digest of so many leads, rendered: the sizes of subject, HTML and text together, and of the attachments.
pub fn rendered(leads: usize) -> Result<(usize, usize)> {
    let (digest, settings) = sample(leads)?;
    let rendered = render(&digest, &settings);
    let to = ["sales@contoso.example".to_owned()];
    let messages = rendered.messages("leads@contoso.example", &to);
    let message = messages.first().ok_or("no mail")?;
    let attached = message.attachments.iter().map(|attachment| attachment.content.len()).sum();
    Ok((message.subject.len() + message.html.len() + message.text.len(), attached))
}

fn sample(leads: usize) -> Result<(Digest, RenderSettings)> {
    let now = Timestamp::now();
    let lead = |number: usize| {
        let lead = Lead::from_json(body(number).as_bytes()).map_err(|error| error.message)?;
        let minutes = SignedDuration::from_mins(i64::try_from(number)?);
        Ok(DigestLead { stored: StoredLead::received(lead, now - minutes), history: Vec::new() })
    };
    let digest = Digest {
        id: "20261122T100000Z-1".to_owned(),
        occasion: Occasion::New,
        is_redirected: false,
        more: 0,
        leads: (0..leads).map(lead).collect::<Result<_>>()?,
        unreadable: Vec::new(),
        quarantined: Vec::new(),
    };
    let language = Language::find("en").ok_or("no language")?;
    Ok((digest, RenderSettings::new(language, TimeZone::UTC, 180)))
}

/// Renders a digest of 100 leads many times.
pub fn measure(times: usize) -> Result<Report> {
    let (digest, settings) = sample(100)?;
    let mut took = Vec::new();
    for _ in 0..times {
        let since = Instant::now();
        let rendered = render(&digest, &settings);
        took.push(ms(since.elapsed()));
        drop(std::hint::black_box(rendered));
    }
    let (page, attached) = rendered(100)?;
    let mut report = Report::new("Digest");
    report.say(format!(
        "Subject, HTML, text and CSV of a digest of 100 leads, {} and {} bytes: {} ms, median and range of {times}.",
        crate::report::number(page),
        crate::report::number(attached),
        spread(&took, 2)
    ));
    let most = crate::report::median(&took);
    report.target("digest of 100 leads: render all parts", "≤ 5 ms", format!("{} ms", spread(&took, 2)), most <= 5.0);
    Ok(report)
}
