//! Who should get which lead, by the settings: the oracle's own reading of them.

use crate::config::{Config, RouteNames};
use crate::leads::{ACTIONS, OFFERS};
use crate::tape::Tape;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use marketplace_leads::lead::Lead;
use marketplace_leads::settings::NotifierSettings;
use serde_json::json;

/// A set of people: a bit for each.
pub type People = u128;

/// The settings' recipients and routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// Who gets what no route takes, by number.
    pub default: Vec<u32>,
    /// The routes.
    pub routes: Vec<Route>,
    /// Whether somebody gets a weekly summary.
    has_summary: bool,
}

/// How many destinations there can be beside mail. They are of different kinds.
pub const RECEIVERS: u32 = 3;

/// The number of the first of them among those who get leads.
const FIRST_RECEIVER: u32 = 110;

/// Everybody who gets leads by mail.
pub const MAILBOXES: People = (1 << FIRST_RECEIVER) - 1;

/// Who gets the weekly summary, and no lead.
pub const READER: u32 = 120;

/// When the window of a route opens and closes, by the clock of UTC.
const WINDOW: (i8, i8) = (8, 18);

/// How often routes send. Each is well within the time after the faults in which everything must have been sent.
const CADENCES: [&str; 3] = ["immediately", "every 120 minutes", "daily at 09:30"];

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    name: Option<String>,
    /// How often it sends.
    cadence: &'static str,
    /// Whether it sends within [`WINDOW`] alone.
    has_window: bool,
    /// Numbers of [`OFFERS`]; none means all.
    offers: Vec<usize>,
    /// Some of [`ACTIONS`]; none means all.
    actions: Vec<&'static str>,
    /// Who gets its leads.
    pub to: Vec<u32>,
}

/// The address of a person, or the name of a destination.
pub fn address(person: u32) -> String {
    match person.checked_sub(FIRST_RECEIVER) {
        Some(receiver) if receiver < RECEIVERS => format!("receiver-{receiver}"),
        _ => format!("person-{person}@seller.example"),
    }
}

/// Which destination has this name.
pub fn receiver(name: &str) -> Option<u32> {
    name.strip_prefix("receiver-")?.parse().ok()
}

/// A destination among those who get leads.
pub fn receiver_bit(receiver: u32) -> People {
    1 << (FIRST_RECEIVER + receiver)
}

/// Whether any of these is no mailbox.
pub fn has_receiver(people: &[u32]) -> bool {
    people.iter().any(|person| (FIRST_RECEIVER..FIRST_RECEIVER + RECEIVERS).contains(person))
}

/// Which person has this address.
pub fn person(address: &str) -> Option<u32> {
    address.strip_prefix("person-")?.strip_suffix("@seller.example")?.parse().ok()
}

/// People as a set.
pub fn set(people: &[u32]) -> People {
    people.iter().fold(0, |set, person| set | 1 << person)
}

impl Routing {
    /// Draws the settings of a world. No two destinations share a person.
    pub fn draw(tape: &mut Tape, config: &Config) -> Self {
        let default = (0..config.recipients).collect();
        let routes = (0..config.routes).map(|number| Route {
            name: match config.route_names {
                RouteNames::Own => Some(format!("team {number}")),
                RouteNames::Missing => None,
                RouteNames::Same if number < 2 => Some("team".to_owned()),
                RouteNames::Same => Some(format!("team {number}")),
                RouteNames::LikeANumber if number == 0 => Some("route 2".to_owned()),
                RouteNames::LikeANumber => None,
            },
            offers: (0..OFFERS.len()).filter(|_| tape.chance(0.4)).collect(),
            actions: ACTIONS.into_iter().filter(|_| tape.chance(0.2)).collect(),
            cadence: if config.is_patient { tape.pick(&CADENCES) } else { CADENCES[0] },
            has_window: config.is_patient && tape.chance(0.4),
            to: {
                let people = (0..1 + tape.below(2)).map(|person| 70 + 10 * number + person);
                let destination = (number < config.receivers).then_some(FIRST_RECEIVER + number);
                // A destination beside mail has some routes for itself.
                let people: Vec<_> =
                    people.take(if destination.is_some() { tape.below(3) as usize } else { 2 }).collect();
                people.into_iter().chain(destination).collect()
            },
        });
        Self { default, routes: routes.collect(), has_summary: config.has_summary }
    }

