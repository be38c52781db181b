//! Logs and metrics: one JSON object a line on standard output, where Lambda takes both.
//!
//! Every log line has `timestamp`, `level`, `target`, `message` and the event's own fields; during an invocation also
//! `span` with `function` and `request_id`. Events of other crates are left out: those of the clouds log whole
//! requests, keys included. Events hold ids, counts, codes and durations, never a person and nothing of a body.
//!
//! Metrics are written in CloudWatch's embedded metric format, once at the end of each invocation, under the namespace
//! [`NAMESPACE`] with the dimension `Function`, the name of the deployed function, which tells stacks apart. Dashboard and
//! alarms of the template rest on the names in [`metric`].

use crate::function::Function;
use futures::future::{BoxFuture, FutureExt as _};
use metrics::Unit;
use metrics_cloudwatch_embedded::Collector;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;
use tracing::{Instrument as _, Level, info_span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The CloudWatch namespace of all metrics.
pub const NAMESPACE: &str = "MarketplaceLeads";

/// The names of the metrics. All are counters but those of [`metric::DISTRIBUTIONS`].
pub mod metric {
    /// New rows that intake or redelivery wrote.
    pub const LEADS_STORED: &str = "LeadsStored";
    /// Leads that were there already.
    pub const LEADS_DUPLICATE: &str = "LeadsDuplicate";
    /// Leads, or unreadable bodies, that went to the queue because the table did not take them.
    pub const LEADS_QUEUED: &str = "LeadsQueued";
    /// Bodies that intake, or redelivery after the queue, kept because they could not be read.
    pub const LEADS_QUARANTINED: &str = "LeadsQuarantined";
    /// Leads, or unreadable bodies, that neither table nor queue took: the sender got a 503.
    pub const LEADS_LOST: &str = "LeadsLost";
    /// Queued leads that redelivery brought into the table, new or there already.
    pub const LEADS_REDELIVERED: &str = "LeadsRedelivered";
    /// Requests without a valid key.
    pub const INTAKE_UNAUTHORIZED: &str = "IntakeUnauthorized";
    /// Requests with a text in the form of a key, which opens nothing: an offer has an old key, or somebody guesses.
    pub const INTAKE_WRONG_KEY: &str = "IntakeWrongKey";
    /// Requests with a valid key to another path, or with another method, than those for leads: an offer has a wrong URL.
    pub const INTAKE_MISDIRECTED: &str = "IntakeMisdirected";
    /// Requests that were answered with a 5xx status.
    pub const INTAKE_SERVER_ERRORS: &str = "IntakeServerErrors";
    /// A distribution: how long intake took for an answer, in milliseconds.
    pub const INTAKE_LATENCY: &str = "IntakeLatency";
    /// A distribution: for how many seconds a queued body has waited that redelivery could not deliver, one value each time.
    pub const WAITING_AGE: &str = "WaitingAge";
    /// Queued bodies that redelivery refused, each time, because the key that they came with opens nothing.
    pub const UNVERIFIED_REFUSED: &str = "UnverifiedRefused";
    /// New leads that the notifier found, by the dimension `Source`: `https` or `table`.
    pub const LEADS_FOUND: &str = "LeadsFound";
    /// Leads that stood in a mail that was sent.
    pub const LEADS_MAILED: &str = "LeadsMailed";
    /// Digests that were sent.
    pub const DIGESTS_SENT: &str = "DigestsSent";
    /// Mails that the mail service accepted.
    pub const MAILS_SENT: &str = "MailsSent";
    /// Leads that the notifier gave up for a destination, because it refused even their keys.
    pub const LEADS_PARKED: &str = "LeadsParked";
    /// A distribution: how many seconds leads took from their row in the table to an accepted mail, one value for each lead that
    /// was to go out at once; of more than 100 in a run, 100 values that stand for all of them.
    pub const MAIL_DELAY: &str = "MailDelay";
    /// A distribution, one value a run: for how many seconds the oldest lead is overdue, by the cadence
    /// and the window of its route; 0 where none is.
    pub const OLDEST_OWED_AGE: &str = "OldestOwedAge";
    /// A distribution, one value a run: how long ago the last search through the whole table ended, as a multiple of the
    /// time after which it is due again. While none has ended, it counts from when the first one began.
    pub const PATROL_LAG: &str = "PatrolLag";
    /// Runs of the notifier that ended well.
    pub const NOTIFIER_RUNS: &str = "NotifierRuns";
    /// Times that the notifier could not read its routes, or could make no sense of them.
    pub const ROUTES_NOT_READ: &str = "RoutesNotRead";
    /// Rows of a table without readable keys, left out of the pages that they stood in.
    pub const ROWS_LEFT_OUT: &str = "RowsLeftOut";
    /// Starts of an execution environment.
    pub const COLD_STARTS: &str = "ColdStarts";
    /// The metrics whose values are no counts. Each value is written once: an invocation that measures none writes none.
    /// None is a gauge, because the collector would write a gauge's last value again at the end of each later invocation.
    pub const DISTRIBUTIONS: [&str; 5] = [INTAKE_LATENCY, WAITING_AGE, MAIL_DELAY, OLDEST_OWED_AGE, PATROL_LAG];
    /// Every name.
    pub const ALL: [&str; 25] = [
        ROUTES_NOT_READ,
        LEADS_STORED,
        LEADS_DUPLICATE,
        LEADS_QUEUED,
        LEADS_QUARANTINED,
        LEADS_LOST,
        LEADS_REDELIVERED,
        INTAKE_UNAUTHORIZED,
        INTAKE_WRONG_KEY,
        INTAKE_MISDIRECTED,
        INTAKE_SERVER_ERRORS,
        INTAKE_LATENCY,
        WAITING_AGE,
        UNVERIFIED_REFUSED,
        LEADS_FOUND,
        LEADS_MAILED,
        DIGESTS_SENT,
        MAILS_SENT,
        LEADS_PARKED,
        MAIL_DELAY,
        OLDEST_OWED_AGE,
        PATROL_LAG,
        NOTIFIER_RUNS,
        ROWS_LEFT_OUT,
        COLD_STARTS,
    ];
}

/// The logs and metrics of a function's process.
#[derive(Clone, Copy)]
pub struct Telemetry {
    function: Function,
    metrics: &'static Collector,
}

impl Telemetry {
    /// Starts logs and metrics, and counts the cold start. The level is Lambda's own setting (`AWS_LAMBDA_LOG_LEVEL`),
    /// or else `INFO`; nothing below `INFO` is compiled into what is deployed.
    ///
    /// # Errors
    /// Where they were started before in this process.
    pub fn start(function: Function) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default();
        tracing_subscriber::registry().with(logs(&level, io::stdout)).try_init()?;
        // The message of a panic can quote what was being handled; its place in the code cannot.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "panicked");
        }));
        let metrics = collector(deployed_name(function, std::env::var("AWS_LAMBDA_FUNCTION_NAME").ok()))?;
        metrics::counter!(metric::COLD_STARTS).increment(1);
        Ok(Self { function, metrics })
    }

    /// Runs one invocation: its logs carry the function and the request id, and its metrics are written when it ends,
    /// be it by a panic.
    pub fn invocation<'a, T>(&self, request_id: &str, work: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
        struct Flush(&'static Collector);
        impl Drop for Flush {
            fn drop(&mut self) {
                // All lines are written with one call, so that no log line comes between them.
                let mut lines = Vec::new();
                let written = self.0.flush(&mut lines).and_then(|()| io::stdout().lock().write_all(&lines));
                if let Err(error) = written {
                    tracing::error!(%error, "metrics could not be written");
                }
            }
        }
        let span = info_span!("invocation", function = self.function.name(), request_id);
        let metrics = self.metrics;
        let work = async move {
            let _flush = Flush(metrics);
            work.await
        };
        // The runtime moves the handler's future through each of its layers, kilobytes if it holds all of the work.
        work.instrument(span).boxed()
    }
}

