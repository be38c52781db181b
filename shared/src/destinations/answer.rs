//! What a destination's answer, or its silence, means.

use jiff::Timestamp;
use std::time::Duration;

/// The statuses with which a destination refuses a message for what is in it, rather than every message.
pub const REFUSED_STATUSES: [u16; 3] = [400, 413, 422];

/// The longest wait that an answer may ask for: what is later is asked again sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 60 * 60);

/// Why a destination did not accept a message. It holds no address, and nothing of the message or the answer.
///
/// The kinds are those of [`MailError`](crate::mail::MailError): they differ in what the sender should do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The destination refuses this message. A smaller one, or one without the texts of leads, may go through.
    #[error("the destination refused the message ({code})")]
    Message {
        /// The status of the answer.
        code: String,
    },
    /// The destination refuses every message until a person changes something.
    #[error("the destination refused the request ({code}): {cure}")]
    Destination {
        /// The status of the answer, or what happened.
        code: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// The destination takes no more for now.
    #[error("the destination is busy ({code})")]
    Busy {
        /// The status of the answer.
        code: String,
        /// How long the destination asks to wait, if it says so.
        retry_after: Option<Duration>,
        /// Whether the message may have been accepted all the same.
        may_be_accepted: bool,
    },
    /// The destination could not be reached, failed or did not answer in time.
    #[error("the destination is unavailable ({code})")]
    Unavailable {
        /// The status of the answer, or what happened.
        code: String,
        /// Whether the message may have been accepted, so that sending it again may repeat it.
        may_be_accepted: bool,
    },
}

/// What an answer means, by its status and its header `Retry-After`.
///
/// # Errors
/// Where the message was not accepted, or nobody can know.
pub fn meaning(status: u16, retry_after: Option<&str>, now: Timestamp) -> Result<(), PostError> {
    let code = format!("HTTP {status}");
    let refused = |cure| Err(PostError::Destination { code: format!("HTTP {status}"), cure });
    let wait = retry_after.and_then(|text| wait(text, now));
    match status {
        200..=299 => Ok(()),
        300..=399 => refused("its address has moved: put the new one into its parameter"),
        401 | 403 | 407 => refused("it does not accept the signature, the header or the address: check its parameter"),
        404 | 410 => refused("its address is gone: make a new one and put it into its parameter"),
        405 | 451 => refused("its address takes no messages: check its parameter"),
        408 | 425 | 429 => Err(PostError::Busy { code, retry_after: wait, may_be_accepted: false }),
        400..=499 => Err(PostError::Message { code }),
        // Proxies answer so, too, where the connection to the destination broke after it had the message.
        503 => Err(PostError::Busy { code, retry_after: wait, may_be_accepted: true }),
        _ => Err(PostError::Unavailable { code, may_be_accepted: true }),
    }
}

/// How long `Retry-After` asks to wait: a number of seconds, or a date (RFC 9110, 10.2.3).
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(date.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        let kind = |status| match meaning(status, None, now) {
            Ok(()) => "accepted",
            Err(PostError::Message { .. }) => "message",
            Err(PostError::Destination { .. }) => "destination",
            Err(PostError::Busy { .. }) => "busy",
            Err(PostError::Unavailable { .. }) => "unavailable",
        };
        for status in 100..=599 {
            let expected = match status {
                200..=299 => "accepted",
                300..=399 | 401 | 403 | 404 | 405 | 407 | 410 | 451 => "destination",
                408 | 425 | 429 | 503 => "busy",
                402 | 406 | 409 | 411..=424 | 426..=428 | 430..=450 | 452..=499 | 400 => "message",
                _ => "unavailable",
            };
            assert_eq!(kind(status), expected, "{status}");
        }
        let may_be_accepted = |status| match meaning(status, None, now) {
            Err(PostError::Busy { may_be_accepted, .. } | PostError::Unavailable { may_be_accepted, .. }) => {
                may_be_accepted
            }
            _ => false,
        };
        for status in 100..=599 {
            let expected = matches!(status, 100..=199 | 500..=599);
            assert_eq!(may_be_accepted(status), expected, "{status}");
        }
        assert!(REFUSED_STATUSES.into_iter().all(|status| kind(status) == "message"));
    }

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date_and_never_endless() {
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Wed, 25 Nov 2026 10:05:00 GMT", Some(300)),
            ("Wed, 25 Nov 2026 09:05:00 GMT", Some(0)),
            ("99999999999", Some(6 * 60 * 60)),
            ("Fri, 25 Nov 2044 10:05:00 GMT", Some(6 * 60 * 60)),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            assert_eq!(wait(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
