//! The dependency tree is what `deny.toml` allows and `docs/dependencies.md` describes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const DENY: &str = include_str!("../../deny.toml");
const LOCK: &str = include_str!("../../Cargo.lock");

/// The texts in quotes of a TOML list, as far as `deny.toml` has such.
fn quoted(list: &str) -> Vec<&str> {
    let (_, list) = DENY.split_once(&format!("\n{list} = [")).unwrap();
    let list = list.split("]\n").next().unwrap();
    let entries = list.lines().flat_map(|line| match line.split_once("crate = ") {
        Some((_, entry)) => entry.split('"').skip(1).step_by(2).take(1).collect::<Vec<_>>(),
        None => line.split('"').skip(1).step_by(2).collect(),
    });
    entries.collect()
}

/// Every package that is built for Lambda, or for the tests: name, version, licence.
fn built() -> BTreeSet<(String, String, String)> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--workspace", "--locked", "--target", "x86_64-unknown-linux-gnu"]);
    command.args(["--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}|{l}"]);
    let output = command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.contains("(/") && !line.is_empty());
    let packages = lines.map(|line| {
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|').unwrap();
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
        (name.to_owned(), version.to_owned(), licence.to_owned())
    });
    packages.collect()
}

/// Whether an SPDX expression can be met with what is allowed. `/` is an old form of `OR`.
///
/// <https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.trim();
    // Splits where no parenthesis is open.
    let split = |separator: &str| {
        let mut parts = vec![String::new()];
        let mut depth = 0;
        for word in expression.replace('(', "( ").replace(')', " )").replace('/', " OR ").split_whitespace() {
            depth += i32::from(word == "(") - i32::from(word == ")");
            if word == separator && depth == 0 {
                parts.push(String::new());
            } else {
                let part = parts.last_mut().unwrap();
                part.push_str(word);
                part.push(' ');
            }
        }
        parts
    };
    let (any, all) = (split("OR"), split("AND"));
    if any.len() > 1 {
        any.iter().any(|part| is_allowed(part, allowed))
    } else if all.len() > 1 {
        all.iter().all(|part| is_allowed(part, allowed))
    } else if let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        is_allowed(inner, allowed)
    } else {
        allowed.contains(&expression)
    }
}

#[test]
fn every_licence_is_allowed_and_every_allowed_one_is_needed() {
    let allowed = quoted("allow");
    let built = built();
    assert!(built.len() > 200, "{} packages", built.len());
    for (name, version, licence) in &built {
        assert!(is_allowed(licence, &allowed), "{name} {version}: {licence}");
    }
    for licence in &allowed {
        let others: Vec<_> = allowed.iter().copied().filter(|other| other != licence).collect();
        assert!(!built.iter().all(|(.., needed)| is_allowed(needed, &others)), "{licence} is not needed");
    }
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR (MIT AND ISC)", true),
        ("(MIT OR GPL-3.0) AND GPL-3.0", false),
        ("MIT/GPL-3.0", true),
        ("Apache-2.0 WITH LLVM-exception", false),
    ] {
        assert_eq!(is_allowed(expression, &["MIT", "ISC"]), expected, "{expression}");
    }
}

#[test]
fn every_package_comes_from_the_public_registry_and_none_is_banned() {
    let sources: BTreeSet<_> = LOCK.lines().filter(|line| line.starts_with("source = ")).collect();
    assert_eq!(sources, BTreeSet::from(["source = \"registry+https://github.com/rust-lang/crates.io-index\""]));
    let names: BTreeSet<_> =
        LOCK.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(names.contains("rustls") && names.contains("ring"));
    for banned in quoted("deny") {
        assert!(!names.contains(banned), "{banned} is in Cargo.lock");
    }
}

#[test]
fn a_package_has_two_versions_only_where_a_reason_is_given() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version, _) in built() {
        versions.entry(name).or_default().insert(version);
    }
    let skips = quoted("skip");
    let skips: Vec<_> = skips.iter().map(|skip| (*skip, skip.split_once('@').unwrap())).collect();
    let mut unused: BTreeSet<_> = skips.iter().map(|(skip, _)| *skip).collect();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let mut rest = Vec::new();
        for version in versions {
            let is_of = |start: &str| version == start || version.starts_with(&format!("{start}."));
            match skips.iter().find(|(_, (skipped, start))| skipped == name && is_of(start)) {
                Some((skip, _)) => drop(unused.remove(skip)),
                None => rest.push(version),
            }
        }
        assert_eq!(rest.len(), 1, "{name}: {rest:?} have no reason in deny.toml");
    }
    assert!(unused.is_empty(), "deny.toml skips without need: {unused:?}");
}

#[test]
fn every_dependency_is_justified_in_a_line() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, section) = manifest.split_once("[workspace.dependencies]\n").unwrap();
    let section = section.split("\n[").next().unwrap();
    let declared = section.lines().filter(|line| !line.contains("path = ")).filter_map(|line| line.split_once(" = "));
    let declared: Vec<_> = declared.map(|(name, _)| name).filter(|name| !name.starts_with('#')).collect();
    let page = include_str!("../../docs/dependencies.md");
    let justified: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")).map(|(name, _)| name).collect();
    assert_eq!(justified, declared, "docs/dependencies.md has a row for each, in the order of Cargo.toml");
}
