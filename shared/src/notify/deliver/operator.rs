//! Telling the operator, once, what a person has to do about a destination.

use super::failure::Effect;
use crate::address::MailAddress;
use crate::mail::{Mailer, Rendered, SuppressedRecipient, Trouble, render_suppressed, render_trouble};
use crate::notify::Notifier;
use crate::notify::NotifyError;
use crate::notify::log::{Channel, ChannelId, Told};
use crate::notify::run::{Run, SEND, TABLE_CALL};
use crate::notify::times::{earlier, span};
use crate::table::Table;
use jiff::Timestamp;

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// From when on what waits for a destination is kept.
    pub(super) fn kept_from(&self, now: Timestamp) -> Timestamp {
        earlier(now, span(self.settings.retention))
    }

    /// Tells the operator of channels that failed in this run: that their destination refuses everything, or that half of
    /// the time is over for which what waits is kept. What could not be told is told after the next failure.
    pub(super) async fn tell_operator(
        &self,
        run: &mut Run<T>,
        failed: Vec<(ChannelId, Effect)>,
    ) -> Result<(), NotifyError> {
        let Some(operator) = &self.settings.mail.operator else { return Ok(()) };
        let half = earlier(self.now(), span(self.settings.retention / 2));
        let mut told = Vec::new();
        for (id, effect) in failed {
            let Some(channel) = run.log.channel(&id).filter(|channel| channel.owes()).cloned() else { continue };
            let is_old = channel.oldest.is_some_and(|oldest| oldest < half);
            let news = match effect {
                _ if is_old && channel.told < Told::Wait => Told::Wait,
                Effect::Destination if channel.told < Told::Refusal => Told::Refusal,
                _ => continue,
            };
            if !run.has_time(self.now(), SEND + TABLE_CALL) {
                break;
            }
            let trouble = trouble(&channel, news, &run.id);
            let mail = render_trouble(&trouble, &self.render_settings());
            if self.send_to_operator(run, operator, &mail).await {
                told.push(Channel { told: news, ..channel });
            }
        }
        if told.is_empty() { Ok(()) } else { run.log.deliver(told, &[], &None).await }
    }

    /// Tells the operator, once, of recipients to whom the mail service delivers nothing. What could not be told is told by the
    /// next run that sends something.
    pub(super) async fn tell_of_recipients(&self, run: &mut Run<T>) -> Result<(), NotifyError> {
        // A run that has nothing to do sends nothing either.
        let Some(operator) = self.settings.mail.operator.as_ref().filter(|_| run.log.is_held()) else { return Ok(()) };
        let mut told = Vec::new();
        for (hash, address, routes) in self.untold(&run.log) {
            if !run.has_time(self.now(), SEND + TABLE_CALL) {
                break;
            }
            let recipient = SuppressedRecipient {
                id: format!("recipient-{hash}-{}", run.id),
                address: address.as_str().to_owned(),
                routes: routes.join(", "),
            };
            let mail = render_suppressed(&recipient, &self.render_settings());
            if self.send_to_operator(run, operator, &mail).await {
                told.push(hash);
            }
        }
        if told.is_empty() { Ok(()) } else { run.log.note_told_of_recipients(&told).await }
    }

    /// Sends a mail to the operator. Says whether it was accepted.
    async fn send_to_operator(&self, run: &Run<T>, operator: &MailAddress, mail: &Rendered) -> bool {
        let messages = mail.messages(&self.settings.mail.from.header(), &[operator.as_str().to_owned()]);
        let Some(message) = messages.first() else { return false };
        let sent = self.mailer.send(message).await;
        if let Err(error) = &sent {
            tracing::error!(run = run.id, error = %error, "the operator was not told");
        }
        sent.is_ok()
    }
}

fn trouble(channel: &Channel, news: Told, run: &str) -> Trouble {
    Trouble {
        id: format!("destination-{}-{run}", channel.id),
        destination: channel.target.destination.to_string(),
        route: channel.target.route.clone(),
        waiting: channel.owed,
        reason: channel.reason.clone().unwrap_or_default(),
        waiting_since: channel.oldest.filter(|_| news == Told::Wait),
    }
}
