//! Prints as JSON what the checks of the templates have to know of the code: the functions, their environment variables
//! and the AWS actions that they call, the metrics that they emit, and the commands of the notifier.
//!
//! `tests/templates/facts.py` reads it and says what the fields are.

use marketplace_leads::aws::calls::CALLS;
use marketplace_leads::function::Function;
use marketplace_leads::mail::Language;
use marketplace_leads::notify::Command;
use marketplace_leads::settings::{Expected, Fallback, VARIABLES, Variable};
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
    })
}

/// The actions that a function calls.
fn actions(function: Function) -> Value {
    CALLS.iter().filter(|call| call.functions.contains(&function)).map(|call| json!(call.action)).collect()
}
