//! The keys that open intake.

use crate::secret::{Newer, ReadSecret, Renewed, Secret};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
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
        keys.iter().try_for_each(|key| Self::check(key))?;
        if keys.first() == keys.get(1) {
            return Err(InvalidIntakeKeys::Twice);
        }
        Ok(Self(keys.iter().map(|key| Sha256::digest(key).into()).collect()))
    }

    /// Whether a text has the form of a key.
    pub(crate) fn has_form(key: &str) -> bool {
        Self::check(key).is_ok()
    }

    /// What a text lacks of the form of a key.
    fn check(key: &str) -> Result<(), InvalidIntakeKeys> {
        if !key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.~".contains(letter)) {
            return Err(InvalidIntakeKeys::Characters);
        }
        if key.len() < Self::MIN_LENGTH {
            return Err(InvalidIntakeKeys::Short(key.len()));
        }
        Ok(())
    }

    /// Whether this is one of the keys. The time that the answer takes tells nothing of the keys: the digest of what is
    /// asked about is compared with the digest of every key, each time in constant time.
    pub fn open_for(&self, key: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        is_any(self.0.iter().map(<[u8; 32]>::as_slice), &digest[..]).into()
    }

    /// Whether this is the digest of one of the keys, in constant time as well.
    pub fn open_for_digest(&self, digest: &KeyDigest) -> bool {
        let known: Vec<_> = self.0.iter().map(|key| KeyDigest::salted(&digest.salt, key)).collect();
        is_any(known.iter().map(String::as_bytes), digest.digest.as_bytes()).into()
    }
}

/// A key that somebody brought while the keys could not be read. It tells whoever knows the keys whether it was one of
/// them, and nobody what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDigest {
    /// 32 hexadecimal digits, which make the digests of the same key differ.
    salt: String,
    /// SHA-256 of the salt and the key's SHA-256, in hexadecimal digits.
    digest: String,
}

impl KeyDigest {
    /// The digest of a key, with random numbers as its salt.
    pub fn new(key: &str, random: [u64; 2]) -> Self {
        let salt = format!("{:016x}{:016x}", random[0], random[1]);
        let digest = Self::salted(&salt, &Sha256::digest(key).into());
        Self { salt, digest }
    }

    fn salted(salt: &str, key: &[u8; 32]) -> String {
        hex::encode(Sha256::new().chain_update(salt).chain_update(key).finalize())
    }
}

/// Whether a key opens intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is one of the keys.
    Opens,
    /// It is none of them. They were read a minute ago, or later; for a digest, after it was asked about.
    Refused,
    /// It is none that is known, and the keys cannot be read.
    Unknown,
}

/// The keys that open intake, as they are now: where one is brought that is not known, they are read again, at most once a
/// minute. Clones share all.
#[derive(Clone)]
pub struct KnownKeys {
    keys: Renewed<IntakeKeys>,
    /// Since when the bodies of this minute are counted that came while nobody could tell whether their key opens.
    unverified: Arc<Mutex<Option<(Instant, u32)>>>,
}

impl KnownKeys {
    /// The most bodies that an instance takes in a minute without knowing whether their keys open.
    pub const UNVERIFIED_A_MINUTE: u32 = 60;

    /// The keys that are read so. Nothing is read yet.
    pub fn new(read: ReadSecret) -> Self {
        let make = |secret: &Secret| {
            IntakeKeys::parse(secret).map_err(|error| format!("the secret with the intake keys {error}"))
        };
        Self { keys: Renewed::new(read, make), unverified: Arc::default() }
    }

    /// Keys that never change. Where the text holds none, they are never known.
    pub fn fixed(text: &Secret) -> Self {
        let secret = text.clone();
        let keys = Self::new(Arc::new(move || {
            let secret = secret.clone();
            async move { Ok(secret) }.boxed()
        }));
        // What is wrong is said to those who ask for the keys.
        let _ = keys.hold(text.clone());
        keys
    }

    /// Takes a text with keys that was read just now.
    ///
    /// # Errors
    /// Where it is malformed.
    pub fn hold(&self, text: Secret) -> Result<(), String> {
        self.keys.hold(text)
    }

    /// Whether a key opens intake. What has not the form of a key is refused in any case.
    pub async fn verdict(&self, key: &str) -> Verdict {
        match IntakeKeys::check(key) {
            Ok(()) => self.decide(|keys| keys.open_for(key), None).await,
            Err(_) => Verdict::Refused,
        }
    }