/// Collects the metrics of the function that is deployed under this name, until they are written.
fn collector(function: String) -> Result<&'static Collector, metrics_cloudwatch_embedded::Error> {
    let builder = metrics_cloudwatch_embedded::Builder::new().cloudwatch_namespace(NAMESPACE);
    let collector = builder.with_dimension("Function", function).init()?;
    metrics::describe_histogram!(metric::INTAKE_LATENCY, Unit::Milliseconds, "");
    metrics::describe_histogram!(metric::WAITING_AGE, Unit::Seconds, "");
    metrics::describe_histogram!(metric::MAIL_DELAY, Unit::Seconds, "");
    metrics::describe_histogram!(metric::OLDEST_OWED_AGE, Unit::Seconds, "");
    Ok(collector)
}

/// The name under which the function is deployed, which Lambda gives in the environment; elsewhere its own name.
fn deployed_name(function: Function, from_lambda: Option<String>) -> String {
    from_lambda.filter(|name| !name.is_empty()).unwrap_or_else(|| function.name().to_owned())
}

/// The exit code of a function whose work has ended. An error is written to the logs.
pub fn exit_code<E: Display>(ended: Result<(), E>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

/// JSON lines of our own crates, from `level` up.
fn logs<S, W>(level: &str, writer: W) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Lambda knows one level that Rust's logs do not.
    let level = if level == "FATAL" { Level::ERROR } else { level.parse().unwrap_or(Level::INFO) };
    let functions = Function::ALL.map(|function| function.name().replace('-', "_"));
    let ours = functions.into_iter().chain(["marketplace_leads".to_owned()]);
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer)
        .with_filter(Targets::new().with_targets(ours.map(|target| (target, level))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, work: impl FnOnce()) -> Vec<serde_json::Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(logs(level, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_log_line_is_one_json_object_with_stable_names_whatever_its_values_hold() {
        let lines = logged("", || {
            let span = info_span!("invocation", function = "lead-intake", request_id = "r-1");
            span.in_scope(|| tracing::info!(outcome = "a\r\n{\"level\":\"ERROR\"}", status = 201, "answered"));
        });
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "answered");
        assert_eq!(line["outcome"], "a\r\n{\"level\":\"ERROR\"}");
        assert_eq!(line["status"], 201);
        assert_eq!(line["span"]["function"], "lead-intake");
        assert_eq!(line["span"]["request_id"], "r-1");
    }

    #[test]
    fn metrics_carry_the_name_of_the_deployed_function_so_that_two_stacks_do_not_add_up() {
        let deployed = |name: &str| deployed_name(Function::Intake, Some(name.to_owned()));
        assert_eq!(deployed("leads-test-lead-intake"), "leads-test-lead-intake");
        assert_eq!(deployed(""), "lead-intake");
        assert_eq!(deployed_name(Function::Intake, None), "lead-intake");
    }

    #[test]
    fn an_age_is_written_once_even_if_it_is_0_and_not_again_by_later_invocations() {
        let collector = collector("test".to_owned()).unwrap();
        // The label keeps this value apart from those of other tests in this process.
        let written = || {
            let mut lines = Vec::new();
            collector.flush(&mut lines).unwrap();
            let lines = String::from_utf8(lines).unwrap();
            let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            lines.filter(|line| line["Test"] == "age").collect::<Vec<_>>()
        };
        for age in [3.0, 0.0] {
            metrics::histogram!(metric::OLDEST_OWED_AGE, "Test" => "age").record(age);
            let lines = written();
            assert_eq!(lines.len(), 1);
            assert_eq!(lines[0][metric::OLDEST_OWED_AGE], serde_json::json!([age]));
            assert_eq!(lines[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Unit"], "Seconds");
            assert_eq!(written(), Vec::<serde_json::Value>::new());
        }
    }

    #[test]
    fn events_of_the_clouds_crates_are_left_out_at_any_level() {
        let lines = logged("TRACE", || {
            tracing::error!(target: "azure_core::policies", "key");
            tracing::error!(target: "aws_smithy_runtime", "key");
            tracing::error!(target: "hyper_util", "key");
            tracing::error!(target: "lambda_runtime", "key");
            tracing::trace!("ours");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "ours");
    }

    #[test]
    fn lambdas_own_level_counts_and_info_where_there_is_none() {
        let work = || {
            tracing::debug!("debug");
            tracing::info!("info");
            tracing::warn!("warn");
        };
        for (level, expected) in [("", 2), ("DEBUG", 3), ("WARN", 1), ("info", 2), ("FATAL", 0)] {
            assert_eq!(logged(level, work).len(), expected, "{level:?}");
        }
    }
}
