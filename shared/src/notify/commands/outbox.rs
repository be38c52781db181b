//! What is still owed, and what to do about it: `outbox`, `retry`, `discard`.

use crate::mail::Mailer;
use crate::notify::log::{self, Channel, ChannelId, Entry, Found, MAX_CUES, Owed, Parked, Target, Told};
use crate::notify::routing::DEFAULT_ROUTE;
use crate::notify::run::{Run, TABLE_CALL};
use crate::notify::{Notifier, NotifyError};
use crate::table::{Query, Table};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The most leads that are named for each channel.
const NAMED: usize = 20;

/// The most leads given up that are named.
const PARKED_NAMED: u32 = 500;

/// The most leads that `discard` names.
const DISCARDED_NAMED: usize = 2_000;

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// What each channel still owes: for whom, since when, why, and when it is tried next; and what was given up.
    pub(super) async fn outbox(&self, id: &str, deadline: Timestamp) -> Result<Value, NotifyError> {
        let run = self.begin(id, deadline).await?;
        let mut channels = Vec::new();
        for channel in run.log.channels().filter(|channel| channel.owes()) {
            let leads = self.owed_entries(&run, channel, NAMED).await?;
            channels.push(json!({
                "channel": channel.id.as_str(),
                "route": channel.target.route,
                "destination": channel.target.destination.as_str(),
                "owed": channel.owed,
                "oldest": channel.oldest,
                "due": self.due(channel),
                "attempts": channel.attempts,
                "next_attempt": channel.next_attempt,
                "reason": channel.reason,
                "leads": leads.iter().map(|entry| entry.told().json()).collect::<Vec<_>>(),
            }));
        }
        let parked = self.parked_of_all(&run).await?;
        let parked = parked.iter().map(|parked| {
            json!({
                "channel": parked.channel.as_str(),
                "lead": parked.entry.told().json(),
                "reason": parked.reason,
            })
        });
        Ok(json!({
            "paused": run.log.is_paused(),
            "channels": channels,
            "parked": parked.collect::<Vec<_>>(),
        }))
    }

    /// Has channels tried with the next run, and puts what was given up in them back.
    pub(super) async fn retry(
        &self,
        channel: Option<ChannelId>,
        id: &str,
        deadline: Timestamp,
    ) -> Result<Value, NotifyError> {
        let mut run = self.begin_command(id, deadline).await?;
        let now = self.now();
        let channels: Vec<_> = run
            .log
            .channels()
            .filter(|known| is_meant(channel.as_ref(), &known.id) && known.owes())
            .map(|channel| {
                let mut channel = Channel { attempts: 0, next_attempt: None, grouped_until: None, ..channel.clone() };
                channel.hurry(now);
                channel
            })
            .collect();
        let tried = channels.len();
        let done = self.put_back(&mut run, channels, channel.as_ref()).await;
        run.log.release().await?;
        let returned = done?;
        tracing::info!(channels = tried, leads = returned, "channels are to be tried again");
        Ok(json!({ "channels": tried, "put_back": returned }))
    }

    async fn put_back(
        &self,
        run: &mut Run<T>,
        channels: Vec<Channel>,
        wanted: Option<&ChannelId>,
    ) -> Result<usize, NotifyError> {
        if !channels.is_empty() {
            run.log.deliver(channels, &[], &None).await?;
        }
        let mut returned = 0;
        let rows = wanted.map_or_else(log::parked_rows, log::parked_rows_of);
        let parked = self.parked_in(rows, PARKED_NAMED).await?;
        for parked in parked.chunks(MAX_CUES) {
            if !run.has_time(self.now(), TABLE_CALL) {
                break;
            }
            // What belonged to a route that is gone is the default recipients'.
            let target = |id: &ChannelId| {
                run.log.channel(id).map_or_else(|| Target::mail(DEFAULT_ROUTE), |channel| channel.target.clone())
            };
            let found: Vec<_> = parked
                .iter()
                .map(|parked| Found {
                    entry: parked.entry.clone(),
                    owed_to: vec![Owed { target: target(&parked.channel), is_urgent: true, is_maybe: parked.is_maybe }],
                })
                .collect();
            let keys: Vec<_> = parked.iter().map(Parked::row_key).collect();
            let progress = run.log.progress().clone();
            // The next run sends them, so none is about to go out.
            run.log
                .record(&found, progress, &keys, (self.settings.digest_size, &|_| false), &mut run.ids, &None)
                .await?;
            returned += parked.len();
        }
        Ok(returned)
    }

    /// Gives up what a channel owes. The answer and the logs name the leads by their keys.
    pub(super) async fn discard(
        &self,
        channel: &ChannelId,
        id: &str,
        deadline: Timestamp,
    ) -> Result<Value, NotifyError> {
        let mut run = self.begin_command(id, deadline).await?;
        let done = self.give_up(&mut run, channel).await;
        run.log.release().await?;
        done
    }

    async fn give_up(&self, run: &mut Run<T>, channel: &ChannelId) -> Result<Value, NotifyError> {
        let Some(channel) = run.log.channel(channel).cloned() else {
            return Err(NotifyError::State(
                "there is no channel of this id: `outbox` gives those that owe something".to_owned(),
            ));
        };
        let leads = self.owed_entries(run, &channel, DISCARDED_NAMED).await?;
        let leads: Vec<_> = leads.iter().map(|entry| entry.told().json()).collect();
        let owed = channel.owed;
        let given_up = Channel {
            cursor: channel.tail.clone(),
            owed: 0,
            oldest: None,
            urgent: None,
            flight: None,
            limit: None,
            is_reduced: false,
            has_parked: false,
            suspects: Vec::new(),
            attempts: 0,
            next_attempt: None,
            reason: None,
            told: Told::Nothing,
            ..channel
        };
        for leads in leads.chunks(100) {
            tracing::warn!(channel = %given_up.id, leads = %json!(leads), "leads are given up by command");
        }
        run.log.deliver(vec![given_up], &[], &None).await?;
        Ok(json!({ "discarded": owed, "leads": leads }))
    }

    /// What a command that changes the log begins with: it needs the lease.
    async fn begin_command(&self, id: &str, deadline: Timestamp) -> Result<Run<T>, NotifyError> {
        let mut run = self.begin(id, deadline).await?;
        if run.log.is_busy() || run.log.is_to_be_moved() {
            return Err(NotifyError::Busy);
        }
        match run.log.seize().await {
            Err(NotifyError::LeaseLost) => Err(NotifyError::Busy),
            seized => seized.map(|()| run),
        }
    }

    /// The first entries that a channel owes.
    async fn owed_entries(&self, run: &Run<T>, channel: &Channel, most: usize) -> Result<Vec<Entry>, NotifyError> {
        let mut entries = Vec::new();
        let mut next = None;
        while entries.len() < most && run.has_time(self.now(), TABLE_CALL) {
            let (rows, following) = log::page(&self.state, &channel.cursor.row, 8, next.as_ref()).await?;
            for row in &rows {
                entries.extend(row.owed(&channel.id, &channel.cursor).map(|index| row.entries[index].clone()));
            }
            next = following;
            if next.is_none() {
                break;
            }
        }
        entries.truncate(most);
        Ok(entries)
    }

    /// What was given up, as far as one page holds it.
    pub(in crate::notify) async fn parked(&self, most: u32) -> Result<Vec<Parked>, NotifyError> {
        self.parked_in(log::parked_rows(), most).await
    }

    /// What was given up, by channel: of each one some, however much others gave up.
    async fn parked_of_all(&self, run: &Run<T>) -> Result<Vec<Parked>, NotifyError> {
        let (mut parked, mut rows) = (Vec::new(), log::parked_rows());
        while run.has_time(self.now(), TABLE_CALL) {
            let left = usize::try_from(PARKED_NAMED).unwrap_or_default().saturating_sub(parked.len());
            let found = self.parked_in(rows.clone(), left.max(NAMED).try_into().unwrap_or(PARKED_NAMED)).await?;
            let Some(last) = found.last() else { break };
            // What is left of this channel is not named.
            rows.row_key_from = log::parked_rows_of(&last.channel).row_key_before;
            parked.extend(found);
        }
        Ok(parked)
    }

    async fn parked_in(&self, rows: Query, most: u32) -> Result<Vec<Parked>, NotifyError> {
        let query = Query { page_size: Some(most), ..rows };
        let rows = log::page_of(&self.state, &query).await?;
        Ok(rows.iter().filter_map(Parked::from_entity).collect())
    }
}

/// Whether a command means a channel: the one that it names, or all where it names none.
fn is_meant(wanted: Option<&ChannelId>, id: &ChannelId) -> bool {
    wanted.is_none_or(|wanted| wanted == id)
}
