//! What happened how often, for Prometheus: counters and durations of this process, in its text format 0.0.4.
//!
//! Labels are words of the program, never numbers of subscribers. What the database knows better (how many
//! subscriptions there are) is added when the page is made: see [`Page`].

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// HTTP requests by part, and what they were answered with.
pub static HTTP_REQUESTS: Counter<3> =
    Counter::new("vuicc_http_requests_total", "HTTP requests answered.", ["part", "method", "status"]);

/// How long HTTP requests took.
pub static HTTP_SECONDS: Histogram<1> =
    Histogram::new("vuicc_http_request_duration_seconds", "Time from request to answer.", ["part"]);

/// Authentications that came to an end, by the interface they came through.
pub static AUTHENTICATIONS: Counter<3> =
    Counter::new("vuicc_eap_authentications_total", "EAP conversations ended.", ["listener", "method", "outcome"]);

/// RADIUS packets, by what became of them.
pub static RADIUS_PACKETS: Counter<1> =
    Counter::new("vuicc_radius_packets_total", "RADIUS packets received, by answer.", ["answer"]);

/// Questions of hostapd.
pub static EAP_SIM_DB_REQUESTS: Counter<1> =
    Counter::new("vuicc_eap_sim_db_requests_total", "Requests at the eap_sim_db socket.", ["outcome"]);

/// Calls to the SM-DP+, by what became of them.
pub static ES2PLUS_CALLS: Counter<2> =
    Counter::new("vuicc_es2plus_calls_total", "Calls of ES2+ to the SM-DP+.", ["function", "outcome"]);

/// All of them.
const COUNTERS_3: [&Counter<3>; 2] = [&HTTP_REQUESTS, &AUTHENTICATIONS];
const COUNTERS_2: [&Counter<2>; 1] = [&ES2PLUS_CALLS];
const COUNTERS_1: [&Counter<1>; 2] = [&RADIUS_PACKETS, &EAP_SIM_DB_REQUESTS];

/// A number that only grows, one for each combination of labels.
pub struct Counter<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    values: Mutex<BTreeMap<[&'static str; N], u64>>,
}

impl<const N: usize> Counter<N> {
    /// A counter that has counted nothing yet.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, labels, values: Mutex::new(BTreeMap::new()) }
    }

    /// One more.
    pub fn count(&self, values: [&'static str; N]) {
        *self.values.lock().unwrap_or_else(PoisonError::into_inner).entry(values).or_default() += 1;
    }

    fn write(&self, page: &mut Page) {
        page.head(self.name, self.help, "counter");
        for (values, count) in self.values.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            page.line(self.name, &pairs(self.labels, *values), count);
        }
    }
}

/// Upper ends of the intervals durations are sorted into, in milliseconds.
const BUCKETS: [u64; 9] = [5, 10, 25, 50, 100, 250, 1000, 5000, 30_000];

/// Durations, sorted into intervals, for each combination of labels.
pub struct Histogram<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    values: Mutex<BTreeMap<[&'static str; N], Durations>>,
}

#[derive(Clone, Copy, Default)]
struct Durations {
    within: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

impl<const N: usize> Histogram<N> {
    /// A histogram that has seen nothing yet.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { name, help, labels, values: Mutex::new(BTreeMap::new()) }
    }

    /// Something took this long.
    pub fn observe(&self, values: [&'static str; N], took: Duration) {
        let mut all = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let durations = all.entry(values).or_default();
        durations.count += 1;
        durations.sum += took;
        for (count, end) in durations.within.iter_mut().zip(BUCKETS) {
            *count += u64::from(took <= Duration::from_millis(end));
        }
    }

    fn write(&self, page: &mut Page) {
        page.head(self.name, self.help, "histogram");
        for (values, durations) in self.values.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let own = pairs(self.labels, *values);
            let bucket = format!("{}_bucket", self.name);
            for (count, end) in durations.within.iter().zip(BUCKETS) {
                let end = Duration::from_millis(end).as_secs_f64().to_string();
                page.line(&bucket, &[&own[..], &[("le", &end)]].concat(), count);
            }
            page.line(&bucket, &[&own[..], &[("le", "+Inf")]].concat(), durations.count);
            page.line(&format!("{}_sum", self.name), &own, durations.sum.as_secs_f64());
            page.line(&format!("{}_count", self.name), &own, durations.count);
        }
    }
}

fn pairs<const N: usize>(names: [&'static str; N], values: [&'static str; N]) -> Vec<(&'static str, &'static str)> {
    names.into_iter().zip(values).collect()
}

/// The page a Prometheus server fetches.
#[derive(Default)]
pub struct Page(String);

impl Page {
    /// Its media type.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// A page with all that was counted in this process.
    pub fn of_this_process() -> Self {
        let mut page = Self::default();
        for counter in COUNTERS_3 {
            counter.write(&mut page);
        }
        for counter in COUNTERS_2 {
            counter.write(&mut page);
        }
        for counter in COUNTERS_1 {
            counter.write(&mut page);
        }
        HTTP_SECONDS.write(&mut page);
        page
    }

    /// Adds a number that goes up and down, with one label.
    pub fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> &mut Self {
        self.head(name, help, "gauge");
        for (value, count) in values {
            self.line(name, &[(label, value)], count);
        }
        self
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format() {
        let counter: Counter<2> = Counter::new("sms_total", "Messages.", ["from", "outcome"]);
        counter.count(["a", "sent"]);
        counter.count(["a", "sent"]);
        counter.count(["b\"", "lost"]);
        let mut page = Page::default();
        counter.write(&mut page);
        page.gauge("line", "Lines.", "status", [("active", 3)]);
        assert_eq!(
            page.into_text(),
            "# HELP sms_total Messages.\n# TYPE sms_total counter\n\
             sms_total{from=\"a\",outcome=\"sent\"} 2\nsms_total{from=\"b\\\"\",outcome=\"lost\"} 1\n\
             # HELP line Lines.\n# TYPE line gauge\nline{status=\"active\"} 3\n"
        );
    }

    #[test]
    fn durations_are_sorted_cumulatively() {
        let histogram: Histogram<1> = Histogram::new("seconds", "Time.", ["part"]);
        for ms in [3, 7, 60_000] {
            histogram.observe(["a"], Duration::from_millis(ms));
        }
        let mut page = Page::default();
        histogram.write(&mut page);
        let text = page.into_text();
        for line in [
            "seconds_bucket{part=\"a\",le=\"0.005\"} 1",
            "seconds_bucket{part=\"a\",le=\"0.01\"} 2",
            "seconds_bucket{part=\"a\",le=\"30\"} 2",
            "seconds_bucket{part=\"a\",le=\"+Inf\"} 3",
            "seconds_sum{part=\"a\"} 60.01",
            "seconds_count{part=\"a\"} 3",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }
}
