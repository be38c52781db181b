//! Who gets a digest by mail: the recipients of its route, without those to whom the mail service delivers nothing.
//!
//! A mail service accepts mails to an address on its suppression list, and drops them. So it is asked about each recipient
//! before a digest goes out, once a day. What it does not answer changes nothing: the mail goes out as if nobody were on the
//! list.

use super::pack::recipient_hash;
use crate::address::{MailAddress, texts};
use crate::mail::{MAX_QUESTION, Mailer};
use crate::notify::Notifier;
use crate::notify::log::{Log, Suppression, Target};
use crate::notify::run::{Run, SEND, TABLE_CALL};
use crate::table::Table;
use jiff::SignedDuration;
use std::collections::HashSet;

/// For how long an answer counts.
const FRESH_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The most questions of one run. SES answers about one a second; recipients who are not asked about get their mail, and are
/// asked about before a later one.
const MOST_QUESTIONS: usize = 10;

/// How long the questions of one run take at most, so that they hold up no mail.
const LONGEST_ASKING: SignedDuration = SignedDuration::from_secs(5);

/// The longest that one question takes.
const QUESTION: SignedDuration = SignedDuration::from_secs(MAX_QUESTION.as_secs().cast_signed());

/// What a run may still ask the mail service about recipients.
pub(in crate::notify) struct Questions {
    left: usize,
    time: SignedDuration,
}

impl Default for Questions {
    fn default() -> Self {
        Self { left: MOST_QUESTIONS, time: LONGEST_ASKING }
    }
}

/// Who gets a digest.
pub(in crate::notify) struct Recipients {
    pub(in crate::notify) to: Vec<String>,
    /// Whether they get it in place of those of the route.
    pub(in crate::notify) is_redirected: bool,
}

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Who gets what a target is owed, once the mail service was asked about those who would.
    pub(super) async fn recipients(&self, run: &mut Run<T>, target: &Target) -> Recipients {
        self.ask(run, target, self.recipients_of(target)).await;
        if self.known_recipients(&run.log, target).is_redirected {
            self.ask(run, target, &self.settings.mail.to).await;
        }
        self.known_recipients(&run.log, target)
    }

    /// Who gets what a target is owed, as far as is known. Where the mail service delivers to none of its recipients, the default
    /// ones get it; where it delivers to none of these either, it is sent to them nevertheless, since nobody else is left.
    pub(in crate::notify) fn known_recipients(&self, log: &Log<T>, target: &Target) -> Recipients {
        let (own, default) = (self.recipients_of(target), self.settings.mail.to.as_slice());
        let to = reached(log, own);
        if !to.is_empty() {
            return Recipients { to, is_redirected: self.is_gone(target) };
        }
        let to = Some(reached(log, default)).filter(|to| !to.is_empty());
        Recipients { to: to.unwrap_or_else(|| texts(default)), is_redirected: self.is_gone(target) || own != default }
    }

    /// Asks the mail service about those of whom nothing is known, or nothing of the last day: first about those who were asked
    /// about the longest ago.
    async fn ask(&self, run: &mut Run<T>, target: &Target, to: &[MailAddress]) {
        let started = self.now();
        let is_fresh = |known: &Suppression| started >= known.asked && started.duration_since(known.asked) < FRESH_FOR;
        let known = |address: &MailAddress| {
            let hash = recipient_hash(address.as_str());
            (run.log.suppressions().get(&hash).cloned(), hash, address.as_str().to_owned())
        };
        let mut questions: Vec<_> = to.iter().map(known).collect();
        questions.retain(|(known, ..)| !known.as_ref().is_some_and(is_fresh));
        questions.sort_by_key(|(known, ..)| known.as_ref().map(|known| known.asked));
        for (known, hash, address) in questions {
            let now = self.now();
            let may_ask = run.questions.left > 0 && run.questions.time > SignedDuration::ZERO;
            if !may_ask || !run.has_time(now, QUESTION + SEND + TABLE_CALL * 3) {
                return;
            }
            let answer = self.mailer.is_suppressed(&address).await;
            run.questions.left -= 1;
            run.questions.time -= self.now().duration_since(now);
            match answer {
                Ok(is_suppressed) => {
                    let was = known.filter(|known| known.is_suppressed);
                    let is_told = is_suppressed && was.as_ref().is_some_and(|known| known.is_told);
                    if is_suppressed && was.is_none() {
                        tracing::error!(
                            run = run.id,
                            route = target.route,
                            "the mail service drops mails to a recipient: it is left out; validation says which one"
                        );
                    }
                    run.log.note_suppression(hash, Suppression { asked: now, is_suppressed, is_told });
                }
                Err(error) => {
                    tracing::warn!(run = run.id, error = %error, "the mail service did not say whether it drops mails to a recipient");
                    // It is not waited for again in this run.
                    run.questions.left = 0;
                }
            }
        }
    }

    /// The recipients of the settings of whom the operator is still to hear that the mail service drops mails to them, each with
    /// the ids of its routes.
    pub(super) fn untold<'a>(&'a self, log: &Log<T>) -> Vec<(String, &'a MailAddress, Vec<&'a str>)> {
        let mail = &self.settings.mail;
        let default = (crate::notify::routing::DEFAULT_ROUTE, mail.to.as_slice());
        let lists = || std::iter::once(default).chain(mail.routes.iter().map(|route| (&*route.id, &*route.to)));
        let mut seen = HashSet::new();
        let mut untold = Vec::new();
        for address in lists().flat_map(|(_, to)| to) {
            let hash = recipient_hash(address.as_str());
            let is_untold = log.suppressions().get(&hash).is_some_and(|known| known.is_suppressed && !known.is_told);
            if is_untold && seen.insert(hash.clone()) {
                let has = |to: &[MailAddress]| to.iter().any(|other| recipient_hash(other.as_str()) == hash);
                let routes = lists().filter(|(_, to)| has(to)).map(|(id, _)| id).collect();
                untold.push((hash, address, routes));
            }
        }
        untold
    }
}

/// The recipients of these to whom the mail service delivers, as far as is known.
fn reached<T: Table>(log: &Log<T>, to: &[MailAddress]) -> Vec<String> {
    let is_suppressed =
        |address: &String| log.suppressions().get(&recipient_hash(address)).is_some_and(|known| known.is_suppressed);
    texts(to).into_iter().filter(|address| !is_suppressed(address)).collect()
}
