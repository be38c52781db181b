//! What makes a mail harmless, whatever its leads hold. The fuzz targets in `tests/fuzz` ask the same.

use marketplace_leads::mail::{MAX_ADDRESS_BYTES, MAX_HTML_BYTES, Rendered};

/// What must hold for every mail.
pub(crate) fn assert_harmless(mail: &Rendered, leads: usize) {
    assert!(mail.html.len() < MAX_HTML_BYTES, "{} bytes of HTML", mail.html.len());
    assert_eq!(mail.csv.is_some(), leads > 0);
    // In encoded words, a byte takes two at most; RFC 5322 allows 998 bytes in a line.
    assert!(mail.subject.len() < 499, "{} bytes of subject", mail.subject.len());
    assert!(mail.text.len() < 2 * MAX_HTML_BYTES, "{} bytes of text", mail.text.len());
    assert!(mail.reply_to.iter().all(|address| address.len() <= MAX_ADDRESS_BYTES));
    let headers = mail.headers.iter().flat_map(|(name, value)| [name, value]);
    for line in headers.chain([&mail.subject]).chain(&mail.reply_to) {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    for part in [&mail.subject, &mail.html, &mail.text] {
        let unseen = |character: char| {
            character.is_control() && character != '\n'
                || matches!(character, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        assert!(!part.contains(unseen), "something that cannot be seen came through");
    }
    if let Some(reply_to) = &mail.reply_to {
        assert!(reply_to.is_ascii() && !reply_to.contains([' ', ',', ';', '<', '>', '"']), "{reply_to:?}");
    }
    assert_only_our_markup(&mail.html);
}

/// How the links to a CRM begin in the tests.
pub(crate) const CRM: &str = "https://crm.example/search?q=";

/// The text before the next tag, the tag without its brackets, and what comes behind it; `None` where there is no tag any more.
/// What Outlook alone shows is one piece without a tag.
pub(crate) fn next_tag(html: &str) -> Option<(&str, Option<&str>, &str)> {
    let (text, after) = html.split_once('<')?;
    if after.starts_with("!--[if mso]>") {
        return Some((text, None, after.split_once("<![endif]-->").unwrap().1));
    }
    let (tag, rest) = after.split_once('>').unwrap();
    Some((text, Some(tag), rest))
}

/// Every tag is one that the templates have, every tag that opens is closed in order, and links lead only to mail, phone
/// and the CRM.
fn assert_only_our_markup(html: &str) {
    const CONTAINERS: [&str; 18] = [
        "html", "head", "title", "style", "body", "div", "table", "tr", "td", "th", "h1", "h2", "h3", "b", "bdi",
        "span", "a", "i",
    ];
    let mut open = Vec::new();
    let mut rest = html;
    while let Some((_, tag, next)) = next_tag(rest) {
        rest = next;
        let Some(tag) = tag else { continue };
        let name = tag.split(' ').next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes nothing");
        } else if !["!DOCTYPE", "meta", "br"].contains(&name) {
            assert!(CONTAINERS.contains(&name), "<{tag}> is not ours");
            open.push(name);
        }
        let attributes = tag[name.len()..].split('"').step_by(2);
        for attribute in attributes.map(|attribute| attribute.trim().trim_end_matches('=')) {
            let known = [
                "",
                "html",
                "lang",
                "dir",
                "charset",
                "name",
                "content",
                "class",
                "style",
                "role",
                "width",
                "cellpadding",
                "cellspacing",
                "border",
                "align",
                "valign",
                "colspan",
                "href",
            ];
            assert!(known.contains(&attribute), "{attribute:?} of <{tag}> is not ours");
        }
        if let Some((_, link)) = tag.split_once("href=\"") {
            let link = link.split('"').next().unwrap();
            let (link, encoded) = match link.strip_prefix(CRM) {
                Some(encoded) => ("mailto:", encoded),
                None => link.split_once("?subject=").unwrap_or((link, "")),
            };
            assert!(link.starts_with("mailto:") || link.starts_with("tel:"), "{link}");
            let safe = |character: char| character.is_ascii_alphanumeric() || "-._~%@:+".contains(character);
            assert!(link.chars().all(safe), "{link}");
            let safe = |character: char| character.is_ascii_alphanumeric() || "-._~%".contains(character);
            assert!(encoded.chars().all(safe), "{encoded}");
        }
    }
    assert_eq!(open, Vec::<&str>::new());
}
