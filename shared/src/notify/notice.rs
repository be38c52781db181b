//! Sending a mail that holds no lead: the weekly summary, and the alert about silence.

use super::deliver::is_about_recipient;
use super::run::{Run, SEND, TABLE_CALL};
use super::{Notifier, NotifyError};
use crate::address::{MailAddress, texts};
use crate::mail::{MailError, Mailer, Message, Rendered};
use crate::table::Table;
use std::collections::VecDeque;

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Sends such a mail to these recipients. Where the service refuses one of several, each gets a mail of his own, so that one
    /// bad address keeps nothing from the others. Says whether it is done with: what a mail service refuses for good is not
    /// tried again by every run.
    pub(super) async fn send_notice(
        &self,
        run: &mut Run<T>,
        part: &str,
        rendered: &Rendered,
        to: &[MailAddress],
    ) -> Result<bool, NotifyError> {
        let mut left: VecDeque<_> = rendered.messages(&self.settings.mail.from.header(), &texts(to)).into();
        while let Some(message) = left.pop_front() {
            if !run.has_time(self.now(), SEND + TABLE_CALL) {
                run.is_stopped = true;
                return Ok(false);
            }
            run.log.keep_lease(SEND).await?;
            match self.mailer.send(&message).await {
                Ok(_) => run.record.mails += 1,
                Err(error) if message.to.len() > 1 && is_about_recipient(&error) => {
                    left.extend(message.to.iter().map(|to| Message { to: vec![to.clone()], ..message.clone() }));
                }
                Err(error) => {
                    let passes = matches!(error, MailError::Busy { .. } | MailError::Unavailable { .. });
                    run.failed(part, &error.into());
                    if passes {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}
