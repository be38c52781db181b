//! Who gets which lead.

use super::collect::Item;
use super::log::{LabelledRoutes, Owed, Target};
use super::{Notifier, NotifierSettings};
use crate::address::{DestinationName, MailAddress};
use crate::lead::Lead;
use crate::settings::{MailOrDrop, Route};

/// The id of the route to the default recipients.
pub(crate) const DEFAULT_ROUTE: &str = "default";

impl<T, M> Notifier<T, M> {
    /// Those who are owed an item: nobody where the settings drop it.
    pub(super) fn targets_of(&self, item: &Item) -> Vec<Target> {
        match item {
            Item::Lead(stored) => targets(&stored.lead, &self.settings),
            Item::Unreadable(_) | Item::Quarantined(_) => vec![Target::mail(DEFAULT_ROUTE)],
        }
    }

    /// The same, each with whether it is to go out at once.
    pub(super) fn owed_to(&self, item: &Item) -> Vec<Owed> {
        let is_urgent = |target: &Target| item.lead().is_some_and(|stored| self.is_urgent(&stored.lead, target));
        self.targets_of(item)
            .into_iter()
            .map(|target| Owed { is_urgent: is_urgent(&target), target, is_maybe: false })
            .collect()
    }

    /// The recipients of mails to a target, as the settings are now. Where its route or its destination is gone, they are the
    /// default ones.
    pub(super) fn recipients_of(&self, target: &Target) -> &[MailAddress] {
        let route = self.route(&target.route).filter(|_| !self.is_gone(target));
        route.map_or(&self.settings.mail.to, |route| &route.to)
    }

    /// Whether a target's route or destination is gone, so that the default recipients get what it is owed.
    pub(super) fn is_gone(&self, target: &Target) -> bool {
        target.route != DEFAULT_ROUTE
            && self.route(&target.route).is_none_or(|route| route.to.is_empty() || !target.destination.is_mail())
    }

    /// Whether a target is one of those that the settings have now, or was one of them before its route was given an id.
    pub(super) fn has_target(&self, target: &Target) -> bool {
        match self.route(&target.route) {
            Some(route) => route.targets().any(|known| known.destination == target.destination),
            None => *target == Target::mail(DEFAULT_ROUTE),
        }
    }

    /// Whether a target gets what comes from now on, if it is for it.
    pub(super) fn is_current(&self, target: &Target) -> bool {
        self.has_target(target) && self.route(&target.route).is_none_or(|route| route.id == target.route)
    }

    /// A route of the settings, by its stable id, or else the one that had this id before it was given one.
    pub(super) fn route(&self, id: &str) -> Option<&Route> {
        let routes = &self.settings.mail.routes;
        routes.iter().find(|route| route.id == id).or_else(|| routes.iter().find(|route| route.answers_to(id)))
    }

    /// The routes under the labels by which the version before this one knew them: a name, or a place in the list.
    pub(super) fn labelled_routes(&self) -> LabelledRoutes {
        let routes = (1..).zip(&self.settings.mail.routes);
        let label = |number: usize, route: &Route| route.name.clone().unwrap_or_else(|| format!("route {number}"));
        LabelledRoutes {
            routes: routes.map(|(number, route)| (label(number, route), route.id.clone())).collect(),
            default: DEFAULT_ROUTE.to_owned(),
        }
    }
}

impl Route {
    /// To whom it sends.
    fn targets(&self) -> impl Iterator<Item = Target> {
        let mail = (!self.to.is_empty()).then(DestinationName::mail);
        let destinations = mail.into_iter().chain(self.destinations.iter().cloned());
        destinations.map(|destination| Target { route: self.id.clone(), destination })
    }

    /// Whether it takes a lead.
    fn takes(&self, lead: &Lead) -> bool {
        self.summary.is_none()
            && lead.is_of(&self.offers, &self.actions)
            && !(lead.is_do_not_contact() && self.do_not_contact == MailOrDrop::Drop)
    }
}

/// The destinations of each route that takes the lead, or else the default recipients; nobody where the settings drop it.
fn targets(lead: &Lead, settings: &NotifierSettings) -> Vec<Target> {
    let is_dropped = lead.is_validation()
        || lead.is_test() && settings.mail.test_leads == MailOrDrop::Drop
        || lead.is_do_not_contact() && settings.mail.do_not_contact == MailOrDrop::Drop;
    if is_dropped {
        return Vec::new();
    }
    let routes = settings.mail.routes.iter().filter(|route| route.takes(lead));
    let mut targets: Vec<_> = routes.flat_map(Route::targets).collect();
    targets.sort();
    targets.dedup();
    if targets.is_empty() { vec![Target::mail(DEFAULT_ROUTE)] } else { targets }
}
