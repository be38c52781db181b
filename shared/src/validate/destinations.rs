//! The check `destinations`: whether each destination beside mail is there and well formed, and whether it takes an event.

use super::findings::{Findings, count};
use super::test_lead::test_digest;
use crate::address::DestinationName;
use crate::destinations::{Destination, Destinations, Found, Kind, MAX_POST, PostError};
use crate::mail::{Language, RenderSettings};
use crate::settings::ValidationSettings;
use futures::future::join_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) async fn check(
    destinations: &Destinations,
    settings: &ValidationSettings,
    send: bool,
    now: Timestamp,
) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    let Some(routes) = &settings.mail.routes else {
        return (Findings::skip("the routes are wrong", "see `settings`"), None);
    };
    let mut names: Vec<DestinationName> = routes.iter().flat_map(|route| route.destinations.clone()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        findings.saw("no route names a destination: everything goes by mail");
        return (findings, None);
    }
    if settings.mail.operator.as_ref().is_some_and(Option::is_none) {
        findings.warn(
            "nobody is told by mail of a destination that refuses everything",
            "set LEADS_OPERATOR to the address of whoever looks after this",
        );
    }
    let mut good = Vec::new();
    for (name, found) in names.iter().zip(destinations.find(&names, now).await) {
        match found {
            Found::Destination(destination) => good.push((name, destination)),
            Found::Gone => findings.fail(
                format!("{name} has no parameter: its leads go to the default recipients"),
                "make one with the prefix in LEADS_DESTINATIONS_PREFIX and its name (aws ssm put-parameter --type \
                 SecureString), or take it out of the routes",
            ),
            Found::Malformed(malformed) => findings.fail(
                format!("{name} cannot be used: {malformed}"),
                "put its JSON into its parameter again, as the guide on destinations has it",
            ),
            Found::Unknown(code) => findings.fail(
                format!("SSM does not give the parameter of {name} to this function ({code})"),
                "allow the function's role ssm:GetParameters for it, and kms:Decrypt where a key of your own encrypts it",
            ),
        }
    }
    if !send {
        let kinds = good.iter().map(|(name, destination)| format!("{name} ({})", destination.kind().name()));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        if !good.is_empty() {
            findings.saw(format!("{} well formed: {kinds}", count(good.len(), "destination")));
        }
        return (findings, None);
    }
    let sent = join_all(good.iter().map(|(_, destination)| send_test(destinations, settings, destination, now))).await;
    for ((name, destination), sent) in good.iter().zip(sent) {
        note(&mut findings, name, destination.kind(), sent);
    }
    (findings, None)
}

/// Sends an event, or a message, with a test lead.
async fn send_test(
    destinations: &Destinations,
    settings: &ValidationSettings,
    destination: &Destination,
    now: Timestamp,
) -> Result<(), PostError> {
    let digest = test_digest(now);
    let language = settings.mail.language.or_else(|| Language::find("en"));
    let time_zone = settings.mail.time_zone.clone().unwrap_or(TimeZone::UTC);
    let not_written = || PostError::Unavailable { code: "no message".to_owned(), may_be_accepted: false };
    let language = language.ok_or_else(not_written)?;
    let settings = RenderSettings::new(language, time_zone, 1);
    let message = destination.message(&digest, &settings, false).ok_or_else(not_written)?;
    destinations.send(destination, &message, now, MAX_POST).await
}

fn note(findings: &mut Findings, name: &DestinationName, kind: Kind, sent: Result<(), PostError>) {
    match (sent, kind) {
        (Ok(()), Kind::Webhook) => findings.saw(format!("{name} accepted an event with a test lead")),
        (Ok(()), Kind::Slack) => findings.saw(format!("{name} took a message with a test lead")),
        // Teams accepts what its workflow then fails to post.
        (Ok(()), Kind::Teams) => findings.saw(format!("{name} accepted a message; look whether it was posted")),
        (Err(PostError::Destination { code, cure }), _) => {
            findings.fail(format!("{name} refuses everything ({code})"), format!("{name}: {cure}"));
        }
        (Err(PostError::Message { code }), _) => findings.fail(
            format!("{name} refuses the test lead ({code})"),
            format!("look into the receiver of {name}: it refuses what it is sent"),
        ),
        (Err(error @ (PostError::Busy { .. } | PostError::Unavailable { .. })), _) => findings.warn(
            format!("{name}: {error}"),
            format!("run this again; if it stays, look whether {name} is up and its address right"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Runner;
    use super::super::{CheckId, Status};
    use super::*;
    use crate::destinations::memory::{MemoryPoster, MemorySource};
    use std::time::Duration;

    const TEAMS: &str = r#"{"kind":"teams","url":"https://teams.contoso.example/hidden"}"#;
    const SLACK: &str = r#"{"kind":"slack","url":"https://slack.contoso.example/hidden"}"#;

    async fn found(text: Option<&str>, send: bool, answer: Option<PostError>) -> (Status, String, usize) {
        let (source, poster) = (MemorySource::default(), MemoryPoster::default());
        source.set("chat", text);
        poster.set_answer(
            answer.map(|error| -> crate::destinations::memory::Answer { Box::new(move |_| Err(error.clone())) }),
        );
        let destinations = Destinations::in_memory(&source, &poster);
        let pairs = [("LEADS_ROUTES", r#"[{"id":"all","to":["chat"]}]"#), ("LEADS_OPERATOR", "ops@contoso.example")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = ValidationSettings::from_pairs(pairs);
        let runner = Runner::new(vec![CheckId::Destinations], Duration::from_secs(5), Duration::from_secs(5));
        let now = "2026-11-25T10:00:00Z".parse().unwrap();
        runner.run(CheckId::Destinations, check(&destinations, &settings, send, now)).await;
        let report = runner.report();
        assert!(!format!("{report:?}").contains("hidden"), "{report:?}");
        let check = &report.checks[0];
        (check.status, format!("{} {}", check.seen, check.cure.clone().unwrap_or_default()), poster.calls())
    }

    #[tokio::test]
    async fn a_destination_is_looked_at_and_gets_a_test_lead_only_if_that_is_asked_for() {
        let gone = PostError::Destination { code: "HTTP 404".to_owned(), cure: "make a new one" };
        let refused = PostError::Message { code: "HTTP 400".to_owned() };
        let late = PostError::Unavailable { code: "timed out".to_owned(), may_be_accepted: true };
        for (text, send, answer, status, part, calls) in [
            (Some(TEAMS), false, None, Status::Ok, "1 destination well formed: chat (teams)", 0),
            (Some(TEAMS), true, None, Status::Ok, "accepted a message; look whether it was posted", 1),
            (Some(SLACK), true, None, Status::Ok, "chat took a message with a test lead", 1),
            (Some(SLACK), true, Some(gone), Status::Failed, "refuses everything (HTTP 404) Chat: make a new one.", 1),
            (Some(SLACK), true, Some(refused), Status::Failed, "refuses the test lead (HTTP 400)", 1),
            (Some(SLACK), true, Some(late), Status::Warning, "timed out", 1),
            (None, true, None, Status::Failed, "chat has no parameter", 0),
            (Some("{"), true, None, Status::Failed, "cannot be used: it is not JSON", 0),
        ] {
            let found = found(text, send, answer).await;
            assert!(found.1.contains(part), "{part}: {}", found.1);
            assert_eq!((found.0, found.2), (status, calls), "{part}");
        }
    }
}
