//! The keys that open intake.

use crate::secret::Secret;
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// The keys that open intake: one, or two while one is rotated. Only their digests are kept.
#[derive(Clone)]
pub struct IntakeKeys(Vec<[u8; 32]>);

/// Why a text holds no intake keys. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIntakeKeys {
    /// No key, or more than two.
    #[error("holds {0} keys")]
    Number(usize),
    /// A key is too short.
    #[error("has a key of only {0} characters")]
    Short(usize),
    /// A key would not stand in a URL as it is.
    #[error("has a key with other characters than A-Z a-z 0-9 - _ . ~")]
    Characters,
    /// Both keys are the same.
    #[error("has the same key twice")]
    Twice,
}

impl IntakeKeys {
    /// The fewest characters of a key.
    pub const MIN_LENGTH: usize = 16;

    /// What a text with keys looks like, as a phrase.
    pub const EXPECTED: &str = "one or two keys with a comma between, each of 16 or more of A-Z a-z 0-9 - _ . ~";

    /// Reads one or two keys with a comma between.
    ///
    /// # Errors
    /// Where there are more or fewer, or where one is short or has characters that a URL would have to escape.
    pub fn parse(text: &Secret) -> Result<Self, InvalidIntakeKeys> {
        let keys: Vec<_> = text.expose().split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        if !(1..=2).contains(&keys.len()) {
            return Err(InvalidIntakeKeys::Number(keys.len()));
        }
        for key in &keys {
            if !key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.~".contains(letter)) {
                return Err(InvalidIntakeKeys::Characters);
            }
            if key.len() < Self::MIN_LENGTH {
                return Err(InvalidIntakeKeys::Short(key.len()));
            }
        }
        if keys.first() == keys.get(1) {
            return Err(InvalidIntakeKeys::Twice);
        }
        Ok(Self(keys.iter().map(|key| Sha256::digest(key).into()).collect()))
    }

    /// Whether this is one of the keys. The time that the answer takes tells nothing of the keys: the digest of what is
    /// asked about is compared with the digest of every key, each time in constant time.
    pub fn open_for(&self, key: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        is_any(self.0.iter().map(<[u8; 32]>::as_slice), &digest[..]).into()
    }
}

/// Whether one of the known values is this one. Compares with every one of them, and branches on no result.
fn is_any<'a, K: ConstantTimeEq + ?Sized + 'a>(known: impl Iterator<Item = &'a K>, asked: &K) -> Choice {
    known.fold(Choice::from(0), |found, known| found | known.ct_eq(asked))
}

/// Shows nothing of the keys.
impl fmt::Debug for IntakeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IntakeKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Counts how often it is compared.
    struct Counting<'a>(u8, &'a Cell<usize>);

    impl ConstantTimeEq for Counting<'_> {
        fn ct_eq(&self, other: &Self) -> Choice {
            self.1.set(self.1.get() + 1);
            self.0.ct_eq(&other.0)
        }
    }

    #[test]
    fn every_key_is_compared_whichever_is_asked_about() {
        let count = Cell::new(0);
        let known = [Counting(1, &count), Counting(2, &count)];
        for (asked, found) in [(1, true), (2, true), (3, false)] {
            count.set(0);
            assert_eq!(bool::from(is_any(known.iter(), &Counting(asked, &count))), found);
            assert_eq!(count.get(), 2, "{asked}");
        }
    }

    #[test]
    fn what_is_expected_names_the_fewest_characters() {
        assert!(IntakeKeys::EXPECTED.contains(&format!("each of {} or more", IntakeKeys::MIN_LENGTH)));
    }

    #[test]
    fn keys_are_kept_as_digests_of_one_length() {
        let (short, long) = ("0123456789abcdef", "x".repeat(500));
        let keys = IntakeKeys::parse(&Secret::new(format!("{short},{long}"))).unwrap();
        assert_eq!(keys.0, [short, &long].map(|key| <[u8; 32]>::from(Sha256::digest(key))));
    }
}
