//! `cargo local`: the whole system on this machine, proved, and then left running to try.

use clap::{Parser, Subcommand};
use local_cloud::{Failure, LocalCloud, Options, Progress, Result, TableKind, prove};
use serde_json::Value;
use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Everything of Marketplace Leads on this machine: starts it, proves that leads reach the mailbox, stays up until Ctrl-C.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Prove it and stop: exit status 0, or 1 with the step that failed.
    #[arg(long)]
    check: bool,
    /// Where to write addresses and credentials for a shell to source; removed at the end
    /// [default: target/local-cloud/env].
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// The table service: Microsoft's emulator, or one in memory that keeps the limits which the emulator does not keep.
    #[arg(long, value_enum, default_value_t)]
    table: TableKind,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Invoke a function of the local cloud that is running, for instance `lead-notifier '{"command":"run"}'`.
    Invoke {
        /// The function's name, with or without the stack's.
        function: String,
        /// The event, JSON.
        #[arg(default_value = "{}")]
        event: String,
        /// The file with the addresses [default: target/local-cloud/env].
        #[arg(long, value_name = "FILE")]
        env_file: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Invoke { function, event, env_file }) => invoke(&function, &event, env_file).await,
        None => tokio::select! {
            outcome = run(arguments.check, arguments.env_file, arguments.table) => outcome,
            () = told_to_stop() => Ok(()),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nFAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, `kill`, or the terminal was closed.
async fn told_to_stop() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => (),
        () = wait(SignalKind::terminate()) => (),
        () = wait(SignalKind::hangup()) => (),
    }
    eprintln!("\nstopping");
}

async fn run(check: bool, env_file: Option<PathBuf>, table: TableKind) -> Result<()> {
    LocalCloud::check_prerequisites().await?;
    let progress = Progress::default();
    let started = Instant::now();
    let work = async {
        let cloud = LocalCloud::start(Options { table, progress: progress.clone(), ..Options::default() }).await?;
        let proved = prove(&cloud, &progress).await;
        write_function_logs(&cloud).await;
        proved.map(|()| cloud)
    };
    let mut screen = Screen::new();
    tokio::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            () = tokio::time::sleep(Duration::from_millis(100)) => screen.show(&progress),
        }
    };
    screen.clear();
    screen.show_done(&progress);
    let cloud = outcome?;
    println!("  all of it works{:>55}", seconds(started.elapsed()));
    if check {
        return Ok(());
    }
    let env_file = EnvFile::write(&cloud, env_file.unwrap_or_else(default_env_file))?;
    introduce(&cloud, &env_file)?;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        write_function_logs(&cloud).await;
    }
}

/// What can be done now.
fn introduce(cloud: &LocalCloud, env_file: &EnvFile) -> Result<()> {
    let file = env_file.path.display();
    let option = if env_file.path == default_env_file() { String::new() } else { format!(" --env-file {file}") };
    println!(
        "\n  intake URL         {intake}
  inbox              {inbox}
  connection string  {connection}
  logs               {logs}
  for your shell     . {file}

  post a lead        curl '{intake}' -d @tests/fixtures/leads/campaign.json
  run the notifier   cargo local invoke lead-notifier '{{\"command\":\"run\"}}'{option}
  run validation     cargo local invoke lead-validation{option}

  Ctrl-C stops everything.",
        intake = cloud.intake_url()?,
        inbox = cloud.inbox().address(),
        connection = cloud.table().connection_string(),
        logs = cloud.logs_folder().display(),
    );
    Ok(())
}

