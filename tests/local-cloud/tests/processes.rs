//! `cargo local` leaves nothing behind, listens to this machine alone, and says what is wrong with a command.

#![cfg(target_os = "linux")]
// These lints spare tests, but not the functions that tests call.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A `cargo local` that has started everything and runs.
struct Running {
    child: Child,
    logs: PathBuf,
    env_file: PathBuf,
    printed: Vec<String>,
    root: PathBuf,
}

impl Running {
    /// The variables for a shell that do not say which run it was.
    fn addresses(&self) -> Vec<String> {
        let file = fs::read_to_string(&self.env_file).unwrap();
        file.lines().filter(|line| !line.starts_with("export MAILS=")).map(str::to_owned).collect()
    }

    /// The commands to copy, in the order in which they are printed.
    fn steps(&self) -> Vec<&str> {
        let first = self.printed.iter().position(|line| line.starts_with("  0  ")).unwrap();
        let column = self.printed[first].find(". ").unwrap();
        self.printed[first..].iter().take_while(|line| !line.is_empty()).filter_map(|line| line.get(column..)).collect()
    }
}

/// Starts one with its file of addresses in `folder`, as a user does in the project's folder.
fn start(folder: &Path, arguments: &[&str]) -> Running {
    let (env_file, root) =
        (folder.join("env"), Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-cloud"));
    command.args(arguments).arg("--env-file").arg(&env_file).current_dir(&root).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut logs, mut printed) = (None, Vec::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        println!("{line}");
        let is_last = line.trim().starts_with("the logs ");
        if let Some(folder) = line.trim().strip_prefix("the logs ") {
            logs = Some(root.join(folder.trim()));
        }
        printed.push(line);
        if is_last {
            break;
        }
    }
    Running { child, logs: logs.expect("it did not come up"), env_file, printed, root }
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

/// The first of four ports that nobody uses, and that no system gives to whoever asks for any.
fn free_ports() -> u16 {
    let is_free = |first: &u16| (*first..first + 4).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    let start = 10_000 + u16::try_from(std::process::id() % 4_000).unwrap() * 4;
    (start..).step_by(4).find(is_free).unwrap()
}

#[test]
fn a_kill_leaves_no_process_and_the_next_one_on_the_same_ports_has_the_same_addresses() {
    let (folder, ports) = (tempfile::tempdir().unwrap(), free_ports().to_string());
    let mut running = start(folder.path(), &["--ports", &ports]);
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
    let second = local(&["--check", "--ports", &ports]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("could not use port {ports} for the AWS emulator and the intake")), "{said}");
    assert!(said.contains("take other ports: `cargo local --ports "), "{said}");

    assert!(running.logs.join("data").exists());
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    wait_until_gone(&running.logs);
    let left = local(&["leads", "--env-file", running.env_file.to_str().unwrap(), "run"]);
    let said = String::from_utf8(left.stderr).unwrap();
    assert_eq!(left.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("nothing answers at http://127.0.0.1:{ports}")), "{said}");
    assert!(said.contains("cargo local"), "{said}");

    // The next start gives back what the killed one held, and keeps its logs.
    let addresses = running.addresses();
    let mut next = start(folder.path(), &["--ports", &ports]);
    assert!(!running.logs.join("data").exists());
    assert!(running.logs.join("aws.log").exists());
    assert_eq!(next.addresses(), addresses);
    let posted =
        step(&next, "curl --silent --show-error --fail \"$INTAKE_URL\" -d @tests/fixtures/leads/campaign.json");
    assert!(posted.status.success(), "{posted:?}");
    interrupt(&mut next);
}

/// Stops it as Ctrl-C does.
fn interrupt(running: &mut Running) {
    let interrupt = Command::new("kill").args(["-INT", &running.child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert!(running.child.wait().unwrap().success());
}

/// Runs a command as a user does who has sourced the file with the addresses. A proxy that the user has is not in the way.
/// In place of a browser, files and pages are printed.
fn step(running: &Running, command: &str) -> Output {
    let browser = tempfile::tempdir().unwrap();
    let (program, script) =
        (browser.path().join("xdg-open"), "#!/bin/sh\ncase $1 in http*) curl -sS $1;; *) cat \"$1\";; esac\n");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", browser.path().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{}\n{command}", running.steps()[0])]).current_dir(&running.root);
    shell.env("PATH", path).env("http_proxy", "http://127.0.0.1:9").env("HTTP_PROXY", "http://127.0.0.1:9");
    shell.output().unwrap()
}

#[test]
fn what_is_printed_to_try_posts_a_lead_mails_it_and_shows_it_and_ctrl_c_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path(), &[]);
    let expected = [
        "",
        "",
        "1 new lead, 1 lead sent in 1 mail",
        "someone@contoso.com",
        "<title>What was received</title>",
        "checks are ok",
        "send the leads of a time again",
    ];
    let steps = running.steps();
    let (last, commands) = steps.split_last().unwrap();
    assert_eq!(commands.len(), expected.len(), "{commands:?}");
    for (command, expected) in commands.iter().zip(expected) {
        let done = step(&running, command);
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{command}: {said} {}", String::from_utf8_lossy(&done.stderr));
        assert!(said.contains(expected), "{command}: {said}");
    }
    assert!(last.starts_with("Ctrl-C"), "{last}");

    interrupt(&mut running);
    assert!(!running.env_file.exists());
    assert!(!running.logs.join("data").exists());
    assert!(running.logs.join("functions.log").exists());
    wait_until_gone(&running.logs);
}

/// What `cargo local` does with these arguments.
fn local(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_local-cloud")).args(arguments).output().unwrap()
}

#[test]
fn a_wrong_command_is_answered_with_what_there_is_and_status_2() {
    let all = "There is one command, `leads`, and the options --check, --ports, --env-file, --table.";
    for (arguments, expected) in [
        (["frobnicate"].as_slice(), ["unrecognized subcommand 'frobnicate'", all]),
        (&["leds"], ["a similar subcommand exists: 'leads'", all]),
        (&["--chek"], ["a similar argument exists: '--check'", all]),
        (&["--ports", "80"], ["80 is not in 1024..=65532", "--ports"]),
        (&["--table", "strikt"], ["[possible values: azurite, strict]", "a similar value exists: 'strict'"]),
        (
            &["leads", "--env-file", "/nowhere/env", "run"],
            ["no local cloud runs", "start `cargo local` in another terminal"],
        ),
    ] {
        let output = local(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{arguments:?}: {said}");
    }
}

#[test]
fn a_first_run_says_how_long_it_takes_before_it_installs_anything() {
    let target = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-cloud"));
    let first = command.arg("--check").env("CARGO_TARGET_DIR", target.path()).process_group(0).stdout(Stdio::piped());
    let mut first = first.stderr(Stdio::null()).spawn().unwrap();
    let said = BufReader::new(first.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    // What it has begun to install ends with it.
    let group = format!("-{}", first.id());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    first.wait().unwrap();
    assert!(said.contains("The first run takes about five minutes"), "{said}");
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
