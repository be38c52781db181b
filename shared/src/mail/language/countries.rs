//! The names of countries. `languages/countries.py` writes them into the files of the languages.

use super::Language;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The codes of three letters, each with the one of two letters that the names have (ISO 3166-1), one pair a line.
const ALPHA_3: &str = include_str!("alpha3.txt");

/// Names of countries by their codes of two letters.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Countries(pub(super) BTreeMap<String, String>);

impl Language {
    /// The name of a country in this language. Microsoft sends codes of two letters, codes of three, and English names.
    /// Whatever is none of these stays as it is.
    pub(in crate::mail) fn country<'a>(&'a self, text: &'a str) -> &'a str {
        let names = &self.phrases.countries.0;
        let known = match text.trim() {
            short if short.len() <= 3 => names.get(alpha_2(&short.to_ascii_uppercase())),
            long => Self::find("en")
                .and_then(|english| {
                    english.phrases.countries.0.iter().find(|(_, name)| name.eq_ignore_ascii_case(long))
                })
                .and_then(|(code, _)| names.get(code)),
        };
        known.map_or(text, String::as_str)
    }
}

/// The code of two letters for a code in capital letters. One that is not known stays as it is.
fn alpha_2(code: &str) -> &str {
    match code {
        // No code of ISO 3166-1, but reserved there, and in use.
        "UK" => "GB",
        _ => ALPHA_3
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(alpha_3, _)| *alpha_3 == code)
            .map_or(code, |(_, alpha_2)| alpha_2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_named_whether_a_code_of_two_or_three_letters_or_a_name_is_sent() {
        let [english, chinese] = ["en", "zh-Hans"].map(|code| Language::find(code).unwrap());
        for (text, in_english, in_chinese) in [
            ("SE", "Sweden", "瑞典"),
            ("se ", "Sweden", "瑞典"),
            ("SWE", "Sweden", "瑞典"),
            ("USA", "United States", "美国"),
            ("united states", "United States", "美国"),
            ("UK", "United Kingdom", "英国"),
            ("CN", "China", "中国"),
            ("XK", "Kosovo", "科索沃"),
            ("Schweden", "Schweden", "Schweden"),
            ("ZZ", "ZZ", "ZZ"),
            ("中国", "中国", "中国"),
            ("", "", ""),
        ] {
            assert_eq!((english.country(text), chinese.country(text)), (in_english, in_chinese), "{text:?}");
        }
    }

    #[test]
    fn every_code_of_three_letters_leads_to_a_name_in_every_language() {
        let codes: Vec<_> = ALPHA_3.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert!(codes.len() > 240, "{} codes", codes.len());
        for language in Language::codes().into_iter().filter_map(Language::find) {
            let names = &language.phrases.countries.0;
            assert_eq!(names.len(), codes.len(), "{}", language.code());
            assert!(codes.iter().all(|(_, code)| names.contains_key(*code)), "{}", language.code());
        }
    }
}
