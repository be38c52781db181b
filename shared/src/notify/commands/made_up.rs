//! The command `test`: a made-up digest through one route.

use super::Recipients;
use crate::address::{DestinationName, texts};
use crate::lead::{Customer, Day, Lead, Origin, StoredLead};
use crate::mail::{Digest, DigestLead, Mailer, Occasion, PastAction, render};
use crate::notify::log::{DigestIds, Target};
use crate::notify::routing::DEFAULT_ROUTE;
use crate::notify::{Notifier, NotifyError};
use crate::table::{Keys, Table};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

impl<T: Table, M: Mailer> Notifier<T, M> {
    /// Sends a made-up digest as a route sends its own, to these addresses. Nothing is read of the tables and nothing recorded.
    pub(super) async fn test(&self, route: Option<&str>, to: &Recipients, id: &str) -> Result<Value, NotifyError> {
        let now = self.now();
        let name = route.unwrap_or(DEFAULT_ROUTE);
        let routes = &self.settings.mail.routes;
        let found = routes.iter().find(|known| known.id == name || known.name.as_deref() == Some(name));
        if found.is_none() && name != DEFAULT_ROUTE {
            let ids: Vec<_> = routes.iter().map(|route| format!("`{}`", route.id)).collect();
            let ids = [&[format!("`{DEFAULT_ROUTE}`")], ids.as_slice()].concat().join(", ");
            return Err(NotifyError::State(format!("the settings have no such route; there are {ids}")));
        }
        let target = found.map_or_else(
            || Target::mail(DEFAULT_ROUTE),
            |route| Target { route: route.id.clone(), destination: DestinationName::mail() },
        );
        let digest = made_up(DigestIds::new(id, now).next(), now);
        let rendered = render(&digest, &self.render_settings());
        let messages = rendered.messages(&self.settings.mail.from.header(), &texts(&to.0));
        for message in &messages {
            self.mailer.send(message).await?;
        }
        tracing::info!(route = target.route, mails = messages.len(), "a made-up digest was sent");
        let sample = &digest.leads[0].stored.lead;
        Ok(json!({
            "route": target.route,
            "mails": messages.len(),
            "urgent_at_once": self.is_urgent(sample, &target),
            "others_at": self.next_regular(&target, now),
        }))
    }
}

/// A digest of one made-up test lead, by somebody who was there before.
fn made_up(id: String, now: Timestamp) -> Digest {
    let lead = Lead {
        customer: Customer {
            first_name: "Test".to_owned(),
            last_name: "Lead".to_owned(),
            email: "someone@example.com".to_owned(),
            phone: "+1 555 0100".to_owned(),
            country: "US".to_owned(),
            company: "Example".to_owned(),
            title: "Made up by the command test".to_owned(),
            ..Customer::default()
        },
        lead_source: "MSFT_TEST_0-PLT|example.offer".to_owned(),
        action_code: "PLT".to_owned(),
        offer_title: "Example offer".to_owned(),
        description: "This lead is made up. Nobody asked for anything.".to_owned(),
        created_time: now.to_string(),
        ..Lead::default()
    };
    let past = PastAction {
        time: crate::notify::times::earlier(now, SignedDuration::from_hours(24)),
        action_code: "INS".to_owned(),
        offer: "Example offer".to_owned(),
    };
    let stored = StoredLead {
        lead,
        keys: Keys::new(Day::of(now).partition_key(), "made-up"),
        timestamp: Some(now),
        received: None,
        origin: Origin::Table,
        same_request: None,
    };
    Digest {
        id,
        occasion: Occasion::New,
        is_redirected: false,
        more: 0,
        leads: vec![DigestLead { stored, history: vec![past] }],
        unreadable: Vec::new(),
        quarantined: Vec::new(),
    }
}
