//! The simulated mail service, with the limits of Amazon SES.

use crate::breakage::Breakage;
use crate::desk::{Desk, Kind, Service, Verdict};
use crate::leads::POISON;
use marketplace_leads::mail::{MAX_RECIPIENTS, MailError, Mailer, Message};
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The largest mail that SES's API v2 takes, in bytes after encoding.
///
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
const MAX_MAIL_BYTES: usize = 40 * 1024 * 1024;

/// The longest address (RFC 5321: 64 before the at sign and 255 after it).
const MAX_ADDRESS: usize = 320;

/// The longest value of a header, as SES allows it.
const MAX_HEADER: usize = 995;

/// The mail service. Clones share it.
#[derive(Clone, Default)]
pub struct MailService(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    accepted: Vec<Message>,
    sends: u64,
    refused: Vec<String>,
    refused_for_content: u64,
    refused_for_recipients: u64,
    dropped: u64,
    settings: MailSettings,
}

/// What the service refuses at the moment.
#[derive(Debug, Clone, Default)]
pub struct MailSettings {
    /// Addresses to which nothing can be sent.
    pub dead: BTreeSet<String>,
    /// Addresses on the suppression list: mails to them are accepted, and dropped.
    pub suppressed: BTreeSet<String>,
    /// Whether every address counts as not verified.
    pub sandbox: bool,
    /// Words that no mail may hold.
    pub forbidden: Vec<String>,
    /// Whether one mail in twenty gets lost after it was accepted.
    pub drops: bool,
}

impl MailService {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is refused.
    pub fn set(&self, change: impl FnOnce(&mut MailSettings)) {
        change(&mut self.lock().settings);
    }

    /// The mails accepted since this was asked last.
    pub fn accepted(&self) -> Vec<Message> {
        std::mem::take(&mut self.lock().accepted)
    }

    /// The mails that went beyond a limit since this was asked last.
    pub fn refused(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().refused)
    }

    /// How many mails were refused for their content.
    pub fn refused_for_content(&self) -> u64 {
        self.lock().refused_for_content
    }

    /// How many mails were refused for who should get them.
    pub fn refused_for_recipients(&self) -> u64 {
        self.lock().refused_for_recipients
    }

    /// How many mails were accepted, and dropped for a recipient on the suppression list.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// How many times sending was asked for.
    pub fn sends(&self) -> u64 {
        self.lock().sends
    }

    fn act(&self, message: &Message) -> Result<String, MailError> {
        let mut state = self.lock();
        state.sends += 1;
        let cure = || "this is a simulation".to_owned();
        let refuse = |code: &str| Err(MailError::Message { code: code.to_owned(), cure: cure() });
        if let Some(limit) = beyond_limits(message) {
            state.refused.push(limit);
            return refuse("BadRequestException");
        }
        if state.settings.sandbox || message.to.iter().any(|to| state.settings.dead.contains(to)) {
            state.refused_for_recipients += 1;
            return Err(MailError::Destination { code: "MessageRejected".to_owned(), cure: cure() });
        }
        let files = message.attachments.iter().map(|attachment| attachment.content.as_slice());
        let mut parts = [message.text.as_bytes(), message.subject.as_bytes()].into_iter().chain(files);
        if !state.settings.forbidden.is_empty()
            && parts.any(|part| state.settings.forbidden.iter().any(|word| holds(part, word.as_bytes())))
        {
            state.refused_for_content += 1;
            return refuse("MessageRejected");
        }
        state.dropped += u64::from(message.to.iter().any(|to| state.settings.suppressed.contains(to)));
        if !(state.settings.drops && state.sends % 20 == 7) {
            state.accepted.push(message.clone());
        }
        Ok(format!("simulated-{}", state.sends))
    }
}

/// Whether a text holds a word.
fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}

/// Which limit of the service a mail goes beyond.
fn beyond_limits(message: &Message) -> Option<String> {
    let encoded = |bytes: usize| bytes.div_ceil(3) * 4;
    let attached: usize = message.attachments.iter().map(|file| encoded(file.content.len())).sum();
    let size = encoded(message.html.len()) + encoded(message.text.len()) + attached;
    let long_header = |value: &String| value.len() > MAX_HEADER;
    if size > MAX_MAIL_BYTES {
        Some(format!("a mail of {size} bytes"))
    } else if message.to.is_empty() || message.to.len() > MAX_RECIPIENTS {
        Some(format!("a mail to {} people", message.to.len()))
    } else if message.reply_to.as_ref().is_some_and(|address| address.len() > MAX_ADDRESS) {
        Some(format!("a Reply-To of {} characters", message.reply_to.as_ref().map_or(0, String::len)))
    } else if message.headers.iter().any(|(_, value)| long_header(value)) || long_header(&message.subject) {
        Some("a header that is too long".to_owned())
    } else {
        None
    }
}

/// The mail service as one invocation sees it.
#[derive(Clone)]
pub struct SimMailer {
    /// The service.
    pub service: MailService,
    /// Where sends wait.
    pub desk: Desk,
}

impl Mailer for SimMailer {
    #[track_caller]
    fn send(&self, message: &Message) -> impl Future<Output = Result<String, MailError>> + Send {
        let site = Location::caller();
        async move {
            let what: Arc<str> = format!("send \"{}\" to {}", head(&message.subject), message.to.len()).into();
            let unavailable = |code: &str| Err(MailError::Unavailable { code: code.to_owned(), may_be_accepted: true });
            match self.desk.verdict((Service::Mail, Kind::Mail), site, what.clone(), false).await {
                Verdict::Act | Verdict::ShortPage(_) => self.service.act(message),
                Verdict::FailBefore => unavailable("simulated"),
                Verdict::Throttle => Err(MailError::Busy {
                    code: "TooManyRequestsException".to_owned(),
                    retry_after: None,
                    is_quota: false,
                    cure: "this is a simulation".to_owned(),
                }),
                Verdict::FailAfter => self.service.act(message).and(unavailable("simulated")),
                Verdict::ActAndWait => {
                    let done = self.service.act(message);
                    self.desk.verdict((Service::Mail, Kind::Mail), site, what, true).await;
                    done
                }
            }
        }
    }

    #[track_caller]
    fn is_suppressed(&self, address: &str) -> impl Future<Output = Result<bool, MailError>> + Send {
        let site = Location::caller();
        let address = address.to_owned();
        async move {
            let what: Arc<str> = "is a recipient suppressed".into();
            let call = (Service::Mail, Kind::Question);
            let answer = || Ok(self.service.lock().settings.suppressed.contains(&address));
            match self.desk.verdict(call, site, what.clone(), false).await {
                Verdict::Act | Verdict::ShortPage(_) => answer(),
                Verdict::FailBefore | Verdict::Throttle | Verdict::FailAfter => {
                    Err(MailError::Unavailable { code: "simulated".to_owned(), may_be_accepted: false })
                }
                Verdict::ActAndWait => {
                    let answered = answer();
                    self.desk.verdict(call, site, what, true).await;
                    answered
                }
            }
        }
    }
}

/// The beginning of a subject, for the trace.
fn head(subject: &str) -> &str {
    &subject[..subject.floor_char_boundary(50)]
}

/// What a world's mail service refuses of the content, for good.
pub fn forbidden(text: bool, key: Option<String>) -> Vec<String> {
    text.then(|| POISON.to_owned()).into_iter().chain(key).collect()
}

/// What a breakage changes of the mail service.
pub fn broken(settings: &mut MailSettings, breakage: Breakage) {
    settings.drops = breakage == Breakage::MailDropped;
}
