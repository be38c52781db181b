//! The folder that is made of binaries: its bytes, and what the operator's command makes of it.

#![expect(clippy::unwrap_used, reason = "all of this crate is tests")]

use pack::workspace::Workspace;
use pack::{Architecture, python, release};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The beginning of a Linux program, and what tells it from others.
fn program(architecture: Architecture, content: &str) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..4].copy_from_slice(b"\x7fELF");
    bytes[18..20].copy_from_slice(&architecture.elf_machine().to_le_bytes());
    bytes.extend(content.as_bytes());
    bytes
}

/// Binaries of both architectures, in both layouts.
fn builds(workspace: &Workspace, folder: &Path) -> BTreeMap<Architecture, PathBuf> {
    let builds = Architecture::ALL.map(|architecture| (architecture, folder.join(architecture.name())));
    for (architecture, build) in &builds {
        for function in &workspace.functions {
            let path = build.join(function);
            let path = if *architecture == Architecture::X86 { path.join("bootstrap") } else { path };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, program(*architecture, function)).unwrap();
        }
    }
    BTreeMap::from(builds)
}

fn sums(folder: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder.join(release::SUMS)).unwrap();
    let lines = text.lines().map(|line| line.split_once("  ").unwrap());
    lines.map(|(digest, name)| (name.to_owned(), digest.to_owned())).collect()
}

fn python(script: &str, arguments: &[&Path]) -> String {
    let mut command = Command::new(python::find().unwrap());
    let output = command.args(["-B", "-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_release_has_the_same_bytes_each_time_is_taken_by_the_operators_command_and_names_no_folder_of_this_machine() {
    let (workspace, folder) = (Workspace::find().unwrap(), tempfile::tempdir().unwrap());
    let builds = builds(&workspace, folder.path());
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    release::make(&workspace, &builds, &first).unwrap();
    release::make(&workspace, &builds, &second).unwrap();
    assert_eq!(fs::read(first.join(release::SUMS)).unwrap(), fs::read(second.join(release::SUMS)).unwrap());

    // Another binary has another checksum, and nothing else has.
    fs::write(builds[&Architecture::Arm].join("lead-export"), program(Architecture::Arm, "changed")).unwrap();
    release::make(&workspace, &builds, &second).unwrap();
    let (one, other) = (sums(&first), sums(&second));
    let changed: Vec<_> = one.keys().filter(|name| one[*name] != other[*name]).collect();
    assert_eq!(changed, ["lead-export-arm64.zip"]);
    assert_eq!(one.len(), fs::read_dir(&first).unwrap().count() - 1, "SHA256SUMS names every other file");

    // What `leads setup --release` reads.
    let script = "import json, sys\nsys.path.insert(0, sys.argv[1])\nfrom leads import release\n\
                  found = release.Release(sys.argv[2])\nprint(json.dumps([found.architectures(), found.functions]))";
    let read: Value = serde_json::from_str(&python(script, &[&workspace.root.join("infra/leads"), &first])).unwrap();
    assert_eq!(read, serde_json::json!([["x86_64", "arm64"], workspace.functions]));

    // A zip, as another program reads it.
    let script = "import sys, zipfile\n(e,) = zipfile.ZipFile(sys.argv[1]).infolist()\n\
                  print(e.filename, oct(e.external_attr >> 16 & 0o7777), e.date_time[0])";
    assert_eq!(python(script, &[&first.join("lead-intake-x86_64.zip")]), "bootstrap 0o755 1980\n");

    let home = std::env::var("HOME").unwrap_or_default();
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    for name in one.keys() {
        let bytes = fs::read(first.join(name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for path in [workspace.root.to_str().unwrap(), &cargo, folder.path().to_str().unwrap()] {
            assert!(!text.contains(path), "{name} names {path}");
        }
    }
}

#[test]
fn the_lists_of_packages_and_the_licences_name_what_is_linked_in_and_nothing_of_builds_and_tests() {
    let (workspace, folder) = (Workspace::find().unwrap(), tempfile::tempdir().unwrap());
    let output = folder.path().join("release");
    release::make(&workspace, &builds(&workspace, folder.path()), &output).unwrap();
    let licences = fs::read_to_string(output.join("THIRD-PARTY-LICENCES.txt")).unwrap();
    for function in &workspace.functions {
        let text = fs::read_to_string(output.join(format!("{function}-x86_64.cdx.json"))).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let names: BTreeSet<String> = pack::sbom::names(&document).into_iter().map(|(name, _)| name).collect();
        for linked in ["azure_data_tables", "marketplace-leads", "ring", "rust-std", "tokio"] {
            assert!(names.contains(linked), "{function} has no {linked}");
        }
        // Macros, what builds, what only tests and tools need.
        for other in ["serde_derive", "syn", "cc", "insta", "clap", "pack", "axum"] {
            assert!(!names.contains(other), "{function} has {other}");
        }
        // Every reference leads to a component.
        let known: BTreeSet<&str> =
            document["components"].as_array().unwrap().iter().map(|part| part["bom-ref"].as_str().unwrap()).collect();
        for entry in document["dependencies"].as_array().unwrap() {
            for needed in entry["dependsOn"].as_array().unwrap() {
                assert!(known.contains(needed.as_str().unwrap()), "{function}: {needed}");
            }
        }
        for (name, version) in
            pack::sbom::names(&document).iter().filter(|(name, _)| name != "marketplace-leads" && name != "rust-std")
        {
            assert!(licences.contains(&format!("- {name} {version}: ")), "{name} {version} has no licence");
        }
    }
    let sqs = |function: &str| {
        let text = fs::read_to_string(output.join(format!("{function}-x86_64.cdx.json"))).unwrap();
        text.contains("\"aws_lambda_events\"")
    };
    assert!(sqs("lead-redelivery"), "it takes events of a queue");
}

#[test]
fn a_binary_of_another_architecture_or_a_foreign_folder_makes_no_release_and_changes_nothing() {
    let (workspace, folder) = (Workspace::find().unwrap(), tempfile::tempdir().unwrap());
    let mut builds = builds(&workspace, folder.path());
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "mine").unwrap();
    assert!(release::make(&workspace, &builds, &foreign).unwrap_err().message.contains("something else"));
    assert_eq!(fs::read_to_string(foreign.join("thesis.txt")).unwrap(), "mine");

    let nowhere = BTreeMap::from([(Architecture::X86, folder.path().join("nowhere"))]);
    let failure = release::make(&workspace, &nowhere, &folder.path().join("release")).unwrap_err();
    assert!(failure.message.contains("has no binary of lead-export"), "{failure}");

    let arm = builds[&Architecture::Arm].clone();
    builds.insert(Architecture::X86, arm);
    let output = folder.path().join("release");
    let failure = release::make(&workspace, &builds, &output).unwrap_err();
    assert!(failure.message.contains("no Linux program for x86_64"), "{failure}");
    assert!(!output.exists() && !folder.path().join("release.new").exists());
}
