//! What checks find, and the report that is made of it.

use super::checks::{CHECKS, CheckId};
use super::test_lead::TestLeads;
use crate::settings::VARIABLES;
use crate::table::Keys;
use serde::Serialize;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing could be looked at, since something else failed or is not set.
    Skipped,
    /// All is well.
    #[default]
    Ok,
    /// It works, and something should be done about it.
    Warning,
    /// It does not work.
    Failed,
}

impl Status {
    /// The name as it stands in the result.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable id.
    pub id: CheckId,
    /// How it ended.
    pub status: Status,
    /// What was seen.
    pub seen: String,
    /// What to do about it, where it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
    /// A list that belongs to what was seen. The only place for people: those of a reconciliation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The whole result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether no check failed.
    pub ok: bool,
    /// One line.
    pub summary: String,
    /// Every check that was asked for.
    pub checks: Vec<Check>,
    /// The same as an aligned text.
    pub report: String,
}

/// What is wrong, and what to do about it. Both are phrases, which the report makes into sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) seen: String,
    pub(super) cure: String,
}

impl Fault {
    pub(super) fn new(seen: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { seen: seen.into(), cure: cure.into() }
    }

    /// The fault, with what it is a fault of.
    pub(super) fn of(self, what: &str) -> Self {
        Self { seen: format!("{what}: {}", self.seen), ..self }
    }
}

/// What one check finds. The check ends as its worst finding does.
#[derive(Debug, Default)]
pub(super) struct Findings {
    status: Status,
    /// Each with how bad it is.
    seen: Vec<(Status, String)>,
    cures: Vec<(Status, String)>,
    pub(super) details: Vec<String>,
}

impl Findings {
    pub(super) fn saw(&mut self, seen: impl Into<String>) {
        self.seen.push((Status::Ok, seen.into()));
    }

    pub(super) fn warn(&mut self, seen: impl Into<String>, cure: impl Into<String>) {
        self.note(Status::Warning, seen.into(), cure.into());
    }

    pub(super) fn fail(&mut self, seen: impl Into<String>, cure: impl Into<String>) {
        self.note(Status::Failed, seen.into(), cure.into());
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.note(Status::Failed, fault.seen, fault.cure);
    }

    /// The findings of a check that cannot be made.
    pub(super) fn skip(seen: impl Into<String>, cure: impl Into<String>) -> Self {
        let status = Status::Skipped;
        Self { status, seen: vec![(status, seen.into())], cures: vec![(status, cure.into())], details: Vec::new() }
    }

    fn note(&mut self, status: Status, seen: String, cure: String) {
        self.status = self.status.max(status);
        self.seen.push((status, seen));
        if !self.cures.iter().any(|(_, known)| *known == cure) {
            self.cures.push((status, cure));
        }
    }

    /// Adds that test leads may have stayed in the table. A check that was well is so no more.
    fn leave(&mut self, rows: &[Keys]) {
        let status = if self.status == Status::Ok { Status::Warning } else { self.status };
        for keys in rows {
            self.note(
                status,
                format!("its test lead may be in the table, or come into it: {keys}"),
                "nothing has to be done, since no mail and no export ever holds it; to delete it: az storage entity delete \
                 --table-name <table> --partition-key <partition> --row-key <row>"
                    .to_owned(),
            );
        }
    }

