//! Who gets which lead.

use super::collect::Item;
use super::log::LabelledRoutes;
use super::{Notifier, NotifierSettings};
use crate::address::MailAddress;
use crate::lead::Lead;
use crate::settings::{MailOrDrop, Route};

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

    /// The routes under the labels by which the version before this one knew them: a name, or a place in the list.
    pub(super) fn labelled_routes(&self) -> LabelledRoutes {
        let routes = (1..).zip(&self.settings.mail.routes);
        let label = |number: usize, route: &Route| route.name.clone().unwrap_or_else(|| format!("route {number}"));
        LabelledRoutes {
            routes: routes.map(|(number, route)| (label(number, route), route.id())).collect(),
            default: DEFAULT_ROUTE.to_owned(),
        }
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
