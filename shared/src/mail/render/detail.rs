//! How much of each lead a mail shows, and how texts are shortened to that measure.

use crate::display;
use crate::table::Keys;

/// How much of each lead is shown.
#[derive(Clone, Copy)]
pub(super) struct Detail {
    /// Whether each lead has one line instead of a card.
    pub(super) brief: bool,
    /// Whether no more is shown than who did what and when, and in which row it is.
    pub(super) terse: bool,
    /// The longest note, in bytes of HTML.
    pub(super) note: usize,
    /// The most lines of a note.
    pub(super) lines: usize,
    /// The longest other text, in bytes of HTML.
    pub(super) field: usize,
    /// The longest key of a row, in bytes of HTML.
    pub(super) key: usize,
    /// The most rows of a table of fields.
    pub(super) rows: usize,
    /// The most earlier actions.
    pub(super) history: usize,
    /// The most entries of each kind.
    pub(super) entries: usize,
}

pub(super) const CARDS: Detail = Detail {
    brief: false,
    terse: false,
    note: 6_000,
    lines: 80,
    field: 300,
    key: 300,
    rows: 60,
    history: 12,
    entries: usize::MAX,
};
pub(super) const LINES: Detail = Detail {
    brief: true,
    terse: false,
    note: 0,
    lines: 0,
    field: 60,
    key: 70,
    rows: 0,
    history: 0,
    entries: usize::MAX,
};

/// The steps that are tried, in this order, until the HTML is short enough.
pub(super) const DETAIL: [Detail; 9] = [
    CARDS,
    Detail { note: 3_000, lines: 50, field: 200, key: 200, rows: 30, ..CARDS },
    Detail { note: 1_500, lines: 25, field: 150, key: 120, rows: 15, history: 6, ..CARDS },
    Detail { note: 700, lines: 12, field: 120, key: 100, rows: 8, history: 5, ..CARDS },
    Detail { note: 300, lines: 6, field: 80, key: 80, rows: 4, history: 3, ..CARDS },
    Detail { note: 100, lines: 2, field: 60, key: 80, rows: 2, history: 2, ..CARDS },
    LINES,
    Detail { field: 30, key: 50, ..LINES },
    Detail { terse: true, field: 12, key: 24, ..LINES },
];

/// The steps for a mail that shows the keys of its rows alone.
pub(super) const KEYS: [Detail; 5] = [
    // A key has at most 512 characters, and a character that is made visible takes at most nine bytes.
    Detail { key: 4_700, ..LINES },
    Detail { key: 1_000, ..LINES },
    Detail { key: 300, ..LINES },
    Detail { key: 70, ..LINES },
    Detail { key: 24, ..LINES },
];

/// Shortens texts to a measure, and remembers whether any text was shortened.
pub(super) struct Cut {
    pub(super) detail: Detail,
    pub(super) shortened: bool,
}

impl Cut {
    pub(super) fn to_detail(detail: Detail) -> Self {
        Self { detail, shortened: false }
    }

    /// Makes a text harmless with `clean`, and then shortens it.
    fn shorten(&mut self, text: &str, clean: fn(&str) -> String, bytes: usize, lines: usize) -> String {
        // Only the beginning is cleaned, because cleaning what is cut off anyway would take most of the time. What
        // remains of it is too short only if it is mostly white space.
        let start = &text[..text.floor_char_boundary(4 * bytes + 256)];
        let (mut short, mut shortened) = display::shorten(&clean(start), bytes, lines);
        if start.len() < text.len() && !shortened {
            short.push('…');
            shortened = true;
        }
        self.shortened |= shortened;
        short
    }

    pub(super) fn line(&mut self, text: &str, bytes: usize) -> String {
        self.shorten(text, display::line, bytes, 1)
    }

    pub(super) fn field(&mut self, text: &str) -> String {
        self.line(text, self.detail.field)
    }

    /// The lines of a note.
    pub(super) fn block(&mut self, text: &str) -> Vec<String> {
        let Detail { note, lines, .. } = self.detail;
        if note == 0 {
            return Vec::new();
        }
        self.shorten(text, display::block, note, lines).lines().map(str::to_owned).collect()
    }

    pub(super) fn table(&mut self, rows: &[(String, String)]) -> Vec<(String, String)> {
        self.shortened |= rows.len() > self.detail.rows;
        rows.iter().take(self.detail.rows).map(|(name, value)| (self.field(name), self.field(value))).collect()
    }

    /// The raw columns of a row, whose values may be as long as notes.
    pub(super) fn columns(&mut self, columns: &[(String, String)]) -> Vec<(String, String)> {
        self.shortened |= columns.len() > self.detail.rows;
        let bytes = self.detail.note.max(self.detail.field);
        columns.iter().take(self.detail.rows).map(|(name, value)| (self.field(name), self.line(value, bytes))).collect()
    }

    /// The keys of a row.
    pub(super) fn row(&mut self, keys: &Keys) -> String {
        let [partition_key, row_key] = [&keys.partition, &keys.row].map(|key| self.line(key, self.detail.key));
        format!("{partition_key} / {row_key}")
    }
}
