//! What was measured, kept between runs as JSON, and the document made of it.

use crate::Result;
use crate::plot::Plot;
use crate::subjects::target;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One measurement's outcome.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// Markdown below it.
    pub text: String,
    /// The targets it decides.
    pub targets: Vec<Target>,
    /// Plots below the text.
    pub plots: Vec<Plot>,
    /// When it was measured: a day.
    #[serde(default)]
    pub day: String,
}

/// A target, and what was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// What is measured.
    pub what: String,
    /// What is wanted.
    pub wanted: String,
    /// What was measured.
    pub measured: String,
    /// Whether that is enough.
    pub is_met: bool,
}

impl Report {
    /// A report with a heading.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), day: Timestamp::now().strftime("%Y-%m-%d").to_string(), ..Self::default() }
    }

    /// Adds a paragraph.
    pub fn say(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.text, "{}\n", text.as_ref());
    }

    /// Adds a table.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let _ = writeln!(self.text, "| {} |", head.join(" | "));
        let marks = (0..head.len()).map(|column| if column == 0 { "---" } else { "---:" });
        let _ = writeln!(self.text, "| {} |", marks.collect::<Vec<_>>().join(" | "));
        for row in rows {
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
        }
        self.text.push('\n');
    }

    /// Decides a target.
    pub fn target(&mut self, what: &str, wanted: &str, measured: impl Into<String>, is_met: bool) {
        let (what, wanted, measured) = (what.to_owned(), wanted.to_owned(), measured.into());
        self.targets.push(Target { what, wanted, measured, is_met });
    }

    /// Adds a plot: of each bar the label, and what each round measured, with so many decimal places.
    pub fn plot(&mut self, name: &str, title: &str, bars: Vec<(String, Vec<f64>)>, digits: usize) {
        self.plots.push(Plot { name: name.to_owned(), title: title.to_owned(), bars, digits });
    }

    /// Keeps the report for the document.
    pub fn keep(&self, name: &str) -> Result<()> {
        let folder = kept()?;
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(self)?)?;
        Ok(())
    }
}

fn kept() -> Result<PathBuf> {
    Ok(target()?.join("bench/reports"))
}

/// The middle of some values.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value below which so many percent of the values are.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (percent / 100.0 * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Median and range: `1.23 (1.20–1.31)`.
pub(crate) fn spread(values: &[f64], digits: usize) -> String {
    let (low, high) = (percentile(values, 0.0), percentile(values, 100.0));
    format!("{:.digits$} ({low:.digits$}–{high:.digits$})", median(values))
}

/// The ratios of two series of rounds, round by round.
pub(crate) fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Thousands with commas.
pub(crate) fn number(value: usize) -> String {
    let digits = value.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

/// Writes `docs/performance.md` and its plots from all that was measured, in this order.
pub fn write_document(order: &[&str]) -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut reports = Vec::new();
    for name in order {
        if let Ok(text) = fs::read_to_string(kept()?.join(format!("{name}.json"))) {
            reports.push(serde_json::from_str::<Report>(&text)?);
        }
    }
    let mut text = String::from(include_str!("../notes/introduction.md"));
    text += &machine();
    text += "\n## Targets\n\n| what | target | measured | met |\n| --- | --- | --- | --- |\n";
    for Target { what, wanted, measured, is_met } in reports.iter().flat_map(|report| &report.targets) {
        let met = if *is_met { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {what} | {wanted} | {measured} | {met} |");
    }
    text += "\n";
    text += include_str!("../notes/missed.md");
    for report in &reports {
        let _ = writeln!(text, "\n## {}\n\n{}", report.title, report.text.trim_end());
        for plot in &report.plots {
            let file = format!("images/performance-{}.svg", plot.name);
            fs::write(docs.join(&file), plot.svg())?;
            let _ = writeln!(text, "\n![{}; lower is better]({file})", plot.title);
        }
    }
    for notes in [include_str!("../notes/delay.md"), include_str!("../notes/tried.md")] {
        let _ = write!(text, "\n{notes}");
    }
    fs::write(docs.join("performance.md"), text)?;
    Ok(())
}

/// Machine, versions and date.
fn machine() -> String {
    let said = |program: &str, argument: &str| {
        let output = std::process::Command::new(program).arg(argument).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let packages =
        ["requirements.in"].map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/python").join(file));
    let python = packages.iter().filter_map(|file| fs::read_to_string(file).ok()).collect::<String>();
    let python = python.lines().map(|line| line.replace("==", " ")).collect::<Vec<_>>().join(", ");
    let node = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node/package.json"));
    let node: serde_json::Value = serde_json::from_str(&node.unwrap_or_default()).unwrap_or_default();
    let node: Vec<_> = node["dependencies"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()))
        .collect();
    format!(
        "Measured {} on {cores} cores of {model}, Linux {}; {}; {} with {python}; Node.js {} with {}.\n",
        Timestamp::now().strftime("%-d %B %Y"),
        said("uname", "-r"),
        said("rustc", "--version").split(" (").next().unwrap_or_default(),
        said("python3", "--version"),
        said("node", "--version"),
        node.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_percentiles_and_ranges_are_those_of_the_sorted_values() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!((median(&values), percentile(&values, 99.0)), (3.0, 5.0));
        assert_eq!(spread(&values, 1), "3.0 (1.0–5.0)");
        assert_eq!(ratios(&[4.0, 9.0], &[2.0, 3.0]), [2.0, 3.0]);
        assert_eq!(number(1_234_567), "1,234,567");
    }
}
