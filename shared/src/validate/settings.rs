//! The check `settings`: whether each is right, and whether they fit each other.

use super::findings::{Findings, count};
use super::secret_problem;
use crate::aws::SecretError;
use crate::intake_keys::IntakeKeys;
use crate::secret::Secret;
use crate::settings::{MailOrDrop, ValidationSettings, Variable, variables, without_effect};
use std::time::Duration;

/// Below this, clocks of the service's servers and late writes may take a lead out of the window.
const SAFE_OVERLAP: Duration = Duration::from_secs(5 * 60);

/// Within this time, leads that are urgent are to be mailed.
const AT_ONCE: Duration = Duration::from_secs(5 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn check(
    settings: &ValidationSettings,
    keys: Option<&Result<Secret, SecretError>>,
) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    for problem in &settings.problems {
        let cure = format!("set {} to {}", problem.variable, problem.expected);
        findings.fail(format!("{} {}", problem.variable, problem.wrong), cure);
    }
    recipients(&mut findings, settings);
    intake_keys(&mut findings, keys);
    schedule(&mut findings, settings);
    for (variable, value) in
        [(variables::TEST_LEADS, settings.mail.test_leads), (variables::DO_NOT_CONTACT, settings.mail.do_not_contact)]
    {
        if value == Some(MailOrDrop::Drop) {
            findings.saw(format!("{} keeps such leads out of the mails", variable.name));
        }
    }
    let dead_letters = variables::DEAD_LETTER_QUEUE_URL;
    if settings.dead_letter_queue_url.is_none() && !is_wrong(settings, dead_letters) {
        findings.warn(
            format!("{} is not set", dead_letters.name),
            "deploy the template as it is: it sets all of validation's settings",
        );
    }
    (findings, None)
}

/// Whether a variable is set to something that it may not be.
pub(super) fn is_wrong(settings: &ValidationSettings, variable: Variable) -> bool {
    settings.problems.iter().any(|problem| problem.variable == variable.name)
}

fn recipients(findings: &mut Findings, settings: &ValidationSettings) {
    if let Some(to) = &settings.mail.to {
        let routes = settings.mail.routes.as_ref().filter(|routes| !routes.is_empty());
        let routes = routes.map(|routes| format!(" and {}", count(routes.len(), "route"))).unwrap_or_default();
        findings.saw(format!("{}{routes}", count(to.len(), "recipient")));
    }
    for wrong in without_effect(&settings.mail, &settings.schedule) {
        findings.warn(wrong, "take out the setting that has no effect, or change the other one");
    }
    if let (Some(language), Some(zone)) = (&settings.mail.language, &settings.mail.time_zone) {
        let zone = zone.iana_name().unwrap_or("UTC");
        findings.saw(format!("mails in {}, times in {zone}", language.code()));
    }
}

fn intake_keys(findings: &mut Findings, keys: Option<&Result<Secret, SecretError>>) {
    match keys {
        None => {}
        Some(Err(error)) => {
            findings.fault(secret_problem(error).of("the intake keys"));
        }
        Some(Ok(secret)) => match IntakeKeys::parse(secret) {
            Err(error) => findings.fail(
                format!("the setting with the intake keys {error}"),
                format!("{}: see the guide on rotating the intake key", IntakeKeys::EXPECTED),
            ),
            Ok(_) => {
                let lengths: Vec<_> = secret.expose().split(',').map(|key| key.trim().len()).collect();
                let lengths: Vec<_> =
                    lengths.into_iter().filter(|length| *length > 0).map(|length| length.to_string()).collect();
                findings.saw(match lengths.as_slice() {
                    [length] => format!("1 intake key of {length} characters"),
                    lengths => {
                        format!("2 intake keys of {} characters, one of them to be rotated out", lengths.join(" and "))
                    }
                });
            }
        },
    }
}

fn schedule(findings: &mut Findings, settings: &ValidationSettings) {
    let (Some(interval), Some(overlap), Some(lookback)) =
        (settings.schedule.interval, settings.schedule.overlap, settings.schedule.first_lookback)
    else {
        return;
    };
    findings.saw(format!("a run every {}, reading {} back", span(interval), span(overlap)));
    if interval > AT_ONCE {
        findings.warn(
            format!("what is urgent waits up to {}", span(interval)),
            format!("{}: it costs some cents a month", set_to_default(variables::INTERVAL_MINUTES)),
        );
    }
    if overlap < SAFE_OVERLAP {
        findings.warn(
            format!("the overlap is only {}", span(overlap)),
            format!(
                "{}: the service's clocks differ, and a write can become visible late",
                set_to_default(variables::OVERLAP_MINUTES)
            ),
        );
    }
    if lookback < interval {
        findings.warn(
            format!("the first run looks back {}, less than the interval", span(lookback)),
            "set LEADS_FIRST_LOOKBACK_MINUTES to at least LEADS_INTERVAL_MINUTES before the first run",
        );
    }
    match settings.schedule.sweep {
        Some(None) => findings.saw("the whole table is searched once a week"),
        Some(Some(sweep)) if sweep < interval => {
            findings.warn("the whole table is searched in every run", set_to_default(variables::SWEEP_HOURS))
        }
        _ => {}
    }
    match settings.schedule.silence {
        Some(None) => findings.saw("no alert about silence"),
        Some(Some(silence)) if silence < interval.max(DAY) => findings.warn(
            "the alert about silence comes sooner than a run can see a lead",
            "set LEADS_SILENCE_DAYS to some days",
        ),
        _ => {}
    }
}

/// The cure of a setting whose default is better.
fn set_to_default(variable: Variable) -> String {
    format!("set {} to {}", variable.name, variable.default_text())
}

/// A time as people say it: `90 minutes`, `2 hours`, `3 days`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    count(usize::try_from(number).unwrap_or(usize::MAX), unit)
}
