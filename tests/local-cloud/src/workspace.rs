//! Where things are in the workspace.

use crate::failure::{Failure, OrFail, Result};
use std::path::{Path, PathBuf};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Folders of the workspace that this crate was built in.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// Root, with `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// All that the local cloud installs and writes: `target/local-cloud`.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo for the target folder, once in a process.
    pub(crate) async fn find() -> Result<&'static Self> {
        static FOUND: OnceCell<Workspace> = OnceCell::const_new();
        FOUND
            .get_or_try_init(|| async {
                const STEP: &str = "find the workspace's target folder";
                let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().or_fail(STEP)?;
                let output = Command::new(cargo())
                    .args(["metadata", "--no-deps", "--format-version", "1"])
                    .current_dir(&root)
                    .output()
                    .await
                    .or_fail(STEP)?;
                let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|_| {
                    Failure::new(STEP, String::from_utf8_lossy(&output.stderr)).command("cargo metadata --no-deps")
                })?;
                let target = metadata["target_directory"].as_str().unwrap_or_default();
                Ok(Self { root, target: Path::new(target).join("local-cloud") })
            })
            .await
    }

    /// The files that pin the emulators.
    pub(crate) fn emulators() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators")
    }
}

/// The cargo that runs this program, or the one in `PATH` if none does.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
