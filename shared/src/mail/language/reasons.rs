//! Why something could not be read, in the language of the mail. The reasons come as English sentences: intake writes them
//! beside what it keeps.

use super::{Language, fill};
use std::borrow::Cow;

impl Language {
    /// A reason in this language. In English, and where it is none of those that are known, it stays as it is.
    pub(in crate::mail) fn reason<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.code == "en" {
            return Cow::Borrowed(text);
        }
        let phrases = &self.phrases.unreadable.reasons;
        let (reason, kept) = match text.split_once(" Only its first ") {
            Some((reason, kept)) => (reason, Some(kept)),
            None => (text, None),
        };
        let known = match reason {
            "its CustomerInfo is not a JSON object" => phrases.customer_info.clone(),
            "none of a lead's columns has a value" => phrases.no_value.clone(),
            "its values could not be read" => phrases.values.clone(),
            "it was deleted after this digest was recorded" => phrases.deleted.clone(),
            "The body is empty; a JSON object is expected." => phrases.empty.clone(),
            "The body cannot be read as JSON: it does not begin with an object." => phrases.json_start.clone(),
            _ => match numbers(reason).as_slice() {
                [bytes] if reason.starts_with("The body is longer than ") => {
                    fill(&phrases.too_long, &[("bytes", bytes)])
                }
                [.., byte] if reason.starts_with("The body is not UTF-8: byte ") => {
                    fill(&phrases.encoding, &[("byte", byte)])
                }
                [.., line, column] if reason.starts_with("The body cannot be read as JSON: ") => {
                    fill(&phrases.json, &[("line", line), ("column", column)])
                }
                _ if reason.starts_with("The body is JSON, but not an object;") => phrases.no_object.clone(),
                _ if reason.starts_with("The body is a JSON object, but nothing of a lead") => phrases.no_lead.clone(),
                _ => return Cow::Borrowed(text),
            },
        };
        match kept.map(numbers).as_deref() {
            Some([kept, size]) => Cow::Owned(known + &fill(&phrases.kept, &[("kept", kept), ("size", size)])),
            _ => Cow::Owned(known),
        }
    }
}

/// The numbers in a text.
fn numbers(text: &str) -> Vec<&str> {
    text.split(|character: char| !character.is_ascii_digit()).filter(|number| !number.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lead::{Lead, MAX_BODY_BYTES};
    use crate::quarantine::Quarantined;
    use jiff::Timestamp;

    #[test]
    fn every_reason_why_a_body_is_no_lead_is_told_in_chinese() {
        let chinese = Language::find("zh-Hans").unwrap();
        for (body, expected) in [
            (&b""[..], "正文为空；应为 JSON 对象。"),
            (b"\xff", "正文不是 UTF-8：第 0 个字节无效。"),
            (b"[1]", "正文是 JSON，但不是对象；"),
            (b"nonsense", "正文无法解析为 JSON："),
            (b"{\"a\": 1\n \"b\": 2}", "正文无法解析为 JSON：第 2 行第 2 列。"),
            (b"{}", "正文是 JSON 对象，但其中没有线索内容："),
        ] {
            let error = Lead::from_json(body).unwrap_err().to_string();
            let told = chinese.reason(&error);
            assert!(told.starts_with(expected), "{error}: {told}");
            assert_eq!(Language::find("en").unwrap().reason(&error), error);
        }
        let long = vec![b' '; MAX_BODY_BYTES + 1];
        let error = Lead::from_body(&long, long.len()).unwrap_err();
        let kept = Quarantined::new(&long, &error, Timestamp::UNIX_EPOCH).reason;
        assert!(chinese.reason(&kept).starts_with("正文超过 65536 字节。"), "{kept}");
        let cut = format!("{error} Only its first 10 of 20 bytes are kept.");
        assert_eq!(chinese.reason(&cut), "正文超过 65536 字节。仅保留了前 10 字节（共 20 字节）。");
        assert_eq!(chinese.reason("a reason of tomorrow"), "a reason of tomorrow");
    }
}
