//! Who gets which lead.

use crate::address::MailAddress;
use crate::lead::Lead;
use crate::settings::{MailOrDrop, NotifierSettings, Route};

/// Where a lead goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Destination {
    /// In no mail, by the settings.
    Dropped,
    /// To the default recipients.
    Default,
    /// To the recipients of the route of this label.
    Route(String),
}

/// Every destination of a lead: each route that matches, or else the default. Never none.
pub(super) fn destinations(lead: &Lead, settings: &NotifierSettings) -> Vec<Destination> {
    let is_dropped = lead.is_validation()
        || lead.is_test() && settings.mail.test_leads == MailOrDrop::Drop
        || lead.is_do_not_contact() && settings.mail.do_not_contact == MailOrDrop::Drop;
    if is_dropped {
        return vec![Destination::Dropped];
    }
    let routes = settings.mail.routes.iter().enumerate().filter(|(_, route)| lead.is_of(&route.offers, &route.actions));
    let mut destinations: Vec<_> = routes.map(|(number, route)| Destination::Route(label(route, number))).collect();
    destinations.sort();
    destinations.dedup();
    if destinations.is_empty() { vec![Destination::Default] } else { destinations }
}

/// The recipients of a destination, as the settings are now: those of a route that is gone are the default ones.
pub(super) fn recipients<'a>(route: Option<&str>, settings: &'a NotifierSettings) -> &'a [MailAddress] {
    let routes = || settings.mail.routes.iter().enumerate();
    let found = route.and_then(|name| routes().find(|(number, route)| label(route, *number) == name));
    found.map_or(&settings.mail.to, |(_, route)| &route.to)
}

fn label(route: &Route, number: usize) -> String {
    route.name.clone().unwrap_or_else(|| format!("route {}", number + 1))
}
