//! What Lambda is to a function: a process under the Runtime API, and what it costs.

use crate::{Result, Subject};
use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::runtime_api::{Happening, LONGEST_INVOCATION, RuntimeApi, What};
use tokio::process::{Child, Command};

/// How much of an answer is kept.
const KEPT_BYTES: usize = 64 * 1024;

/// A running function. Dropping it ends its process.
pub struct Lambda {
    child: Child,
    api: RuntimeApi,
    started: Instant,
    /// When the process asked for an event first.
    first_asked: Option<Instant>,
    /// How often it has asked for one.
    asked: usize,
    invocations: usize,
}

/// An invocation's answer.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The answer's beginning; all of it, if it is short.
    pub body: Vec<u8>,
    /// Its length in bytes.
    pub length: usize,
    /// Its lines.
    pub lines: usize,
    /// From the same moment to the first byte of its content; in a stream, that comes after the metadata.
    pub first_byte: Duration,
    /// From the moment the event was handed over (for a cold start: the process was started) to the whole answer.
    pub took: Duration,
}

/// What a process has used since it was started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// The most memory that was resident at once, in KiB: shared libraries and its own code included.
    pub peak_kib: u64,
}

impl Lambda {
    /// Starts a function's process. `LEADS_…` and the endpoints of AWS come with `environment`.
    pub async fn start(subject: &Subject, environment: &[(String, String)]) -> Result<Self> {
        let api = RuntimeApi::start("measured").await?;
        let mut command = Command::new(&subject.program);
        let kept = ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .args(&subject.arguments)
            .current_dir(&subject.folder)
            .env_clear()
            .envs(kept)
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "measured")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "measured")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "measured")
            .env("LAMBDA_TASK_ROOT", &subject.folder)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", subject.program.display()))?;
        Ok(Self { child, api, started, first_asked: None, asked: 0, invocations: 0 })
    }

    /// Waits until the process asks for its first event: how long that took from its start.
    pub async fn ready(&mut self) -> Result<Duration> {
        self.wait_until_asked(1).await?;
        Ok(self.first_asked.map_or(Duration::ZERO, |first| first - self.started))
    }

    async fn wait_until_asked(&mut self, times: usize) -> Result<()> {
        while self.asked < times {
            if let What::Fails(message) = self.happening().await?.what {
                return Err(format!("the function failed: {message}").into());
            }
        }
        Ok(())
    }

    /// What the process does next.
    async fn happening(&mut self) -> Result<Happening> {
        let happening = tokio::select! {
            biased;
            happening = tokio::time::timeout(LONGEST_INVOCATION, self.api.happening()) => happening?,
            ended = self.child.wait() => return Err(format!("the function ended with {}", ended?).into()),
        };
        let happening = happening.ok_or("the Runtime API has ended")?;
        if let What::Asks = happening.what {
            self.asked += 1;
            self.first_asked.get_or_insert(happening.at);
        }
        Ok(happening)
    }

    /// Has the process handle its first event, which it may not even be ready for: the time counts from its start.
    pub async fn first(&mut self, event: &str) -> Result<Outcome> {
        let started = self.started;
        self.send(event, Some(started)).await
    }

    /// Has the process, once it is ready, handle an event.
    pub async fn invoke(&mut self, event: &str) -> Result<Outcome> {
        self.wait_until_asked(self.invocations + 1).await?;
        self.send(event, None).await
    }

    async fn send(&mut self, event: &str, since: Option<Instant>) -> Result<Outcome> {
        self.invocations += 1;
        let request_id = request_id()?;
        let since = since.unwrap_or_else(Instant::now);
        self.api.hand_over(&request_id, event);
        let mut is_stream = false;
        let (mut kept, mut length, mut lines, mut first_byte) = (Vec::new(), 0, 0, None);
        loop {
            let Happening { at, what } = self.happening().await?;
            match what {
                What::Asks => {}
                What::Answers(headers) => is_stream = headers.contains_key("lambda-runtime-function-response-mode"),
                What::Sends(part) => {
                    length += part.len();
                    lines += part.iter().filter(|byte| **byte == b'\n').count();
                    if kept.len() < KEPT_BYTES {
                        kept.extend_from_slice(&part);
                    }
                    if first_byte.is_none() && content_start(&kept, is_stream).is_some_and(|start| length > start) {
                        first_byte = Some(at);
                    }
                }
                What::Ends => {
                    let (first_byte, took) = (first_byte.unwrap_or(at) - since, at - since);
                    return Ok(Outcome { body: kept, length, lines, first_byte, took });
                }
                What::Breaks => return Err("the answer broke off".into()),
                What::Fails(message) => return Err(format!("the function failed: {message}").into()),
            }
        }
    }

    /// What the process has used so far.
    pub fn usage(&self) -> Result<Usage> {
        let pid = self.child.id().ok_or("the function has ended")?;
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            // A thread may have ended since.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            nanoseconds += text.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        Ok(Usage { cpu: Duration::from_nanos(nanoseconds), peak_kib: peak.ok_or("no VmHWM")? })
    }

    /// Ends the process the way that lets it write down what a profiler collected.
    pub async fn terminate(mut self) -> Result<()> {
        let pid = self.child.id().ok_or("the function has ended")?;
        Command::new("kill").arg(pid.to_string()).status().await?;
        tokio::time::timeout(LONGEST_INVOCATION, self.child.wait()).await??;
        Ok(())
    }
}

/// Where an answer's content begins: in a stream, after eight zeros.
fn content_start(kept: &[u8], is_stream: bool) -> Option<usize> {
    if !is_stream {
        return Some(0);
    }
    kept.windows(8).position(|zeros| zeros == [0; 8]).map(|at| at + 8)
}

/// An id that no other invocation has: the notifier's records are named by it.
fn request_id() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}
