//! The emulators: installed once under `target/local-cloud`, from lock files, under a name made of the locks' content.

use crate::failure::{Failure, OrFail, Result};
use crate::progress::Progress;
use crate::workspace::Workspace;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::python;
use tokio::process::Command;

/// The oldest Node.js that the table service and the inbox run on.
const NODE: u32 = 20;

/// Installed emulators, ready to start.
#[derive(Debug, Clone)]
pub(crate) struct Emulators {
    /// Python with the AWS emulator and the AWS CLI in it.
    pub(crate) python: PathBuf,
    /// Node.js.
    pub(crate) node: PathBuf,
    /// The folder with the table service and the inbox.
    pub(crate) node_modules: PathBuf,
    /// Whether this call had to install anything.
    pub(crate) installed_now: bool,
}

/// Finds Python and Node.js, or says in one sentence what is missing.
pub(crate) async fn prerequisites() -> Result<(PathBuf, PathBuf)> {
    let python = tokio::task::spawn_blocking(python::find).await.or_fail("look for Python")?;
    let node = node().await;
    let missing: Vec<String> = [python.as_ref().err(), node.as_ref().err()].into_iter().flatten().cloned().collect();
    match (python, node) {
        (Ok(python), Ok(node)) => Ok((python, node)),
        _ => Err(Failure::new("start", missing.join(" "))),
    }
}

async fn node() -> Result<PathBuf, String> {
    let found = match ask("node", &["-p", "process.versions.node + ' ' + process.execPath"]).await {
        None => "none was found".to_owned(),
        Some(answer) => {
            let (version, path) = answer.split_once(' ').unwrap_or((&answer, "node"));
            let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
            if major >= NODE && ask("npm", &["--version"]).await.is_none() {
                return Err("Node.js has no `npm` beside it: install npm and have it in PATH.".to_owned());
            }
            if major >= NODE {
                return Ok(PathBuf::from(path));
            }
            format!("found {version}")
        }
    };
    Err(format!("Node.js {NODE} or newer must be installed and in PATH ({found})."))
}

/// Standard output of a short command, if it ran well.
async fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Installs what is not there. Runs side by side wait for each other; a killed one leaves nothing that looks complete.
pub(crate) async fn install(workspace: &Workspace, log: &Path, progress: &Progress) -> Result<Emulators> {
    let (python, node) = prerequisites().await?;
    let locks = Workspace::emulators();
    let lock = lock(&workspace.target.join("install.lock"), progress).await?;
    progress.set("looking at the emulators and the AWS CLI, or installing them from PyPI and npm");
    let from_pypi = async {
        const STEP: &str = "install the AWS emulator and the AWS CLI";
        let (requirements, folder, output) = (locks.join("requirements.txt"), workspace.target.clone(), log.to_owned());
        let installed = tokio::task::spawn_blocking(move || python::install(&python, &requirements, &folder, &output));
        installed.await.or_fail(STEP)?.map_err(|failure| {
            let command = failure.command.clone().unwrap_or_default();
            Failure::new(STEP, failure).command(command).log(log)
        })
    };
    let (environment, (node_modules, new_node)) = futures::try_join!(from_pypi, install_node(workspace, &locks, log))?;
    drop(lock);
    Ok(Emulators { python: environment.python, node, node_modules, installed_now: environment.is_new || new_node })
}

/// Installs the table service, the inbox and what the receivers need. Gives their folder, and whether it is new.
async fn install_node(workspace: &Workspace, locks: &Path, log: &Path) -> Result<(PathBuf, bool)> {
    let packages = ["package.json", "package-lock.json", ".npmrc", "not-used/package.json", "not-used/index.js"];
    let files: Vec<PathBuf> = packages.iter().map(|name| locks.join(name)).collect();
    let files: Vec<&PathBuf> = files.iter().collect();
    let folder = workspace.target.join(format!("node-{}", fingerprint(&files)?));
    let is_new = !folder.join("complete").exists();
    if is_new {
        const STEP: &str = "install the table service and the inbox";
        start_afresh(&folder)?;
        fs::create_dir_all(folder.join("not-used")).or_fail(STEP)?;
        for name in packages {
            fs::copy(locks.join(name), folder.join(name)).or_fail(STEP)?;
        }
        run(Command::new("npm").args(["ci", "--omit=dev", "--ignore-scripts"]).current_dir(&folder), log).await?;
        File::create(folder.join("complete")).or_fail(STEP)?;
    }
    Ok((folder.join("node_modules"), is_new))
}

/// Whether both environments were installed before, in whatever version.
pub(crate) fn is_installed(target: &Path) -> bool {
    let entries: Vec<_> = fs::read_dir(target).into_iter().flatten().flatten().collect();
    ["python-", "node-"].iter().all(|kind| {
        entries.iter().any(|entry| {
            entry.file_name().to_string_lossy().starts_with(kind) && entry.path().join("complete").exists()
        })
    })
}

/// Waits for an exclusive lock on a file; it ends with the process, however that ends.
pub(crate) async fn lock(path: &Path, progress: &Progress) -> Result<File> {
    const STEP: &str = "take a lock";
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).or_fail(STEP)?;
    let file = File::create(path).or_fail(STEP)?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    progress.set("waiting for another run on this machine to install or build");
    tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await.or_fail(STEP)?.or_fail(STEP)
}

/// The first digits of a hash of files' content.
fn fingerprint(files: &[&PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(fs::read(file).or_fail(&format!("read {}", file.display()))?);
        hash.update([0]);
    }
    Ok(hex::encode(&hash.finalize()[..6]))
}

fn start_afresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).or_fail("remove a half-done install")?;
    }
    Ok(())
}

/// Runs a command to its end, its output appended to the log.
async fn run(command: &mut Command, log: &Path) -> Result<()> {
    let shown = show(command);
    let step = "install the emulators";
    let output = File::options().create(true).append(true).open(log).or_fail(step)?;
    let errors = output.try_clone().or_fail(step)?;
    let status = command.stdin(Stdio::null()).stdout(output).stderr(errors).kill_on_drop(true).status().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(step, format!("the command ended with {status}")).command(shown).log(log)),
        Err(error) => Err(Failure::new(step, error).command(shown).log(log)),
    }
}

/// A command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
