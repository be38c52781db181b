//! The emulators' processes. Each runs under `supervise.py`, so that none outlives this process, however this one ends.

use crate::failure::{Failure, OrFail, Result};
use crate::install::show;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

/// How long a part may take until it is ready. It is long because a busy machine is slow.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running emulator. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    supervisor: Child,
    stdin: Option<ChildStdin>,
}

/// A part to start, and how to know that it is ready.
pub(crate) struct Part<'a> {
    /// What it is, for instance `the table service`.
    pub(crate) name: &'a str,
    /// Python, for the supervisor.
    pub(crate) python: &'a Path,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// The whole environment besides `PATH`, `HOME` and `LANG`.
    pub(crate) environment: Vec<(String, String)>,
    /// Working folder, also for temporary files.
    pub(crate) folder: PathBuf,
    /// Where its output is appended.
    pub(crate) log: PathBuf,
    /// The text in its log that says that it listens. An answer on the port would not prove it: another program could
    /// listen there.
    pub(crate) ready: &'a str,
}

impl Process {
    /// Starts a part and waits until its log says that it is ready.
    pub(crate) async fn start(part: Part<'_>) -> Result<Self> {
        let step = format!("start {}", part.name);
        fs::create_dir_all(&part.folder).or_fail(&step)?;
        let output = File::options().create(true).append(true).open(&part.log).or_fail(&step)?;
        let logged_before = output.metadata().or_fail(&step)?.len();
        let mut command = tokio::process::Command::new(part.python);
        command.arg(crate::workspace::Workspace::emulators().join("supervise.py")).args(&part.command);
        let shown = show(&command);
        let kept = ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = command.into_std();
        command.env_clear().envs(kept).env("TMPDIR", &part.folder).envs(part.environment).current_dir(&part.folder);
        command.stdin(Stdio::piped()).stderr(output.try_clone().or_fail(&step)?).stdout(output);
        let mut supervisor = command.spawn().or_fail(&step)?;
        let stdin = supervisor.stdin.take();
        let mut process = Self { supervisor, stdin };

        let failed = |message: String| Failure::new(&step, message).command(&shown).log(&part.log);
        let started = Instant::now();
        loop {
            let log = fs::read(&part.log).unwrap_or_default();
            let new = log.get(logged_before as usize..).unwrap_or_default();
            if new.windows(part.ready.len()).any(|window| window == part.ready.as_bytes()) {
                return Ok(process);
            }
            if let Ok(Some(status)) = process.supervisor.try_wait() {
                return Err(failed(format!("it ended at once with {status}")));
            }
            if started.elapsed() > START_LIMIT {
                return Err(failed(format!("it was not ready within {} s", START_LIMIT.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks the part to end by itself, so that it can write down what it holds, and waits for that.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(mut stdin) = self.stdin.take() {
            stdin.write_all(b"stop\n").or_fail("stop a process")?;
            tokio::task::spawn_blocking(move || self.supervisor.wait()).await.or_fail("stop a process")?.ok();
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The supervisor ends everything when its input closes. After the wait the port is free and no zombie is left.
        if self.stdin.take().is_some() {
            let _ = self.supervisor.wait();
        }
    }
}

/// A port of the loopback interface that is free right now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).or_fail("find a free port")?;
    Ok(listener.local_addr().or_fail("find a free port")?.port())
}
