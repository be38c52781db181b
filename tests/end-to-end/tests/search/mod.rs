//! Looks for secrets and persons in whatever was printed or stored.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeSet;

/// The first line that contains a value, in whatever form.
pub(crate) fn line_with<'a>(text: &'a str, value: &str) -> Option<&'a str> {
    // The whole text is searched first. Searching long logs line by line would take minutes.
    let form = forms(value).into_iter().find(|form| text.contains(form.as_str()))?;
    text.lines().find(|line| line.contains(&form))
}

/// Every form in which a value could stand somewhere: as it is, escaped for JSON or URLs, in Base64.
fn forms(value: &str) -> BTreeSet<String> {
    let escaped = serde_json::to_string(value).unwrap();
    let ascii: String = value
        .encode_utf16()
        .map(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        })
        .collect();
    let mut forms: BTreeSet<_> = [
        value.to_owned(),
        escaped.trim_matches('"').to_owned(),
        ascii,
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20"),
    ]
    .into();
    // In Base64 the form depends on what stands before and after; only the characters between are certain.
    for before in 0..3 {
        let encoded = BASE64_STANDARD.encode([&vec![0; before], value.as_bytes()].concat());
        let certain = &encoded[(before * 8).div_ceil(6)..(before + value.len()) * 8 / 6];
        forms.insert(certain.to_owned());
        forms.insert(certain.replace('+', "-").replace('/', "_"));
    }
    forms
}

#[test]
fn a_private_value_is_found_in_every_form() {
    let key = "a/b+cé\"d";
    for text in [
        "x a/b+cé\"d y".to_owned(),
        r#"{"x":"a/b+cé\"d"}"#.to_owned(),
        r#"a/b+c\u00e9"d"#.to_owned(),
        "code=a%2Fb%2Bc%C3%A9%22d".to_owned(),
        BASE64_STANDARD.encode(format!("{key}.")),
        BASE64_STANDARD.encode(format!(".{key}")),
        BASE64_STANDARD.encode(format!("..{key}..")),
        base64::prelude::BASE64_URL_SAFE.encode(format!("....{key}")),
    ] {
        assert!(line_with(&text, key).is_some(), "{text}");
        assert_eq!(line_with(&text, "a/b+ce"), None);
    }
}
