//! The programs for the user's shell: the operator's command, and the AWS CLI that it needs.

use crate::failure::{Failure, OrFail, Result};
use crate::install::Emulators;
use crate::workspace::Workspace;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const STEP: &str = "make the folder with `leads` and `aws`";

/// Makes the folder `target/local-cloud/bin`. Every run writes the same into it.
pub(crate) fn write(workspace: &Workspace, emulators: &Emulators) -> Result<PathBuf> {
    let folder = workspace.target.join("bin");
    fs::create_dir_all(&folder).or_fail(STEP)?;
    let missing = || Failure::new(STEP, "the Python has no folder");
    let aws = emulators.python.parent().ok_or_else(missing)?.join("aws");
    replace(&folder.join("aws"), |path| symlink(&aws, path)).or_fail(STEP)?;
    let [python, leads] = [&emulators.python, &workspace.root.join("infra/leads")].map(|path| word(path));
    let script = format!("#!/bin/sh\nexec {python} {leads} \"$@\"\n");
    replace(&folder.join("leads"), |path| {
        fs::write(path, &script)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    })
    .or_fail(STEP)?;
    Ok(folder)
}

/// Makes a file under another name and then gives it its own, so that a shell never sees half of it.
fn replace(path: &Path, make: impl Fn(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let new = path.with_extension(std::process::id().to_string());
    let _ = fs::remove_file(&new);
    make(&new)?;
    fs::rename(new, path)
}

fn word(path: &Path) -> String {
    shell_word(&path.to_string_lossy())
}

/// A text as one word of a shell, whatever is in it.
pub fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_word_as_it_was() {
        for text in ["", "plain", "it's $HOME `date` \"here\"\n\\", "''"] {
            let script = format!("printf %s {}", shell_word(text));
            let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), text);
        }
    }
}
