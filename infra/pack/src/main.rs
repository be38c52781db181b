//! `cargo pack` makes a release: it builds the functions and writes everything that is deployed into one folder.

use clap::Parser;
use pack::compile::{Compiler, build};
use pack::workspace::Workspace;
use pack::{Architecture, Failure, Result, release};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Builds the functions, and writes everything that is deployed into one folder. The same sources give the same bytes.
#[derive(Parser)]
#[command(name = "cargo pack", bin_name = "cargo pack")]
struct Arguments {
    /// An architecture; may be repeated [default: both].
    #[arg(long, value_enum)]
    arch: Vec<Architecture>,
    /// Pack the binaries in this folder, as they are, instead of building; needs one --arch.
    #[arg(long, value_name = "FOLDER", conflicts_with = "compiler")]
    binaries: Option<PathBuf>,
    /// What builds.
    #[arg(long, value_enum, default_value = "cargo-lambda")]
    compiler: Compiler,
    /// The folder to write [default: target/release-artifacts].
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nFAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let started = Instant::now();
    let workspace = Workspace::find()?;
    let output = arguments.output.unwrap_or_else(|| workspace.target.join("release-artifacts"));
    let mut builds = BTreeMap::new();
    match (arguments.binaries, arguments.arch.as_slice()) {
        (Some(folder), [architecture]) => drop(builds.insert(*architecture, folder)),
        (Some(_), _) => {
            return Err(Failure::new("it is not known what the binaries are for", "Say one of them: --arch x86_64."));
        }
        (None, wanted) => {
            for architecture in if wanted.is_empty() { &Architecture::ALL } else { wanted } {
                eprintln!("building {} functions for {architecture}", workspace.functions.len());
                builds.insert(*architecture, build(&workspace, *architecture, arguments.compiler)?);
            }
        }
    }
    release::make(&workspace, &builds, &output)?;
    println!("{} is a release; it took {} s", output.display(), started.elapsed().as_secs());
    Ok(())
}
