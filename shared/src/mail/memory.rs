//! The mailer in memory, for tests. It is as strict as SES about sizes and recipients.

use super::message::{MAX_RECIPIENTS, Message, SES_MAX_MESSAGE_BYTES};
use super::{MailError, Mailer};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest address that SES takes: 64 bytes, `@` and 255 bytes (RFC 5321, 4.5.3.1).
const SES_MAX_ADDRESS_BYTES: usize = 320;

/// A mailer that keeps what it accepts. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryMailer {
    state: Arc<Mutex<State>>,
}

/// How a send fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendFault {
    /// The mail is not accepted.
    Before(MailError),
    /// The mail is accepted, and the caller gets an error all the same.
    After(MailError),
}

impl SendFault {
    /// The message is refused for what is in it.
    pub fn message() -> Self {
        Self::Before(refused("MessageRejected", "SES refuses the mail's content"))
    }

    /// The sender or a recipient is refused.
    pub fn destination() -> Self {
        Self::Before(MailError::Destination {
            code: "MessageRejected".to_owned(),
            cure: "verify the sender in LEADS_MAIL_FROM".to_owned(),
        })
    }

    /// The service takes no more for now, and does not say for how long.
    pub fn busy() -> Self {
        let code = "TooManyRequestsException".to_owned();
        Self::Before(MailError::Busy { code, retry_after: None, is_quota: false, cure: "nothing to do".to_owned() })
    }

    /// The account's mails of a day are used up.
    pub fn quota() -> Self {
        let code = "LimitExceededException".to_owned();
        Self::Before(MailError::Busy { code, retry_after: None, is_quota: true, cure: "wait".to_owned() })
    }

    /// The service is not reached, so that nothing is sent.
    pub fn unavailable() -> Self {
        Self::Before(MailError::Unavailable { code: "not reached".to_owned(), may_be_accepted: false })
    }

    /// The request is lost on its way. The caller cannot tell this from [`SendFault::lost_answer`].
    pub fn lost_request() -> Self {
        Self::Before(timed_out())
    }

    /// The mail is accepted, and the answer is lost.
    pub fn lost_answer() -> Self {
        Self::After(timed_out())
    }
}

fn timed_out() -> MailError {
    MailError::Unavailable { code: "timed out".to_owned(), may_be_accepted: true }
}

fn refused(code: &str, cure: &str) -> MailError {
    MailError::Message { code: code.to_owned(), cure: cure.to_owned() }
}

struct State {
    accepted: Vec<Message>,
    calls: usize,
    faults: VecDeque<SendFault>,
    decide: Option<Decide>,
    max_bytes: usize,
    refuses: Option<Refuses>,
    suppressed: BTreeSet<String>,
    dropped: Vec<Message>,
    questions: usize,
    answers_questions: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            accepted: Vec::new(),
            calls: 0,
            faults: VecDeque::new(),
            decide: None,
            max_bytes: SES_MAX_MESSAGE_BYTES,
            refuses: None,
            suppressed: BTreeSet::new(),
            dropped: Vec::new(),
            questions: 0,
            answers_questions: true,
        }
    }
}

impl State {
    /// What a service finds wrong with a message, at each attempt anew.
    fn refusal(&self, message: &Message) -> Option<MailError> {
        let addresses = message.to.iter().chain(&message.reply_to);
        if message.size() > self.max_bytes {
            Some(refused("MessageRejected", "the mail is larger than the service takes"))
        } else if message.to.len() > MAX_RECIPIENTS {
            Some(refused("MessageRejected", "the mail has too many recipients"))
        } else if addresses.into_iter().any(|address| address.len() > SES_MAX_ADDRESS_BYTES) {
            Some(refused("BadRequestException", "an address is too long"))
        } else if self.refuses.as_ref().is_some_and(|refuses| refuses(message)) {
            Some(refused("MessageRejected", "the service refuses the mail's content"))
        } else {
            None
        }
    }
}

/// Decides whether a send fails, and how.
pub type Decide = Box<dyn FnMut(&Message) -> Option<SendFault> + Send>;

/// Says whether the content of a message is refused.
pub type Refuses = Box<dyn Fn(&Message) -> bool + Send>;

impl MemoryMailer {
    /// A mailer that accepts what SES accepts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `sends` sends fail. Faults that were set before come first.
    pub fn fail_next(&self, sends: usize, fault: &SendFault) {
        self.lock().faults.extend(std::iter::repeat_n(fault.clone(), sends));
    }

    /// Sets what decides before each send whether it fails; `None` lets all of them succeed.
    pub fn set_fault(&self, decide: Option<Decide>) {
        self.lock().decide = decide;
    }

    /// Refuses messages of more than `max_bytes`; see [`Message::size`].
    pub fn set_max_bytes(&self, max_bytes: usize) {
        self.lock().max_bytes = max_bytes;
    }

    /// Refuses messages by their content.
    pub fn set_refused_content(&self, refuses: Option<Refuses>) {
        self.lock().refuses = refuses;
    }

    /// Puts these addresses on the suppression list, and takes all others off: mails to them are accepted and dropped.
    pub fn set_suppressed(&self, addresses: &[&str]) {
        self.lock().suppressed = addresses.iter().map(|address| address.to_lowercase()).collect();
    }

