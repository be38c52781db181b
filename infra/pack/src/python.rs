//! Environments of Python: installed once, from lock files with hashes, under a name made of the lock's content.

use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest Python that every tool here runs on.
pub const OLDEST: (u32, u32) = (3, 10);

/// An environment that is there.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its Python.
    pub python: PathBuf,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether this call installed it.
    pub is_new: bool,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotInstalled {
    /// What happened, in a sentence.
    pub message: String,
    /// The command that failed, as a person would type it.
    pub command: Option<String>,
}

/// Finds a Python in `PATH` that is new enough and can make environments.
///
/// # Errors
/// A sentence that says what to install.
pub fn find() -> Result<PathBuf, String> {
    let mut seen = Vec::new();
    for name in ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"] {
        let script = "import sys; print(sys.executable, sys.version_info[0], sys.version_info[1])";
        let Some(answer) = output_of(name, &["-c", script]) else { continue };
        let mut words = answer.rsplitn(3, ' ');
        let minor: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let major: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        if (major, minor) < OLDEST {
            seen.push(format!("{major}.{minor}"));
        } else if output_of(name, &["-c", "import venv, ensurepip"]).is_none() {
            return Err(format!(
                "Python {major}.{minor} has no `venv` module: install it (Debian and Ubuntu: `apt install python3-venv`)."
            ));
        } else {
            return Ok(PathBuf::from(words.next().unwrap_or(name)));
        }
    }
    let found = if seen.is_empty() { "none was found".to_owned() } else { format!("found {}", seen.join(", ")) };
    Err(format!("Python {}.{} or newer must be installed and in PATH ({found}).", OLDEST.0, OLDEST.1))
}

/// Standard output of a short command, if it ran well.
fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Installs what a lock file asks for into a folder below `parent`, unless it is there. Whoever comes first installs, and
/// others wait; a killed installation leaves nothing that looks complete. What the commands say is appended to `log`.
///
/// # Errors
/// Where a file cannot be written, or a command fails.
pub fn install(python: &Path, requirements: &Path, parent: &Path, log: &Path) -> Result<Environment, NotInstalled> {
    let failed = |error: std::io::Error| NotInstalled { message: error.to_string(), command: None };
    fs::create_dir_all(parent).map_err(failed)?;
    let lock = File::create(parent.join("python.lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;

    let version = output_of(&python.to_string_lossy(), &["-VV"]).unwrap_or_default();
    let hash = Sha256::new_with_prefix(version).chain_update(fs::read(requirements).map_err(failed)?).finalize();
    let folder = parent.join(format!("python-{}", hex::encode(&hash[..6])));
    let (complete, installed) = (folder.join("complete"), folder.join("bin/python"));
    let is_new = !complete.exists();
    if is_new {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        run(Command::new(python).args(["-m", "venv"]).arg(&folder), log)?;
        run(
            Command::new(&installed)
                .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"])
                .args(["--only-binary", ":all:", "--require-hashes", "--requirement"])
                .arg(requirements),
            log,
        )?;
        File::create(complete).map_err(failed)?;
    }
    Ok(Environment { python: installed, folder, is_new })
}

/// Runs a command to its end, its output appended to the log.
fn run(command: &mut Command, log: &Path) -> Result<(), NotInstalled> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let failed = |message: String| NotInstalled { message, command: Some(shown.clone()) };
    let output = File::options().create(true).append(true).open(log).map_err(|error| failed(error.to_string()))?;
    let errors = output.try_clone().map_err(|error| failed(error.to_string()))?;
    match command.stdin(Stdio::null()).stdout(output).stderr(errors).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("the command ended with {status}"))),
        Err(error) => Err(failed(error.to_string())),
    }
}