    /// Who should get a lead of this offer and action; `None` for those that no route can name.
    pub fn people(&self, offer: Option<usize>, action: Option<&str>) -> People {
        let matches = |route: &&Route| {
            let is_row = action.is_some();
            let offers = route.offers.is_empty() || offer.is_some_and(|offer| route.offers.contains(&offer));
            let actions = route.actions.is_empty() || action.is_some_and(|action| route.actions.contains(&action));
            is_row && offers && actions
        };
        let routed = self.routes.iter().filter(matches).fold(0, |people, route| people | set(&route.to));
        if routed == 0 { set(&self.default) } else { routed }
    }

    /// Who should get a lead that was read.
    pub fn people_of(&self, lead: &Lead) -> People {
        let matches = |route: &&Route| {
            let offers = route.offers.iter().flat_map(|offer| [OFFERS[*offer].0, OFFERS[*offer].1]);
            let offers: Vec<_> = offers.map(str::to_owned).collect();
            let actions: Vec<_> = route.actions.iter().map(|action| (*action).to_owned()).collect();
            lead.is_of(&offers, &actions)
        };
        let routed = self.routes.iter().filter(matches).fold(0, |people, route| people | set(&route.to));
        if routed == 0 { set(&self.default) } else { routed }
    }

    /// Who may wait for longer than others: whose route sends now and then.
    pub fn patient(&self) -> People {
        let is_patient = |route: &&Route| route.cadence != CADENCES[0] || route.has_window;
        self.routes.iter().filter(is_patient).fold(0, |people, route| people | set(&route.to))
    }

    /// Who gets nothing at this time, because the window of their route is shut since some minutes, and shut by the
    /// functions' own clock, too.
    pub fn shut(&self, now: Timestamp, by_our_clock: Timestamp) -> People {
        let since = now - SignedDuration::from_mins(6);
        let is_open = |time: Timestamp| (WINDOW.0..WINDOW.1).contains(&time.to_zoned(TimeZone::UTC).hour());
        if [since, now, by_our_clock].into_iter().any(is_open) {
            return 0;
        }
        self.routes.iter().filter(|route| route.has_window).fold(0, |people, route| people | set(&route.to))
    }

    /// The operator changes something: somebody leaves, the routes change places, somebody comes.
    #[must_use]
    pub fn changed(&self, tape: &mut Tape) -> Self {
        let mut changed = self.clone();
        match tape.below(4) {
            0 if changed.default.len() > 1 => drop(changed.default.remove(0)),
            1 => changed.routes.reverse(),
            2 => changed.default.rotate_left(1),
            _ => {
                let newcomer = (0..60).find(|person| !changed.default.contains(person)).unwrap_or(61);
                changed.default.push(newcomer);
            }
        }
        changed
    }

    /// The notifier's settings; `None` where they are refused at its start.
    pub fn settings(&self, config: &Config) -> Option<NotifierSettings> {
        let people = |people: &[u32]| people.iter().map(|person| address(*person)).collect::<Vec<_>>();
        let routes = self.routes.iter().map(|route| {
            let offers: Vec<_> = route.offers.iter().flat_map(|offer| [OFFERS[*offer].0, OFFERS[*offer].1]).collect();
            let mut json = json!({"offers": offers, "actions": route.actions, "to": people(&route.to)});
            if let Some(name) = &route.name {
                json["name"] = name.as_str().into();
            }
            json["cadence"] = route.cadence.into();
            if route.has_window {
                json["window"] = format!("{:02}:00-{:02}:00", WINDOW.0, WINDOW.1).into();
            }
            json
        });
        let summary = json!({"name": "summary", "summary": "weekly", "to": people(&[READER])});
        let routes = routes.chain(self.has_summary.then_some(summary));
        let routes = serde_json::Value::Array(routes.collect());
        let pairs = [
            ("LEADS_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true".to_owned()),
            ("LEADS_MAIL_FROM", "leads@seller.example".to_owned()),
            ("LEADS_MAIL_TO", people(&self.default).join(";")),
            ("LEADS_OPERATOR", "operator@seller.example".to_owned()),
            ("LEADS_ROUTES", routes.to_string()),
            // Each run is expected to mail what it finds.
            ("LEADS_CADENCE", "immediately".to_owned()),
            ("LEADS_INTERVAL_MINUTES", (config.interval.as_mins()).to_string()),
            // A lead that came before the first run wrote anything down is promised only as far as that.
            ("LEADS_FIRST_LOOKBACK_MINUTES", "1440".to_owned()),
            ("LEADS_SWEEP_HOURS", config.sweep_hours.to_string()),
            ("LEADS_DIGEST_SIZE", config.digest_size.to_string()),
            ("LEADS_RETENTION_DAYS", config.retention_days.to_string()),
        ];
        NotifierSettings::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value))).ok()
    }
}
