//! Declares every metric that the program counts: name, help, labels and buckets.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Seconds: from a poll of a small source to the longest time-out in use.
const AUDIT_SECONDS: &[f64] = &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Seconds: from a notification sent at once to the 72 hours after which one is given up.
const DELIVERY_SECONDS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0];

/// The registered metrics. A gauge that may have no value yet is a vector without labels, because an empty vector is absent.
pub(super) struct Catalogue {
    pub build_info: IntGaugeVec,
    pub pages_info: IntGaugeVec,
    pub config_valid: IntGauge,
    pub config_loaded_at: GaugeVec,
    pub incidents_opened: IntCounterVec,
    pub incidents_resolved: IntCounterVec,
    pub audits: IntCounterVec,
    pub audit_duration: HistogramVec,
    pub audits_late: IntCounterVec,
    pub requests: IntCounterVec,
    pub request_duration: HistogramVec,
    pub notifications: IntCounterVec,
    pub attempts: IntCounterVec,
    pub suppressed: IntCounterVec,
    pub outbox: IntGaugeVec,
    pub outbox_oldest: GaugeVec,
    pub delivery: HistogramVec,
    pub store_errors: IntCounterVec,
    pub store_size: GaugeVec,
    pub store_free: GaugeVec,
    pub log_lines_dropped: IntCounter,
}

impl Catalogue {
    #[rustfmt::skip] // one line for each metric reads as a table
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let new = Declare { registry };
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            build_info: new.gauges("build_info", "The running build; always 1.", &["version", "revision", "date"])?,
            pages_info: new.gauges("pages_info", "The address of the pages, for links in alerts; always 1.", &["url"])?,
            config_valid: new.gauge("config_last_reload_successful", "Whether the last read of the configuration was accepted.")?,
            config_loaded_at: new.lone("config_last_reload_success_timestamp_seconds", "When a configuration was last accepted.")?,
            incidents_opened: new.counters("incidents_opened_total", "Incidents that were confirmed.", &["kind", "severity"])?,
            incidents_resolved: new.counters("incidents_resolved_total", "Incidents that ended.", &["kind", "severity"])?,
            audits: new.counters("audits_total", "Audits of a source, by outcome.", &["source", "outcome"])?,
            audit_duration: new.histograms("audit_duration_seconds", "Duration of each part of an audit.", &["phase"], AUDIT_SECONDS)?,
            audits_late: new.counters("audits_late_total", "Audits later than their schedule, by reason.", &["source", "reason"])?,
            requests: new.counters("source_requests_total", "Attempts to read a source, by outcome.", &["source", "outcome"])?,
            request_duration: new.histograms("source_request_duration_seconds", "Duration of an attempt to read a source.", &["source"], AUDIT_SECONDS)?,
            notifications: new.counters("notifications_total", "Notifications that were sent, or given up (dead).", &["channel", "kind", "outcome"])?,
            attempts: new.counters("notification_attempts_total", "Attempts to send a notification, by outcome.", &["channel", "outcome"])?,
            suppressed: new.counters("notifications_suppressed_total", "Incidents that a stage of alerting held back, each counted once per reason.", &["reason"])?,
            outbox: new.gauges("outbox_notifications", "Unsent notifications in the outbox, by state.", &["state"])?,
            outbox_oldest: new.lone("outbox_oldest_pending_timestamp_seconds", "When the oldest unsent notification was recorded.")?,
            delivery: new.histograms("notification_delivery_seconds", "Time from the recording of a notification to its acceptance.", &["channel"], DELIVERY_SECONDS)?,
            store_errors: new.counters("store_errors_total", "Operations of the store that failed.", &["operation"])?,
            store_size: new.lone("store_size_bytes", "Size of the database and its write-ahead log.")?,
            store_free: new.lone("store_free_bytes", "Free space on the file system of the store.")?,
            log_lines_dropped: new.counter("log_lines_dropped_total", "Log lines lost because the log could not be written, or not fast enough.")?,
        })
    }
}

/// Creates and registers metrics.
struct Declare<'a> {
    registry: &'a Registry,
}

impl Declare<'_> {
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.keep(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::with_opts(opts(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.keep(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.keep(IntGauge::with_opts(opts(name, help))?)
    }

    /// A gauge without labels that is absent until it has a value.
    fn lone(&self, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
        self.keep(GaugeVec::new(opts(name, help), &[])?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() };
        self.keep(HistogramVec::new(opts, labels)?)
    }

    fn keep<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("driftwise")
}

/// The counter of these label values, which come from closed sets.
pub(super) fn count(counters: &IntCounterVec, labels: &[&str]) -> IntCounter {
    counters.with_label_values(labels)
}

/// Records a duration under label values from closed sets.
pub(super) fn time(histograms: &HistogramVec, labels: &[&str], elapsed: Duration) {
    let histogram: Histogram = histograms.with_label_values(labels);
    histogram.observe(elapsed.as_secs_f64());
}
