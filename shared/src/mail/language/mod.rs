//! The languages of the mail. Each is one file in `languages/`, named by the language's code. The build script finds the
//! files, so adding a language is adding its file.

mod check;
mod countries;
mod phrases;
mod reasons;

pub(crate) use phrases::Phrases;
pub(super) use phrases::{ActionPhrases, Plural};

use icu_locale_core::LanguageIdentifier;
use icu_plurals::{PluralCategory, PluralRules, PluralRulesPreferences};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::sync::LazyLock;

/// The code and the file of every language, as the build script found them.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/languages.rs"));

static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    // A test reads all files with `Language::from_json`, so that none is missing here.
    FILES.iter().filter_map(|(code, json)| Language::read(code, json).ok()).collect()
});

/// A language in which mails are written.
pub struct Language {
    code: String,
    plural_rules: PluralRulesPreferences,
    pub(crate) phrases: Phrases,
}

/// Why a text is not the file of a language.
#[derive(Debug, thiserror::Error)]
pub enum LanguageError {
    /// The code is not one of BCP 47.
    #[error("{0:?} is not the code of a language")]
    Code(String),
    /// The text is not JSON, or it lacks a phrase, or it has one too many.
    #[error("the phrases cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A phrase is not as English or the language's plural categories ask for it.
    #[error("the phrase {path} {problem}")]
    Phrase {
        /// Where the phrase stands in the file: `/subject/leads`.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Language {
    /// The language with this code (`en`, `zh-Hans`), in any casing.
    pub fn find(code: &str) -> Option<&'static Self> {
        LANGUAGES.iter().find(|language| language.code.eq_ignore_ascii_case(code.trim()))
    }

    /// The codes of all languages, in order.
    pub fn codes() -> Vec<&'static str> {
        FILES.iter().map(|(code, _)| *code).collect()
    }

    /// A language from the text of its file.
    ///
    /// `code` is its code in BCP 47 (`pt-BR`), which also decides about its plural categories.
    ///
    /// # Errors
    /// Where a phrase is missing or unknown, has another set of `{places}` than in English, or has other plural forms
    /// than Unicode CLDR asks for in this language.
    pub fn from_json(code: &str, json: &str) -> Result<Self, LanguageError> {
        let language = Self::read(code, json)?;
        check::check(&language)?;
        Ok(language)
    }

    fn read(code: &str, json: &str) -> Result<Self, LanguageError> {
        let identifier: LanguageIdentifier = code.parse().map_err(|_| LanguageError::Code(code.to_owned()))?;
        let plural_rules = PluralRulesPreferences::from(&identifier);
        Ok(Self { code: code.to_owned(), plural_rules, phrases: serde_json::from_str(json)? })
    }

    /// The language's code, as HTML's `lang` wants it.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The plural rules of the language. They are not kept, because they cannot be shared between threads; making them
    /// is a search in a table of some hundred entries.
    fn plural_rules(&self) -> Option<PluralRules> {
        PluralRules::try_new_cardinal(self.plural_rules).ok()
    }

    fn plural_category(&self, count: usize) -> PluralCategory {
        self.plural_rules().map_or(PluralCategory::Other, |rules| rules.category_for(count))
    }

    /// The phrase for a number, which goes into `{count}`.
    pub(super) fn counted(&self, phrase: &Plural, count: usize) -> String {
        self.counted_with(phrase, count, &[])
    }

    /// The phrase for a number, which goes into `{count}`, with further values.
    pub(super) fn counted_with(&self, phrase: &Plural, count: usize, values: &[(&str, &str)]) -> String {
        let number = count.to_string();
        let mut all = vec![("count", number.as_str())];
        all.extend(values);
        fill(phrase.form(self.plural_category(count)), &all)
    }

    /// The sides on which lines start and end, as CSS names them.
    pub(super) fn sides(&self) -> (&'static str, &'static str) {
        if self.phrases.direction == "rtl" { ("right", "left") } else { ("left", "right") }
    }

    /// A day as people write it there, with its year if that is not `year`.
    pub(super) fn date(&self, date: Date, year: i16) -> String {
        let pattern = if date.year() == year { &self.phrases.date } else { &self.phrases.date_with_year };
        self.fill_date(pattern, date, &[])
    }

    /// A time as people write it there, with its zone: the abbreviation, or the offset where people do not use those.
    pub(super) fn date_time(&self, time: Timestamp, zone: &TimeZone) -> String {
        let local = time.to_zoned(zone.clone());
        let info = zone.to_offset_info(time);
        // A zone that has no abbreviation of its own is named by its offset, such as `+08`.
        let zone = match info.abbreviation() {
            _ if self.phrases.zone_style == "offset" => offset(info.offset().seconds()),
            offset if offset.starts_with(['+', '-']) => format!("UTC{offset}"),
            letters => letters.to_owned(),
        };
        let hour = format!("{:02}", local.hour());
        let minute = format!("{:02}", local.minute());
        let time = [("hour", hour.as_str()), ("minute", minute.as_str()), ("zone", zone.as_str())];
        self.fill_date(&self.phrases.date_time, local.date(), &time)
    }

    fn fill_date(&self, pattern: &str, date: Date, more: &[(&str, &str)]) -> String {
        let Phrases { months, weekdays, .. } = &self.phrases;
        let (day, year) = (date.day().to_string(), date.year().to_string());
        let month = months[(date.month() - 1).unsigned_abs() as usize % 12].as_str();
        let weekday = weekdays[date.weekday().to_monday_zero_offset().unsigned_abs() as usize % 7].as_str();
        let mut values = vec![("day", day.as_str()), ("year", &year), ("month", month), ("weekday", weekday)];
        values.extend(more);
        fill(pattern, &values)
    }
}