    pub(super) fn into_check(self, id: CheckId, duration: Duration) -> Check {
        Check {
            id,
            status: self.status,
            seen: worst_first(self.seen).join("; "),
            cure: (!self.cures.is_empty()).then(|| {
                let cures = worst_first(self.cures);
                cures.iter().map(|cure| sentence(&with_parameters(cure))).collect::<Vec<_>>().join(" ")
            }),
            details: self.details,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn worst_first(mut texts: Vec<(Status, String)>) -> Vec<String> {
    texts.sort_by_key(|(status, _)| std::cmp::Reverse(*status));
    texts.into_iter().map(|(_, text)| text).collect()
}

/// With the parameter of the stack beside each variable that one sets: that is what a reader changes.
fn with_parameters(text: &str) -> String {
    let mut named = HashSet::new();
    let mut with = String::new();
    for word in text.split_inclusive(|letter: char| !letter.is_ascii_uppercase() && letter != '_') {
        let name = word.trim_end_matches(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
        let parameter = VARIABLES.iter().find(|variable| variable.name == name).and_then(|variable| variable.parameter);
        with += name;
        if let Some(parameter) = parameter.filter(|parameter| named.insert(*parameter)) {
            with += &format!(" (parameter {parameter})");
        }
        with += &word[name.len()..];
    }
    with
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let stop = if text.ends_with(['.', '}']) { "" } else { "." };
    first.chain(letters).chain(stop.chars()).collect()
}

/// `1 lead`, `2 leads`
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// How a check is asked for alone.
const ALONE: &str = "run it alone, as in {\"checks\":[\"…\"]}";

/// Runs checks, each within a limit and all of them before an end, and gathers their results.
pub(super) struct Runner {
    wanted: Vec<CheckId>,
    limit: Duration,
    end: Instant,
    done: Mutex<Vec<Check>>,
}

impl Runner {
    /// Each check may take `limit`, and all of them `total` from now on.
    pub(super) fn new(wanted: Vec<CheckId>, limit: Duration, total: Duration) -> Self {
        // A time that no clock reaches is as good as a day.
        let now = Instant::now();
        let end = now.checked_add(total).unwrap_or(now + Duration::from_secs(24 * 60 * 60));
        Self { wanted, limit, end, done: Mutex::default() }
    }

    /// How long a check that begins now may take.
    pub(super) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now()).min(self.limit)
    }

    pub(super) fn wants(&self, id: CheckId) -> bool {
        self.wanted.contains(&id)
    }

    /// Runs a check if it is wanted, and gives what others go on with.
    pub(super) async fn run<T>(&self, id: CheckId, work: impl Future<Output = (Findings, Option<T>)>) -> Option<T> {
        self.run_with_test_leads(id, async |_| work.await).await
    }

    /// The same for a check that writes test leads. Those that may have stayed in the table are named in its result.
    pub(super) async fn run_with_test_leads<T>(
        &self,
        id: CheckId,
        work: impl AsyncFnOnce(&TestLeads) -> (Findings, Option<T>),
    ) -> Option<T> {
        if !self.wants(id) {
            return None;
        }
        let (started, left, test_leads) = (Instant::now(), self.left(), TestLeads::default());
        let done = if left.is_zero() { None } else { timeout(left, work(&test_leads)).await.ok() };
        let (mut findings, found) = done.unwrap_or_else(|| (self.cut(left), None));
        findings.leave(&test_leads.remaining());
        let check = findings.into_check(id, started.elapsed());
        tracing::info!(check = id.name(), status = check.status.name(), duration_ms = check.duration_ms, "checked");
        self.done().push(check);
        found
    }

    /// What is said of a check that did not end in the time that it had.
    fn cut(&self, left: Duration) -> Findings {
        if left.is_zero() {
            return Findings::skip("not looked at, since the time for all checks was over before", ALONE);
        }
        let cure = format!("{ALONE}; if it stays, look at the network between the function and the service");
        if left < self.limit {
            return Findings::skip("nothing is known, since the time for all checks was over before it ended", cure);
        }
        let mut findings = Findings::default();
        findings.fail(format!("it did not end within {} s", self.limit.as_secs()), cure);
        findings
    }

    /// Notes that a check was skipped, because another one that it needs did not succeed.
    pub(super) fn skip<T>(&self, id: CheckId, needs: CheckId) -> Option<T> {
        if self.wants(id) {
            let seen = format!("not looked at, since `{needs}` did not succeed");
            let cure = format!("mend `{needs}` first");
            self.done().push(Findings::skip(seen, cure).into_check(id, Duration::ZERO));
        }
        None
    }

    fn done(&self) -> MutexGuard<'_, Vec<Check>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(self) -> Report {
        let mut checks = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        checks.sort_by_key(|check| CHECKS.iter().position(|known| known.id == check.id));
        let summary = summary(&checks);
        let report = text(&summary, &checks);
        Report { ok: checks.iter().all(|check| check.status != Status::Failed), summary, checks, report }
    }
}

fn summary(checks: &[Check]) -> String {
    let of = |status| checks.iter().filter(move |check| check.status == status).map(|check| check.id.name());
    let mut parts = vec![format!("{} of {} checks are ok", of(Status::Ok).count(), checks.len())];
    for (status, what) in
        [(Status::Failed, "failed"), (Status::Warning, "with a warning"), (Status::Skipped, "skipped")]
    {
        let ids: Vec<_> = of(status).collect();
        if !ids.is_empty() {
            parts.push(format!("{what}: {}", ids.join(", ")));
        }
    }
    parts.join("; ")
}

/// The width of the report's text.
const WIDTH: usize = 110;

fn text(summary: &str, checks: &[Check]) -> String {
    let mut text = String::new();
    let id_width = checks.iter().map(|check| check.id.name().len()).max().unwrap_or_default();
    for Check { id, status, seen, cure, details, duration_ms } in checks {
        let start = format!("{:<7}  {:<id_width$}  {duration_ms:>6} ms  ", status.name(), id.name());
        let indent = " ".repeat(start.len());
        let cure = cure.iter().map(|cure| format!("→ {cure}"));
        let lines = std::iter::once(seen.clone()).chain(cure).chain(details.iter().map(|line| format!("- {line}")));
        let lines = lines.flat_map(|line| wrap(&line, WIDTH - start.len()));
        for (number, line) in lines.enumerate() {
            let start = if number == 0 { &start } else { &indent };
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{start}{line}");
        }
    }
    let _ = write!(text, "\n{summary}");
    text
}

/// Lines of at most `width` characters where words allow it; the second and later ones are indented by two.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, format!("  {word}")));
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.push(line);
    lines
}
