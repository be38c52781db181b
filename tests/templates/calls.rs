//! The table of AWS calls in `shared/src/aws/calls.rs` says what the code does: which operations are called at all, and
//! which function calls them.

#![expect(clippy::unwrap_used, reason = "all of this crate is tests")]

use marketplace_leads::aws::calls::CALLS;
use marketplace_leads::function::Function;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The SDKs that the code may use, and the prefix of their actions in IAM.
const SERVICES: [(&str, &str); 3] = [("aws_sdk_sesv2", "ses"), ("aws_sdk_sqs", "sqs"), ("aws_sdk_ssm", "ssm")];

/// For each action, how the code of a function's crate or of its use case reads where it makes the call. Only the
/// library's adapters name the SDKs, so these are the adapters' own names.
const USES: [(&str, &str); 8] = [
    ("ssm:GetParameters", "secrets("),
    ("sqs:SendMessage", "queue.send("),
    ("sqs:GetQueueAttributes", ".state()"),
    ("ses:SendEmail", "SesMailer::new("),
    ("ses:GetAccount", ".account()"),
    ("ses:GetEmailIdentity", ".identity("),
    ("ses:GetConfigurationSet", ".configuration_set("),
    ("ses:GetSuppressedDestination", ".is_suppressed("),
];

/// The modules of the library that hold a function's use case.
fn use_case(function: Function) -> &'static str {
    match function {
        Function::Intake => "intake",
        Function::Redelivery => "redelivery",
        Function::Notifier => "notify",
        Function::Validation => "validate",
        Function::Export => "export",
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The code in a file, or in the Rust files of a folder and below it. Unit tests, which stand at the end of a file, and
/// files that hold tests alone are left out.
fn code(path: &Path) -> Vec<String> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|entry| entry.is_dir() || entry.extension().is_some_and(|kind| kind == "rs"));
        files
            .filter(|entry| !entry.ends_with("tests") && !entry.ends_with("tests.rs"))
            .flat_map(|file| code(&file))
            .collect()
    } else {
        let text = fs::read_to_string(path).unwrap();
        vec![text.split("#[cfg(test)]").next().unwrap().to_owned()]
    }
}

/// The names of an SDK's operations, such as `send_message`: the modules in its folder `operation`.
fn operations() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut command = Command::new(env!("CARGO"));
    // The packages of one platform, so that none has to be downloaded that is not built.
    command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    command.current_dir(workspace());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let folder = |sdk: &str| {
        let package = packages.iter().find(|package| package["name"] == sdk.replace('_', "-")).unwrap();
        Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("src/operation")
    };
    let names = |sdk| -> BTreeSet<String> {
        let files = fs::read_dir(folder(sdk)).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    SERVICES.iter().map(|(sdk, _)| (*sdk, names(sdk))).collect()
}

/// The action that IAM asks for when an operation is called. One permission covers a request and a batch of them.
fn action(prefix: &str, operation: &str) -> String {
    let words = operation.trim_end_matches("_batch").split('_');
    let words = words.map(|word| word[..1].to_uppercase() + &word[1..]);
    format!("{prefix}:{}", words.collect::<String>())
}

/// The actions that some code calls. Fails where it names an SDK that is not among [`SERVICES`].
fn called<'a>(
    texts: impl IntoIterator<Item = &'a String>,
    operations: &BTreeMap<&str, BTreeSet<String>>,
) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for text in texts {
        let named: BTreeSet<_> = text.split("aws_sdk_").skip(1).map(identifier).collect();
        for name in named {
            let sdk = format!("aws_sdk_{name}");
            let Some((sdk, prefix)) = SERVICES.iter().find(|(known, _)| *known == sdk) else {
                return Err(format!("{sdk} is called, and the roles are not checked for it"));
            };
            let methods = text.split('.').skip(1).map(|rest| (identifier(rest), rest));
            let without_arguments = methods.filter(|(name, rest)| rest[name.len()..].starts_with("()"));
            let calls = without_arguments.filter(|(name, _)| operations[sdk].contains(*name));
            found.extend(calls.map(|(name, _)| action(prefix, name)));
        }
    }
    Ok(found)
}

/// The identifier at the beginning of a text.
fn identifier(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

#[test]
fn the_operations_that_the_library_calls_are_those_of_the_table() {
    let code = code(&workspace().join("shared/src"));
    let table: BTreeSet<_> = CALLS.iter().map(|call| call.action.to_owned()).collect();
    assert_eq!(called(&code, &operations()), Ok(table.clone()));
    assert_eq!(table.len(), CALLS.len(), "an action stands in the table twice");
}

#[test]
fn each_action_is_called_by_the_functions_that_the_table_names_and_by_no_other() {
    for call in &CALLS {
        let used = USES.iter().find(|(action, _)| *action == call.action);
        let (_, used) = used.unwrap_or_else(|| panic!("USES does not say how code reads that calls {}", call.action));
        let callers = Function::ALL.into_iter().filter(|function| {
            let own = code(&workspace().join("functions").join(function.name()).join("src"));
            assert!(!own.iter().any(|text| text.contains("aws_sdk_")), "{} names an SDK itself", function.name());
            let module = workspace().join("shared/src").join(use_case(*function));
            let module = if module.is_dir() { module } else { module.with_extension("rs") };
            own.iter().chain(&code(&module)).any(|text| text.contains(used))
        });
        assert_eq!(callers.collect::<Vec<_>>(), call.functions, "{}", call.action);
    }
}

#[test]
fn calls_are_found_in_code_however_they_are_written() {
    let operations = operations();
    let found = |text: &str| called([&text.to_owned()], &operations);
    let actions = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    assert_eq!(found("use aws_sdk_sqs::Client;\nclient.send_message().send()"), actions(&["sqs:SendMessage"]));
    assert_eq!(found("use aws_sdk_sqs::Client;\nqueue\n    .send_message_batch()"), actions(&["sqs:SendMessage"]));
    assert_eq!(found("aws_sdk_ssm::X; aws_sdk_sqs::Y; a.purge_queue(); b.get_parameter()").unwrap().len(), 2);
    // A method of that name without an SDK, with arguments, or of another SDK.
    assert_eq!(found("client.send_message()"), actions(&[]));
    assert_eq!(found("use aws_sdk_sqs::Client;\nclient.send_message(1); client.get_account()"), actions(&[]));
    assert!(found("use aws_sdk_sns::Client;").unwrap_err().contains("aws_sdk_sns"));
}
