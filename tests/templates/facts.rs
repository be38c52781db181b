//! Prints as JSON what the checks of the templates have to know of the code: the functions, their environment variables
//! and the AWS actions that they call, the metrics that they emit, and the commands of the notifier.
//!
//! `tests/templates/facts.py` reads it and says what the fields are.

use marketplace_leads::aws::calls::CALLS;
use marketplace_leads::function::Function;
use marketplace_leads::mail::Language;
use marketplace_leads::notify::Command;
use marketplace_leads::settings::{Expected, Fallback, VARIABLES, ValidationSettings, Variable};
use marketplace_leads::telemetry::{NAMESPACE, metric};
use serde_json::{Map, Value, json};

fn main() {
    let facts = json!({
        "functions": Function::ALL.map(Function::name),
        "variables": VARIABLES.iter().map(|variable| (variable.name.to_owned(), described(variable))).collect::<Map<_, _>>(),
        "actions": Function::ALL.map(|function| (function.name().to_owned(), actions(function))).into_iter().collect::<Map<_, _>>(),
        "metric_namespace": NAMESPACE,
        "metrics": metric::ALL,
        "distributions": metric::DISTRIBUTIONS,
        "commands": Command::ALL.iter().map(|(name, fields)| ((*name).to_owned(), json!(fields))).collect::<Map<_, _>>(),
    });
    println!("{facts:#}");
}

/// Who reads a variable, which parameter sets it, whether it must be set, the value that applies where it is not set and no
/// other variable's value does, and which whole numbers or texts are right.
fn described(variable: &Variable) -> Value {
    let default = match variable.default {
        Fallback::Value(value) => Some(value),
        Fallback::Required | Fallback::Nothing => None,
    };
    let (range, texts) = match variable.expected {
        Expected::WholeNumber { min, max } => (Some([min, max]), Vec::new()),
        Expected::OneOf(texts) => (None, texts.to_vec()),
        Expected::Language => (None, Language::codes()),
        Expected::Phrase(_) => (None, Vec::new()),
    };
    json!({
        "parameter": variable.parameter,
        "range": range,
        "texts": texts,
        "functions": variable.functions.iter().map(|function| function.name()).collect::<Vec<_>>(),
        "required": variable.default == Fallback::Required,
        "default": default,
        "tried": tried(variable),
    })
}

/// Texts that somebody could give to a variable, and whether the functions take them.
fn tried(variable: &Variable) -> Map<String, Value> {
    let texts = TEXTS.iter().filter(|(names, _)| names.contains(&variable.name)).flat_map(|(_, texts)| *texts);
    let is_taken = |text: &str| {
        let settings = ValidationSettings::from_pairs([(variable.name.to_owned(), text.to_owned())]);
        !settings.problems.iter().any(|problem| problem.variable == variable.name)
    };
    texts.map(|text| ((*text).to_owned(), is_taken(text).into())).collect()
}