/// An offset from UTC: `UTC+8`, `UTC-3:30`.
fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    match (seconds.unsigned_abs() / 3_600, seconds.unsigned_abs() / 60 % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

/// Puts values into the `{name}` places of a phrase. A `{name}` within a value is no place, and stays as it is.
pub(super) fn fill(phrase: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(phrase.len() + 32);
    let mut rest = phrase;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let (name, next) = after.split_once('}').unwrap_or((after, ""));
        filled.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = next;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeMap;

    /// Every phrase of a file by its path, with the set of its places. Plural forms and lists count as one phrase.
    fn places(json: &str) -> BTreeMap<String, Vec<String>> {
        fn names(value: &Value, names_found: &mut Vec<String>) {
            match value {
                Value::String(text) => {
                    names_found.extend(text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()));
                }
                Value::Array(items) => items.iter().for_each(|item| names(item, names_found)),
                Value::Object(items) => items.values().for_each(|item| names(item, names_found)),
                _ => panic!("a phrase is neither text nor list nor plural"),
            }
            names_found.sort();
            names_found.dedup();
        }
        fn walk(path: &str, value: &Value, found: &mut BTreeMap<String, Vec<String>>) {
            match value {
                Value::Object(items) if !items.contains_key("other") || items.contains_key("install") => {
                    for (name, item) in items {
                        walk(&format!("{path}/{name}"), item, found);
                    }
                }
                _ => {
                    let mut places = Vec::new();
                    names(value, &mut places);
                    found.insert(path.to_owned(), places);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk("", &serde_json::from_str(json).unwrap(), &mut found);
        found
    }

    #[test]
    fn every_language_file_has_every_phrase_and_no_other() {
        for (code, json) in FILES {
            let problem = Language::from_json(code, json).err().map(|error| error.to_string());
            assert_eq!(problem, None, "{code}.json");
        }
        assert_eq!(Language::codes(), FILES.iter().map(|(code, _)| *code).collect::<Vec<_>>());
        // Those that were there first. A further one needs no line here.
        for code in ["en", "zh-Hans"] {
            assert!(Language::codes().contains(&code), "{code}");
        }
    }

    /// English with one change, as another language with the same plural forms.
    fn changed(change: impl Fn(&mut Value)) -> Option<String> {
        let (_, json) = FILES.iter().find(|(code, _)| *code == "en").unwrap();
        let mut value = serde_json::from_str(json).unwrap();
        change(&mut value);
        Language::from_json("de", &value.to_string()).err().map(|error| error.to_string())
    }

    #[test]
    fn a_file_that_lacks_something_is_refused_and_says_what() {
        type Change = fn(&mut Value);
        let changes: [(Change, &str); 16] = [
            (|file| drop(file["lead"].as_object_mut().unwrap().remove("note")), "missing field `note`"),
            (|file| file["lead"]["nonsense"] = "x".into(), "unknown field `nonsense`"),
            (|file| file["months"][11] = "".into(), "/months has an empty text"),
            (|file| drop(file["months"].as_array_mut().unwrap().pop()), "expected an array of length 12"),
            (|file| drop(file["silence"]["checks"].as_array_mut().unwrap().pop()), "/silence/checks has 4 texts"),
            (|file| file["lead"]["phone"] = " ".into(), "/lead/phone is empty"),
            (|file| file["direction"] = "left".into(), "/direction is neither"),
            (|file| file["zone_style"] = "none".into(), "/zone_style is neither"),
            (|file| file["fonts"] = "Arial;color:red".into(), "/fonts has other characters"),
            (|file| drop(file["countries"].as_object_mut().unwrap().remove("SE")), "/countries has SE, and English"),
            (|file| file["countries"]["SE"] = "".into(), "/countries has an empty name"),
            (
                |file| file["earlier_actions"]["ordinals"] = vec!["First"].into(),
                "/earlier_actions/ordinals has fewer than two",
            ),
            (|file| file["date"] = "{day}".into(), "/date has the places {\"day\"}"),
            (|file| file["footer"]["zone"] = "{zone} {time}".into(), "/footer/zone has the places"),
            (
                |file| file["subject"]["leads"]["few"] = "{count}".into(),
                "/subject/leads has the plural forms {One, Few, Other}, and the language has {One, Other}",
            ),
            (
                |file| file["subject"]["leads"]["other"] = "many leads".into(),
                "/subject/leads has the places {}, and in English {\"count\"} in the form Other",
            ),
        ];
        assert_eq!(changed(|_| {}), None);
        for (change, expected) in changes {
            let error = changed(change);
            assert!(error.as_ref().is_some_and(|error| error.contains(expected)), "{expected}: {error:?}");
        }
        let (_, english) = FILES.iter().find(|(code, _)| *code == "en").unwrap();
        assert!(matches!(Language::from_json("no code", english), Err(LanguageError::Code(_))));
        // Russian has four forms, French three.
        for code in ["ru", "fr", "zh"] {
            let error = Language::from_json(code, english).err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains("plural forms")), "{code}: {error:?}");
        }
    }

    #[test]
    fn only_a_form_for_one_single_number_may_leave_the_number_out() {
        // In English `one` is 1 alone; in Latvian it is 1, 21, 31 and so on.
        let (_, english) = FILES.iter().find(|(code, _)| *code == "en").unwrap();
        let mut file: Value = serde_json::from_str(english).unwrap();
        assert!(!file["footer"]["attached"]["one"].as_str().unwrap().contains("{count}"));
        fn give_form_zero(value: &mut Value) {
            match value {
                Value::Object(phrases) if phrases.len() == 2 && phrases.contains_key("one") => {
                    phrases.insert("zero".to_owned(), phrases["other"].clone());
                }
                Value::Object(phrases) => phrases.values_mut().for_each(give_form_zero),
                _ => {}
            }
        }
        give_form_zero(&mut file);
        let error = Language::from_json("lv", &file.to_string()).err().unwrap().to_string();
        assert!(error.contains("/footer/attached") && error.contains("in the form One"), "{error}");
        file["footer"]["attached"]["one"] = file["footer"]["attached"]["other"].clone();
        assert!(Language::from_json("lv", &file.to_string()).is_ok());
    }

    #[test]
    fn every_phrase_has_the_same_places_in_every_language() {
        let english = places(FILES.iter().find(|(code, _)| *code == "en").unwrap().1);
        assert!(english.len() > 70, "the test sees only {} phrases", english.len());
        for (code, json) in FILES {
            assert_eq!(places(json), english, "{code}.json");
        }
    }

    #[test]
    fn no_phrase_is_empty_and_no_language_lacks_a_check_or_an_ordinal() {
        fn all(value: &Value) -> bool {
            match value {
                Value::String(text) => !text.trim().is_empty(),
                Value::Array(items) => items.iter().all(all),
                Value::Object(items) => items.values().all(all),
                _ => false,
            }
        }
        for (code, json) in FILES {
            assert!(all(&serde_json::from_str(json).unwrap()), "{code}.json");
        }
        let english = &Language::find("en").unwrap().phrases;
        for code in Language::codes() {
            let phrases = &Language::find(code).unwrap().phrases;
            assert_eq!(phrases.silence.checks.len(), english.silence.checks.len(), "{code}.json");
            assert!(phrases.earlier_actions.ordinals.len() >= 2, "{code}.json");
            assert!(["ltr", "rtl"].contains(&phrases.direction.as_str()), "{code}.json");
        }
    }

    #[test]
    fn a_language_is_found_in_any_casing_and_an_unknown_one_is_not() {
        assert_eq!(Language::find("ZH-hans").map(Language::code), Some("zh-Hans"));
        assert!(Language::find("tlh").is_none());
    }

    #[test]
    fn values_are_not_looked_into_for_places() {
        assert_eq!(fill("{a} and {b}{c}", &[("a", "{b}"), ("b", "x")]), "{b} and x");
        assert_eq!(fill("no { place", &[]), "no ");
    }

    #[test]
    fn a_time_is_written_in_the_zone_and_named_by_it() {
        let time: Timestamp = "2026-11-03T23:05:00Z".parse().unwrap();
        let zone = |name: &str| TimeZone::get(name).unwrap();
        let [english, chinese] = ["en", "zh-Hans"].map(|code| Language::find(code).unwrap());
        assert_eq!(english.date_time(time, &TimeZone::UTC), "Tue 3 Nov 2026, 23:05 UTC");
        assert_eq!(english.date_time(time, &zone("Europe/Berlin")), "Wed 4 Nov 2026, 00:05 CET");
        assert_eq!(english.date_time(time, &zone("Asia/Singapore")), "Wed 4 Nov 2026, 07:05 UTC+08");
        assert_eq!(chinese.date_time(time, &zone("Asia/Shanghai")), "2026年11月4日（周三）07:05 UTC+8");
        assert_eq!(chinese.date_time(time, &zone("America/St_Johns")), "2026年11月3日（周二）19:35 UTC-3:30");
        assert_eq!(chinese.date_time(time, &TimeZone::UTC), "2026年11月3日（周二）23:05 UTC");
    }
}
