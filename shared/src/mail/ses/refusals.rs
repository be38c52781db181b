//! What SES's failures mean for a mail. The texts of SES's errors are not passed on, because they hold addresses.

use crate::aws::error_code;
use crate::mail::{self, MailError};
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use std::error::Error as _;
use std::io;
use std::time::Duration;

/// What a failed send of a mail means.
pub(super) fn mail_error(error: &SdkError<SendEmailError, HttpResponse>, mail: &mail::Message) -> MailError {
    // Whether it has an address in it that is not from the settings.
    let has_reply_to = mail.reply_to.is_some();
    let mut code = error_code(error);
    let cure = |cure: &str| cure.to_owned();
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            match meaning(answer.err(), status, has_reply_to) {
                Meaning::Message(text) => MailError::Message { code, cure: cure(text) },
                Meaning::Destination(text) => {
                    // SES has a code for each of the first two, and does not always use it. Each of them meets every recipient.
                    match text {
                        UNVERIFIED if names_sender(answer.err(), &mail.from) => {
                            SENDER_NOT_VERIFIED.clone_into(&mut code)
                        }
                        PAUSED => "SendingPausedException".clone_into(&mut code),
                        SUSPENDED => "AccountSuspendedException".clone_into(&mut code),
                        _ => {}
                    }
                    MailError::Destination { code, cure: cure(text) }
                }
                Meaning::Busy(text) => MailError::Busy {
                    code,
                    retry_after: retry_after(answer.raw()),
                    is_quota: text == QUOTA,
                    cure: cure(text),
                },
                Meaning::Unavailable => {
                    MailError::Unavailable { code, may_be_accepted: may_be_accepted(Some(status), None) }
                }
            }
        }
        // Nothing was sent, and no other mail could be sent either.
        SdkError::ConstructionFailure(_) => {
            MailError::Destination { code, cure: cure("check the function's AWS region, credentials and endpoint") }
        }
        SdkError::DispatchFailure(failure) => {
            MailError::Unavailable { code, may_be_accepted: may_be_accepted(None, failure.as_connector_error()) }
        }
        // The time ran out, or the answer could not be read.
        _ => MailError::Unavailable { code, may_be_accepted: true },
    }
}

/// The code, ours, of a refusal of the sender.
const SENDER_NOT_VERIFIED: &str = "SenderNotVerified";

/// Whether the text of a refusal names the sender, who stands as an address or as `Name <address>`.
fn names_sender(error: &SendEmailError, from: &str) -> bool {
    let address = from.rsplit_once('<').map_or(from, |(_, address)| address.trim_end_matches('>'));
    error.message().unwrap_or_default().to_lowercase().contains(&address.to_lowercase())
}

/// Whether a mail may have been accepted although there is no answer that says so: by the status of the answer, or else
/// by what happened to the request.
pub(super) fn may_be_accepted(status: Option<u16>, failure: Option<&ConnectorError>) -> bool {
    match status {
        // With 429 and 503, SES itself says that it did not accept the mail. A 500, or a gateway's 502 or 504, leaves it
        // open.
        Some(status) => status >= 500 && status != 503,
        None => !failure.is_some_and(was_never_sent),
    }
}

/// Whether nobody was there to take the request, or no request could be made.
fn was_never_sent(error: &ConnectorError) -> bool {
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    error.is_user()
        || causes.any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| {
                use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
                matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
            })
        })
}

