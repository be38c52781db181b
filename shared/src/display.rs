//! Makes texts from outside harmless to look at: what cannot be seen is shown, and nothing changes the direction of the
//! text around it.
//!
//! Whoever puts such a text into HTML, a header or CSV must escape it for that besides.

use std::fmt::Write as _;

/// A text on one line. Each stretch of white space becomes one space, and what cannot be seen is made visible.
pub(crate) fn line(text: &str) -> String {
    #[cfg(test)]
    assert!(!text.contains(crate::bug::texts::SHOWN));
    let mut line = String::with_capacity(text.len());
    for word in text.split(char::is_whitespace).filter(|word| !word.is_empty()) {
        let before = line.len();
        if before > 0 {
            line.push(' ');
        }
        let start = line.len();
        word.chars().for_each(|character| push_visible(&mut line, character));
        if line.len() == start {
            line.truncate(before);
        }
    }
    line
}

/// A text of several lines. Of several empty lines in a row one is kept, and what cannot be seen is made visible.
pub(crate) fn block(text: &str) -> String {
    let mut block = String::with_capacity(text.len());
    let mut empty = 0;
    for part in text.trim().replace("\r\n", "\n").split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        let part = line(part);
        if part.is_empty() {
            empty += 1;
            continue;
        }
        if !block.is_empty() {
            block.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        block.push_str(&part);
        empty = 0;
    }
    block
}

/// A text in which what cannot be seen is made visible. Its white space stays as it is.
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => visible.push(character),
            _ => push_visible(&mut visible, character),
        }
    }
    visible
}

fn push_visible(out: &mut String, character: char) {
    match character {
        // Unicode has a visible symbol for each control character.
        '\0'..='\x1f' => out.extend(char::from_u32(0x2400 + u32::from(character))),
        '\x7f' => out.push('\u{2421}'),
        // Marks of direction, which people who write from right to left use. They are left out: they are not seen, and
        // all they can do is to move punctuation.
        '\u{200e}' | '\u{200f}' | '\u{61c}' => {}
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => {
            // Writing to a text does not fail.
            let _ = write!(out, "[U+{:04X}]", u32::from(character));
        }
        _ => out.push(character),
    }
}

/// How many bytes a character takes in HTML text.
fn html_bytes(character: char) -> usize {
    match character {
        '<' | '>' | '&' | '"' | '\'' | '\n' => "&#38;".len(),
        _ => character.len_utf8(),
    }
}

/// The beginning of a text that takes at most `bytes` in HTML and `lines` lines, and whether the text was cut. A text
/// that was cut ends with an ellipsis.
pub(crate) fn shorten(text: &str, bytes: usize, lines: usize) -> (String, bool) {
    const ELLIPSIS: char = '…';
    let (mut used, mut line, mut end) = (0, 1, None);
    for (at, character) in text.char_indices() {
        used += html_bytes(character);
        line += usize::from(character == '\n');
        if used > bytes || line > lines {
            break;
        }
        // The text may be cut here only if there is room left for an ellipsis.
        if used + ELLIPSIS.len_utf8() <= bytes {
            end = Some(at + character.len_utf8());
        }
    }
    if used <= bytes && line <= lines {
        return (text.to_owned(), false);
    }
    let end = end.unwrap_or_default();
    (format!("{}{ELLIPSIS}", text[..end].trim_end()), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_made_visible() {
        for (text, seen) in [
            ("Ada\r\nBcc: x@y.z", "Ada Bcc: x@y.z"),
            ("  a \t b\u{a0}c ", "a b c"),
            ("nul\0bell\x07del\x7f", "nul␀bell␇del␡"),
            ("\u{202e}moc.live", "[U+202E]moc.live"),
            ("\u{2066}x\u{2069}", "[U+2066]x[U+2069]"),
            ("pay\u{200b}pal", "pay[U+200B]pal"),
            // Letters and marks that are drawn as nothing: a name of them would look as if there were none.
            ("\u{3164}\u{115f}\u{ffa0}", "[U+3164][U+115F][U+FFA0]"),
            ("pay\u{34f}pal\u{2800}", "pay[U+034F]pal[U+2800]"),
            ("c1\u{9b}31m", "c1[U+009B]31m"),
            ("שלום\u{200f}!", "שלום!"),
            ("\u{200f} a \u{200e}", "a"),
            ("👩\u{200d}🔬 می\u{200c}خواهم", "👩\u{200d}🔬 می\u{200c}خواهم"),
        ] {
            assert_eq!(line(text), seen, "{text:?}");
        }
        assert_eq!(visible("a\r\n\tb\u{202e}"), "a\r\n\tb[U+202E]");
    }

    #[test]
    fn a_block_keeps_its_lines_and_loses_its_gaps() {
        assert_eq!(block("\r\n a \r\n\r\n\r\n\r\n b\rc\u{2028}d\n"), "a\n\nb\nc\nd");
    }

    #[test]
    fn a_text_is_cut_by_what_it_takes_in_html() {
        assert_eq!(shorten("abcdef", 6, 1), ("abcdef".into(), false));
        assert_eq!(shorten("abcdefg", 6, 1), ("abc…".into(), true));
        assert_eq!(shorten("<<<<", 14, 1), ("<<…".into(), true));
        assert_eq!(shorten("äöü", 6, 1), ("äöü".into(), false));
        assert_eq!(shorten("äöüß", 7, 1), ("äö…".into(), true));
        assert_eq!(shorten("a\nb\nc", 100, 2), ("a\nb…".into(), true));
        assert_eq!(shorten("abc", 1, 1), ("…".into(), true));
    }
}
