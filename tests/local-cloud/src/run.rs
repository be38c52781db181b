//! The folder of one run, and what is left of the runs before it.

use crate::failure::{OrFail, Result};
use jiff::Timestamp;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The logs of so many earlier runs are kept.
const KEPT_RUNS: usize = 20;
/// The logs of earlier runs together take up at most so many bytes.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// The folder of one run: its logs, and its data under `data`, which is removed at the end.
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    /// Held as long as the run lasts: the operating system gives it up with the process, however that ends.
    _lock: File,
}

impl Run {
    /// Makes the folder, and clears the folders of runs that have ended or were killed.
    pub(crate) fn create(target: &Path) -> Result<Self> {
        const STEP: &str = "make a folder for the logs";
        let runs = target.join("runs");
        fs::create_dir_all(&runs).or_fail(STEP)?;
        // While this lock is held, no other run is between making its folder and locking it.
        let all_runs = File::create(target.join("runs.lock")).or_fail(STEP)?;
        all_runs.lock().or_fail(STEP)?;
        let now = Timestamp::now().strftime("%Y%m%d-%H%M%S");
        let folder =
            tempfile::Builder::new().prefix(&format!("{now}-")).rand_bytes(4).tempdir_in(&runs).or_fail(STEP)?;
        let folder = folder.keep();
        let lock = File::create(folder.join("lock")).or_fail(STEP)?;
        lock.lock().or_fail(STEP)?;
        clear_ended_runs(&runs, KEPT_RUNS, KEPT_BYTES);
        Ok(Self { folder, _lock: lock })
    }

    /// The log of a part.
    pub(crate) fn log(&self, part: &str) -> PathBuf {
        self.folder.join(format!("{part}.log"))
    }

    /// The folder with the mails as files. It stays after the end, until the next start.
    pub(crate) fn mails(&self) -> PathBuf {
        self.folder.join("mails")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A process that was just killed may still hold a file. What is left then is removed at the next start.
        let _ = fs::remove_dir_all(self.folder.join("data"));
    }
}

/// Of each run whose lock nobody holds, removes everything but the logs. Of the logs, keeps those of the newest runs.
/// What cannot be removed now is removed at a later start.
fn clear_ended_runs(runs: &Path, kept_runs: usize, kept_bytes: u64) {
    let folders = fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut ended: Vec<PathBuf> = folders.filter(|folder| has_ended(folder)).collect();
    // A folder's name begins with the time of its start.
    ended.sort_unstable_by(|one, other| other.cmp(one));
    let mut bytes = 0;
    for (number, folder) in ended.iter().enumerate() {
        bytes += remove_all_but_logs(folder).unwrap_or_default();
        if number >= kept_runs || bytes > kept_bytes {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Whether nobody holds the lock of a run.
fn has_ended(folder: &Path) -> bool {
    match File::open(folder.join("lock")) {
        Ok(lock) => lock.try_lock().is_ok(),
        // It was killed before it could make its lock.
        Err(error) => error.kind() == io::ErrorKind::NotFound && folder.is_dir(),
    }
}

/// Gives how many bytes the logs have.
fn remove_all_but_logs(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)?.flatten() {
        let (path, about) = (entry.path(), entry.metadata()?);
        if about.is_dir() {
            let _ = fs::remove_dir_all(path);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            bytes += about.len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as a run leaves it that was killed: with data, a log of this many bytes, and a lock that nobody holds.
    fn killed_run(runs: &Path, name: &str, log_bytes: usize) -> PathBuf {
        let folder = runs.join(name);
        fs::create_dir_all(folder.join("data/table")).unwrap();
        fs::write(folder.join("data/table/rows"), "rows").unwrap();
        fs::write(folder.join("aws.log"), vec![b'x'; log_bytes]).unwrap();
        File::create(folder.join("lock")).unwrap();
        folder
    }

    #[test]
    fn a_start_removes_the_data_of_runs_that_were_killed_and_keeps_their_logs() {
        let target = tempfile::tempdir().unwrap();
        let killed = killed_run(&target.path().join("runs"), "20260101-000000-abcd", 1);
        let running = Run::create(target.path()).unwrap();
        fs::create_dir(running.folder.join("data")).unwrap();
        let other = Run::create(target.path()).unwrap();
        assert!(!killed.join("data").exists() && killed.join("aws.log").exists());
        assert!(running.folder.join("data").exists(), "a run that goes on keeps its data");
        let folder = other.folder.clone();
        fs::create_dir(folder.join("data")).unwrap();
        drop(other);
        assert!(folder.exists() && !folder.join("data").exists());
    }

    #[test]
    fn the_logs_of_ended_runs_are_bounded_in_number_and_in_bytes() {
        for (kept_runs, kept_bytes, expected) in
            [(9, 9_000, [true, true, true]), (2, 9_000, [false, true, true]), (9, 1_500, [false, false, true])]
        {
            let runs = tempfile::tempdir().unwrap();
            let ended = ["20260101-a", "20260102-b", "20260103-c"].map(|name| killed_run(runs.path(), name, 1_000));
            clear_ended_runs(runs.path(), kept_runs, kept_bytes);
            assert_eq!(ended.map(|folder| folder.exists()), expected, "{kept_runs} runs, {kept_bytes} bytes");
        }
    }

    #[test]
    fn a_run_that_was_killed_before_it_made_its_lock_is_cleared_too() {
        let target = tempfile::tempdir().unwrap();
        let killed = target.path().join("runs/20260101-000000-abcd");
        fs::create_dir_all(killed.join("data")).unwrap();
        let _running = Run::create(target.path()).unwrap();
        assert!(!killed.join("data").exists());
    }
}
