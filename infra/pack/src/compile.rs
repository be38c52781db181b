//! Builds the functions for Lambda.

use crate::workspace::{Workspace, cargo, output_of, shown};
use crate::{Architecture, Failure, OrFail, Result, python};
use clap::ValueEnum;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The newest interface of the C library (glibc 2.x) that Lambda's Amazon Linux 2023 has.
///
/// <https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html>
const GLIBC: u32 = 34;

/// What builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compiler {
    /// cargo-lambda with Zig, which are installed under `target/`: for each architecture, on each machine.
    CargoLambda,
    /// Plain cargo: for this machine's own architecture, where its C library is not newer than Lambda's.
    Cargo,
}

/// Builds every function with the release profile. Gives the folder with the binaries. No path of this machine is in them.
///
/// # Errors
/// Where a tool is missing, the build fails, or a binary would not start on Lambda.
pub fn build(workspace: &Workspace, architecture: Architecture, compiler: Compiler) -> Result<PathBuf> {
    let (mut command, folder) = match compiler {
        Compiler::CargoLambda => cargo_lambda(workspace, architecture)?,
        Compiler::Cargo => plain_cargo(workspace, architecture)?,
    };
    for function in &workspace.functions {
        command.args(["--package", function]);
    }
    let private = private_paths(workspace)?;
    let flags = private.iter().map(|(path, name)| format!("--remap-path-prefix={path}={name}"));
    // These flags are kept apart by this character, so that paths may have spaces.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.collect::<Vec<_>>().join("\u{1f}"));
    command.current_dir(&workspace.root).stdin(Stdio::null());
    let status = command.status().or_fail(format!("run `{}`", shown(&command)))?;
    if !status.success() {
        let cure = format!(
            "Mend what it says above. If the target is missing: `rustup target add {}`.",
            architecture.target()
        );
        return Err(Failure::new(format!("the functions were not built for {architecture}: {status}"), cure));
    }
    for function in &workspace.functions {
        let path = binary(&folder, function)?;
        check(&fs::read(&path).or_fail(format!("read {}", path.display()))?, function, &private)?;
    }
    Ok(folder)
}

/// Where the binary of a function is in a folder: `lead-intake/bootstrap`, as cargo-lambda leaves it, or `lead-intake`.
///
/// # Errors
/// Where there is none.
pub fn binary(folder: &Path, function: &str) -> Result<PathBuf> {
    let candidates = [folder.join(function).join("bootstrap"), folder.join(function)];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(format!("{} has no binary of {function}", folder.display()), "Build the functions first.")
    })
}

fn cargo_lambda(workspace: &Workspace, architecture: Architecture) -> Result<(Command, PathBuf)> {
    let cure = "Then run it again.";
    let system = python::find().map_err(|message| Failure::new(message, cure))?;
    let (parent, folder) = (workspace.target.join("pack"), workspace.target.join("pack").join(architecture.name()));
    fs::create_dir_all(&parent).or_fail(format!("make {}", parent.display()))?;
    let (requirements, log) = (workspace.root.join("infra/pack/requirements.txt"), parent.join("install.log"));
    eprintln!("looking at cargo-lambda and Zig, or installing them from PyPI");
    let environment = python::install(&system, &requirements, &parent, &log).map_err(|failure| {
        Failure::new(format!("cargo-lambda is not installed: {failure}"), format!("{} says why.", log.display()))
    })?;
    let programs = environment.python.with_file_name("");
    let mut command = Command::new(programs.join("cargo-lambda"));
    command.args(["lambda", "build", "--release", "--locked", "--disable-optimizations", "--output-format", "binary"]);
    command.args(["--target", architecture.target()]).arg("--lambda-dir").arg(&folder);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(programs).chain(std::env::split_paths(&paths));
    let paths: OsString = std::env::join_paths(paths).or_fail("put cargo-lambda into PATH")?;
    command.env("PATH", paths);
    Ok((command, folder))
}

fn plain_cargo(workspace: &Workspace, architecture: Architecture) -> Result<(Command, PathBuf)> {
    let host = rust()?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    if host != architecture.target() {
        let message = format!("plain cargo builds for this machine ({host}) alone, not for {architecture}");
        return Err(Failure::new(message, "Leave out `--compiler cargo`."));
    }
    let mut command = Command::new(cargo());
    command.args(["build", "--release", "--locked", "--target", host]);
    Ok((command, workspace.target.join(host).join("release")))
}

/// What the Rust compiler says of itself.
///
/// # Errors
/// Where there is none.
pub fn rust() -> Result<String> {
    output_of(Command::new("rustc").args(["--version", "--verbose"]))
}

/// The folders of this machine that a compiler may write into a binary, and what it writes instead.
fn private_paths(workspace: &Workspace) -> Result<Vec<(String, &'static str)>> {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo_home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let sysroot = output_of(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(vec![
        (workspace.root.to_string_lossy().into_owned(), "/leads"),
        (cargo_home, "/cargo"),
        (sysroot.trim().to_owned(), "/rust"),
    ])
}

/// Refuses a binary that would not start on Lambda, or that says where it was built.
fn check(binary: &[u8], function: &str, private: &[(String, &str)]) -> Result<()> {
    let needed = glibc(binary);
    if needed > GLIBC {
        let message = format!("{function} needs glibc 2.{needed}, and Lambda has 2.{GLIBC}");
        return Err(Failure::new(message, "Leave out `--compiler cargo`: cargo-lambda builds for Lambda's."));
    }
    match private.iter().find(|(path, _)| finds(binary, path.as_bytes()).next().is_some()) {
        None => Ok(()),
        Some((path, _)) => {
            let cure =
                "Find what writes it there (`strings`), and keep it out: the same sources must give the same binary.";
            Err(Failure::new(format!("the binary of {function} names the folder {path} of this machine"), cure))
        }
    }
}

/// The newest version of glibc that a binary names: the 34 of `GLIBC_2.34`.
fn glibc(binary: &[u8]) -> u32 {
    const NAME: &[u8] = b"GLIBC_2.";
    let numbers = finds(binary, NAME).map(|at| {
        let digits = binary[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
    });
    numbers.max().unwrap_or_default()
}

/// Where a text begins in bytes.
fn finds<'a>(bytes: &'a [u8], text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(text.len().max(1)).enumerate().filter(move |(_, window)| *window == text).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_needs_a_newer_c_library_or_names_a_folder_is_refused() {
        let private = [("/home/somebody/.cargo".to_owned(), "/cargo")];
        let checked = |binary: &[u8]| check(binary, "lead-intake", &private).map_err(|failure| failure.message);
        assert_eq!(checked(b"..GLIBC_2.2.5..GLIBC_2.34..GLIBC_2.17../cargo/registry"), Ok(()));
        assert!(checked(b"..GLIBC_2.17..GLIBC_2.39").unwrap_err().contains("glibc 2.39"));
        assert!(checked(b"../home/somebody/.cargo/registry/src").unwrap_err().contains("names the folder"));
    }
}
