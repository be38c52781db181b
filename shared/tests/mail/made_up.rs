//! A language that nobody speaks, made of English: it runs from right to left, its words are long, and it has six plural
//! forms, like Arabic. It shows that a language is one file, and how a layout stands long words.

use jiff::tz::TimeZone;
use marketplace_leads::mail::{Language, RenderSettings};
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// CLDR's code for its own made-up language with the plural rules of Arabic.
///
/// <https://cldr.unicode.org/development/development-process/design-proposals/pseudolocales>
pub(crate) const CODE: &str = "ar-XB";

/// The plural forms in the order of CLDR.
pub(crate) const FORMS: [&str; 6] = ["zero", "one", "two", "few", "many", "other"];

pub(crate) fn settings() -> RenderSettings {
    static LANGUAGE: OnceLock<Language> = OnceLock::new();
    let language = LANGUAGE.get_or_init(|| Language::from_json(CODE, &file()).unwrap());
    RenderSettings::new(language, TimeZone::get("Africa/Cairo").unwrap(), 180)
}

/// The text of its file.
pub(crate) fn file() -> String {
    let mut english: Value = serde_json::from_str(include_str!("../../src/mail/languages/en.json")).unwrap();
    for (name, phrase) in english.as_object_mut().unwrap() {
        match name.as_str() {
            "direction" => *phrase = "rtl".into(),
            // No words, but what a program reads.
            "fonts" | "zone_style" => {}
            _ => translate(phrase),
        }
    }
    english.to_string()
}

fn translate(phrase: &mut Value) {
    match phrase {
        Value::String(text) => *text = translated(text),
        Value::Array(texts) => texts.iter_mut().for_each(translate),
        Value::Object(forms) if forms.keys().eq(["one", "other"]) => {
            let other = forms["other"].as_str().unwrap().to_owned();
            let form = |name: &str| (name.to_owned(), Value::String(format!("{} [{name}]", translated(&other))));
            *forms = FORMS.into_iter().map(form).collect::<Map<_, _>>();
        }
        Value::Object(phrases) => phrases.values_mut().for_each(translate),
        _ => panic!("a phrase is neither text nor list nor plural"),
    }
}

/// Each Latin letter twice, as an Arabic one. The names of places stay as they are.
fn translated(text: &str) -> String {
    let mut translated = String::new();
    let mut is_place = false;
    for character in text.chars() {
        is_place = (is_place || character == '{') && character != '}';
        match character.to_ascii_lowercase() {
            letter @ 'a'..='z' if !is_place => {
                let arabic = char::from_u32(u32::from('\u{628}') + u32::from(letter) % 18).unwrap();
                translated.extend([arabic, arabic]);
            }
            _ => translated.push(character),
        }
    }
    translated
}
