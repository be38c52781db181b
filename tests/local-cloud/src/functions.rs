//! Builds the functions with cargo, and zips them as Lambda takes them.

use crate::failure::{Failure, OrFail, Result};
use crate::install::lock;
use crate::progress::Progress;
use crate::workspace::{Workspace, cargo};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::OnceCell;
use zip::write::SimpleFileOptions;

/// Every binary of the workspace by its name, as built with the dev profile, which tests and the local cloud share.
type Binaries = BTreeMap<String, PathBuf>;

/// Every function's name and its zip, as Lambda takes it.
pub type Packages = BTreeMap<String, Vec<u8>>;

/// Builds and zips every function. This is done once in a process, since all its local clouds deploy the same functions.
pub(crate) async fn packages(workspace: &Workspace, log: &Path, progress: &Progress) -> Result<&'static Packages> {
    static PACKAGES: OnceCell<Packages> = OnceCell::const_new();
    PACKAGES
        .get_or_try_init(|| async {
            const STEP: &str = "zip the functions";
            let binaries = build(workspace, log, progress).await?;
            progress.set(STEP);
            let functions = fs::read_dir(workspace.root.join("functions")).or_fail(STEP)?;
            let names = functions.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            let zips = names.map(async |name| {
                let missing = || Failure::new(STEP, format!("the workspace has no binary `{name}`"));
                let binary = binaries.get(&name).cloned().ok_or_else(missing)?;
                let zip = tokio::task::spawn_blocking(move || zip(&binary)).await.or_fail(STEP)??;
                Ok::<_, Failure>((name, zip))
            });
            Ok(futures::future::try_join_all(zips).await?.into_iter().collect())
        })
        .await
}

/// Builds every function's binary, and reports the progress.
async fn build(workspace: &Workspace, log: &Path, progress: &Progress) -> Result<Binaries> {
    const STEP: &str = "build the functions";
    let _lock = lock(&workspace.target.join("build.lock"), progress).await?;
    progress.set("building the functions");
    let arguments = ["build", "--workspace", "--bins", "--message-format", "json"];
    let mut command = Command::new(cargo());
    command.args(arguments).current_dir(&workspace.root).kill_on_drop(true);
    // `cargo run` and `cargo test` describe the package that they run in variables. A build script that reads such a
    // variable would run again for each other value.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_PRIMARY_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    // The progress bar says how many units there are. Without a terminal cargo shows it only on request.
    command
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "120")
        .env("CARGO_TERM_COLOR", "never");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().or_fail(STEP)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::new(STEP, "its output cannot be read"));
    };

    let mut messages = BufReader::new(stdout).lines();
    let artifacts = async {
        let (mut binaries, mut complaints) = (Binaries::new(), String::new());
        while let Ok(Some(line)) = messages.next_line().await {
            let message: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let (Some(name), Some(path)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
                binaries.insert(name.to_owned(), PathBuf::from(path));
            }
            complaints.push_str(message["message"]["rendered"].as_str().unwrap_or_default());
        }
        (binaries, complaints)
    };
    let mut progress_bar = BufReader::new(stderr);
    let watch = async {
        let (mut said, mut bytes) = (String::new(), Vec::new());
        // A line ends with LF. A state of the progress bar ends with CR.
        while let Ok(byte) = progress_bar.read_u8().await {
            if byte != b'\r' && byte != b'\n' {
                bytes.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&bytes).trim().to_owned();
            bytes.clear();
            match units(&line) {
                Some(units) => progress.set(format!("building the functions: {units} units compiled")),
                None if line.is_empty() => (),
                None => said = said + &line + "\n",
            }
        }
        said
    };
    let ((binaries, complaints), said) = futures::join!(artifacts, watch);
    let status = child.wait().await.or_fail(STEP)?;
    let write = File::options().create(true).append(true).open(log);
    write.and_then(|mut file| write!(file, "{said}{complaints}")).or_fail(STEP)?;
    if !status.success() {
        let shown = format!("cargo {}", arguments.join(" "));
        return Err(Failure::new(STEP, format!("cargo ended with {status}")).command(shown).log(log));
    }
    Ok(binaries)
}

/// `120 of 311` from cargo's progress bar `Building [====>   ] 120/311: …`.
fn units(line: &str) -> Option<String> {
    let (_, counts) = line.strip_prefix("Building")?.split_once(']')?;
    let (done, rest) = counts.trim().split_once('/')?;
    let all: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{done} of {all}"))
}

/// A binary as Lambda takes it: a zip with an executable file `bootstrap` and nothing else. It is not compressed, since it
/// stays on this machine.
///
/// The binary loses its symbols if `strip` is installed, which usually comes with a linker. It is then a third as large.
fn zip(binary: &Path) -> Result<Vec<u8>> {
    let step = format!("zip {}", binary.display());
    let folder = tempfile::tempdir().or_fail(&step)?;
    let stripped = folder.path().join(binary.file_name().unwrap_or_default());
    let strip = std::process::Command::new("strip").arg("-o").arg(&stripped).arg(binary).stderr(Stdio::null()).status();
    let binary = if strip.is_ok_and(|status| status.success()) { &stripped } else { binary };
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored).unix_permissions(0o755);
    zip.start_file("bootstrap", options).or_fail(&step)?;
    std::io::copy(&mut File::open(binary).or_fail(&step)?, &mut zip).or_fail(&step)?;
    Ok(zip.finish().or_fail(&step)?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn cargos_progress_bar_says_how_far_it_is() {
        let bar = "Building [=======>                 ] 120/311: ring, azure_core(build)";
        assert_eq!(units(bar).as_deref(), Some("120 of 311"));
        assert_eq!(units("Compiling ring v0.17.14"), None);
    }

    #[test]
    fn a_zip_holds_an_executable_bootstrap_alone() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("lead-intake");
        std::fs::write(&binary, b"\x7fELF").unwrap();
        let zip = zip(&binary).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        assert_eq!(archive.len(), 1);
        let mut bootstrap = archive.by_name("bootstrap").unwrap();
        assert_eq!(bootstrap.unix_mode().map(|mode| mode & 0o777), Some(0o755));
        let mut bytes = Vec::new();
        bootstrap.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"\x7fELF");
    }
}
