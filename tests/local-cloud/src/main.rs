//! `cargo local` starts the whole system on this machine, proves that it works, and leaves it running to be tried.

use clap::{Parser, Subcommand};
use local_cloud::{Failure, FunctionLogs, LocalCloud, Options, Progress, Result, TableKind, prove};
use serde_json::Value;
use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Starts everything of Marketplace Leads on this machine, proves that leads reach the mailbox, and runs until it is
/// stopped with Ctrl-C.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Stop after the proof. The exit status is 0, or 1 when a step failed; the failed step is printed.
    #[arg(long)]
    check: bool,
    /// Where to write the file with addresses and credentials that a shell can source. It is removed at the end
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
    /// Invoke a function of the local cloud that runs in another terminal, for instance
    /// `cargo local invoke lead-notifier '{"command":"run"}'`.
    Invoke {
        /// The function's name, for instance `lead-notifier` or `leads-lead-notifier`.
        function: String,
        /// The event that the function gets, as JSON.
        #[arg(default_value = "{}")]
        event: String,
        /// The file with the addresses of the running local cloud [default: target/local-cloud/env].
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
            () = stop_requested() => Ok(()),
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

/// Waits until the user presses Ctrl-C, sends the signal to terminate, or closes the terminal.
async fn stop_requested() {
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
        let cloud =
            LocalCloud::start(Options { table, destinations: true, progress: progress.clone(), ..Options::default() })
                .await?;
        let mut logs = LogFile::new(&cloud);
        let proved = prove(&cloud, &progress).await;
        logs.update().await;
        proved.map(|()| (cloud, logs))
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
    let (cloud, mut logs) = outcome?;
    println!("  all of it works{:>55}", seconds(started.elapsed()));
    if check {
        return Ok(());
    }
    let env_file = EnvFile::write(&cloud, env_file.unwrap_or_else(default_env_file))?;
    introduce(&cloud, &env_file)?;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        logs.update().await;
    }
}

/// Prints the addresses, and commands to try.
fn introduce(cloud: &LocalCloud, env_file: &EnvFile) -> Result<()> {
    let file = env_file.path.display();
    let option = if env_file.path == default_env_file() { String::new() } else { format!(" --env-file {file}") };
    println!(
        "\n  intake URL         {intake}
  inbox              {inbox}
  what was received  {received} (webhook, Teams, Slack and mail)
  connection string  {connection}
  logs               {logs}
  for your shell     . {file}

  a lead everywhere  curl '{intake}' -d @tests/fixtures/leads/campaign.json && cargo local invoke lead-notifier '{{\"command\":\"run\"}}'{option}
                     then look at {received}
  run the notifier   cargo local invoke lead-notifier '{{\"command\":\"run\"}}'{option}
  run validation     cargo local invoke lead-validation{option}

  Ctrl-C stops everything.",
        intake = cloud.intake_url()?,
        inbox = cloud.inbox().address(),
        received = cloud.receivers().map_or_else(String::new, |receivers| receivers.address().to_owned()),
        connection = cloud.table().connection_string(),
        logs = cloud.logs_folder().display(),
    );
    Ok(())
}

/// The file `functions.log` beside the logs of the parts. It follows what the functions log.
struct LogFile {
    path: PathBuf,
    logs: FunctionLogs,
}

impl LogFile {
    fn new(cloud: &LocalCloud) -> Self {
        Self { path: cloud.logs_folder().join("functions.log"), logs: FunctionLogs::new(cloud.aws()) }
    }

    /// Appends what is new. A log that cannot be read or written now does not end the local cloud.
    async fn update(&mut self) {
        if let Ok(lines) = self.logs.read_new().await {
            let file = fs::File::options().create(true).append(true).open(&self.path);
            let _ = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Shows the steps that are done, and the current one when it takes longer than a second.
struct Screen {
    terminal: bool,
    activity: String,
    since: Instant,
    shown: Option<Instant>,
}

impl Screen {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), activity: String::new(), since: Instant::now(), shown: None }
    }

    fn show(&mut self, progress: &Progress) {
        self.show_done(progress);
        let now = progress.now();
        // After a colon there can be a count that keeps changing. The activity is the same all the while.
        let activity = now.split(':').next().unwrap_or_default();
        if activity != self.activity {
            (self.activity, self.since, self.shown) = (activity.to_owned(), Instant::now(), None);
        }
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let due = self.shown.map_or(self.since.elapsed() > Duration::from_secs(1), |shown| shown.elapsed() > pause);
        if due && !now.is_empty() {
            self.shown = Some(Instant::now());
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

/// The file with addresses and credentials that a shell can source. It is removed when this value is dropped, unless a
/// later run has replaced it.
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
        // It holds credentials, although they are valid on this machine alone.
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

/// The file `target/local-cloud/env` in the target folder that this program was built into.
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
    let functions = local_cloud::functions_of_stack(&aws).await.map_err(|failure| Failure {
        message: format!(
            "the local cloud that wrote {} does not answer: start `cargo local` in another terminal ({})",
            path.display(),
            failure.message
        ),
        ..failure
    })?;
    let function = find_function(function, &functions)?;
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

/// The function's full name, or a failure that lists the functions there are.
fn find_function(name: &str, functions: &[String]) -> Result<String> {
    let prefix = format!("{}-", local_cloud::STACK);
    let found = functions.iter().find(|function| *function == name || function.strip_prefix(&prefix) == Some(name));
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> =
            functions.iter().map(|function| function.strip_prefix(&prefix).unwrap_or(function)).collect();
        let list = names.join(", ");
        Failure::new("invoke a function", format!("there is no function `{name}`; the functions are: {list}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_its_name_with_or_without_the_stacks() {
        let functions = ["leads-lead-intake", "leads-lead-notifier"].map(str::to_owned);
        for name in ["lead-notifier", "leads-lead-notifier"] {
            assert_eq!(find_function(name, &functions).unwrap(), "leads-lead-notifier");
        }
    }

    #[test]
    fn a_function_that_does_not_exist_is_answered_with_the_list_of_those_that_do() {
        let functions = ["leads-lead-intake", "leads-lead-notifier"].map(str::to_owned);
        for name in ["nope", "", "notifier", "leads-"] {
            let said = find_function(name, &functions).unwrap_err().to_string();
            let expected = format!("there is no function `{name}`; the functions are: lead-intake, lead-notifier");
            assert!(said.ends_with(&expected), "{said}");
        }
    }
}
