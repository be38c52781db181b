//! A release of Marketplace Leads: a folder that holds everything that is deployed. `cargo pack` makes it; the operator's
//! command (`infra/leads`) deploys it.
//!
//! | file | what it is |
//! |---|---|
//! | `lead-intake-x86_64.zip` and so on | a function for an architecture: the executable `bootstrap` alone |
//! | `lead-intake-x86_64.cdx.json` and so on | the packages that are linked into it, as CycloneDX |
//! | `template.yaml`, `storage.json` | the templates for AWS and Azure; each `CodeUri` ends with the name of a function |
//! | `leads` | the operator's command |
//! | `THIRD-PARTY-LICENCES.txt` | the licences of all that is linked in |
//! | `RELEASE-NOTES.md` | the newest part of the changelog |
//! | `SHA256SUMS` | checksums of all of these, as `sha256sum` writes them |
//!
//! The same binaries, documents and lock file give the same bytes: no file holds a time, or a path of the machine.
//!
//! The modules: [`release`] writes the folder; [`compile`] builds the functions; [`linked`] says which packages are in
//! them, [`sbom`] and [`licences`] write that down; [`notes`] reads the changelog; [`workspace`] says where things are;
//! [`python`] installs the build's tools, and those of the tests.

pub mod compile;
pub mod licences;
pub mod linked;
pub mod notes;
pub mod python;
pub mod release;
pub mod sbom;
pub mod workspace;

use clap::ValueEnum;
use std::fmt;

/// A processor that Lambda has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Architecture {
    /// 64-bit x86 processors.
    #[value(name = "x86_64")]
    X86,
    /// 64-bit ARM processors: AWS Graviton.
    #[value(name = "arm64")]
    Arm,
}

impl Architecture {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::X86, Self::Arm];

    /// Lambda's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "arm64",
        }
    }

    /// Rust's name of Amazon Linux on it.
    pub fn target(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-unknown-linux-gnu",
            Self::Arm => "aarch64-unknown-linux-gnu",
        }
    }

    /// Its number in the header of an ELF file (`e_machine`).
    ///
    /// <https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html>
    pub fn elf_machine(self) -> u16 {
        match self {
            Self::X86 => 62,
            Self::Arm => 183,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why no release was made, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}\n{cure}")]
pub struct Failure {
    /// What went wrong, in a sentence.
    pub message: String,
    /// What to do, in a sentence.
    pub cure: String,
}

impl Failure {
    /// A failure with what to do about it.
    pub fn new(message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { message: message.into(), cure: cure.into() }
    }
}

/// The outcome of a step.
pub type Result<T> = std::result::Result<T, Failure>;

/// Says what could not be done where an operation on a file fails.
trait OrFail<T> {
    /// `doing` completes "could not …".
    fn or_fail(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| {
            let cure = "See that the disk has room and that the files may be read and written; then run it again.";
            Failure::new(format!("could not {doing}: {error}"), cure)
        })
    }
}
