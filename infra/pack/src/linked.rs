//! Which packages are linked into each function: not what builds it, what only tests need, and what only other
//! architectures have.

use crate::workspace::{Workspace, text};
use crate::{Architecture, Failure, OrFail, Result};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// A package by its name and version. `Cargo.lock` holds each pair once, since all packages come from one registry.
pub type Id = (String, String);

/// What is known of a package.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// Its licence as an SPDX expression, as its author wrote it.
    pub licence: String,
    /// Who wrote it, as its author says.
    pub authors: Vec<String>,
    /// Where its source is kept.
    pub repository: Option<String>,
    /// The SHA-256 hash of what the registry has, in hexadecimal digits. A package of this workspace has none.
    pub checksum: Option<String>,
    /// The folder with its source on this machine.
    pub folder: PathBuf,
}

impl Package {
    /// Whether others wrote it.
    pub fn is_foreign(&self) -> bool {
        self.checksum.is_some()
    }
}

/// The packages of the functions, and which of them needs which.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// Every package that is linked into any of the functions.
    pub packages: BTreeMap<Id, Package>,
    /// For each package, those that it uses itself.
    pub needs: BTreeMap<Id, BTreeSet<Id>>,
}

impl Graph {
    /// Asks cargo which packages the functions are linked with, when they are built together, as a release is.
    ///
    /// # Errors
    /// Where cargo cannot say, or says of a package nothing in `Cargo.lock`.
    pub fn of_functions(workspace: &Workspace, architecture: Architecture) -> Result<Self> {
        let mut arguments = vec!["tree", "--locked", "--target", architecture.target()];
        arguments.extend(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "{p}"]);
        for function in &workspace.functions {
            arguments.extend(["--package", function]);
        }
        let needs = read_tree(&workspace.cargo(&arguments)?);
        let lock = fs::read_to_string(workspace.root.join("Cargo.lock")).or_fail("read Cargo.lock")?;
        let checksums = checksums(&lock);
        let mut packages = BTreeMap::new();
        for package in workspace.packages(architecture)? {
            let id = (text(&package["name"]).to_owned(), text(&package["version"]).to_owned());
            if !needs.contains_key(&id) {
                continue;
            }
            let authors = package["authors"].as_array().into_iter().flatten();
            let known = Package {
                licence: text(&package["license"]).replace('/', " OR "),
                authors: authors.map(|author| text(author).to_owned()).collect(),
                repository: package["repository"].as_str().map(str::to_owned),
                checksum: checksums.get(&id).cloned(),
                folder: PathBuf::from(text(&package["manifest_path"])).with_file_name(""),
            };
            packages.insert(id, known);
        }
        match needs.keys().find(|id| !packages.contains_key(id)) {
            None => Ok(Self { packages, needs }),
            Some((name, version)) => {
                let message = format!("`cargo metadata` does not know {name} {version}, which `cargo tree` names");
                Err(Failure::new(message, "Run `cargo check --locked`: it says what is wrong with Cargo.lock."))
            }
        }
    }

    /// A function's package and all that is linked into it.
    pub fn reached_from(&self, function: &str) -> BTreeSet<Id> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&Id> = self.needs.keys().filter(|(name, _)| name == function).collect();
        while let Some(id) = open.pop() {
            if reached.insert(id.clone()) {
                open.extend(self.needs.get(id).into_iter().flatten());
            }
        }
        reached
    }

    /// The hash of everything that the lock file says of a set of packages: another set has another one.
    pub fn digest(&self, of: &BTreeSet<Id>) -> [u8; 32] {
        let mut hash = Sha256::new();
        for id @ (name, version) in of {
            let checksum = self.packages.get(id).and_then(|package| package.checksum.as_deref()).unwrap_or_default();
            hash.update(format!("{name} {version} {checksum}\n"));
        }
        hash.finalize().into()
    }
}

/// Reads what `cargo tree --prefix depth` printed: a line for each package, with its depth before it. What a package needs
/// stands below the first line that names it; further lines that name it end with `(*)`.
fn read_tree(tree: &str) -> BTreeMap<Id, BTreeSet<Id>> {
    let mut needs: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut path: Vec<Id> = Vec::new();
    for line in tree.lines() {
        let name_at = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len());
        let Ok(depth) = line[..name_at].parse::<usize>() else { continue };
        let mut words = line[name_at..].split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let id = (name.to_owned(), version.trim_start_matches('v').to_owned());
        path.truncate(depth);
        if let Some(above) = path.last() {
            needs.entry(above.clone()).or_default().insert(id.clone());
        }
        needs.entry(id.clone()).or_default();
        path.push(id);
    }
    needs
}

/// The checksums in `Cargo.lock`, which cargo writes in one form always.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let entries = lock.split("[[package]]").skip(1).filter_map(|entry| {
        let value = |key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
            Some(line.trim_matches('"').to_owned())
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Id {
        (name.to_owned(), "1.0.0".to_owned())
    }

    /// Two functions that share `common`, which is written out once.
    const TREE: &str = "0lead-a v1.0.0 (/somewhere/lead-a)\n1common v1.0.0\n2deep v1.0.0\n1own v1.0.0\n\n\
                        0lead-b v1.0.0 (/somewhere/lead-b)\n1common v1.0.0 (*)\n1h2 v1.0.0\n";

    #[test]
    fn each_function_reaches_what_is_linked_into_it_and_nothing_of_the_others() {
        let graph = Graph { needs: read_tree(TREE), ..Graph::default() };
        let names = |function| graph.reached_from(function).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("lead-a"), ["common", "deep", "lead-a", "own"]);
        assert_eq!(names("lead-b"), ["common", "deep", "h2", "lead-b"]);
        assert_eq!(graph.needs[&id("lead-b")], BTreeSet::from([id("common"), id("h2")]));
        assert_ne!(graph.digest(&graph.reached_from("lead-a")), graph.digest(&graph.reached_from("lead-b")));
    }

    #[test]
    fn checksums_are_read_from_the_lock_file_and_own_packages_have_none() {
        let lock = "version = 4\n\n[[package]]\nname = \"deep\"\nversion = \"1.0.0\"\nsource = \"registry\"\n\
                    checksum = \"abc\"\n\n[[package]]\nname = \"own\"\nversion = \"1.0.0\"\ndependencies = [\n \"deep\",\n]\n";
        assert_eq!(checksums(lock), BTreeMap::from([(id("deep"), "abc".to_owned())]));
    }
}