/// For variables whose values have a form, texts that are of it and texts that nearly are.
const TEXTS: &[(&[&str], &[&str])] = &[
    (
        &["LEADS_CADENCE"],
        &[
            "immediately",
            "every 1 minutes",
            "every 9 minutes",
            "every 15 minutes",
            "every 60 minutes",
            "every 240 minutes",
            "every 1000 minutes",
            "every 1439 minutes",
            "every 1440 minutes",
            "daily at 00:00",
            "daily at 08:00",
            "daily at 09:30",
            "daily at 19:59",
            "daily at 20:00",
            "daily at 23:59",
            "daily at 08:00 on mon",
            "daily at 08:00 on mon-fri",
            "daily at 18:30 on mon-wed, fri",
            "daily at 18:30 on mon,wed,fri",
            "daily at 07:15 on sat-sun",
            "daily at 07:15 on sun, tue-thu, sat",
            "hourly",
            "weekly",
            "at once",
            "every 0 minutes",
            "every 1441 minutes",
            "every 2000 minutes",
            "every 9999 minutes",
            "every -5 minutes",
            "every minutes",
            "every 5",
            "every 5 hours",
            "daily",
            "daily at",
            "daily at 9:00",
            "daily at 24:00",
            "daily at 25:00",
            "daily at 12:60",
            "daily at 99:00",
            "daily at 08:00 on",
            "daily at 08:00 on monday to friday",
            "daily at 08:00 on mo",
            "daily at 08:00 on mon fri",
            "daily at 08:00 on mon-",
            "cron(0 8 ? * MON-FRI *)",
        ],
    ),
    (
        &["LEADS_URGENT_ACTIONS"],
        &[
            "PLT",
            "PLT+note",
            "INS+note",
            "none",
            "PLT;Create",
            "PLT; Create",
            "PLT ;Create",
            "PLT+note;Create+note",
            "INS+note;PLT",
            "PLT;INS+note",
            "PLT;Create;INS+note",
            "T1;T2",
            "PLT,INS",
            "PLT, INS",
            "PLT INS",
            "PLT+notes",
            "PLT+",
            "PLT++note",
            "+note",
            "PLT-note",
            "PLT;INS+not",
            "PLT|INS",
        ],
    ),
    (
        &["LEADS_MAIL_TO"],
        &[
            "a@contoso.example",
            "sales-team@my-company.co.example",
            "o'neil@contoso.example",
            "sales+eu@contoso.example",
            "a@contoso.example;b@contoso.example",
            "a@contoso.example; b@contoso.example",
            "a@contoso.example ; b@contoso.example;c@mail.contoso.example",
            "sales",
            "sales@",
            "@contoso.example",
            "a@contoso.example,b@contoso.example",
            "a@contoso.example, b@contoso.example",
            "a@contoso.example b@contoso.example",
            "a@contoso.example;b",
            "a;b@contoso.example",
            "a@b@contoso.example",
            "m\u{fc}ller@contoso.example",
            "a@m\u{fc}ller.example",
            "a@contoso..example",
            "<a@contoso.example>",
        ],
    ),
    (
        &["LEADS_MAIL_FROM", "LEADS_OPERATOR", "LEADS_REPLIES"],
        &[
            "leads@contoso.example",
            "market-leads+eu@my-company.co.example",
            "leads@mail.contoso.example",
            "o'neil@contoso.example",
            "Leads",
            "Leads@",
            "@contoso.example",
            "a@contoso.example;b@contoso.example",
            "a@contoso.example,b@contoso.example",
            "a@b@contoso.example",
            "m\u{fc}ller@contoso.example",
            "a@m\u{fc}ller.example",
            "a b@contoso.example",
            "a@contoso .example",
            "a@contoso..example",
        ],
    ),
    (&["LEADS_REPLIES"], &["customer", "sender", "nobody", "customers", "the sender", "customer;sender"]),
    (
        &["LEADS_CRM_SEARCH"],
        &[
            "https://crm.contoso.example/search?q={email}",
            "https://crm.contoso.example/search?q={email}&t=1",
            "https://crm.contoso.example/#/{email}",
            "https://crm.contoso.example/{email}",
            "https://crm.contoso.example?q={email}",
            "https://crm.contoso.example:8443/s/{email}/all",
            "http://crm.contoso.example/search?q={email}",
            "https://crm.contoso.example/",
            "https://{email}.contoso.example/",
            "https://crm.contoso.example/{email}/{email}",
            "https://crm.contoso.example/{mail}",
            "https://crm.contoso.example/a b?q={email}",
            "crm.contoso.example/?q={email}",
            "ftp://crm.contoso.example/{email}",
        ],
    ),
    (
        &["LEADS_TIME_ZONE"],
        &[
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "America/Argentina/Buenos_Aires",
            "Etc/GMT+5",
            "America/Port-au-Prince",
            "EST5EDT",
            "-05:00",
            "+01:00",
            "Europe/ Berlin",
            "UTC 1",
        ],
    ),
    (
        &["LEADS_TABLE", "LEADS_STATE_TABLE"],
        &[
            "MarketplaceLeads2",
            "abc",
            "Leads2026",
            "2Leads",
            "ab",
            "Marketplace-Leads",
            "Marketplace_Leads",
            "Leads 2",
            "L\u{e4}den",
        ],
    ),
    (
        &["LEADS_DESTINATIONS_PREFIX"],
        &[
            "/marketplace-leads/destinations/",
            "/leads/",
            "/a/b-c_d.e/",
            "/marketplace-leads/destinations",
            "leads/",
            "/",
            "//",
            "/a//b/",
            "/a b/",
            "/a/*/",
        ],
    ),
];

/// The actions that a function calls.
fn actions(function: Function) -> Value {
    CALLS.iter().filter(|call| call.functions.contains(&function)).map(|call| json!(call.action)).collect()
}
