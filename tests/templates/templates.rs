//! The templates in `infra/`, checked by the Python tools that know them (see `checks.py` beside this file). The tools are
//! installed once under `target/templates`, from a lock file with hashes.

#![expect(clippy::unwrap_used, reason = "all of this crate is tests")]

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

/// What the checks say: `findings`, `table` and `uncaught`. Both tests read one run of a minute.
static SAID: LazyLock<Value> = LazyLock::new(|| {
    let output = succeed(Command::new(python()).arg("-B").arg(workspace().join("tests/templates")));
    serde_json::from_slice(&output.stdout).unwrap()
});

#[test]
fn the_templates_say_what_they_should_and_no_linter_finds_anything() {
    assert_eq!(SAID["findings"], json!([]));
}

#[test]
fn every_mistake_seeded_into_a_template_is_caught_by_the_checks_that_the_table_names() {
    assert_eq!(SAID["uncaught"], json!([]));
    let made = SAID["table"].as_str().unwrap();
    let file = workspace().join("docs/template-checks.md");
    if std::env::var_os("UPDATE_TABLES").is_some() {
        fs::write(&file, made).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == made,
        "docs/template-checks.md is out of date; this writes it: UPDATE_TABLES=1 cargo test -p templates\n{made}"
    );
}
