//! The processes that the AWS emulator runs for a function. They can be killed, and their memory can be measured. They are
//! found in `/proc`, which exists on Linux alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The processes of one function in one local cloud. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FunctionProcesses {
    folder: PathBuf,
    function: String,
}

/// What a process holds in memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// How much it holds now.
    pub now: u64,
    /// The most that it has held so far.
    pub peak: u64,
}

impl FunctionProcesses {
    /// `folder` is the folder of the run. It tells these processes from those of another local cloud, whose functions have
    /// the same names.
    pub(crate) fn new(folder: &Path, function: &str) -> Self {
        Self { folder: folder.to_owned(), function: function.to_owned() }
    }

    /// The ids of those that run now.
    pub fn ids(&self) -> Vec<u32> {
        let named = format!("AWS_LAMBDA_FUNCTION_NAME={}", self.function);
        let is_ours = |id: &u32| {
            fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|program| program.starts_with(&self.folder))
                && fs::read(format!("/proc/{id}/environ"))
                    .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|pair| pair == named.as_bytes()))
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
    }

    /// Kills them, as when Lambda takes an execution environment away, and waits until they are gone.
    pub fn kill(&self) {
        let ids = self.ids();
        for id in &ids {
            let _ = Command::new("kill").arg("-KILL").arg(id.to_string()).status();
        }
        // A process that is exiting is a zombie until its parent knows of it: it runs no program any more.
        let is_there = |id: &u32| {
            fs::read_to_string(format!("/proc/{id}/status")).is_ok_and(|status| !status.contains("State:\tZ"))
        };
        let since = Instant::now();
        while ids.iter().any(is_there) && since.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What each of them holds in memory.
    pub fn memory(&self) -> Vec<Resident> {
        let value = |status: &str, name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        let resident = |id| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            Some(Resident { now: value(&status, "VmRSS:")?, peak: value(&status, "VmHWM:")? })
        };
        self.ids().into_iter().filter_map(resident).collect()
    }
}