    /// Whether the key of a digest opens intake. It is refused by nothing but keys that were read after it was asked about,
    /// since the key may have been added a moment ago.
    pub async fn verdict_of_digest(&self, digest: &KeyDigest) -> Verdict {
        self.decide(|keys| keys.open_for_digest(digest), Some(Instant::now())).await
    }

    /// Whether one more body may be kept of which nobody can tell whether its key opens: [`Self::UNVERIFIED_A_MINUTE`] in
    /// each minute of an instance, so that strangers cannot fill the queue.
    pub fn take_unverified(&self) -> bool {
        let mut counted = self.unverified.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, count) = match &mut *counted {
            Some(minute) if minute.0.elapsed() < Duration::from_secs(60) => minute,
            other => other.insert((Instant::now(), 0)),
        };
        let is_free = *count < Self::UNVERIFIED_A_MINUTE;
        *count += u32::from(is_free);
        is_free
    }

    /// Refuses by keys that were read since this time, or in the last minute where there is none.
    async fn decide(&self, opens: impl Fn(&IntakeKeys) -> bool, since: Option<Instant>) -> Verdict {
        let Ok(known) = self.keys.current().await else { return Verdict::Unknown };
        if opens(&known.value) {
            return Verdict::Opens;
        }
        let newer = match since {
            Some(since) => self.keys.newer_than_read_since(known.version, since).await,
            None => self.keys.newer_than(known.version).await,
        };
        match newer {
            Newer::Changed(newer) if opens(&newer.value) => Verdict::Opens,
            Newer::Changed(_) | Newer::Unchanged => Verdict::Refused,
            Newer::Unknown(_) => Verdict::Unknown,
        }
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

    const KEY: &str = "first-key.0123456789";
    const NEW: &str = "second-key_~abcdefgh";

    /// Keys that change, and the place where they are kept.
    fn changing(text: &str) -> (KnownKeys, Arc<Mutex<Result<String, String>>>) {
        let place = Arc::new(Mutex::new(Ok(text.to_owned())));
        let kept = place.clone();
        let keys = KnownKeys::new(Arc::new(move || {
            let text = kept.lock().unwrap().clone();
            async move { text.map(Secret::new) }.boxed()
        }));
        (keys, place)
    }

    #[tokio::test]
    async fn a_new_key_opens_without_a_restart_and_an_old_one_until_a_new_one_comes() {
        let (keys, place) = changing(KEY);
        assert_eq!((keys.verdict(KEY).await, keys.verdict(NEW).await), (Verdict::Opens, Verdict::Refused));
        *place.lock().unwrap() = Ok(format!("{KEY},{NEW}"));
        assert_eq!(keys.verdict(NEW).await, Verdict::Refused, "the keys were read less than a minute ago");
        keys.keys.forget_when_it_was_read();
        assert_eq!((keys.verdict(NEW).await, keys.verdict(KEY).await), (Verdict::Opens, Verdict::Opens));
        *place.lock().unwrap() = Err("down".to_owned());
        keys.keys.forget_when_it_was_read();
        assert_eq!(keys.verdict("third-key.0123456789").await, Verdict::Unknown, "it may be a new key");
        assert_eq!(keys.verdict("no key").await, Verdict::Refused);
        assert_eq!(keys.verdict(KEY).await, Verdict::Opens, "known keys are kept");
    }

    #[tokio::test]
    async fn a_digest_tells_whoever_knows_the_keys_and_nobody_else() {
        let keys = KnownKeys::fixed(&Secret::new(format!("{KEY},{NEW}")));
        for key in [KEY, NEW] {
            let [one, other] = [[1, 2], [3, 4]].map(|salt| KeyDigest::new(key, salt));
            assert_ne!(one, other);
            for digest in [one, other] {
                assert!(!serde_json::to_string(&digest).unwrap().contains(key));
                assert_eq!(keys.verdict_of_digest(&digest).await, Verdict::Opens);
            }
        }
        let wrong = KeyDigest::new("third-key.0123456789", [1, 2]);
        assert_eq!(keys.verdict_of_digest(&wrong).await, Verdict::Refused);
        let (keys, place) = changing(KEY);
        assert_eq!(keys.verdict_of_digest(&wrong).await, Verdict::Refused);
        *place.lock().unwrap() = Err("down".to_owned());
        keys.keys.forget_when_it_was_read();
        assert_eq!(keys.verdict_of_digest(&wrong).await, Verdict::Unknown);
    }
}
