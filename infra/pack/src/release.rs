//! Writes the folder of a release.

use crate::compile::{binary, rust};
use crate::linked::Graph;
use crate::workspace::{Workspace, output_of};
use crate::{Architecture, Failure, OrFail, Result, licences, notes, python, sbom};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The name of the file with the checksums.
pub const SUMS: &str = "SHA256SUMS";

/// How much a zip is compressed: above 9 it is Zopfli's work, which takes some seconds for each zip, and makes it a
/// thirtieth smaller than 9 does. Beyond this level there is next to nothing to gain.
pub const LEVEL: i64 = 14;

/// Writes a release of binaries that are there. The folder is replaced as a whole, at the end: after a failure it is what
/// it was before.
///
/// # Errors
/// Where something is missing, a binary is for another architecture, a file cannot be written, or the folder is there and
/// is no release.
pub fn make(workspace: &Workspace, builds: &BTreeMap<Architecture, PathBuf>, output: &Path) -> Result<()> {
    make_at(workspace, builds, output, LEVEL)
}

/// The same with another level of compression: with 1 it takes a moment, and the zips are larger.
///
/// # Errors
/// As [`make`].
pub fn make_at(
    workspace: &Workspace,
    builds: &BTreeMap<Architecture, PathBuf>,
    output: &Path,
    level: i64,
) -> Result<()> {
    if output.exists()
        && !output.join(SUMS).is_file()
        && fs::read_dir(output).is_ok_and(|mut files| files.next().is_some())
    {
        let message = format!("{} holds something else than a release", output.display());
        return Err(Failure::new(message, "Say another folder: --output <folder>."));
    }
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = output.with_file_name(name);
    let made = write(workspace, builds, &new, level).and_then(|()| {
        if output.exists() {
            fs::remove_dir_all(output).or_fail(format!("remove {}", output.display()))?;
        }
        fs::rename(&new, output).or_fail(format!("write {}", output.display()))
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    made
}

fn write(workspace: &Workspace, builds: &BTreeMap<Architecture, PathBuf>, folder: &Path, level: i64) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).or_fail(format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).or_fail(format!("make {}", folder.display()))?;
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).or_fail(format!("write {name}"));
    let read = |name: &str| fs::read(workspace.root.join(name)).or_fail(format!("read {name}"));

    let rust = rust()?;
    let mut packages = BTreeMap::new();
    for (architecture, binaries) in builds {
        eprintln!("packing for {architecture}");
        let graph = Graph::of_functions(workspace, *architecture)?;
        for function in &workspace.functions {
            let path = binary(binaries, function)?;
            let program = fs::read(&path).or_fail(format!("read {}", path.display()))?;
            put(&format!("{function}-{architecture}.zip"), &zipped(&program, function, *architecture, level)?)?;
            let document = sbom::document(&graph, function, *architecture, &rust);
            put(&format!("{function}-{architecture}.cdx.json"), format!("{document:#}\n").as_bytes())?;
        }
        packages.extend(graph.packages);
    }
    put("THIRD-PARTY-LICENCES.txt", licences::text(&packages)?.as_bytes())?;
    put("template.yaml", &read("infra/aws/template.yaml")?)?;
    put("storage.json", &read("infra/azure/storage.json")?)?;
    let changelog = String::from_utf8(read("docs/CHANGELOG.md")?).or_fail("read docs/CHANGELOG.md")?;
    put("RELEASE-NOTES.md", notes::newest(&changelog)?.as_bytes())?;
    let system = python::find().map_err(|message| Failure::new(message, "Then run it again."))?;
    let pack = workspace.root.join("infra/leads/pack.py");
    output_of(Command::new(system).arg("-B").arg(pack).arg(folder.join("leads")))?;
    put(SUMS, sums(folder)?.as_bytes())
}

/// A function as Lambda takes it: an executable file `bootstrap` and nothing else, with the earliest time that a zip can
/// say.
fn zipped(program: &[u8], function: &str, architecture: Architecture, level: i64) -> Result<Vec<u8>> {
    let machine = program.get(18..20).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    if !program.starts_with(b"\x7fELF") || machine != Some(architecture.elf_machine()) {
        let message = format!("the binary of {function} is no Linux program for {architecture}");
        return Err(Failure::new(message, "Say the folder with binaries of this architecture, or the right --arch."));
    }
    zip(program, level).or_fail(format!("zip {function}"))
}

/// A zip with nothing but the executable file `bootstrap`.
///
/// # Errors
/// Where it cannot be made: a zip that is made in memory never fails.
pub fn zip(program: &[u8], level: i64) -> ZipResult<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(level))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", options)?;
    zip.write_all(program)?;
    Ok(zip.finish()?.into_inner())
}

/// A line for each file in a folder, as `sha256sum` writes it, in the order of the names.
fn sums(folder: &Path) -> Result<String> {
    let doing = || format!("read {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).or_fail(doing())? {
        names.push(entry.or_fail(doing())?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    let mut lines = String::new();
    for name in names {
        let digest = Sha256::digest(fs::read(folder.join(&name)).or_fail(doing())?);
        let _ = writeln!(lines, "{}  {name}", hex::encode(digest));
    }
    Ok(lines)
}