    /// Has the service say whether an address is on the list, or fail to.
    pub fn set_answers_questions(&self, answers: bool) {
        self.lock().answers_questions = answers;
    }

    /// How often it was asked about an address.
    pub fn questions(&self) -> usize {
        self.lock().questions
    }

    /// The mails that were accepted and reached nobody, oldest first: all of their recipients are on the list.
    pub fn dropped(&self) -> Vec<Message> {
        self.lock().dropped.clone()
    }

    /// The mails accepted so far, oldest first, each with the recipients who are not on the suppression list.
    pub fn accepted(&self) -> Vec<Message> {
        self.lock().accepted.clone()
    }

    /// How often sending was tried.
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailer for MemoryMailer {
    async fn send(&self, message: &Message) -> Result<String, MailError> {
        let mut state = self.lock();
        state.calls += 1;
        let decided = state.decide.as_mut().and_then(|decide| decide(message));
        let fault = decided.or_else(|| state.faults.pop_front());
        if let Some(SendFault::Before(error)) = fault {
            return Err(error);
        }
        if let Some(error) = state.refusal(message) {
            return Err(error);
        }
        let mut delivered = message.clone();
        delivered.to.retain(|to| !state.suppressed.contains(&to.to_lowercase()));
        if delivered.to.is_empty() {
            state.dropped.push(message.clone());
        } else {
            state.accepted.push(delivered);
        }
        match fault {
            Some(SendFault::After(error)) => Err(error),
            _ => Ok(format!("memory-{}", state.accepted.len())),
        }
    }

    async fn is_suppressed(&self, address: &str) -> Result<bool, MailError> {
        let mut state = self.lock();
        state.questions += 1;
        if state.answers_questions { Ok(state.suppressed.contains(&address.to_lowercase())) } else { Err(timed_out()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Attachment;

    fn message() -> Message {
        Message {
            from: "leads@contoso.com".into(),
            to: vec!["sales@contoso.com".into()],
            reply_to: None,
            subject: "1 new lead".into(),
            html: "<p>Hello</p>".into(),
            text: "Hello".into(),
            headers: Vec::new(),
            attachments: Vec::new(),
        }
    }

    #[tokio::test]
    async fn each_fault_fails_in_its_kind_and_only_a_lost_answer_leaves_an_accepted_mail() {
        type IsKind = fn(&MailError) -> bool;
        let faults: [(SendFault, usize, IsKind); 6] = [
            (SendFault::message(), 0, |error| matches!(error, MailError::Message { .. })),
            (SendFault::destination(), 0, |error| matches!(error, MailError::Destination { .. })),
            (SendFault::busy(), 0, |error| matches!(error, MailError::Busy { .. })),
            (SendFault::unavailable(), 0, |error| {
                matches!(error, MailError::Unavailable { may_be_accepted: false, .. })
            }),
            (SendFault::lost_request(), 0, |error| {
                matches!(error, MailError::Unavailable { may_be_accepted: true, .. })
            }),
            (SendFault::lost_answer(), 1, |error| {
                matches!(error, MailError::Unavailable { may_be_accepted: true, .. })
            }),
        ];
        for (fault, accepted, is_kind) in faults {
            let mailer = MemoryMailer::new();
            mailer.fail_next(1, &fault);
            let error = mailer.send(&message()).await.unwrap_err();
            assert!(is_kind(&error), "{fault:?}: {error:?}");
            assert_eq!(mailer.accepted().len(), accepted, "{fault:?}");
            assert!(mailer.send(&message()).await.is_ok(), "{fault:?}");
            assert_eq!((mailer.calls(), mailer.accepted().len()), (2, accepted + 1), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn what_ses_does_not_take_is_refused_each_time_and_never_accepted() {
        let attachment = |bytes| Attachment {
            name: "leads.csv".into(),
            content_type: "text/csv".into(),
            content: vec![b'x'; bytes],
        };
        let with = |change: &dyn Fn(&mut Message)| {
            let mut message = message();
            change(&mut message);
            message
        };
        let refused = [
            with(&|message| message.attachments = vec![attachment(30_000_000)]),
            with(&|message| message.to = vec!["sales@contoso.com".into(); MAX_RECIPIENTS + 1]),
            with(&|message| message.reply_to = Some(format!("a@{}.example", "x".repeat(500)))),
            with(&|message| message.text = "Hello, poison".into()),
        ];
        let mailer = MemoryMailer::new();
        mailer.set_refused_content(Some(Box::new(|message| message.text.contains("poison"))));
        for message in &refused {
            for _ in 0..2 {
                let error = mailer.send(message).await.unwrap_err();
                assert!(matches!(error, MailError::Message { .. }), "{error:?}");
            }
        }
        // A refused mail is refused, even where its answer would be lost.
        mailer.fail_next(1, &SendFault::lost_answer());
        assert!(mailer.send(&refused[3]).await.unwrap_err().is_refusal());
        assert!(mailer.accepted().is_empty());
        assert!(mailer.send(&message()).await.is_ok());
        mailer.set_max_bytes(message().size() - 1);
        assert!(mailer.send(&message()).await.unwrap_err().is_refusal());
    }
}
