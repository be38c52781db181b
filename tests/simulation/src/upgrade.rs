//! The state of version 0.1.0, as it is found where the version before is replaced: its checkpoint, digests that it sent,
//! and digests that wait.

use crate::config::LeadKind;
use crate::coverage::Sometimes;
use crate::leads::marker;
use crate::model::{Promise, Violation};
use crate::world::World;
use jiff::SignedDuration;
use marketplace_leads::lead::Day;
use marketplace_leads::notify::PARTITION;
use marketplace_leads::table::Entity;
use serde_json::json;

/// How many digests there are, with a lead each. Each third was sent.
const DIGESTS: usize = 100;

const CHECKPOINT: &str = "checkpoint";

impl World {
    /// Writes the state of the version before.
    pub(crate) fn write_old_state(&mut self) {
        let written = self.began - SignedDuration::from_mins(5);
        let partition = Day::of(written).partition_key();
        let mut pending = Vec::new();
        for place in 0..DIGESTS {
            let number = self.model.add(LeadKind::Plain, None, None, &self.routing);
            let (name, is_sent) = (marker(number), place % 3 == 0);
            let customer = json!({"FirstName": name, "LastName": "Doe", "Email": format!("{name}@fabrikam.example")});
            let row = Entity::new(&partition, format!("row-{name}"))
                .with("CustomerInfo", customer.to_string())
                .with("LeadSource", "AzureMarketplace-INS|contoso.old")
                .with("ActionCode", "INS");
            self.leads.put(row, written);
            self.model.since(number, written);
            self.model.may_be_stored(number, partition.clone(), format!("row-{name}"));
            // What waits goes to everybody, as that version would have sent it; a `backfill` goes by the routes.
            self.model.was_sent_before(number, is_sent, self.routing.people(None, Some("INS")));
            let id = format!("20261103T130000Z-run0-{place:04}");
            let digest = Entity::new(PARTITION, format!("digest-{id}"))
                .with("Leads", json!([[partition, format!("row-{name}")]]).to_string())
                .with("Quarantined", "[]")
                .with("Status", if is_sent { "sent" } else { "pending" });
            self.state.put(digest, written);
            pending.extend((!is_sent).then_some(id));
        }
        let mut checkpoint = Entity::new(PARTITION, CHECKPOINT).with("Watermark", written).with("Swept", written);
        checkpoint.set_text("Pending", &pending.join(" "));
        self.state.put(checkpoint, written);
    }

    /// Where the version before was replaced, its checkpoint is leased, so that it would do nothing.
    pub(crate) fn check_old_state(&mut self) {
        if !self.config.is_upgraded {
            return;
        }
        let checkpoint = self.state.rows().into_iter().find(|row| row.row_key == CHECKPOINT);
        let until =
            checkpoint.and_then(|row| row.string("LeaseOwner").is_some().then(|| row.time("LeaseUntil")).flatten());
        if until.is_some_and(|until| until > self.clock.now()) {
            self.coverage.note(Sometimes::Upgraded);
        } else {
            let seen = "the checkpoint of the version before is not leased";
            self.violate(Violation::new(Promise::OldState, seen));
        }
    }
}
