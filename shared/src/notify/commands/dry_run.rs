//! What a run would send now, without lease, writes or mails.

use crate::mail::{Digest, Mailer, Occasion, Rendered, render};
use crate::notify::collect::Item;
use crate::notify::deliver::Route;
use crate::notify::log::{self, Target};
use crate::notify::run::TABLE_CALL;
use crate::notify::status::new_items;
use crate::notify::times::{earlier, span};
use crate::notify::{Notifier, NotifyError};
use crate::table::Table;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most digests that a dry run shows whole: an answer of Lambda holds 6 MB.
const SHOWN_DIGESTS: usize = 10;

/// The most leads that a dry run holds in memory.
const MOST_LEADS: usize = 5_000;

/// The most bytes of leads that it holds.
const MOST_BYTES: usize = 16 * 1024 * 1024;

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Shows the digests of what is new. What channels owe from before is counted.
    pub(super) async fn dry_run(&self, id: &str, deadline: Timestamp) -> Result<Value, NotifyError> {
        let mut run = self.begin(id, deadline).await?;
        run.people.is_read_only = true;
        let now = self.now();
        let watermark = run.log.progress().watermark.unwrap_or_else(|| self.first_watermark(now));
        let may_go_on = || run.has_time(self.now(), TABLE_CALL);
        let from = earlier(watermark, span(self.settings.schedule.overlap));
        let (new, is_whole) =
            new_items(&self.leads, &self.state, &run.log, (from, now), (MOST_LEADS, MOST_BYTES), &may_go_on).await?;
        let found = new.len();
        let mut targets: BTreeMap<Target, Vec<Item>> = BTreeMap::new();
        let mut dropped = 0;
        for item in new {
            let owing = self.targets_of(&item);
            dropped += usize::from(owing.is_empty());
            for target in owing {
                targets.entry(target).or_default().push(item.clone());
            }
        }
        let mut shown = Vec::new();
        for (target, items) in targets {
            for items in items.chunks(self.settings.digest_size) {
                let digest = self.with_history(&mut run, items).await;
                let digest = Digest { id: run.ids.next(), occasion: Occasion::New, ..digest };
                let is_mail = matches!(self.route_of(&target).await, Route::Mail);
                let Rendered { subject, text, html, .. } = render(&digest, &self.render_settings());
                let mut digest = json!({
                    "subject": subject,
                    "route": target.route,
                    "destination": target.destination.as_str(),
                    "leads": digest.leads.len(),
                    "unreadable": digest.unreadable.len(),
                    "quarantined": digest.quarantined.len(),
                    "recipients": if is_mail { self.known_recipients(&run.log, &target).to } else { Vec::new() },
                });
                if shown.len() < SHOWN_DIGESTS {
                    digest["text"] = text.into();
                    digest["html"] = html.into();
                }
                shown.push(digest);
            }
        }
        let patrol = &run.log.progress().patrol;
        Ok(json!({
            "paused": run.log.is_paused(),
            "watermark": run.log.progress().watermark,
            "owed": run.log.channels().map(|channel| channel.owed).sum::<usize>(),
            "parked": self.parked(log::MAX_ENTRIES.try_into().unwrap_or(500)).await?.len(),
            "cues": run.log.cues().len(),
            "last_full_patrol": patrol.last_full,
            "patrol_under_way": patrol.pass.is_some(),
            "found": found,
            "all_found": is_whole,
            "dropped": dropped,
            "digests": shown,
        }))
    }
}
