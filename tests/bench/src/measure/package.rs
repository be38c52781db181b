//! The packages: how large, and what their bytes are.

use crate::report::number;
use crate::subjects::FUNCTIONS;
use crate::{Report, Result, Stage};
use pack::release;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tokio::process::Command;

/// The most that a package may have: 3.2 MB.
const LIMIT: usize = 3_200_000;

/// Zips every function; looks into intake.
pub async fn measure(stage: &Stage) -> Result<Report> {
    let folder = stage.binaries()?;
    let mut report = Report::new("Packages");
    report.say("Each function's binary, built with the release profile, and its zip as `cargo pack` makes it (Zopfli), in bytes.");
    let mut rows = Vec::new();
    let (mut sizes, mut debug) = (Vec::new(), 0);
    for function in FUNCTIONS {
        let binary = folder.join(function);
        let sections = sections(&binary).await?;
        let symbols: usize = sections.iter().filter(|(name, _)| is_debug(name)).map(|(_, size)| size).sum();
        let size = release::zip(&fs::read(&binary)?, release::LEVEL)?.len();
        debug += symbols;
        sizes.push(size);
        let bytes = usize::try_from(fs::metadata(&binary)?.len())?;
        rows.push(vec![function.to_owned(), number(bytes), number(size), number(symbols)]);
    }
    report.table(&["function", "binary", "zip", "debug symbols"], &rows);
    report.say("What the bytes of intake's binary are, by section:");
    let mut parts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, size) in sections(&folder.join("lead-intake")).await? {
        let part = match name.as_str() {
            ".text" => "code (`.text`)",
            ".rodata" => "constants: texts, tables, certificates, time zones (`.rodata`)",
            ".eh_frame" | ".eh_frame_hdr" | ".gcc_except_table" => {
                "unwinding, for panics (`.eh_frame`, `.gcc_except_table`)"
            }
            ".data.rel.ro" | ".rela.dyn" | ".got" | ".relro_padding" => "tables of addresses and their relocations",
            _ => "other",
        };
        *parts.entry(part).or_default() += size;
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let rows: Vec<_> = parts.into_iter().map(|(part, size)| vec![part.to_owned(), number(size)]).collect();
    report.table(&["part", "bytes"], &rows);
    let largest = sizes.iter().copied().max().unwrap_or_default();
    let shown: Vec<_> =
        FUNCTIONS.iter().zip(&sizes).map(|(name, size)| format!("{name} {:.2}", *size as f64 / 1e6)).collect();
    report.target("package: zip of each function", "≤ 3.2 MB", format!("{} MB", shown.join(", ")), largest <= LIMIT);
    report.target("debug symbols in them", "none", number(debug), debug == 0);
    Ok(report)
}

fn is_debug(section: &str) -> bool {
    section.starts_with(".debug") || section == ".symtab" || section == ".strtab"
}

/// The sections of a binary and their sizes, as `readelf` lists them.
async fn sections(binary: &Path) -> Result<Vec<(String, usize)>> {
    let output = Command::new("readelf").args(["--section-headers", "--wide"]).arg(binary).output().await?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .filter_map(|line| {
            // `  [12] .text  PROGBITS  0000000000123000 123000 045678 00  AX  0   0 16`
            let mut words = line.trim().strip_prefix('[')?.split_once(']')?.1.split_whitespace();
            let (name, kind) = (words.next()?, words.next()?);
            let size = usize::from_str_radix(words.nth(2)?, 16).ok()?;
            (kind != "NOBITS" && kind != "NULL").then(|| (name.to_owned(), size))
        })
        .collect())
}
