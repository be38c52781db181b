//! A text as a cell of a CSV file.
//!
//! # What keeps a spreadsheet from calculating
//! A cell whose first visible character is one of `= + - @` (or its full-width form), or that starts with a tab or a
//! line break, gets an apostrophe in front, as OWASP advises (<https://owasp.org/www-community/attacks/CSV_Injection>).
//!
//! A spreadsheet splits a file by the list separator of its user's region, which need not be the comma. It then takes our
//! quotes within a row for text, so that a text can end its own cell and begin another. Therefore the same holds within a
//! cell for what follows one of `SEPARATORS`, be there spaces and quotes in between or not: the apostrophe stands right
//! before the character that could begin a formula.
//!
//! Two exceptions, so that a CRM gets a phone number as it is:
//! - A cell that is a `+` and otherwise only digits, spaces, brackets, hyphens, dots and slashes gets no apostrophe. A
//!   spreadsheet can calculate with its digits, and nothing else.
//! - With a preset, no cell of the column of phones gets one. Words are let through as well (`+1 617 555 ext. 5`). Where
//!   such a cell could call a function or a program, the dangerous character is written visibly (`[U+003D]`).

use crate::display;
use std::borrow::Cow;

/// What ends a cell for a spreadsheet: the list separators of Windows' regions (comma, semicolon, and in some regions of
/// Arabic script their Arabic forms), the tab and the bar, which users set or are asked for, and the ends of lines.
const SEPARATORS: [char; 8] = [',', ';', '\t', '|', '،', '؛', '\r', '\n'];

