//! The dependency tree is what `deny.toml` allows and `docs/dependencies.md` describes.

use spdx::{Expression, ParseMode};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use toml::{Table, Value};

/// A TOML file.
fn read(toml: &str) -> Table {
    toml.parse().unwrap()
}

fn deny() -> Table {
    read(include_str!("../../deny.toml"))
}

/// The texts of a list in `deny.toml`; of its entries with a reason, the crate.
fn listed(section: &str, list: &str) -> Vec<String> {
    let entries = deny()[section][list].as_array().unwrap().clone();
    let text = |entry: Value| match entry {
        Value::Table(entry) => entry["crate"].as_str().unwrap().to_owned(),
        entry => entry.as_str().unwrap().to_owned(),
    };
    entries.into_iter().map(text).collect()
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
    let expression = Expression::parse_mode(expression, ParseMode::LAX);
    let expression = expression.unwrap_or_else(|error| panic!("{error}"));
    expression.evaluate(|required| allowed.contains(&required.to_string().as_str()))
}

#[test]
fn every_licence_is_allowed_and_every_allowed_one_is_needed() {
    let allowed = listed("licenses", "allow");
    let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
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
    let lock = read(include_str!("../../Cargo.lock"));
    let packages = lock["package"].as_array().unwrap();
    let sources: BTreeSet<_> = packages.iter().filter_map(|package| package.get("source")?.as_str()).collect();
    assert_eq!(sources, BTreeSet::from(["registry+https://github.com/rust-lang/crates.io-index"]));
    let names: BTreeSet<_> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert!(names.contains("rustls") && names.contains("ring"));
    for banned in listed("bans", "deny") {
        assert!(!names.contains(banned.as_str()), "{banned} is in Cargo.lock");
    }
}

#[test]
fn a_package_has_two_versions_only_where_a_reason_is_given() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version, _) in built() {
        versions.entry(name).or_default().insert(version);
    }
    let skips = listed("bans", "skip");
    let skips: Vec<_> = skips.iter().map(|skip| (skip.as_str(), skip.split_once('@').unwrap())).collect();
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

/// What is measured over TLS is what is deployed, but for the certificate authorities.
#[test]
fn the_build_that_trusts_a_test_authority_is_otherwise_the_deployed_one() {
    let (root, build) =
        (read(include_str!("../../Cargo.toml")), read(include_str!("../../tests/bench/tls-build/Cargo.toml")));
    let function = read(include_str!("../../functions/lead-intake/Cargo.toml"));
    assert_eq!(
        build["profile"],
        Value::from(Table::from_iter([("release".into(), root["profile"]["release"].clone())]))
    );
    for at in ["version", "edition"] {
        assert_eq!(build["package"][at], root["workspace"]["package"][at]);
    }
    let (found, wanted) = (build["dependencies"].as_table().unwrap(), function["dependencies"].as_table().unwrap());
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, dependency) in found.iter().filter(|(name, _)| *name != "marketplace-leads") {
        assert_eq!(dependency, &root["workspace"]["dependencies"][name], "{name}");
    }
    let locked = |text: &str| {
        let packages = read(text)["package"].as_array().unwrap().clone();
        let text = |package: &Value, at: &str| package[at].as_str().unwrap().to_owned();
        let known = packages.iter().map(|package| (text(package, "name"), text(package, "version")));
        known.collect::<BTreeSet<_>>()
    };
    let ours = locked(include_str!("../../Cargo.lock"));
    let others = locked(include_str!("../../tests/bench/tls-build/Cargo.lock"));
    assert!(others.is_subset(&ours), "{:?}", others.difference(&ours));
}

#[test]
fn every_dependency_is_justified_in_a_line() {
    let manifest = read(include_str!("../../Cargo.toml"));
    let declared = manifest["workspace"]["dependencies"].as_table().unwrap().iter();
    let declared = declared.filter(|(_, dependency)| dependency.get("path").is_none());
    let declared: Vec<_> = declared.map(|(name, _)| name.as_str()).collect();
    let page = include_str!("../../docs/dependencies.md");
    let justified: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ")).map(|(name, _)| name).collect();
    assert_eq!(justified, declared, "docs/dependencies.md has a row for each, in the order of Cargo.toml");
}
