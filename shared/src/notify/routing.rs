//! Who gets which lead.

use super::collect::Item;
use super::{Notifier, NotifierSettings};
use crate::address::MailAddress;
use crate::lead::Lead;
use crate::settings::MailOrDrop;

/// The id of the route to the default recipients.
pub(crate) const DEFAULT_ROUTE: &str = "default";

impl<T, M> Notifier<T, M> {
    /// The ids of the routes that owe an item to somebody: none where the settings drop it.
    pub(super) fn routes_of(&self, item: &Item) -> Vec<String> {
        match item {
            Item::Lead(stored) => routes(&stored.lead, &self.settings),
            Item::Unreadable(_) | Item::Quarantined(_) => vec![DEFAULT_ROUTE.to_owned()],
        }
    }

    /// The recipients of a route, as the settings are now: those of a route that is gone are the default ones.
    pub(super) fn recipients_of(&self, route: &str) -> &[MailAddress] {
        let found = self.settings.mail.routes.iter().find(|known| known.id() == route);
        found.map_or(&self.settings.mail.to, |route| &route.to)
    }

    /// The id of the route that the version before this one knew under a label: a name, or a place in the list.
    pub(super) fn route_of_label(&self, label: Option<&str>) -> String {
        let routes = self.settings.mail.routes.iter().enumerate();
        let mut labelled = routes.map(|(number, route)| {
            (route.name.clone().unwrap_or_else(|| format!("route {}", number + 1)), route.id())
        });
        let found = label.and_then(|label| labelled.find(|(known, _)| known == label));
        found.map_or_else(|| DEFAULT_ROUTE.to_owned(), |(_, id)| id)
    }
}

/// Each route that takes the lead, or else the default one; none where the settings drop it.
fn routes(lead: &Lead, settings: &NotifierSettings) -> Vec<String> {
    let is_dropped = lead.is_validation()
        || lead.is_test() && settings.mail.test_leads == MailOrDrop::Drop
        || lead.is_do_not_contact() && settings.mail.do_not_contact == MailOrDrop::Drop;
    if is_dropped {
        return Vec::new();
    }
    let routes = settings.mail.routes.iter().filter(|route| lead.is_of(&route.offers, &route.actions));
    let mut ids: Vec<_> = routes.map(|route| route.id()).collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() { vec![DEFAULT_ROUTE.to_owned()] } else { ids }
}
