//! The peers' packages: installed once under `target/bench`, from their lock files.

use crate::Result;
use crate::subjects::target;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::python;
use tokio::process::Command;

/// Where the peers' interpreters are.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    pub(crate) python: PathBuf,
    pub(crate) python_folder: PathBuf,
    pub(crate) node: PathBuf,
    pub(crate) node_folder: PathBuf,
}

pub(crate) async fn install() -> Result<Peers> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let folder = target()?.join("bench");
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;

    let (requirements, parent, output) =
        (sources.join("python/requirements.txt"), folder.clone(), folder.join("install.log"));
    let environment = tokio::task::spawn_blocking(move || {
        let system = python::find()?;
        python::install(&system, &requirements, &parent, &output)
            .map_err(|failure| format!("{failure}: {}", failure.command.as_deref().unwrap_or_default()))
    });
    let environment = environment.await??;
    let python = environment.python;
    if environment.is_new {
        // As in a deployed package, nothing is left to be compiled at the start.
        let library = environment.folder.join("lib");
        run(Command::new(&python).args(["-m", "compileall", "-q", "-j", "0"]).arg(library)).await?;
    }
    let python_folder = folder.join("python-peers");
    copy(&sources.join("python"), &python_folder)?;
    run(Command::new(&python).args(["-m", "compileall", "-q"]).arg(&python_folder)).await?;

    let node_folder = folder.join("node");
    let packages = sources.join("node/package-lock.json");
    fs::create_dir_all(&node_folder)?;
    copy(&sources.join("node"), &node_folder)?;
    if !is_installed(&node_folder, &packages)? {
        let arguments = ["ci", "--omit=dev", "--ignore-scripts", "--silent"];
        run(Command::new("npm").args(arguments).current_dir(&node_folder)).await?;
        fs::copy(&packages, node_folder.join("installed"))?;
    }
    drop(lock);

    let node = Command::new("node").args(["-p", "process.execPath"]).output().await?;
    let node = PathBuf::from(String::from_utf8(node.stdout)?.trim());
    Ok(Peers { python, python_folder, node, node_folder })
}

/// Whether a folder holds what a lock file asks for: a copy of the file was put there when all was.
fn is_installed(folder: &Path, lock: &Path) -> Result<bool> {
    Ok(fs::read(folder.join("installed")).ok() == Some(fs::read(lock)?))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

async fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().await?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}
