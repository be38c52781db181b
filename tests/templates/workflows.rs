//! The workflows of the repository, checked by actionlint and zizmor, which are installed once under `target/workflows`,
//! from lock files.

#![expect(clippy::unwrap_used, reason = "all of this crate is tests")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Where the tools are kept.
fn target() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("workflows");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The output of a command, and whether it succeeded.
fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

/// What actionlint says of files.
fn actionlint(files: &[PathBuf]) -> (bool, String) {
    let (own, folder) = (workspace().join("tests/templates/workflows"), target());
    let lock = File::create(folder.join("node.lock")).unwrap();
    lock.lock().unwrap();
    let pinned = fs::read(own.join("package-lock.json")).unwrap();
    // This file is written last: what is there beside it is complete.
    if fs::read(folder.join("installed.json")).ok().as_ref() != Some(&pinned) {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(own.join(name), folder.join(name)).unwrap();
        }
        let (is_installed, said) = run(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(&folder));
        assert!(is_installed, "{said}");
        fs::write(folder.join("installed.json"), pinned).unwrap();
    }
    run(Command::new("node").arg(own.join("lint.mjs")).args(files).current_dir(folder))
}

/// What zizmor says of files; it asks nobody.
fn zizmor(files: &[PathBuf]) -> (bool, String) {
    let (system, folder) = (support::python::find().unwrap(), target());
    let (requirements, log) =
        (workspace().join("tests/templates/workflows/requirements.txt"), folder.join("install.log"));
    let environment = support::python::install(&system, &requirements, &folder, &log).unwrap();
    let program = environment.python.with_file_name("zizmor");
    run(Command::new(program).args(["--offline", "--no-progress", "--persona", "regular"]).args(files))
}

fn workflows() -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace().join(".github/workflows")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

#[test]
fn the_linters_find_nothing_in_the_workflows_and_what_is_wrong_in_broken_ones() {
    let files = workflows();
    assert!(files.len() >= 2, "{files:?}");
    for (is_well, said) in [actionlint(&files), zizmor(&files)] {
        assert!(is_well, "{said}");
    }
    // The linters look: an unknown key, an action that is not pinned, a title that becomes a command.
    let broken = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("broken.yml");
    let text = "on: pull_request\njobs:\n  a:\n    runs-on: ubuntu-latest\n    timeout: 5\n    steps:\n      \
                - uses: actions/checkout@main\n      - run: echo ${{ github.event.pull_request.title }}\n";
    fs::write(&broken, text).unwrap();
    let (is_well, said) = actionlint(std::slice::from_ref(&broken));
    assert!(!is_well && said.contains("timeout"), "{said}");
    let (is_well, said) = zizmor(&[broken]);
    assert!(!is_well && said.contains("template-injection") && said.contains("unpinned-uses"), "{said}");
}

#[test]
fn every_action_is_pinned_by_its_full_hash_with_its_version_beside_it() {
    for file in workflows() {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let Some((_, action)) = line.split_once("uses: ") else { continue };
            let (_, pin) = action.split_once('@').unwrap();
            let (hash, version) = pin.split_once(" # v").unwrap_or_else(|| panic!("{}: {line}", file.display()));
            assert!(
                hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{}: {line}",
                file.display()
            );
            assert!(version.split('.').count() == 3, "{}: {line}", file.display());
        }
    }
}