/// How long an answer asks to wait, if it gives a number of seconds (RFC 9110, 10.2.3). SES itself gives none, but a
/// gateway in front of it may.
fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    answer.headers().get("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// What an answer of SES means, with what to do about it. The variants are explained at [`MailError`].
enum Meaning {
    Message(&'static str),
    Destination(&'static str),
    Busy(&'static str),
    Unavailable,
}

use Meaning::{Busy, Destination, Message, Unavailable};

const WAIT: &str = "nothing to do; if it stays, request a higher sending rate in the SES console";
const QUOTA: &str =
    "the sending quota is used up: wait until it renews within 24 hours, or request a higher one in the SES console";
const PAUSED: &str = "sending is paused for the account or the configuration set: see the reputation page of the SES \
                      console, remove the cause, and resume sending";
const SUSPENDED: &str =
    "SES has stopped this account's sending for good: answer the case that AWS Support opened about it";
const CONFIGURATION_SET: &str = "the configuration set in LEADS_MAIL_CONFIGURATION_SET does not exist in this region: \
                                 create it, or clear the setting";
const MAIL_FROM_DOMAIN: &str = "the sender's custom MAIL FROM domain is not verified: publish the DNS records that the \
                                SES console shows for the identity, or remove the MAIL FROM domain from it";
const UNVERIFIED: &str = "an address is not verified in SES in this region: verify the sender in LEADS_MAIL_FROM; while \
                          the account is in the sandbox, verify every recipient too, or request production access";
const SUPPRESSED: &str = "a recipient is on the suppression list: remove it there (SES console, Suppression list) once \
                          its mailbox works, or take it out of the recipients";
const NOT_ALLOWED: &str =
    "the function's role may not send: allow it ses:SendEmail for the sender's identity and the configuration set";
const CREDENTIALS: &str = "SES does not accept the function's AWS credentials: check its role and region";
pub(super) const TOO_LARGE: &str = "the mail is larger than SES takes: lower LEADS_DIGEST_SIZE";
const CONTENT: &str = "SES refuses the mail's content: see the account's status in the SES console";
const ADDRESS: &str =
    "SES does not take an address or a header as it is: check LEADS_MAIL_FROM and the recipients for typing errors";
const UNKNOWN: &str = "SES does not take the mail: look the code up in the SES API reference, SendEmail";

/// Decides what an error means.
///
/// The errors that SES declares are those of
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors>.
fn meaning(error: &SendEmailError, status: u16, has_reply_to: bool) -> Meaning {
    let text = error.message().unwrap_or_default().to_lowercase();
    match error {
        // These are about the account, the sender or a setting, so they meet every mail alike.
        SendEmailError::AccountSuspendedException(_) => Destination(SUSPENDED),
        SendEmailError::SendingPausedException(_) => Destination(PAUSED),
        SendEmailError::MailFromDomainNotVerifiedException(_) => Destination(MAIL_FROM_DOMAIN),
        SendEmailError::NotFoundException(_) => Destination(CONFIGURATION_SET),
        // SES did not accept the mail, and takes mails again later without anybody's doing.
        SendEmailError::LimitExceededException(_) => Busy(QUOTA),
        SendEmailError::TooManyRequestsException(_) => Busy(WAIT),
        // SES uses these two for faults of the message as well as of sender and recipients; the text tells which.
        SendEmailError::MessageRejected(_) => by_text(&text).unwrap_or(Message(CONTENT)),
        SendEmailError::BadRequestException(_) => by_text(&text).unwrap_or_else(|| bad_request(&text, has_reply_to)),
        // All other errors are not declared for this operation.
        error => by_code(error.code().unwrap_or_default(), status, &text),
    }
}

/// What the text of a refusal means, if it is one of the texts that are known.
fn by_text(text: &str) -> Option<Meaning> {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["suppress"]) {
        Some(Destination(SUPPRESSED))
    } else if says(&["not verified"]) {
        Some(Destination(UNVERIFIED))
    } else if says(&["suspended"]) {
        Some(Destination(SUSPENDED))
    } else if says(&["sending paused", "sending is paused", "sending disabled", "sending is disabled"]) {
        Some(Destination(PAUSED))
    } else if says(&["too large", "too long", "exceeds", "maximum size", "length greater than"]) {
        Some(Message(TOO_LARGE))
    } else {
        None
    }
}

/// A request that SES finds invalid is so because of its message. Where it is about an address, though, and the message
/// brings none of its own, the address is one of the settings, and no other message would fare better.
fn bad_request(text: &str, has_reply_to: bool) -> Meaning {
    let is_about_address = ["address", "domain"].iter().any(|word| text.contains(word));
    if is_about_address && !has_reply_to { Destination(ADDRESS) } else { Message(ADDRESS) }
}

/// Decides what an error means that SES does not declare for sending, by its code and the HTTP status.
///
/// The codes are those of <https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html>.
fn by_code(code: &str, status: u16, text: &str) -> Meaning {
    match (code, status) {
        ("ConfigurationSetDoesNotExistException", _) => Destination(CONFIGURATION_SET),
        ("AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired", _) => Destination(NOT_ALLOWED),
        (
            "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "MissingAuthenticationToken"
            | "RequestExpired"
            | "UnrecognizedClientException",
            _,
        ) => Destination(CREDENTIALS),
        // Throttling has several names, and its status may be 400 as well as 429.
        (code, status) if status == 429 || code.contains("Throttl") => {
            Busy(if text.contains("quota") { QUOTA } else { WAIT })
        }
        (code, status) if status >= 500 || code.contains("Unavailable") => Unavailable,
        (_, 413) => Message(TOO_LARGE),
        (_, 401 | 403) => Destination(CREDENTIALS),
        (_, 404 | 410) => Destination(UNKNOWN),
        _ => by_text(text).unwrap_or(Message(UNKNOWN)),
    }
}
