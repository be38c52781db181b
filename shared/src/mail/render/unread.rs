//! What is shown of rows and bodies that could not be read.

use super::Writer;
use super::detail::{Cut, Detail};
use super::view::{EntryView, SectionView};

impl Writer<'_> {
    pub(super) fn unreadable(&self, detail: Detail) -> Option<SectionView> {
        let rows = &self.digest.unreadable;
        let phrases = &self.phrases.unreadable;
        let entries = rows.iter().take(detail.entries).map(|row| {
            let mut cut = Cut::to_detail(detail);
            EntryView {
                row: cut.row(&row.keys),
                reason: cut.field(&self.settings.language.reason(&row.reason)),
                about: row.timestamp.map(|time| self.time(Some(time))).unwrap_or_default(),
                columns: cut.columns(&row.columns),
                excerpt: Vec::new(),
                shortened: cut.shortened && !detail.brief,
            }
        });
        self.section(
            self.settings.language.counted(&phrases.rows, rows.len()),
            &phrases.rows_why,
            entries.collect(),
            rows.len(),
        )
    }

    pub(super) fn quarantined(&self, detail: Detail) -> Option<SectionView> {
        let bodies = &self.digest.quarantined;
        let phrases = &self.phrases.unreadable;
        let entries = bodies.iter().take(detail.entries).map(|body| {
            let mut cut = Cut::to_detail(detail);
            let size = self.settings.language.counted(&phrases.size, body.size);
            let received = body.received.map(|time| format!(" · {}", self.time(Some(time)))).unwrap_or_default();
            EntryView {
                row: cut.row(&body.keys),
                reason: cut.field(&self.settings.language.reason(&body.reason)),
                about: format!("{size}{received}"),
                columns: Vec::new(),
                excerpt: cut.block(&body.excerpt),
                // The excerpt may be the beginning of the body alone.
                shortened: (cut.shortened || body.excerpt.len() < body.size) && !detail.brief,
            }
        });
        self.section(
            self.settings.language.counted(&phrases.bodies, bodies.len()),
            &phrases.bodies_why,
            entries.collect(),
            bodies.len(),
        )
    }

    pub(super) fn section(
        &self,
        heading: String,
        why: &str,
        entries: Vec<EntryView>,
        all: usize,
    ) -> Option<SectionView> {
        let hidden = all - entries.len();
        (all > 0).then(|| SectionView {
            heading,
            why: why.to_owned(),
            entries,
            more: (hidden > 0).then(|| self.settings.language.counted(&self.phrases.unreadable.more, hidden)),
        })
    }
}
