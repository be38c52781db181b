//! The licences of all that others wrote and that is linked into the functions, as one text.

use crate::linked::{Id, Package};
use crate::{Failure, OrFail, Result};
use spdx::{Expression, ParseMode};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// How the names of files with licences and notices begin, in any casing.
const BEGINNINGS: [&str; 6] = ["license", "licence", "copying", "copyright", "notice", "unlicense"];
const RULE: &str = "================================================================================";

/// The text: which packages there are, then every licence text once, with the packages that it comes with. A package that
/// brings no text gets the general text of its licence, and the names of its authors.
///
/// # Errors
/// Where a file cannot be read, or a package brings no text and no licence that SPDX knows.
pub fn text<'a>(packages: impl IntoIterator<Item = (&'a Id, &'a Package)>) -> Result<String> {
    let mut list = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((name, version), package) in packages.into_iter().filter(|(_, package)| package.is_foreign()) {
        let name = format!("{name} {version}");
        let _ = writeln!(list, "- {name}: {}", package.licence);
        let mut own = own_texts(package)?;
        if own.is_empty() {
            own = general_texts(&name, package)?;
        }
        for text in own {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    let mut whole = format!(
        "Third-party software in the functions of Marketplace Leads\n\n{list}- rust-std: MIT OR Apache-2.0\n\n\
         The standard library of Rust (https://github.com/rust-lang/rust) is Copyright (c) The Rust Project Contributors.\n\
         The texts of its licences are among those below.\n"
    );
    let mut texts: Vec<_> = texts.into_iter().collect();
    // What most packages have comes first.
    texts.sort_by(|(text, names), (other, others)| others.len().cmp(&names.len()).then(text.cmp(other)));
    for (text, names) in texts {
        let _ = write!(whole, "\n{RULE}\n{}\n{RULE}\n\n{text}\n", names.join(", "));
    }
    Ok(whole)
}

/// The texts that a package brings, in the order of their files' names.
fn own_texts(package: &Package) -> Result<Vec<String>> {
    let doing = || format!("read the licences in {}", package.folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(&package.folder).or_fail(doing())? {
        let entry = entry.or_fail(doing())?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    let read = paths.iter().map(|path| {
        let bytes = fs::read(path).or_fail(doing())?;
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        Ok(text.trim_matches('\n').trim_end().to_owned())
    });
    read.collect()
}

/// The general texts of the licences of a package.
fn general_texts(name: &str, package: &Package) -> Result<Vec<String>> {
    let unknown = |why: String| {
        let cure = "Ask its author for a licence, or take another package.";
        Failure::new(format!("{name} brings no licence text, and its licence cannot be looked up: {why}"), cure)
    };
    let expression = Expression::parse_mode(&package.licence, ParseMode::LAX);
    let expression = expression.map_err(|error| unknown(error.reason.to_string()))?;
    let authors = if package.authors.is_empty() { "its authors".to_owned() } else { package.authors.join(", ") };
    let mut texts = Vec::new();
    for required in expression.requirements() {
        let id = required.req.license.id().ok_or_else(|| unknown(required.req.license.to_string()))?;
        texts.push(format!("{name} is Copyright (c) {authors}. It is under this licence:\n\n{}", id.text().trim()));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn package(folder: &Path, licence: &str) -> Package {
        Package {
            licence: licence.to_owned(),
            authors: vec!["A. Author".to_owned()],
            checksum: Some("abc".to_owned()),
            folder: folder.to_owned(),
            ..Package::default()
        }
    }

    fn id(name: &str) -> Id {
        (name.to_owned(), "1.0.0".to_owned())
    }

    #[test]
    fn each_text_stands_once_with_all_packages_that_bring_it_and_a_missing_one_is_the_general_text() {
        let (first, second, without) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(first.path().join("LICENSE-MIT"), "Permission\r\nis granted\r\n").unwrap();
        fs::write(first.path().join("NOTICE"), "Made by First").unwrap();
        fs::write(second.path().join("License.md"), "\nPermission\nis granted\n").unwrap();
        fs::write(second.path().join("README.md"), "no licence").unwrap();
        let packages = [
            (id("first"), package(first.path(), "MIT")),
            (id("second"), package(second.path(), "MIT")),
            (id("without"), package(without.path(), "MIT OR Apache-2.0")),
        ];
        let text = text(packages.iter().map(|(id, package)| (id, package))).unwrap();
        assert_eq!(text.matches("Permission\nis granted").count(), 1, "{text}");
        assert!(text.contains("\nfirst 1.0.0, second 1.0.0\n"), "{text}");
        assert!(text.contains("Made by First") && !text.contains("no licence"));
        assert!(text.contains("without 1.0.0 is Copyright (c) A. Author"), "{text}");
        assert!(text.contains("Permission is hereby granted, free of charge") && text.contains("Apache License"));
        assert!(!text.contains(first.path().to_str().unwrap()));
    }

    #[test]
    fn a_package_without_a_text_and_without_a_known_licence_makes_no_release() {
        let folder = tempfile::tempdir().unwrap();
        let packages = [(id("odd"), package(folder.path(), "Secret-1.0"))];
        let failure = text(packages.iter().map(|(id, package)| (id, package))).unwrap_err();
        assert!(failure.message.contains("odd 1.0.0"), "{failure}");
    }
}
