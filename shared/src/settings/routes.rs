//! Routes: who gets the leads of which offers and actions, where and when.

use super::effect::takes_only_do_not_contact;
use super::values::{self, MailOrDrop};
use crate::address::{DestinationName, MailAddress};
use crate::cadence::{Cadence, SummaryTime, Window};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The most channels: one for each destination of each route, and one for the default recipients. The notifier writes what
/// it knows of all of them in one batch.
pub const MAX_CHANNELS: usize = 48;

/// The most characters of an id.
const MAX_ID: usize = 32;

/// Who gets the leads of some offers and actions, where and when.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    /// The route's stable id, to which what waits for it refers: the one that it was given, or else its name in lower case,
    /// or a hash of what it takes where it has no name. Its place in the list and its recipients do not matter.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// Offers, by title or id; empty: all.
    pub offers: Vec<String>,
    /// Action codes, such as `PLT`; empty: all.
    pub actions: Vec<String>,
    /// Who gets them by mail; none twice.
    pub to: Vec<MailAddress>,
    /// Where else they are sent; none twice, and `mail` is none of them. `to` or this has something.
    pub destinations: Vec<DestinationName>,
    /// How often it sends; `None`: as the default recipients get theirs.
    pub cadence: Option<Cadence>,
    /// When it may send; `None`: always.
    pub window: Option<Window>,
    /// Whose clock cadence and window mean; `None`: that of the mails.
    pub zone: Option<TimeZone>,
    /// Whether urgent leads go to it at once, whatever its cadence is.
    pub urgent_at_once: bool,
    /// Whether it takes leads that must not be contacted. What no route takes is the default recipients'.
    pub do_not_contact: MailOrDrop,
    /// When it gets a weekly summary. Such a route gets no leads.
    pub summary: Option<SummaryTime>,
}

/// Reads a JSON array of routes. The error says what is wrong as the rest of a sentence that begins with its name.
fn parse_all(text: &str) -> Result<Vec<Route>, String> {
    let routes: Vec<Value> = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            "is JSON, but not an array".to_owned()
        } else {
            format!("is not JSON (line {}, column {})", error.line(), error.column())
        }
    })?;
    let mut problems = Vec::new();
    let routes: Vec<Route> = (1..)
        .zip(&routes)
        .filter_map(|(number, json)| route(json).map_err(|wrong| problems.push(format!("route {number} {wrong}"))).ok())
        .collect();
    for (number, route) in (1..).zip(&routes) {
        if let Some(same) = routes[..number - 1].iter().position(|other| other.id == route.id) {
            let what = match (&routes[same].name, &route.name) {
                _ if routes[same].is_named_by_id() => "the id",
                (_, Some(_)) => "the name",
                (_, None) => "no name and the offers and actions",
            };
            problems.push(format!("route {number} has {what} of route {}", same + 1));
        }
        if route.do_not_contact == MailOrDrop::Drop && takes_only_do_not_contact(route) {
            problems.push(format!("route {number} can never get anything: it takes no other leads than it leaves out"));
        }
        if let Some(at) = route.actions.iter().position(|action| !is_code(action)) {
            let wrong = "is no code such as PLT, so that no lead would ever match it";
            problems.push(format!("route {number} has an action at place {} that {wrong}", at + 1));
        }
    }
    for (number, route) in (1..).zip(&routes) {
        // The version before this one knew a route without a name by its place, and remembers what waits for it so.
        let place = (1..=routes.len()).find(|place| {
            let label = format!("route {place}");
            *place != number && route.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&label))
        });
        if let Some(place) = place {
            problems.push(format!("route {number} has a name that stands for the place of route {place}"));
        }
    }
    let channels: usize = routes.iter().map(Route::channels).sum();
    if channels >= MAX_CHANNELS {
        let most = MAX_CHANNELS - 1;
        problems.push(format!("there are {channels} destinations in all routes together, and {most} at most"));
    }
    if problems.is_empty() { Ok(routes) } else { Err(format!("does not fit: {}", problems.join(", "))) }
}

impl Route {
    /// Reads a JSON array of routes.
    ///
    /// # Errors
    /// What is wrong with them, as the rest of a sentence that begins with where they are kept. Holds nothing of their text
    /// but the names of fields.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        parse_all(text)
    }

    /// Whether what waits under an id is this route's: also what waits since before it was given one.
    pub fn answers_to(&self, id: &str) -> bool {
        self.id == id || derived_id(self.name.as_deref(), &self.offers, &self.actions) == id
    }

    /// Whether its id was given to it.
    fn is_named_by_id(&self) -> bool {
        !self.id.contains(' ')
    }

    /// How many channels it has: all mail addresses together are one.
    fn channels(&self) -> usize {
        usize::from(!self.to.is_empty()) + self.destinations.len()
    }
}

