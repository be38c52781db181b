//! The libraries of the receivers, installed once under `target/destinations` from lock files with hashes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign")
}

fn installed() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("destinations");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success(), "{command:?}\n{said}");
    output
}

/// Has Python's libraries judge the messages of a file.
pub(crate) fn python(messages: &Path) {
    let (system, folder) = (support::python::find().unwrap(), installed());
    let (requirements, log) = (sources().join("requirements.txt"), folder.join("install.log"));
    let environment = support::python::install(&system, &requirements, &folder, &log).unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/webhook.schema.json");
    let check = sources().join("check.py");
    succeed(Command::new(environment.python).arg("-B").arg(check).arg(messages).arg(schema));
}

/// Has the library for Node.js verify the signatures of the events of a file.
pub(crate) fn node(messages: &Path) {
    let folder = installed();
    let lock = File::create(folder.join("node.lock")).unwrap();
    lock.lock().unwrap();
    let (modules, wanted) = (folder.join("node"), fs::read(sources().join("package-lock.json")).unwrap());
    let complete = modules.join("complete");
    // The lock file is copied last, so that a killed installation leaves nothing that looks complete.
    if fs::read(&complete).ok().as_deref() != Some(&wanted) {
        if modules.exists() {
            fs::remove_dir_all(&modules).unwrap();
        }
        fs::create_dir_all(&modules).unwrap();
        for name in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(sources().join(name), modules.join(name)).unwrap();
        }
        succeed(Command::new("npm").args(["ci", "--omit=dev", "--ignore-scripts"]).current_dir(&modules));
        fs::write(&complete, wanted).unwrap();
    }
    succeed(Command::new("node").arg(sources().join("verify.mjs")).arg(messages).arg(&modules));
}
