//! Routes that are kept in an SSM parameter, and read again while the function is warm.

use crate::aws::{self, SdkConfig, SecretError};
use crate::secret::{Secret, SecretSource};
use crate::settings::Route;
use crate::settings::variables::ROUTES_PARAMETER;
use crate::telemetry::metric;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For how long what was read is used.
const FRESH_FOR: SignedDuration = SignedDuration::from_mins(5);

/// The longest that a run waits for SSM before it goes on with the routes that it has.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The routes of an SSM parameter. A parameter that cannot be read, or holds no routes, stops no run: the last good routes
/// count, or, where there are none, everything goes to the default recipients.
#[derive(Debug, Default)]
pub struct RoutesParameter {
    read: Mutex<Read>,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    /// The last good routes.
    routes: Vec<Route>,
    /// When they were read; `None` where none ever were, or where reading failed since.
    at: Option<Timestamp>,
}

/// Why the routes of a parameter could not be had. Holds nothing of what the parameter holds, and no name of it, in whose place
/// something secret may have been pasted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoutesError {
    /// SSM did not give the parameter.
    #[error("SSM did not give the parameter with the routes ({0})")]
    NotRead(String),
    /// The parameter holds something else than routes.
    #[error("the parameter with the routes {0}")]
    Wrong(String),
}

/// Reads the routes that an SSM parameter holds.
///
/// # Errors
/// Where SSM does not give it, and where it holds something else.
pub async fn read_routes(config: &SdkConfig, parameter: &str) -> Result<Vec<Route>, RoutesError> {
    let source = SecretSource::Parameter { name: Secret::new(parameter), variable: ROUTES_PARAMETER.name };
    let asked = tokio::time::timeout(LONGEST_WAIT, aws::secrets(config, [&source])).await;
    let [text] = asked.map_err(|_| RoutesError::NotRead("timed out".to_owned()))?.map_err(|error| {
        RoutesError::NotRead(match error {
            SecretError::Missing(_) => "there is none of this name".to_owned(),
            SecretError::Failed { code, .. } => code,
        })
    })?;
    Route::parse_all(text.expose()).map_err(RoutesError::Wrong)
}

impl RoutesParameter {
    /// The routes as they are now: what was read less than five minutes ago, or else what `read` gives. Where that fails, the
    /// log and a metric say so, and the next run tries again.
    pub async fn current<F: Future<Output = Result<Vec<Route>, RoutesError>>>(
        &self,
        now: Timestamp,
        read: impl FnOnce() -> F,
    ) -> Vec<Route> {
        if let Some(routes) = self.fresh(now) {
            return routes;
        }
        let found = read().await;
        let mut last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(routes) => *last = Read { routes, at: Some(now) },
            Err(error) => {
                tracing::error!(error = %error, routes = last.routes.len(), "the routes were not read: the last good ones count, or else all leads go to the default recipients");
                metrics::counter!(metric::ROUTES_NOT_READ).increment(1);
                last.at = None;
            }
        }
        last.routes.clone()
    }

    fn fresh(&self, now: Timestamp) -> Option<Vec<Route>> {
        let last = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = last.at.is_some_and(|at| now >= at && now.duration_since(at) < FRESH_FOR);
        is_fresh.then(|| last.routes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const START: &str = "2026-11-03T14:00:00Z";

    fn routes(count: usize) -> Result<Vec<Route>, RoutesError> {
        let routes: Vec<_> =
            (0..count).map(|number| format!(r#"{{"id":"r{number}","to":["a@contoso.example"]}}"#)).collect();
        Route::parse_all(&format!("[{}]", routes.join(","))).map_err(RoutesError::Wrong)
    }

    #[tokio::test]
    async fn a_warm_function_reads_its_routes_again_at_most_every_five_minutes() {
        let (parameter, reads) = (RoutesParameter::default(), AtomicUsize::new(0));
        for (seconds, expected) in [(0, 1), (59, 1), (299, 1), (300, 2), (301, 2), (599, 2), (601, 3)] {
            let now = START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds);
            let found = parameter.current(now, || async { routes(reads.fetch_add(1, Ordering::Relaxed) + 1) }).await;
            assert_eq!(found.len(), expected, "after {seconds} s");
        }
    }

    #[tokio::test]
    async fn where_the_parameter_cannot_be_had_the_last_good_routes_count_or_else_there_are_none() {
        let parameter = RoutesParameter::default();
        let at = |minute: i64| START.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute);
        let fails = || async { Err(RoutesError::NotRead("timed out".to_owned())) };
        assert_eq!(parameter.current(at(0), fails).await, []);
        assert_eq!(
            parameter.current(at(1), || async { routes(2) }).await.len(),
            2,
            "a failure is tried again with the next run"
        );
        for minute in 6..20 {
            assert_eq!(parameter.current(at(minute), fails).await.len(), 2, "the last good ones");
        }
        assert_eq!(
            parameter.current(at(20), || async { Route::parse_all("{").map_err(RoutesError::Wrong) }).await.len(),
            2
        );
        assert_eq!(parameter.current(at(21), || async { routes(0) }).await, [], "no routes are good ones, too");
    }

    #[test]
    fn what_is_said_of_a_wrong_parameter_holds_nothing_of_it() {
        for text in [r#"hidden@contoso.example"#, r#"[{"to":["hidden@contoso.example","hidden x@y"],"hidden@x.y":1}]"#]
        {
            let error = Route::parse_all(text).map_err(RoutesError::Wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hidden"), "{error}");
        }
    }
}
