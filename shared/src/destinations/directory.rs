//! Finds destinations by their names, and sends to them.

use super::configuration::{Destination, Malformed};
use super::message::Outgoing;
use super::reach::Reach;
use super::{HttpPoster, PostError, Poster};
use crate::address::DestinationName;
use crate::aws::{self, SdkConfig, SecretError};
use crate::secret::Secret;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// After how long a destination is read again. A change takes effect within this time, without a new start.
pub const READ_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// The variable that says where the parameters are.
const VARIABLE: &str = "LEADS_DESTINATIONS_PREFIX";

/// The longest that a reading of parameters takes, with its retries: a run waits for it.
const READ_TIMEOUT: Duration = Duration::from_secs(8);

/// Where the texts of destinations are kept.
pub trait Source: Send + Sync {
    /// The texts of these destinations, without those that are not there.
    fn read<'a>(
        &'a self,
        names: &'a [DestinationName],
    ) -> BoxFuture<'a, Result<HashMap<DestinationName, Secret>, SecretError>>;
}

/// SSM parameters of the type SecureString: a prefix, and the destination's name.
pub struct SsmParameters {
    config: SdkConfig,
    prefix: String,
}

impl SsmParameters {
    /// The parameters below a prefix, such as `/marketplace-leads/destinations/`.
    pub fn new(config: SdkConfig, prefix: impl Into<String>) -> Self {
        Self { config, prefix: prefix.into() }
    }
}

impl Source for SsmParameters {
    fn read<'a>(
        &'a self,
        names: &'a [DestinationName],
    ) -> BoxFuture<'a, Result<HashMap<DestinationName, Secret>, SecretError>> {
        Box::pin(async move {
            let parameter = |name: &DestinationName| format!("{}{name}", self.prefix);
            let asked: Vec<_> = names.iter().map(parameter).collect();
            let read = aws::parameters_that_exist(&self.config, VARIABLE, &asked);
            let mut values = tokio::time::timeout(READ_TIMEOUT, read).await.unwrap_or_else(|_| {
                Err(SecretError::Failed { variables: vec![VARIABLE], code: "timed out".to_owned() })
            })?;
            Ok(names.iter().filter_map(|name| Some((name.clone(), values.remove(&parameter(name))?))).collect())
        })
    }
}

/// What is known of a destination's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    Destination(Destination),
    /// There is no parameter for it.
    Gone,
    /// Its parameter is no destination.
    Malformed(Malformed),
    /// Nobody said what it is: the parameter could not be read.
    Unknown(String),
}

/// All destinations, by their names. Clones share what they know.
#[derive(Clone)]
pub struct Destinations {
    source: Arc<dyn Source>,
    poster: Arc<dyn Poster>,
    reach: Reach,
    known: Arc<Mutex<HashMap<DestinationName, Known>>>,
}

/// What was found, and when it was last asked for.
#[derive(Clone)]
struct Known {
    asked: Timestamp,
    found: Found,
}

impl Destinations {
    /// The destinations of a source, to which a poster sends. `reach` says which addresses they may have.
    pub fn new(source: Arc<dyn Source>, poster: Arc<dyn Poster>, reach: Reach) -> Self {
        Self { source, poster, reach, known: Arc::default() }
    }

    /// The destinations that SSM keeps below a prefix, to which requests go over HTTPS.
    pub fn over_https(config: &SdkConfig, prefix: &str, reach: Reach) -> Self {
        let source = SsmParameters::new(config.clone(), prefix);
        Self::new(Arc::new(source), Arc::new(HttpPoster::new(reach)), reach)
    }

