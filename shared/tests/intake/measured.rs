//! Metrics as they are measured.

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard, Metadata, Recorder,
    SharedString, Unit,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

type Values = Arc<Mutex<BTreeMap<String, f64>>>;

/// What this thread measures: the sum of each counter, the last value of each distribution.
#[derive(Default)]
pub(crate) struct Measured(Values);

struct One {
    name: String,
    values: Values,
}

impl Measured {
    /// Measures what is counted on this thread while the guard lives.
    pub(crate) fn start(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    /// What was measured under a name; 0 where nothing was.
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    fn one(&self, key: &Key) -> Arc<One> {
        Arc::new(One { name: key.name().to_owned(), values: self.0.clone() })
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        *self.values.lock().unwrap().entry(self.name.clone()).or_default() += value as f64;
    }

    fn absolute(&self, value: u64) {
        self.values.lock().unwrap().insert(self.name.clone(), value as f64);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.values.lock().unwrap().insert(self.name.clone(), value);
    }
}

impl Recorder for Measured {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}
