//! The folder of one run.

use crate::failure::{OrFail, Result};
use jiff::Timestamp;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folders of earlier runs are kept this long, for their logs.
const KEEP_RUNS: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder of one run: logs in it, data under `data`, which is removed in the end.
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    // Held while the run lasts, so that no other run takes the folder for an old one.
    _lock: File,
}

impl Run {
    pub(crate) fn create(target: &Path) -> Result<Self> {
        const STEP: &str = "make a folder for the logs";
        let runs = target.join("runs");
        fs::create_dir_all(&runs).or_fail(STEP)?;
        let now = Timestamp::now().strftime("%Y%m%d-%H%M%S");
        let folder =
            tempfile::Builder::new().prefix(&format!("{now}-")).rand_bytes(4).tempdir_in(&runs).or_fail(STEP)?;
        let folder = folder.keep();
        let lock = File::create(folder.join("lock")).or_fail(STEP)?;
        lock.lock().or_fail(STEP)?;
        remove_old_runs(&runs);
        Ok(Self { folder, _lock: lock })
    }

    /// The log of a part.
    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.folder.join(format!("{part}.log"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Best effort: a process that was just killed may still hold a file.
        let _ = fs::remove_dir_all(self.folder.join("data"));
    }
}

/// Removes folders of runs that ended, or were killed, more than a day ago.
fn remove_old_runs(runs: &Path) {
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let lock = entry.path().join("lock");
        let old = fs::metadata(&lock)
            .and_then(|file| file.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > KEEP_RUNS));
        if old && File::open(&lock).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
