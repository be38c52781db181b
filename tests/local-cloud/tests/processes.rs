//! `cargo local` leaves nothing behind, listens to this machine alone, and says what is wrong with a command.

#![cfg(target_os = "linux")]
// These lints spare tests, but not the functions that tests call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A `cargo local` that has started everything and runs.
struct Running {
    child: Child,
    logs: PathBuf,
    env_file: PathBuf,
}

fn start(folder: &Path) -> Running {
    let env_file = folder.join("env");
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-cloud"));
    command.arg("--env-file").arg(&env_file).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut logs = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        println!("{line}");
        if let Some(folder) = line.trim().strip_prefix("logs ") {
            logs = Some(PathBuf::from(folder.trim()));
        }
        if line.contains("Ctrl-C stops") {
            break;
        }
    }
    Running { child, logs: logs.expect("it did not come up"), env_file }
}

/// The processes that were started for a run. All of them have its folder in their environment.
fn processes_of(logs: &Path) -> Vec<PathBuf> {
    let folder = logs.to_str().unwrap().as_bytes();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let started_for_it = |process: &PathBuf| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment.windows(folder.len()).any(|window| window == folder)
    };
    processes.filter(started_for_it).collect()
}

fn wait_until_gone(logs: &Path) {
    let started = Instant::now();
    while !processes_of(logs).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(10), "still there: {:?}", names(&processes_of(logs)));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn names(processes: &[PathBuf]) -> Vec<String> {
    let name = |process: &PathBuf| fs::read_to_string(process.join("cmdline")).unwrap_or_default().replace('\0', " ");
    processes.iter().map(name).collect()
}

/// Local addresses, as the kernel writes them, on which processes listen.
fn listening(processes: &[PathBuf]) -> Vec<String> {
    let descriptors =
        processes.iter().flat_map(|process| fs::read_dir(process.join("fd")).into_iter().flatten().flatten());
    let links = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()?.to_str().map(str::to_owned));
    let sockets: Vec<String> =
        links.filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Field 3 is the state, which is `0A` for a socket that listens. Field 9 is the inode.
    let listeners = fields.filter(|fields| fields[3] == "0A" && sockets.iter().any(|socket| socket == fields[9]));
    listeners.map(|fields| fields[1].to_owned()).collect()
}

#[test]
fn a_kill_leaves_no_process_and_the_next_start_gives_its_data_back_and_nothing_listens_beyond_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path());
    let started = processes_of(&running.logs);
    let names = names(&started);
    for part in ["azurite", "ministack", "aws-ses-v2-local", "bootstrap"] {
        assert!(names.iter().any(|name| name.contains(part)), "no {part} in {names:?}");
    }
    let own = PathBuf::from(format!("/proc/{}", running.child.id()));
    let listening = listening(&[started, vec![own]].concat());
    assert!(listening.len() >= 4, "{listening:?}");
    for address in listening {
        assert!(address.starts_with("0100007F:"), "{address} is not the loopback interface");
    }

    assert!(running.logs.join("data").exists());
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    wait_until_gone(&running.logs);

    // The next start gives back what the killed one held, and keeps its logs.
    let mut next = start(folder.path());
    assert!(!running.logs.join("data").exists());
    assert!(running.logs.join("aws.log").exists());
    interrupt(&mut next);
}

/// Stops it as Ctrl-C does.
fn interrupt(running: &mut Running) {
    let interrupt = Command::new("kill").args(["-INT", &running.child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn two_run_side_by_side_and_each_cleans_up_after_ctrl_c() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut one, mut two) = (start(one.path()), start(two.path()));
    assert_invoke_says_what_is_wrong(&one);
    let intake = |running: &Running| fs::read_to_string(&running.env_file).unwrap();
    assert_ne!(intake(&one), intake(&two));
    for running in [&mut one, &mut two] {
        interrupt(running);
        assert!(!running.env_file.exists());
        assert!(!running.logs.join("data").exists());
        assert!(running.logs.join("functions.log").exists());
        wait_until_gone(&running.logs);
    }
}

#[test]
fn a_missing_python_or_node_is_said_in_one_sentence_each() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_local-cloud")).arg("--check").env("PATH", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Python 3.10 or newer must be installed and in PATH (none was found)."), "{said}");
    assert!(said.contains("Node.js 20 or newer must be installed and in PATH (none was found)."), "{said}");
    assert!(output.stdout.is_empty());
}

fn invoke(env_file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-cloud"));
    command.arg("invoke").args(arguments).arg("--env-file").arg(env_file).output().unwrap()
}

/// Invokes functions wrongly and rightly, with a running local cloud.
fn assert_invoke_says_what_is_wrong(running: &Running) {
    for (arguments, expected) in [
        (
            ["nope", "{}"],
            "there is no function `nope`; the functions are: lead-export, lead-intake, lead-notifier, lead-redelivery, \
             lead-validation",
        ),
        (["lead-notifier", "{"], "the event is not JSON"),
    ] {
        let output = invoke(&running.env_file, &arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let output = invoke(&running.env_file, &["lead-notifier", r#"{"command":"history"}"#]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn without_a_running_local_cloud_an_invocation_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    // First there is no file. Then there is the file of a local cloud that does not answer any more.
    for left in [None, Some("export AWS_ENDPOINT_URL='http://127.0.0.1:9'\nexport AWS_REGION='eu-west-1'\n")] {
        if let Some(text) = left {
            fs::write(&file, text).unwrap();
        }
        let output = invoke(&file, &["lead-notifier"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("start `cargo local` in another terminal"), "{said}");
    }
}