fn route(json: &Value) -> Result<Route, String> {
    const FIELDS: [&str; 11] = [
        "id",
        "name",
        "offers",
        "actions",
        "to",
        "cadence",
        "window",
        "zone",
        "urgentAtOnce",
        "doNotContact",
        "summary",
    ];
    let fields = Fields(json.as_object().ok_or("is not an object")?);
    if let Some(unknown) = fields.0.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        // The name of a field may be an address that was put in the wrong place. It is shown only where it cannot be one.
        let is_name = unknown.len() <= 32 && unknown.chars().all(|letter| letter.is_ascii_alphabetic());
        let unknown = if is_name { format!(" \"{unknown}\"") } else { String::new() };
        return Err(format!("has an unknown field{unknown} (known: {})", FIELDS.join(", ")));
    }
    let name = fields.text("name")?;
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let (offers, actions) = (owned(fields.texts("offers")?), owned(fields.texts("actions")?));
    let given = fields.parsed("id", id)?;
    let (to, destinations) = recipients(&fields.texts("to")?)?;
    let summary = fields.parsed("summary", |text| {
        SummaryTime::parse(text).map_err(|error| format!("{error} ({})", SummaryTime::EXPECTED))
    })?;
    let is_about_leads = ["offers", "actions", "cadence", "window", "doNotContact", "urgentAtOnce"];
    if summary.is_some() && (!destinations.is_empty() || is_about_leads.iter().any(|name| fields.0.contains_key(*name)))
    {
        return Err("is for a summary, which tells of all leads and goes to mail addresses alone: leave out what is about single leads".to_owned());
    }
    Ok(Route {
        summary,
        id: given.unwrap_or_else(|| derived_id(name, &offers, &actions)),
        name: name.map(str::to_owned),
        offers,
        actions,
        to,
        destinations,
        cadence: fields.parsed("cadence", |text| {
            Cadence::parse(text).map_err(|error| format!("{error} ({})", Cadence::EXPECTED))
        })?,
        window: fields
            .parsed("window", |text| Window::parse(text).map_err(|error| format!("{error} ({})", Window::EXPECTED)))?,
        zone: fields.parsed("zone", values::time_zone)?,
        urgent_at_once: match fields.0.get("urgentAtOnce") {
            None | Some(Value::Null) => true,
            Some(value) => value.as_bool().ok_or("has a \"urgentAtOnce\" that is neither true nor false")?,
        },
        do_not_contact: fields.parsed("doNotContact", values::mail_or_drop)?.unwrap_or(MailOrDrop::Mail),
    })
}

/// Whether a text can be the code of an action. The set of codes is open.
fn is_code(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
}

/// The id of a route that was given none.
fn derived_id(name: Option<&str>, offers: &[String], actions: &[String]) -> String {
    match name {
        Some(name) => format!("name {}", name.to_lowercase()),
        None => {
            let taken = serde_json::json!([offers, actions]).to_string().to_lowercase();
            format!("filter {}", hex::encode(&Sha256::digest(taken)[..8]))
        }
    }
}

/// Reads an id. It has no space, so that no derived id can be the same, and is none that stands for something else.
fn id(text: &str) -> Result<String, String> {
    let is_id = text.len() <= MAX_ID
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    match text {
        "default" => Err("stands for the default recipients".to_owned()),
        text if is_id => Ok(text.to_owned()),
        _ => Err(format!("is not made of 1 to {MAX_ID} of a-z 0-9 -")),
    }
}

/// Tells mail addresses from names of destinations: what has an @ is an address. Repeated ones are left out.
fn recipients(texts: &[&str]) -> Result<(Vec<MailAddress>, Vec<DestinationName>), String> {
    if texts.is_empty() {
        return Err("has no mail address and no destination in \"to\"".to_owned());
    }
    let (mut to, mut destinations) = (Vec::<MailAddress>::new(), Vec::new());
    for (number, text) in (1..).zip(texts) {
        if text.contains('@') {
            let address = MailAddress::parse_ascii(text)
                .map_err(|_| format!("has no mail address at place {number} in \"to\""))?;
            if !to.iter().any(|known| known.is_same(&address)) {
                to.push(address);
            }
        } else {
            let name = DestinationName::parse(text).ok().filter(|name| !name.is_mail());
            let name = name.ok_or_else(|| {
                format!("has no mail address at place {number} in \"to\", and no name of a destination (a-z 0-9 -)")
            })?;
            if !destinations.contains(&name) {
                destinations.push(name);
            }
        }
    }
    Ok((to, destinations))
}

/// The fields of a route. Errors hold nothing of their values.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// A text that is not empty.
    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let text = value.as_str().ok_or_else(|| format!("has a {name} that is not a text"))?;
                Ok(Some(text.trim()).filter(|text| !text.is_empty()))
            }
        }
    }

    /// A text that is read as something else.
    fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
        let text = self.text(name)?;
        text.map(parse).transpose().map_err(|wrong| format!("has a \"{name}\" that {wrong}"))
    }

    /// An array of texts that are not empty.
    fn texts(&self, name: &str) -> Result<Vec<&'a str>, String> {
        let wrong = || format!("has something else in \"{name}\" than an array of texts that are not empty");
        let Some(value) = self.0.get(name) else {
            return Ok(Vec::new());
        };
        let texts: Option<Vec<_>> = value.as_array().ok_or_else(wrong)?.iter().map(Value::as_str).collect();
        let texts: Vec<_> = texts.ok_or_else(wrong)?.into_iter().map(str::trim).collect();
        if texts.iter().any(|text| text.is_empty()) { Err(wrong()) } else { Ok(texts) }
    }
}

/// Shows no mail address.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("to", &self.to.len()).finish_non_exhaustive()
    }
}
