//! Routes: who gets the leads of which offers and actions.

use super::values::addresses;
use crate::address::MailAddress;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The most routes: the notifier writes what it knows of each, and of the default recipients, in one batch.
const MAX_ROUTES: usize = 47;

/// Who gets the leads of some offers and actions.
#[derive(Clone, PartialEq, Eq)]
pub struct Route {
    /// What people call it.
    pub name: Option<String>,
    /// Offers, by title or id; empty: all.
    pub offers: Vec<String>,
    /// Action codes, such as `PLT`; empty: all.
    pub actions: Vec<String>,
    /// Who gets them; at least one address, none twice.
    pub to: Vec<MailAddress>,
}

impl Route {
    /// The route's stable id, to which what waits for it refers: its name in lower case, or a hash of what it takes where it
    /// has no name. Its place in the list and its recipients do not matter.
    pub fn id(&self) -> String {
        match &self.name {
            Some(name) => format!("name {}", name.to_lowercase()),
            None => {
                let taken = serde_json::json!([self.offers, self.actions]).to_string().to_lowercase();
                format!("filter {}", hex::encode(&Sha256::digest(taken)[..8]))
            }
        }
    }
}

/// Reads a JSON array of routes.
pub(super) fn routes(text: &str) -> Result<Vec<Route>, String> {
    let routes: Vec<Value> = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            "is JSON, but not an array".to_owned()
        } else {
            format!("is not JSON (line {}, column {})", error.line(), error.column())
        }
    })?;
    let mut problems = Vec::new();
    let routes = (1..)
        .zip(&routes)
        .filter_map(|(number, json)| match route(json) {
            Ok(route) => Some(route),
            Err(wrong) => {
                problems.push(format!("route {number} {wrong}"));
                None
            }
        })
        .collect();
    let routes: Vec<Route> = routes;
    for (number, route) in (1..).zip(&routes) {
        if let Some(same) = routes[..number - 1].iter().position(|other| other.id() == route.id()) {
            let what = if route.name.is_some() { "the name" } else { "no name and the offers and actions" };
            problems.push(format!("route {number} has {what} of route {}", same + 1));
        }
    }
    if routes.len() > MAX_ROUTES {
        problems.push(format!("there are {} routes, and {MAX_ROUTES} at most", routes.len()));
    }
    if problems.is_empty() { Ok(routes) } else { Err(format!("does not fit: {}", problems.join(", "))) }
}

fn route(json: &Value) -> Result<Route, String> {
    const FIELDS: [&str; 4] = ["name", "offers", "actions", "to"];
    let fields = json.as_object().ok_or("is not an object")?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        // The name of a field may be an address that was put in the wrong place. It is shown only where it cannot be one.
        let is_name = unknown.len() <= 32 && unknown.chars().all(|letter| letter.is_ascii_alphabetic());
        let unknown = if is_name { format!(" \"{unknown}\"") } else { String::new() };
        return Err(format!("has an unknown field{unknown} (known: {})", FIELDS.join(", ")));
    }
    let name = match fields.get("name") {
        None | Some(Value::Null) => None,
        Some(name) => Some(name.as_str().ok_or("has a name that is not a text")?.trim().to_owned()),
    };
    let texts = |name: &str| -> Result<Vec<&str>, String> {
        let wrong = || format!("has something else in \"{name}\" than an array of texts that are not empty");
        let Some(value) = fields.get(name) else {
            return Ok(Vec::new());
        };
        let texts: Option<Vec<_>> = value.as_array().ok_or_else(wrong)?.iter().map(Value::as_str).collect();
        let texts: Vec<_> = texts.ok_or_else(wrong)?.into_iter().map(str::trim).collect();
        if texts.iter().any(|text| text.is_empty()) { Err(wrong()) } else { Ok(texts) }
    };
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    Ok(Route {
        name: name.filter(|name: &String| !name.is_empty()),
        offers: owned(texts("offers")?),
        actions: owned(texts("actions")?),
        to: addresses(&texts("to")?).map_err(|wrong| format!("{wrong} in \"to\""))?,
    })
}

/// Shows no mail address.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("to", &self.to.len()).finish_non_exhaustive()
    }
}
