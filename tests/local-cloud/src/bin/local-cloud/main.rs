//! `cargo local` starts the whole system on this machine, proves that it works, and leaves it running to be tried.

mod introduction;
mod log_file;
mod screen;
mod shell;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use local_cloud::{LocalCloud, Options, Progress, Result, TableKind, prove};
use log_file::LogFile;
use screen::Screen;
use shell::EnvFile;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Starts everything of Marketplace Leads on this machine, proves that leads reach the mailbox, and runs until it is
/// stopped with Ctrl-C.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    start: Start,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Args)]
struct Start {
    /// Stop after the proof. The exit status is 0, or 1 when a step failed; the failed step is printed.
    #[arg(long)]
    check: bool,
    /// Use this port and the next three, so that all addresses stay the same from run to run [default: any free ones].
    #[arg(long, value_name = "FIRST", value_parser = clap::value_parser!(u16).range(1024..=65532))]
    ports: Option<u16>,
    /// Where to write the file with addresses and credentials that a shell can source. It is removed at the end
    /// [default: target/local-cloud/env].
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// The table service: Microsoft's emulator, or one in memory that keeps the limits which the emulator does not keep.
    #[arg(long, value_enum, default_value_t)]
    table: TableKind,
}

#[derive(Subcommand)]
enum Command {
    /// The operator's command on the local cloud that runs in another terminal: `cargo local leads run`,
    /// `cargo local leads --help`.
    #[command(alias = "invoke", disable_help_flag = true)]
    Leads {
        /// The file with the addresses of the running local cloud [default: target/local-cloud/env].
        #[arg(long, value_name = "FILE")]
        env_file: Option<PathBuf>,
        /// What `leads` is given.
        #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        let is_word_wrong = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
        let _ = error.print();
        if is_word_wrong {
            eprintln!("\n{}", known_words());
        }
        std::process::exit(error.exit_code())
    });
    let outcome = match arguments.command {
        Some(Command::Leads { env_file, arguments }) => return shell::leads(env_file, &arguments),
        None => tokio::select! {
            outcome = run(arguments.start) => outcome,
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

/// The words that `cargo local` knows.
fn known_words() -> String {
    let command = Arguments::command();
    let commands: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let options: Vec<String> =
        command.get_arguments().filter_map(clap::Arg::get_long).map(|name| format!("--{name}")).collect();
    format!("There is one command, `{}`, and the options {}.", commands.join("`, `"), options.join(", "))
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

async fn run(Start { check, ports, env_file, table }: Start) -> Result<()> {
    LocalCloud::check_prerequisites().await?;
    if let Some(first) = ports {
        LocalCloud::check_ports(first)?;
    }
    if LocalCloud::is_first_start().await? {
        println!("{}", introduction::FIRST_START);
    }
    let progress = Progress::default();
    let options = Options {
        table,
        ports,
        destinations: true,
        mail_files: true,
        progress: progress.clone(),
        ..Options::default()
    };
    let started = Instant::now();
    let work = async {
        let cloud = LocalCloud::start(options).await?;
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
    screen::show_step("all of it works", started.elapsed());
    if check {
        return Ok(());
    }
    let env_file = EnvFile::write(&cloud, env_file.unwrap_or_else(shell::default_env_file)).await?;
    println!("{}", introduction::text(&cloud, env_file.path()));
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        logs.update().await;
    }
}
