//! A promise in a document names the tests that hold it: "Held by `name`.", or several names with commas or "and" between
//! them. Each of these tests exists and is run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with code, from the workspace's root.
const CODE: [&str; 3] = ["functions", "shared", "tests"];

/// Where the checks of the templates are. Each of their public functions is a check.
const PYTHON_CHECKS: &str = "tests/templates/checks";

/// Where the tests of the operator's command are.
const PYTHON_TESTS: &str = "tests/operator";

/// What a sentence begins with that names tests.
const START: &str = "Held by";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of one kind in a folder and below it, but for what tools put there.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| matches!(character, 'a'..='z' | '0'..='9' | '_'))
}

/// The names of the tests in a Rust file: functions with the attribute of a test, in macros too, and without `#[ignore]`. Where
/// a macro gives the functions their names, these are the names in a list, each on a line of its own.
fn rust_tests(text: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        let line = line.trim_start_matches("$(");
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            is_test = false;
            let name = rest.split('(').next().unwrap_or_default();
            if name.starts_with('$') {
                let listed = text.lines().map(|line| line.trim().trim_end_matches(','));
                tests.extend(listed.filter(|line| line.contains('_') && is_name(line)).map(str::to_owned));
            } else {
                tests.insert(name.to_owned());
            }
        }
    }
    tests
}

/// The names of the checks in a Python file.
fn python_checks(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| line.strip_prefix("def ")?.split('(').next());
    names.filter(|name| !name.starts_with('_')).map(str::to_owned).collect()
}

/// The names of the tests in a Python file.
fn python_tests(text: &str) -> BTreeSet<String> {
    let names = text.lines().filter_map(|line| line.trim_start().strip_prefix("def ")?.split('(').next());
    names.filter(|name| name.starts_with("test_")).map(str::to_owned).collect()
}

/// The tests that a document names, in their order, or what cannot be read as a name.
fn named(document: &str) -> Vec<Result<String, String>> {
    let text = document.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut named = Vec::new();
    for (_, sentence) in text.match_indices(START).map(|(at, _)| text.split_at(at + START.len())) {
        let mut rest = sentence;
        loop {
            rest = rest.trim_start_matches([',', ' ']).trim_start_matches("and ");
            let name = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')).filter(|(name, _)| is_name(name));
            let Some((name, after)) = name else {
                named.push(Err(sentence.chars().take(60).collect()));
                break;
            };
            named.push(Ok(name.to_owned()));
            if after.starts_with('.') {
                break;
            }
            rest = after;
        }
    }
    named
}

/// What is wrong with the names in a document.
fn problems(name: &str, text: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let problem = |named| match named {
        Ok(test) if tests.contains(&test) => None,
        Ok(test) => Some(format!("{name}: there is no test `{test}`")),
        Err(sentence) => Some(format!("{name}: no list of tests follows \"{START}\":{sentence}…")),
    };
    named(text).into_iter().filter_map(problem).collect()
}

fn documents() -> Vec<(String, String)> {
    let root = root();
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let others = ["README.md", "infra/README.md", "infra/by-hand.md"].map(|path| root.join(path));
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    docs.chain(others).map(read).collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let root = root();
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let rust = CODE.iter().flat_map(|folder| files(&root.join(folder), "rs"));
    let mut tests: BTreeSet<_> = rust.flat_map(|path| rust_tests(&read(path))).collect();
    tests.extend(files(&root.join(PYTHON_CHECKS), "py").into_iter().flat_map(|path| python_checks(&read(path))));
    tests.extend(files(&root.join(PYTHON_TESTS), "py").into_iter().flat_map(|path| python_tests(&read(path))));
    assert!(tests.len() > 300, "only {} tests were found", tests.len());
    let documents = documents();
    let problems: Vec<_> = documents.iter().flat_map(|(name, text)| problems(name, text, &tests)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    for document in ["docs/validation.md", "docs/trust.md", "docs/threat-model.md", "docs/operations.md"] {
        let (_, text) = documents.iter().find(|(name, _)| name == document).unwrap();
        assert!(!named(text).is_empty(), "{document} promises, and names no test");
    }
}

#[test]
fn tests_are_found_however_they_are_written() {
    let rust = "#[test]\nfn plain_one() {}\n    #[tokio::test(start_paused = true)]\n    /// Says.\n    async fn timed_one() {}\n\
                fn no_test() {}\n#[test]\n#[ignore = \"slow\"]\nfn never_run() {}\n// #[test]\nfn nor_this() {}\n";
    assert_eq!(rust_tests(rust).into_iter().collect::<Vec<_>>(), ["plain_one", "timed_one"]);
    let made = "$(#[tokio::test]\nasync fn $promise() {})+\ncontract!(\n    the_first_one,\n    the_last_one,\n);\n";
    assert_eq!(rust_tests(made).into_iter().collect::<Vec<_>>(), ["the_first_one", "the_last_one"]);
    let python = "def roles(view):\n    def inner():\n        pass\n\ndef _helper():\n    pass\n";
    assert_eq!(python_checks(python).into_iter().collect::<Vec<_>>(), ["roles"]);
    let python =
        "class Keys(CommandTest):\n    def test_one(self):\n        pass\n\n    def begin(self):\n        pass\n";
    assert_eq!(python_tests(python).into_iter().collect::<Vec<_>>(), ["test_one"]);
}

#[test]
fn a_name_without_a_test_is_found_with_its_document() {
    let tests: BTreeSet<_> = ["first_one", "second_one", "third_one"].map(str::to_owned).into();
    for (text, found) in [
        ("No lead is lost. Held by `first_one`. More.", [""; 0].as_slice()),
        ("Held by `first_one` and\n`second_one`.", &[]),
        ("Held by `first_one`, `second_one` and `third_one`.", &[]),
        ("| a | b. Held by `first_one`. |", &[]),
        ("Held by `gone_one`.", &["doc.md: there is no test `gone_one`"]),
        (
            "Held by `first_one` and `gone_one`. Held by `lost_one`.",
            &["doc.md: there is no test `gone_one`", "doc.md: there is no test `lost_one`"],
        ),
        ("Held by a test.", &["doc.md: no list of tests follows \"Held by\": a test.…"]),
        ("Held by `first_one`", &["doc.md: no list of tests follows \"Held by\": `first_one`…"]),
    ] {
        assert_eq!(problems("doc.md", text, &tests), found, "{text}");
    }
}
