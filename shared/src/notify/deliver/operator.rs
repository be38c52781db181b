//! Telling the operator, once, what a person has to do about a destination.

use super::failure::Effect;
use crate::mail::{Mailer, Trouble, render_trouble};
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
            let to = [operator.as_str().to_owned()];
            let messages = mail.messages(&self.settings.mail.from.header(), &to);
            let Some(message) = messages.first() else { continue };
            match self.mailer.send(message).await {
                Ok(_) => told.push(Channel { told: news, ..channel }),
                Err(error) => {
                    tracing::error!(run = run.id, error = %error, "the operator was not told of a destination");
                }
            }
        }
        if told.is_empty() { Ok(()) } else { run.log.deliver(told, &[], &None).await }
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