    /// What these destinations are, in the order of their names here. What was asked for within [`READ_AGAIN`] is not asked
    /// for again. Where the source fails, what it said last stands.
    pub async fn find(&self, names: &[DestinationName], now: Timestamp) -> Vec<Found> {
        let is_fresh = |known: &Known| now.duration_since(known.asked).abs() < READ_AGAIN;
        let mut old: Vec<_> = {
            let known = self.known();
            names.iter().filter(|name| !known.get(*name).is_some_and(is_fresh)).cloned().collect()
        };
        old.sort();
        old.dedup();
        if !old.is_empty() {
            let read = self.source.read(&old).await;
            if let Err(error) = &read {
                tracing::error!(error = %error, "destinations could not be read: those known before are used");
            }
            let mut known = self.known();
            for name in old {
                let before = known.remove(&name).map(|known| known.found);
                let found = match &read {
                    Ok(texts) => match texts.get(&name) {
                        None => Found::Gone,
                        Some(text) => match Destination::parse(text, self.reach) {
                            Ok(destination) => Found::Destination(destination),
                            Err(malformed) => {
                                tracing::error!(destination = %name, error = %malformed, "a destination's parameter is malformed");
                                // A mistake in a new text does not take away what worked.
                                before
                                    .filter(|before| matches!(before, Found::Destination(_)))
                                    .unwrap_or(Found::Malformed(malformed))
                            }
                        },
                    },
                    Err(SecretError::Failed { code, .. }) => before.unwrap_or_else(|| Found::Unknown(code.clone())),
                    Err(SecretError::Missing(_)) => before.unwrap_or(Found::Gone),
                };
                // Where nothing is known, it is asked for again the next time.
                let asked = if matches!(found, Found::Unknown(_)) { Timestamp::MIN } else { now };
                known.insert(name, Known { asked, found });
            }
        }
        let known = self.known();
        names.iter().map(|name| known.get(name).map_or(Found::Gone, |known| known.found.clone())).collect()
    }

    /// Sends a message to a destination, within a limit.
    ///
    /// # Errors
    /// Where the destination did not accept it.
    pub async fn send(
        &self,
        destination: &Destination,
        message: &Outgoing,
        now: Timestamp,
        limit: Duration,
    ) -> Result<(), PostError> {
        self.poster.post(&destination.post(message, now), limit).await
    }

    fn known(&self) -> MutexGuard<'_, HashMap<DestinationName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows nothing of what is known.
impl std::fmt::Debug for Destinations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Destinations { .. }")
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{MemoryPoster, MemorySource};
    use super::*;
    use jiff::ToSpan as _;

    const SLACK: &str = r#"{"kind":"slack","url":"https://hooks.example.com/hidden"}"#;

    #[tokio::test]
    async fn a_destination_is_read_again_after_five_minutes_and_what_worked_stays_where_reading_fails() {
        let source = MemorySource::default();
        let destinations =
            Destinations::new(Arc::new(source.clone()), Arc::new(MemoryPoster::default()), Reach::Public);
        let names = ["crm", "gone"].map(|name| DestinationName::parse(name).unwrap());
        let start: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        let find = async |minutes: i64| destinations.find(&names, start + minutes.minutes()).await;
        let is_there = |found: &Found| matches!(found, Found::Destination(_));

        source.set_failing(true);
        assert!(matches!(&find(0).await[..], [Found::Unknown(_), Found::Unknown(_)]));
        // What is not known is asked for again at once.
        source.set_failing(false);
        source.set("crm", Some(SLACK));
        let found = find(0).await;
        assert!(is_there(&found[0]) && found[1] == Found::Gone && source.reads() == 2);
        assert!(!format!("{found:?} {destinations:?}").contains("hidden"));
        find(4).await;
        assert_eq!(source.reads(), 2);
        source.set("crm", Some("{"));
        assert!(is_there(&find(5).await[0]), "a mistake in a new text does not take away what worked");
        source.set_failing(true);
        assert!(is_there(&find(10).await[0]), "what was known stays while nothing can be read");
        assert_eq!(source.reads(), 4);
        source.set_failing(false);
        source.set("crm", None);
        assert_eq!(find(15).await[0], Found::Gone);
        source.set("crm", Some("{"));
        assert!(matches!(find(20).await[0], Found::Malformed(_)));
    }
}
