//! What the file of a language must be like: the forms that its language asks for, and the places that English has.

use super::phrases::{Phrase, Plural, Walk};
use super::{Language, LanguageError};
use icu_plurals::PluralCategory;
use std::collections::{BTreeMap, BTreeSet};

/// Checks every phrase of a language.
pub(super) fn check(language: &Language) -> Result<(), LanguageError> {
    let phrases = &language.phrases;
    let wrong = |path: &str, problem: String| Err(LanguageError::Phrase { path: path.to_owned(), problem });
    if !["ltr", "rtl"].contains(&phrases.direction.as_str()) {
        return wrong("/direction", "is neither `ltr` nor `rtl`".to_owned());
    }
    if !["abbreviation", "offset"].contains(&phrases.zone_style.as_str()) {
        return wrong("/zone_style", "is neither `abbreviation` nor `offset`".to_owned());
    }
    // They stand in a style sheet as they are.
    let is_font = |character: char| character.is_ascii_alphanumeric() || " ,-".contains(character);
    if !phrases.fonts.chars().all(is_font) {
        return wrong("/fonts", "has other characters than letters, digits, spaces, commas and hyphens".to_owned());
    }
    if phrases.earlier_actions.ordinals.len() < 2 {
        return wrong("/earlier_actions/ordinals", "has fewer than two ordinals".to_owned());
    }
    let english = match Language::find("en") {
        Some(english) => all_places(english),
        None => all_places(language),
    };
    let mut found = Ok(());
    phrases.walk("", &mut |path, phrase| {
        if found.is_ok()
            && let Some(problem) = problem(language, &phrase, english.get(path).unwrap_or(&Places::default()))
        {
            found = wrong(path, problem);
        }
    });
    found
}

/// The `{places}` of a phrase, and how many texts it has where it is a list.
#[derive(Default, PartialEq)]
struct Places {
    names: BTreeSet<String>,
    texts: Option<usize>,
}

fn all_places(language: &Language) -> BTreeMap<String, Places> {
    let mut all = BTreeMap::new();
    language.phrases.walk("", &mut |path, phrase| {
        let places = match phrase {
            Phrase::Text(text) => Places { names: places(text), texts: None },
            Phrase::Counted(plural) => {
                Places { names: forms(plural).flat_map(|(_, form)| places(form)).collect(), texts: None }
            }
            Phrase::Names(names) => Places { names: names.keys().cloned().collect(), texts: None },
            // A language may have as many ordinals as it likes.
            Phrase::List(_) if path == "/earlier_actions/ordinals" => Places::default(),
            Phrase::List(texts) => {
                Places { names: texts.iter().flat_map(|text| places(text)).collect(), texts: Some(texts.len()) }
            }
        };
        all.insert(path.to_owned(), places);
    });
    all
}

fn places(text: &str) -> BTreeSet<String> {
    text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default().to_owned()).collect()
}

fn forms(plural: &Plural) -> impl Iterator<Item = (PluralCategory, &str)> {
    PluralCategory::all().filter_map(|category| Some((category, plural.own_form(category)?)))
}

/// What is wrong with a phrase, if anything is.
fn problem(language: &Language, phrase: &Phrase<'_>, english: &Places) -> Option<String> {
    let is_empty = |text: &str| text.trim().is_empty();
    match phrase {
        Phrase::Text(text) if is_empty(text) => Some("is empty".to_owned()),
        Phrase::Text(text) => other_places(&places(text), &english.names),
        Phrase::List(texts) if texts.iter().any(|text| is_empty(text)) => Some("has an empty text".to_owned()),
        Phrase::List(texts) if english.texts.is_some_and(|count| count != texts.len()) => {
            Some(format!("has {} texts, and in English {}", texts.len(), english.texts.unwrap_or_default()))
        }
        Phrase::List(texts) => other_places(&texts.iter().flat_map(|text| places(text)).collect(), &english.names),
        Phrase::Names(names) if names.values().any(|name| is_empty(name)) => Some("has an empty name".to_owned()),
        Phrase::Names(names) => {
            let given = names.keys().cloned().collect::<BTreeSet<_>>();
            let other = given.symmetric_difference(&english.names).next();
            other.map(|code| format!("has {code}, and English has not, or the other way round"))
        }
        Phrase::Counted(plural) => plural_problem(language, plural, english),
    }
}

fn plural_problem(language: &Language, plural: &Plural, english: &Places) -> Option<String> {
    let expected: BTreeSet<_> = language.plural_rules()?.categories().collect();
    let given: BTreeSet<_> = forms(plural).map(|(category, _)| category).collect();
    if given != expected {
        return Some(format!("has the plural forms {given:?}, and the language has {expected:?}"));
    }
    forms(plural).find_map(|(category, form)| {
        if form.trim().is_empty() {
            return Some(format!("is empty in the form {category:?}"));
        }
        let mut names = places(form);
        // `The lead is attached` needs no number, as long as the form is for that number alone.
        if is_for_one_number(language, category) && english.names.contains("count") {
            names.insert("count".to_owned());
        }
        other_places(&names, &english.names).map(|problem| format!("{problem} in the form {category:?}"))
    })
}

fn is_for_one_number(language: &Language, category: PluralCategory) -> bool {
    (0..1_000).filter(|count| language.plural_category(*count) == category).count() == 1
}

fn other_places(given: &BTreeSet<String>, english: &BTreeSet<String>) -> Option<String> {
    (given != english).then(|| format!("has the places {given:?}, and in English {english:?}"))
}
