//! Signatures of Standard Webhooks (specification 1.0.0, symmetric keys).

use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use std::fmt;

/// The key with which the events of a webhook are signed: 24 to 64 random bytes, written `whsec_` and Base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Reads a key as people write it; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let key = STANDARD.decode(text.trim().strip_prefix("whsec_")?).ok()?;
        (24..=64).contains(&key.len()).then_some(Self(key))
    }

    /// The signature of a message, such as `v1,tZ1I…`: of its id, the time of the attempt in seconds since 1970, and the
    /// exact bytes of its body, with full stops between them.
    pub fn sign(&self, id: &str, time: Timestamp, body: &str) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{}.", time.as_second()).as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Shows nothing of the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// The headers that make a message verifiable. The id is the same for all attempts, and the time is that of this one:
/// receivers refuse a signature that is older than five minutes. While a key is rotated there are two signatures.
pub(super) fn headers(keys: &[SigningKey], id: &str, now: Timestamp, body: &str) -> Vec<(String, Secret)> {
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(id, now, body)).collect();
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", now.as_second().to_string()),
        ("webhook-signature", signatures.join(" ")),
    ]
    .map(|(name, value)| (name.to_owned(), Secret::new(value)))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specifications_example() {
        let key = SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let time = Timestamp::from_second(1_649_367_553).unwrap();
        let body = r#"{"email":"test@example.com","username":"test_user"}"#;
        let signature = key.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", time, body);
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }

    #[test]
    fn a_key_that_is_too_short_too_long_or_no_base64_is_none() {
        let key = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (text, is_key) in [
            (key(24), true),
            (key(64), true),
            (key(23), false),
            (key(65), false),
            (key(24).replace("whsec_", ""), false),
            ("whsec_not base64 not base64 not base64".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(SigningKey::parse(&text).is_some(), is_key, "{} characters", text.len());
        }
    }
}
