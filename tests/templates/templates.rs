//! The templates in `infra/` and the documents, checked by the Python tools that know them (see `checks/` beside this file). The tools are
//! installed once under `target/templates`, from a lock file with hashes.

#![expect(clippy::unwrap_used, reason = "all of this crate is tests")]

use marketplace_leads::function::Function;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Python with the linters in it.
fn python() -> PathBuf {
    let system = support::python::find().unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("templates");
    fs::create_dir_all(&folder).unwrap();
    let (requirements, log) = (workspace().join("tests/templates/requirements.txt"), folder.join("install.log"));
    match support::python::install(&system, &requirements, &folder, &log) {
        Ok(environment) => environment.python,
        Err(failure) => panic!("{failure}: {}\n{}", failure.command.as_deref().unwrap_or("-"), log.display()),
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What the checks say; `tests/templates/__main__.py` describes the fields. Both tests read one run of them. With
/// `LEADS_TRUST=full`, or to write the table, every mistake is tried with every check, which takes minutes.
static RESULT: LazyLock<Value> = LazyLock::new(|| {
    let extent = if is_full() { "all" } else { "first" };
    serde_json::from_slice(&succeed(checks("mistakes").args(["--mistakes", extent])).stdout).unwrap()
});

/// The checks as a command, with the facts in a file of this name.
fn checks(name: &str) -> Command {
    let facts = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("template-facts-{name}.json"));
    fs::write(&facts, succeed(&mut Command::new(env!("CARGO_BIN_EXE_template-facts"))).stdout).unwrap();
    let mut command = Command::new(python());
    command.arg("-B").arg(workspace().join("tests/templates")).arg("--facts").arg(facts);
    command
}

fn is_full() -> bool {
    updates() || std::env::var("LEADS_TRUST").is_ok_and(|value| value == "full")
}

fn updates() -> bool {
    std::env::var_os("UPDATE_TABLES").is_some()
}

/// What is wrong in each mistake of the table, in its order.
fn titles(table: &str) -> Vec<&str> {
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.filter(|cell| *cell != "mistake" && !cell.starts_with("**")).collect()
}

#[test]
fn the_templates_say_what_they_should_and_no_linter_finds_anything() {
    assert_eq!(RESULT["findings"], json!([]));
}

#[test]
fn every_mistake_seeded_into_a_template_is_caught_by_the_checks_that_the_table_names() {
    assert_eq!(RESULT["findings"], json!([]), "no mistake was tried");
    assert_eq!(RESULT["uncaught"], json!([]));
    let file = workspace().join("docs/template-checks.md");
    let made = RESULT["table"].as_str().unwrap();
    if updates() {
        fs::write(&file, made).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap();
    let cure = "docs/template-checks.md is out of date; this writes it: UPDATE_TABLES=1 cargo test -p templates";
    assert_eq!(json!(titles(&written)), RESULT["titles"], "{cure}");
    assert!(!is_full() || written == made, "{cure}\n{made}");
}

/// Copies a file, or a folder with everything in it.
fn copy_all(from: &Path, to: &Path) {
    if from.is_dir() {
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy_all(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

#[test]
fn the_findings_of_a_copy_of_the_tree_are_printed_one_a_line() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template-copy");
    if copy.exists() {
        fs::remove_dir_all(&copy).unwrap();
    }
    let changes = [
        ("infra/aws/template.yaml", "VisibilityTimeout: 121", "VisibilityTimeout: 30"),
        ("infra/azure/storage.json", "\"StorageDelete\"", "\"StorageRemove\""),
        ("infra/aws/samconfig.toml.example", "cached = false", "cached = true"),
        ("infra/by-hand.md", "OutputKey=='IntakeUrl'", "OutputKey=='IntakeAddress'"),
        ("docs/operations.md", "### `dry-run`", "### A dry run"),
        ("docs/export.md", "# Export\n", "# Export, seperated, [as CSV](csv.md)\n"),
    ];
    let unchanged = Function::ALL.map(|function| format!("functions/{}/Cargo.toml", function.name()));
    let linked = [".gitignore", "README.md", "tests/fuzz/README.md", ".github", "docs", "infra"].map(str::to_owned);
    for path in unchanged.iter().chain(&linked) {
        copy_all(&workspace().join(path), &copy.join(path));
    }
    for (path, right, wrong) in changes {
        let text = fs::read_to_string(workspace().join(path)).unwrap();
        fs::write(copy.join(path), text.replace(right, wrong)).unwrap();
    }
    let output = checks("copy").arg("--root").arg(copy).output().unwrap();
    let expected = "\
        infra/aws/template.yaml: own: LeadQueue: visible again before LeadRedelivery may be done\n\
        infra/azure/storage.json: own: diagnostic setting: logs are not StorageDelete, StorageRead, StorageWrite\n\
        infra/aws/samconfig.toml.example: own: default.build: cached is not False, although a cached build would miss a \
        change in shared/\n\
        infra/by-hand.md: own: IntakeAddress: the template has no such output\n\
        docs/operations.md: own: there is no section for the notifier's command dry-run\n\
        documents: typos: docs/export.md:1:11: error: seperated should be separated\n\
        documents: own: docs/export.md: csv.md: there is no such file\n";
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), output.status.code()), (expected, Some(1)));
}