/// What begins a formula, in ASCII and in the full-width forms, which Excel reads alike.
const FORMULA_STARTS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// A text as a cell that no spreadsheet calculates.
pub(super) fn cell(text: Cow<'_, str>) -> Cow<'_, str> {
    if is_harmless(text.as_bytes()) || is_phone(&text) {
        return text;
    }
    let visible = display::visible(&text);
    if is_phone(&visible) {
        return visible.into();
    }
    let (mut cell, mut written) = (String::new(), 0);
    for Danger { place, .. } in dangers(&visible) {
        cell.push_str(&visible[written..place]);
        cell.push('\'');
        written = place;
    }
    if cell.is_empty() {
        return visible.into();
    }
    cell.push_str(&visible[written..]);
    cell.into()
}

/// What bytes are for a cell. Each of a text is looked up, so that most texts cost one look at each byte.
const KINDS: [u8; 256] = {
    let mut kinds = [NOT_PLAIN; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        kinds[byte as usize] = if matches!(byte, b',' | b';' | b'|') { SEPARATOR } else { 0 };
        byte += 1;
    }
    kinds
};

/// A part of a character beyond ASCII, or a character that cannot be seen.
const NOT_PLAIN: u8 = 1;

/// One of [`SEPARATORS`].
const SEPARATOR: u8 = 2;

/// Whether a text of ASCII can be a cell as it is. Of other texts it is not known.
fn is_harmless(text: &[u8]) -> bool {
    let has_harmless_start = |part: &[u8]| {
        let first = part.iter().find(|byte| !matches!(byte, b' ' | b'"'));
        !matches!(first, Some(b'=' | b'+' | b'-' | b'@'))
    };
    match text.iter().fold(0, |kinds, byte| kinds | KINDS[usize::from(*byte)]) {
        0 => has_harmless_start(text),
        SEPARATOR => text.split(|byte| KINDS[usize::from(*byte)] == SEPARATOR).all(has_harmless_start),
        _ => false,
    }
}

/// A phone number for the importer of a CRM: it gets no apostrophe, and no spreadsheet calculates more than sums of it.
pub(super) fn imported_phone(text: &str) -> String {
    let visible = display::visible(text);
    if is_phone_with_words(&visible) {
        return visible;
    }
    let (mut cell, mut written) = (String::new(), 0);
    for Danger { at, character, .. } in dangers(&visible) {
        cell.push_str(&visible[written..at]);
        cell.push_str(&format!("[U+{:04X}]", u32::from(character)));
        written = at + character.len_utf8();
    }
    cell.push_str(&visible[written..]);
    cell
}

/// Whether a text is a phone number in international form, with which a spreadsheet can do nothing but sums.
fn is_phone(text: &str) -> bool {
    let is_part = |character: char| character.is_ascii_digit() || " ()[]-./".contains(character);
    text.strip_prefix('+').is_some_and(|number| {
        number.chars().all(is_part) && number.contains(|character: char| character.is_ascii_digit())
    })
}

/// Whether a text is a phone number, or several, which may have words in it. A word right before a bracket would be a
/// function, and quotes, bars and the like could lead to another file or program.
fn is_phone_with_words(text: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || " ()-./#*:,;+".contains(character);
    let is_function = |(at, _): (usize, &str)| {
        let word = text[..at].trim_end().chars().rev().take_while(|character| character.is_alphanumeric());
        word.into_iter().any(char::is_alphabetic)
    };
    text.contains(|character: char| character.is_ascii_digit())
        && text.chars().all(is_part)
        && !text.match_indices('(').any(is_function)
}

/// A character with which a spreadsheet could begin a formula.
struct Danger {
    /// Where an apostrophe takes the danger away.
    place: usize,
    /// Where the character is.
    at: usize,
    /// The character.
    character: char,
}

/// Where a spreadsheet could find a formula in a text, or a cell that begins with a tab: at its beginning, or behind a
/// separator. Blanks and quotes are passed over.
fn dangers(text: &str) -> Vec<Danger> {
    let mut dangers = Vec::new();
    // Whether nothing but blanks and quotes came since the beginning, or since the last separator.
    let mut is_at_start = true;
    let mut is_first_cell = true;
    let mut before = None;
    for (at, character) in text.char_indices() {
        let is_line_break = matches!(character, '\r' | '\n');
        let is_danger = match character {
            '\t' => at == 0 || before.is_some_and(|before| before != '\t' && SEPARATORS.contains(&before)),
            _ if is_line_break => at == 0,
            _ => is_at_start && FORMULA_STARTS.contains(&character),
        };
        if is_danger {
            dangers.push(Danger { place: if is_first_cell { 0 } else { at }, at, character });
        }
        if SEPARATORS.contains(&character) {
            (is_at_start, is_first_cell) = (true, false);
        } else if character != '"' && !character.is_whitespace() {
            is_at_start = false;
        }
        before = Some(character);
    }
    dangers
}

#[cfg(test)]
mod tests {
    use super::super::{BYTE_ORDER_MARK, write_lead, write_lead_for_import, write_unreadable, writer};
    use super::*;
    use crate::lead::{Customer, Lead, StoredLead, UnknownField, UnreadableRow};
    use crate::table::Entity;

    #[test]
    fn a_cell_is_never_a_formula() {
        for (text, written) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("+", "'+"),
            ("+()", "'+()"),
            ("  =1", "'  =1"),
            ("\u{a0}=1", "'\u{a0}=1"),
            ("\"=1\"", "'\"=1\""),
            ("\tx", "'\tx"),
            ("\t=1", "'\t'=1"),
            ("\r\n=1", "'\r\n'=1"),
            ("＝1+1", "'＝1+1"),
            ("\u{200e}=1", "'=1"),
            ("+1 617 555 5555", "+1 617 555 5555"),
            ("+16175555555", "+16175555555"),
            ("+1-617-555", "+1-617-555"),
            ("+49 (0)30 12.34/56-7", "+49 (0)30 12.34/56-7"),
            ("+[1] 617", "+[1] 617"),
            ("+1 617 555 ext. 5", "'+1 617 555 ext. 5"),
            ("+1;2", "'+1;2"),
            ("+1+cmd", "'+1+cmd"),
            ("-1 617", "'-1 617"),
            ("a=b", "a=b"),
            ("a;b,c\td|e", "a;b,c\td|e"),
            ("a\t\tb", "a\t\tb"),
            ("a;\tb", "a;'\tb"),
            ("a\r\n\r\nb", "a\r\n\r\nb"),
            ("a@b.example, c", "a@b.example, c"),
            ("x;=cmd|'/C calc'!A0;", "x;'=cmd|'/C calc'!A0;"),
            ("x;;=1", "x;;'=1"),
            ("x;a=1;=2;+3", "x;a=1;'=2;'+3"),
            ("x; \u{a0}\"\"=1", "x; \u{a0}\"\"'=1"),
            ("x;\u{200e}=1", "x;'=1"),
            ("x;＝1", "x;'＝1"),
            ("x\t-1", "x\t'-1"),
            ("x,@SUM(A1)", "x,'@SUM(A1)"),
            ("x|+1", "x|'+1"),
            ("x؛=1", "x؛'=1"),
            ("x،=1", "x،'=1"),
            ("x\r=1", "x\r'=1"),
            ("x\n=1", "x\n'=1"),
            ("{\"a\":\"x;=1\"}", "{\"a\":\"x;'=1\"}"),
            ("", ""),
            ("x\u{202e}y\0", "x[U+202E]y␀"),
        ] {
            assert_eq!(cell(text.into()), written, "{text:?}");
        }
    }

    #[test]
    fn a_phone_for_an_importer_has_no_apostrophe_of_ours_and_calls_nothing() {
        for (text, written) in [
            ("", ""),
            ("+1 617 555", "+1 617 555"),
            ("-1 617", "-1 617"),
            ("+1 617 555 ext. 5", "+1 617 555 ext. 5"),
            ("+1 617 555 (office), +1 617 556", "+1 617 555 (office), +1 617 556"),
            ("tel:+1(617)555", "tel:+1(617)555"),
            ("=1+1", "[U+003D]1+1"),
            ("  =1", "  [U+003D]1"),
            ("\t+1", "[U+0009][U+002B]1"),
            ("\n1", "[U+000A]1"),
            ("+cmd|' /C calc'!A0", "[U+002B]cmd|' /C calc'!A0"),
            ("+HYPERLINK(A1)1", "[U+002B]HYPERLINK(A1)1"),
            ("1;=1", "1;[U+003D]1"),
            ("@1", "[U+0040]1"),
            ("none", "none"),
        ] {
            assert_eq!(imported_phone(text), written, "{text:?}");
        }
    }

    /// Rows as a spreadsheet of a region reads them whose list separator this is.
    fn read_with(separator: char, file: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.delimiter(u8::try_from(separator).unwrap()).has_headers(false).flexible(true);
        let rows = reader.from_reader(file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file)).into_records();
        rows.map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn no_separator_of_a_spreadsheet_makes_a_cell_that_begins_like_a_formula() {
        let separators = [',', ';', '\t', '|'];
        let formulas = ["=cmd|'/C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\tx", "\"=1\"", " =1", "\"\"=1"];
        let hostile = separators.into_iter().chain(['\n', '\r']).flat_map(|separator| {
            formulas.into_iter().flat_map(move |formula| {
                ["", "x", "\"x\"", "x\""].map(|before| format!("{before}{separator}{formula}{separator}"))
            })
        });
        let mut cells = 0;
        for text in hostile.chain(formulas.map(str::to_owned)) {
            let customer = Customer {
                first_name: text.clone(),
                company: text.clone(),
                phone: text.clone(),
                unknown: vec![UnknownField { name: text.clone(), json: format!("{text:?}") }],
                ..Customer::default()
            };
            let lead = Lead {
                customer,
                lead_source: text.clone(),
                offer_title: text.clone(),
                description: text.clone(),
                ..Lead::default()
            };
            let stored = StoredLead::received(lead, "2026-11-03T13:05:01Z".parse().unwrap());
            let entity = Entity::new(text.clone(), text.clone()).with(&text, text.as_str());
            for is_import in [false, true] {
                let mut writer = writer(Vec::new());
                write_unreadable(&mut writer, &entity, UnreadableRow::NotALead).unwrap();
                match is_import {
                    false => write_lead(&mut writer, &stored).unwrap(),
                    true => write_lead_for_import(&mut writer, &stored).unwrap(),
                }
                let file = writer.into_inner().unwrap();
                let phone = &read_with(',', &file)[1][3];
                assert!(!is_import || !phone.contains("'") || text.contains("'"), "{phone:?}");
                for separator in separators {
                    for cell in read_with(separator, &file).concat() {
                        let first = cell.trim_start_matches(['"', ' ']).chars().next();
                        let is_formula = first.is_some_and(|first| "=+-@\t\r".contains(first));
                        let is_allowed = is_import && phone.contains(&cell) && is_phone_with_words(&cell);
                        assert!(!is_formula || is_allowed, "{text:?} makes {cell:?} where {separator:?} separates");
                        cells += 1;
                    }
                }
            }
        }
        assert!(cells > 20_000, "{cells}");
    }
}
