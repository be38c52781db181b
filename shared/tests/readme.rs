//! README.md says of the settings what the code says.

use marketplace_leads::function::Function;
use marketplace_leads::settings::{Expected, Fallback, VARIABLES, Variable};

fn row(variable: &Variable) -> String {
    let functions: Vec<_> = variable.functions.iter().map(|function| function.name().replace("lead-", "")).collect();
    let functions =
        if variable.functions.len() == Function::ALL.len() { "all".to_owned() } else { functions.join(", ") };
    let default = match variable.default {
        Fallback::Required => "required".to_owned(),
        Fallback::Nothing => "none".to_owned(),
        Fallback::Value(value) => format!("`{value}`"),
    };
    let choices = match variable.expected {
        Expected::OneOf(_) | Expected::Language => format!(": {}", variable.expected),
        Expected::Phrase(_) | Expected::WholeNumber { .. } => String::new(),
    };
    format!("| `{}` | {functions} | {default} | {}{choices} |", variable.name, variable.meaning)
}

#[test]
fn the_table_of_settings_in_the_readme_is_the_one_in_the_code() {
    let readme = include_str!("../../README.md");
    let wanted: Vec<_> = VARIABLES.iter().map(row).collect();
    let found: Vec<_> = readme.lines().filter(|line| line.starts_with("| `LEADS_")).collect();
    assert_eq!(found, wanted, "the table should be:\n{}\n", wanted.join("\n"));
}
