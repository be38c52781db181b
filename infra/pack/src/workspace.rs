//! What cargo knows of the workspace: its folders, its functions, and the packages that it is built of.

use crate::{Architecture, Failure, OrFail, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace that the current folder belongs to.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder with `Cargo.lock`.
    pub root: PathBuf,
    /// The folder that cargo builds into.
    pub target: PathBuf,
    /// The names of the functions, which are the folders below `functions/`, in alphabetical order.
    pub functions: Vec<String>,
}

impl Workspace {
    /// Asks cargo, in the current folder.
    ///
    /// # Errors
    /// Where cargo does not know, or the workspace has no functions.
    pub fn find() -> Result<Self> {
        let metadata = cargo_metadata(Path::new("."), &["--no-deps"])?;
        let root = PathBuf::from(text(&metadata["workspace_root"]));
        let target = PathBuf::from(text(&metadata["target_directory"]));
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let functions = packages.filter(|package| {
            let manifest = Path::new(text(&package["manifest_path"]));
            manifest.ancestors().nth(2) == Some(&root.join("functions"))
        });
        let mut functions: Vec<String> = functions.map(|package| text(&package["name"]).to_owned()).collect();
        functions.sort_unstable();
        if functions.is_empty() {
            let message = format!("the workspace in {} has no functions", root.display());
            return Err(Failure::new(message, "Run `cargo pack` in a copy of this repository."));
        }
        Ok(Self { root, target, functions })
    }

    /// The packages that may be built for an architecture, as `cargo metadata` describes them.
    ///
    /// # Errors
    /// Where cargo cannot say.
    ///
    /// <https://doc.rust-lang.org/cargo/commands/cargo-metadata.html#json-format>
    pub fn packages(&self, architecture: Architecture) -> Result<Vec<Value>> {
        let mut metadata = cargo_metadata(&self.root, &["--filter-platform", architecture.target()])?;
        match metadata["packages"].take() {
            Value::Array(packages) => Ok(packages),
            _ => Err(Failure::new("`cargo metadata` names no packages", "See that Rust is installed as it should be.")),
        }
    }

    /// Standard output of cargo with these arguments.
    ///
    /// # Errors
    /// What cargo said, where it failed.
    pub fn cargo(&self, arguments: &[&str]) -> Result<String> {
        cargo_in(&self.root, arguments)
    }
}

/// The cargo that runs this program, or the one in `PATH`.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn cargo_metadata(folder: &Path, arguments: &[&str]) -> Result<Value> {
    let arguments = [&["metadata", "--locked", "--format-version", "1"], arguments].concat();
    serde_json::from_str(&cargo_in(folder, &arguments)?).or_fail("read what `cargo metadata` said")
}

fn cargo_in(folder: &Path, arguments: &[&str]) -> Result<String> {
    output_of(Command::new(cargo()).args(arguments).current_dir(folder))
}

/// Standard output of a command that must succeed.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().or_fail(format!("run `{shown}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::new(format!("`{shown}` failed: {said}"), "Mend what it names; then run it again."));
    }
    String::from_utf8(output.stdout).or_fail(format!("read what `{shown}` said"))
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A text in JSON, or nothing.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