/// The functions' logs, in a file beside those of the parts.
async fn write_function_logs(cloud: &LocalCloud) {
    if let Ok(logs) = cloud.function_logs().await {
        let _ = fs::write(cloud.logs_folder().join("functions.log"), logs);
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Shows steps that are done, and what takes longer than a second.
struct Screen {
    terminal: bool,
    now: String,
    since: Instant,
    said: Option<Instant>,
}

impl Screen {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), now: String::new(), since: Instant::now(), said: None }
    }

    fn show(&mut self, progress: &Progress) {
        self.show_done(progress);
        let now = progress.now();
        // Counts in it change all the while; what is being done is what stands before them.
        let activity = now.split(':').next().unwrap_or_default();
        if activity != self.now {
            (self.now, self.since, self.said) = (activity.to_owned(), Instant::now(), None);
        }
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let due = self.said.map_or(self.since.elapsed() > Duration::from_secs(1), |said| said.elapsed() > pause);
        if due && !now.is_empty() {
            self.said = Some(Instant::now());
            let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
            eprint!("{start}  … {now}, {} s{end}", self.since.elapsed().as_secs());
            let _ = std::io::stderr().flush();
        }
    }

    fn show_done(&mut self, progress: &Progress) {
        for (step, time) in progress.take_done() {
            self.clear();
            println!("  {step:<60}{:>10}", seconds(time));
        }
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

/// Addresses and credentials for a shell to source. Removed when dropped, unless a later run has replaced it.
struct EnvFile {
    path: PathBuf,
    text: String,
}

impl EnvFile {
    fn write(cloud: &LocalCloud, path: PathBuf) -> Result<Self> {
        let variables = [
            ("INTAKE_URL", cloud.intake_url()?),
            ("INBOX_URL", cloud.inbox().address().to_owned()),
            ("LEADS_STORAGE_CONNECTION_STRING", cloud.table().connection_string()),
            ("LEADS_TABLE", cloud.leads_table().to_owned()),
            ("AWS_ENDPOINT_URL", cloud.aws().endpoint().to_owned()),
            ("AWS_REGION", cloud.aws().region().to_owned()),
            ("AWS_DEFAULT_REGION", cloud.aws().region().to_owned()),
            ("AWS_ACCESS_KEY_ID", cloud.access_key().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", cloud.secret_key().to_owned()),
            ("NOTIFIER_FUNCTION", cloud.output("NotifierFunction")?.to_owned()),
            ("VALIDATION_FUNCTION", cloud.output("ValidationFunction")?.to_owned()),
            ("SCHEDULE_NAME", cloud.output("ScheduleName")?.to_owned()),
        ];
        let text: String = variables.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        let failed = |error: std::io::Error| Failure::new("write the file with the addresses", error).log(&path);
        // It holds credentials, if only this machine's.
        let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Self { path, text })
    }
}

impl Drop for EnvFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `target/local-cloud/env`, seen from the folder that cargo built this program into.
fn default_env_file() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    let path = target.join("local-cloud/env");
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).map(Path::to_owned).unwrap_or(path)
}

/// Invokes a function of the local cloud that wrote `env_file`, and prints its answer as a person reads it.
async fn invoke(function: &str, event: &str, env_file: Option<PathBuf>) -> Result<()> {
    const STEP: &str = "invoke a function";
    let path = env_file.unwrap_or_else(default_env_file);
    let file = fs::read_to_string(&path).map_err(|_| {
        Failure::new(STEP, format!("there is no {}: start `cargo local` in another terminal first", path.display()))
    })?;
    let value = |name: &str| {
        let line = file.lines().find_map(|line| line.strip_prefix(&format!("export {name}='")));
        line.and_then(|line| line.strip_suffix('\'')).unwrap_or_default()
    };
    let event: Value =
        serde_json::from_str(event).map_err(|error| Failure::new(STEP, format!("the event is not JSON: {error}")))?;
    let [endpoint, region, key, secret] =
        ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(value);
    let aws = local_cloud::Aws::new(endpoint, region, key, secret);
    let prefix = format!("{}-", local_cloud::STACK);
    let function = if function.starts_with(&prefix) { function.to_owned() } else { prefix + function };
    let invocation = local_cloud::invoke(&aws, &function, &event).await?;
    match invocation.payload["report"].as_str() {
        Some(report) => println!("{report}"),
        None => println!("{:#}", invocation.payload),
    }
    match invocation.function_error {
        None => Ok(()),
        Some(error) => Err(Failure::new(STEP, error).command(function)),
    }
}
