//! Whether texts stand out from what is behind them, computed from the mails as they are, in light and in dark.

use crate::harmless::next_tag;
use crate::samples;
use marketplace_leads::mail::{
    Language, RenderSettings, Silence, render, render_reduced, render_silence, render_summary, render_suppressed,
    render_trouble,
};
use std::collections::{BTreeMap, BTreeSet};

/// The least contrast of ordinary text that WCAG 2.2 asks for at level AA.
///
/// <https://www.w3.org/TR/WCAG22/#contrast-minimum>
const LEAST: f64 = 4.5;

/// A colour as it is written: `#fff4d6`.
type Color = String;

/// The HTML of every kind of mail.
fn mails() -> Vec<String> {
    let english = samples::english();
    let silence = Silence { id: "s".into(), days: 7, last_lead: None };
    let mut mails = vec![render_silence(&silence, &english), render_summary(&samples::summary(false), &english)];
    mails.push(render_suppressed(&samples::suppressed(), &english));
    mails.extend(samples::troubles().map(|(_, trouble)| render_trouble(&trouble, &english)));
    mails.extend(samples::all().iter().map(|(_, digest, settings)| render(digest, settings)));
    mails.extend(samples::all_reduced().iter().map(|(_, digest, settings)| render_reduced(digest, settings)));
    // With what only a long digest has.
    let mut marked = samples::ordinary(200);
    marked.push(samples::do_not_contact());
    mails.push(render(&samples::digest(marked), &english));
    mails.into_iter().map(|mail| mail.html).collect()
}

/// The value of a property in the text of a style. `background` may also be found by its beginning in `border`.
fn property<'a>(style: &'a str, name: &str) -> Option<&'a str> {
    let of = |part: &'a str| part.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    style.split(';').filter_map(of).next_back()
}

/// The colours of the rules `.class{…}` and `a{…}` of a style sheet: text and background.
fn rules(sheet: &str) -> BTreeMap<String, (Option<Color>, Option<Color>)> {
    let color = |rule: &str, name| property(rule, name).map(|value| value.trim_end_matches("!important").to_owned());
    let rule = |line: &str| {
        let (selector, rule) = line.trim_end_matches('}').split_once('{')?;
        Some((selector.trim_start_matches('.').to_owned(), (color(rule, "color"), color(rule, "background"))))
    };
    sheet.lines().filter_map(rule).collect()
}

/// The texts' colours with what is behind them, each pair with the words that have it first.
fn pairs(html: &str, is_dark: bool) -> BTreeMap<(Color, Color), String> {
    let (_, sheet) = html.split_once("<style>").unwrap();
    let (sheet, _) = sheet.split_once("</style>").unwrap();
    let (light, dark) = sheet.split_once("@media (prefers-color-scheme:dark){").unwrap();
    let rules = rules(if is_dark { dark } else { light });
    let (_, body) = html.split_once("</head>").unwrap();
    let (body, _) = body.split_once("</html>").unwrap();
    let mut open: Vec<(String, Color, Color)> = Vec::new();
    let mut pairs = BTreeMap::new();
    let mut rest = body;
    while let Some((text, tag, next)) = next_tag(rest) {
        rest = next;
        let words = text.replace("&nbsp;", "");
        if let Some((_, color, background)) = open.last()
            && !words.trim().is_empty()
        {
            pairs.entry((color.clone(), background.clone())).or_insert_with(|| words.trim().to_owned());
        }
        let Some(tag) = tag else { continue };
        let name = tag.split(' ').next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop().map(|(open, ..)| open).as_deref(), Some(name));
            continue;
        }
        if name == "br" {
            continue;
        }
        let attribute = |name: &str| {
            let value = tag.split_once(&format!(" {name}=\""))?.1;
            Some(value.split('"').next().unwrap().to_owned())
        };
        let (_, mut color, mut background) =
            open.last().cloned().unwrap_or_else(|| (String::new(), String::new(), String::new()));
        let style = attribute("style").unwrap_or_default();
        let classes = attribute("class").unwrap_or_default();
        // What is hidden is no text that has to be read.
        let is_hidden = property(&style, "display") == Some("none");
        let mut set = |of: (Option<Color>, Option<Color>)| {
            color = of.0.unwrap_or_else(|| color.clone());
            background = of.1.unwrap_or_else(|| background.clone());
        };
        let own = |name| property(&style, name).map(str::to_owned);
        if name == "a" && !is_dark {
            set(rules["a"].clone());
        }
        set((own("color"), own("background")));
        if name == "a" && is_dark {
            set(rules["a"].clone());
        }
        for class in classes.split(' ').filter(|_| is_dark) {
            set(rules.get(class).cloned().unwrap_or_default());
        }
        if is_hidden {
            rest = rest.split_once(&format!("</{name}>")).unwrap().1;
            continue;
        }
        open.push((name.to_owned(), color, background));
    }
    pairs
}

/// The relative luminance of a colour.
///
/// <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>
fn luminance(color: &str) -> f64 {
    let digits = color.strip_prefix('#').unwrap_or_else(|| panic!("{color:?} is no colour"));
    let digits: String =
        if digits.len() == 3 { digits.chars().flat_map(|digit| [digit, digit]).collect() } else { digits.into() };
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_stands_out_from_its_background_in_light_and_dark() {
    let mut table = String::new();
    for is_dark in [false, true] {
        let mut all = BTreeMap::new();
        for html in mails() {
            for (pair, words) in pairs(&html, is_dark) {
                all.entry(pair).or_insert(words);
            }
        }
        for ((color, background), words) in all {
            let contrast = contrast(&color, &background);
            assert!(contrast >= LEAST, "{contrast:.2}: {color} on {background}, is dark: {is_dark}, {words:?}");
            let scheme = if is_dark { "dark " } else { "light" };
            table += &format!("{scheme} {color:7} on {background:7} {contrast:5.2}\n");
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("contrast", table));
}

#[test]
fn contrasts_are_computed_as_the_standard_has_them() {
    for (one, other, expected) in [("#000", "#fff", 21.0), ("#777777", "#ffffff", 4.48), ("#767676", "#fff", 4.54)] {
        assert!((contrast(one, other) - expected).abs() < 0.01, "{one} {other}");
    }
}

#[test]
fn every_mail_has_headings_in_order_and_a_line_for_lists_of_mails() {
    for html in mails() {
        let levels: Vec<u8> = html
            .match_indices("<h")
            .filter_map(|(at, _)| match html.as_bytes()[at + 2] {
                level @ b'1'..=b'6' => Some(level - b'0'),
                _ => None,
            })
            .collect();
        assert_eq!(levels.first(), Some(&1), "{html}");
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
        let preheader = html.split("mso-hide:all\">").nth(1).unwrap().split("</div>").next().unwrap();
        assert!(!preheader.is_empty(), "{html}");
    }
}

#[test]
fn every_mail_has_the_fonts_of_its_language_in_its_cells() {
    for code in Language::codes() {
        let settings: RenderSettings = samples::settings(code, "UTC");
        let html = render(&samples::digest(vec![samples::ada()]), &settings).html;
        let fonts: BTreeSet<&str> = html
            .split("font-family:")
            .skip(1)
            .map(|rest| rest.split('}').next().unwrap())
            .chain(html.split("font:15px/1.45 ").skip(1).map(|rest| rest.split(';').next().unwrap()))
            .collect();
        assert_eq!(fonts.len(), 1, "{fonts:?}");
        let is_chinese = code.starts_with("zh");
        assert_eq!(fonts.first().is_some_and(|fonts| fonts.starts_with("PingFang SC,Microsoft YaHei,")), is_chinese);
    }
}
