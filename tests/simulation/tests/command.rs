//! `cargo simulate` as a person uses it: a world that fails is shown, made smaller, kept, and played again.

use std::process::{Command, Output};

/// The world that is shown; it is lived quickly.
fn seed() -> String {
    simulation::proof::quick_seeds(1).next().expect("there is one").to_string()
}

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulation")).args(arguments).output().expect("it starts")
}

/// What was written, without the last line, which says how long it took.
fn written(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.trim_end().rsplit_once('\n').map_or_else(String::new, |(text, _)| text.to_owned())
}

fn seed_with_a_breakage() -> String {
    let found = simulation::proof::found(simulation::breakage::Breakage::MailDropped).expect("it is found");
    found.seed.to_string()
}

#[test]
fn a_seed_is_the_same_world_in_every_process_byte_for_byte() {
    let seed = seed();
    let first = simulate(&["--seed", &seed, "--trace"]);
    assert!(first.status.success(), "{}", written(&first));
    let text = written(&first);
    assert_eq!(text, written(&simulate(&["--seed", &seed, "--trace"])));
    let hash = |text: &str| text.lines().find(|line| line.starts_with("hash ")).map(str::to_owned);
    assert!(hash(&text).is_some() && text.contains("invocation 0 begins: tick-"), "{}", &text[..text.len().min(2000)]);
    // The trace changes nothing.
    assert_eq!(hash(&text), hash(&written(&simulate(&["--seed", &seed]))));
}

#[test]
fn a_world_that_fails_is_shown_with_the_command_that_plays_it_again_and_is_kept_made_smaller() {
    let seed = seed_with_a_breakage();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("simulation-{}.json", std::process::id()));
    let kept = file.to_str().expect("a path");
    let broken = ["--breakage", "mail-dropped"];
    let shrunk = simulate(&[&["--seed", &seed, "--shrink", "--keep", kept], &broken[..]].concat());
    assert!(!shrunk.status.success());
    let text = written(&shrunk);
    let command = format!("cargo simulate --seed {seed} --breakage mail-dropped --trace");
    for part in [command.as_str(), "is broken", "made smaller in", "what still deviates"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let violation = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("--") && line.contains("is broken"))
            .and_then(|line| Some(line.split_once("invariant ")?.1.split_once(' ')?.0.to_owned()))
    };
    let played = simulate(&[&["--tapes", kept, "--trace"], &broken[..]].concat());
    let again = simulate(&[&["--tapes", kept, "--trace"], &broken[..]].concat());
    assert_eq!(violation(&text), violation(&written(&played)), "the same invariant");
    assert!(violation(&text).is_some() && !played.status.success());
    assert_eq!(written(&played), written(&again));
    std::fs::remove_file(file).expect("it was kept");
}
