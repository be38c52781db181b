//! The error of this crate: a step that failed.

use std::fmt;
use std::path::{Path, PathBuf};

/// A failed step: what happened, the command that was running, and the file that says more.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Failure {
    /// What was being done, for instance `start the table service`.
    pub step: String,
    /// What went wrong.
    pub message: String,
    /// The command or request that failed.
    pub command: Option<String>,
    /// The log to read.
    pub log: Option<PathBuf>,
}

/// The result of the functions of this crate that can fail.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure of `step`.
    pub fn new(step: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { step: step.into(), message: message.to_string(), command: None, log: None }
    }

    /// Names the command or request that failed.
    pub fn command(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }

    /// Names the log to read, unless one is named already.
    pub fn log(self, log: impl AsRef<Path>) -> Self {
        Self { log: self.log.or_else(|| Some(log.as_ref().to_owned())), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}", self.step, self.message)?;
        if let Some(command) = &self.command {
            write!(f, "\n  command: {command}")?;
        }
        if let Some(log) = &self.log {
            write!(f, "\n  log:     {}", log.display())?;
        }
        Ok(())
    }
}

/// Turns any error into a [`Failure`] of a step.
pub(crate) trait OrFail<T> {
    /// Names the step that failed.
    fn or_fail(self, step: &str) -> Result<T>;
}

impl<T, E: fmt::Display> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, step: &str) -> Result<T> {
        self.map_err(|error| Failure::new(step, error))
    }
}
