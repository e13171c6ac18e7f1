//! The metrics of the program, for Prometheus: one explicit registry, and label values from enums. Every label set of a counter
//! starts at 0, so that Prometheus sees its first increase.
//!
//! [`exposition`] writes the series of single sessions and sources from the published state at each scrape.

use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus::{GaugeVec, IntCounterVec, Registry, TextEncoder};

use crate::domain::alerting::SuppressionReason;
use crate::domain::incident::IncidentKind;
use crate::domain::name::Name;
use crate::domain::notification::NotificationKind;
use crate::domain::policy::Severity;
use crate::notify::Obstacle;
use crate::release;
use crate::source::Failure;
use crate::store::Operation;
use crate::telemetry;

mod catalogue;
pub mod exposition;
pub mod label;
#[cfg(test)]
pub(crate) mod polled_state;

use catalogue::{Catalogue, count, time};
pub use label::{AuditPhase, Late};

/// The media type of the text that [`Metrics::encode`] and [`exposition::write`] append.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters, gauges and histograms of one running program.
pub struct Metrics {
    registry: Registry,
    all: Catalogue,
    channel: &'static str,
}

impl Metrics {
    /// `channel` is the label of the channel, such as `email`.
    ///
    /// # Errors
    /// If two metrics have one name, which a test rules out.
    pub fn new(sources: &[Name], channel: &'static str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let all = Catalogue::register(&registry)?;
        all.build_info.with_label_values(&[release::VERSION, release::REVISION, release::DATE]).set(1);
        let metrics = Self { registry, all, channel };
        metrics.start_at_zero();
        for source in sources {
            metrics.source_added(source);
        }
        Ok(metrics)
    }

    fn start_at_zero(&self) {
        let all = &self.all;
        for kind in IncidentKind::ALL {
            for severity in Severity::ALL {
                count(&all.incidents_opened, &[kind.label(), severity.label()]);
                count(&all.incidents_resolved, &[kind.label(), severity.label()]);
            }
        }
        for kind in NotificationKind::ALL {
            for outcome in [notification_outcome(true), notification_outcome(false)] {
                count(&all.notifications, &[self.channel, kind.label(), outcome]);
            }
        }
        for outcome in std::iter::once(None).chain(Obstacle::ALL.map(Some)) {
            count(&all.attempts, &[self.channel, attempt_outcome(outcome)]);
        }
        for phase in AuditPhase::ALL {
            all.audit_duration.with_label_values(&[phase.label()]);
        }
        for reason in SuppressionReason::ALL.into_iter().filter(|reason| reason.is_counted()) {
            count(&all.suppressed, &[reason.label()]);
        }
        for operation in Operation::WHILE_RUNNING {
            count(&all.store_errors, &[operation.label()]);
        }
        all.delivery.with_label_values(&[self.channel]);
        self.outbox(0, 0, 0, None);
    }

    /// Starts the counters of a source at 0.
    pub fn source_added(&self, source: &Name) {
        self.each_of_source(source, |counters, labels| drop(count(counters, labels)));
        self.all.request_duration.with_label_values(&[source.as_str()]);
    }

    /// Removes the series of a source that is polled no more.
    pub fn source_removed(&self, source: &Name) {
        // Each is there since the source was added.
        self.each_of_source(source, |counters, labels| drop(counters.remove_label_values(labels)));
        drop(self.all.request_duration.remove_label_values(&[source.as_str()]));
    }

    /// Every label set of the counters of a source.
    fn each_of_source(&self, source: &Name, each: impl Fn(&IntCounterVec, &[&str])) {
        let all = &self.all;
        let source = source.as_str();
        for outcome in [audit_outcome(true), audit_outcome(false)] {
            each(&all.audits, &[source, outcome]);
        }
        for reason in Late::ALL {
            each(&all.audits_late, &[source, reason.label()]);
        }
        for outcome in std::iter::once(None).chain(Failure::ALL.map(Some)) {
            each(&all.requests, &[source, request_outcome(outcome)]);
        }
    }

    /// Counts a finished audit; `ok` is false if the source could not be read.
    pub fn audit(&self, source: &Name, ok: bool) {
        count(&self.all.audits, &[source.as_str(), audit_outcome(ok)]).inc();
    }

    pub fn phase(&self, phase: AuditPhase, elapsed: Duration) {
        time(&self.all.audit_duration, &[phase.label()], elapsed);
    }

    /// Counts audits that were later than their schedule.
    pub fn late(&self, source: &Name, reason: Late, audits: u64) {
        count(&self.all.audits_late, &[source.as_str(), reason.label()]).inc_by(audits);
    }

    /// Counts one attempt to read a source; `None` is success.
    pub fn request(&self, source: &Name, outcome: Option<Failure>, elapsed: Duration) {
        count(&self.all.requests, &[source.as_str(), request_outcome(outcome)]).inc();
        time(&self.all.request_duration, &[source.as_str()], elapsed);
    }

    /// Counts a poll that this machine could not begin.
    pub fn not_asked(&self, source: &Name, failure: Failure) {
        count(&self.all.requests, &[source.as_str(), request_outcome(Some(failure))]).inc();
    }

    pub fn incident_opened(&self, kind: IncidentKind, severity: Severity) {
        count(&self.all.incidents_opened, &[kind.label(), severity.label()]).inc();
    }

    pub fn incident_resolved(&self, kind: IncidentKind, severity: Severity) {
        count(&self.all.incidents_resolved, &[kind.label(), severity.label()]).inc();
    }

    /// Counts a notification that was accepted, or given up.
    pub fn notification(&self, kind: NotificationKind, sent: bool) {
        count(&self.all.notifications, &[self.channel, kind.label(), notification_outcome(sent)]).inc();
    }

    /// Counts one attempt to send a notification; `None` is acceptance.
    pub fn attempt(&self, outcome: Option<Obstacle>) {
        count(&self.all.attempts, &[self.channel, attempt_outcome(outcome)]).inc();
    }

    /// Records the time from the recording of a notification to its acceptance.
    pub fn delivered_after(&self, elapsed: Duration) {
        time(&self.all.delivery, &[self.channel], elapsed);
    }

    /// Counts an incident that was held back for a reason for the first time. A grace period only delays, and is not counted.
    pub fn suppressed(&self, reason: SuppressionReason) {
        if reason.is_counted() {
            count(&self.all.suppressed, &[reason.label()]).inc();
        }
    }

    pub fn store_error(&self, operation: Operation) {
        count(&self.all.store_errors, &[operation.label()]).inc();
    }

    /// Sets the number of unsent notifications; `oldest_pending`: when the oldest waiting one was recorded.
    pub fn outbox(&self, pending: u64, retrying: u64, dead: u64, oldest_pending: Option<DateTime<Utc>>) {
        for (state, messages) in [("pending", pending), ("retrying", retrying), ("dead", dead)] {
            let messages = i64::try_from(messages).unwrap_or(i64::MAX);
            self.all.outbox.with_label_values(&[state]).set(messages);
        }
        set_moment(&self.all.outbox_oldest, oldest_pending);
    }

    /// Records that a configuration was accepted; `public_url`: the address of the pages in it.
    pub fn config_loaded(&self, at: DateTime<Utc>, public_url: Option<&str>) {
        self.all.config_valid.set(1);
        self.all.pages_info.reset();
        if let Some(url) = public_url {
            self.all.pages_info.with_label_values(&[url.trim_end_matches('/')]).set(1);
        }
        set_moment(&self.all.config_loaded_at, Some(at));
    }

    /// Records that a configuration was refused; the previous one stays in force.
    pub fn config_refused(&self) {
        self.all.config_valid.set(0);
    }

    /// Sets the size of the store and the free space of its file system, in bytes.
    pub fn disk(&self, size: u64, free: u64) {
        set(&self.all.store_size, size);
        set(&self.all.store_free, free);
    }

    /// Appends every metric in the text format.
    ///
    /// # Errors
    /// If the encoder refuses a metric, which a test rules out.
    pub fn encode(&self, out: &mut String) -> Result<(), prometheus::Error> {
        self.all.log_lines_dropped.inc_by(telemetry::take_dropped());
        TextEncoder::new().encode_utf8(&self.registry.gather(), out)
    }
}

/// An unknown time is absent and not 0, which would be 1970.
fn set_moment(gauge: &GaugeVec, at: Option<DateTime<Utc>>) {
    match at {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds fit a double until the year 287396")]
        Some(at) => gauge.with_label_values::<&str>(&[]).set(at.timestamp_millis() as f64 / 1_000.0),
        None => gauge.reset(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes fit a double up to 9 PB")]
fn set(gauge: &GaugeVec, bytes: u64) {
    gauge.with_label_values::<&str>(&[]).set(bytes as f64);
}

fn audit_outcome(ok: bool) -> &'static str {
    if ok { "ok" } else { "unreachable" }
}

fn request_outcome(outcome: Option<Failure>) -> &'static str {
    outcome.map_or("ok", Failure::label)
}

fn attempt_outcome(outcome: Option<Obstacle>) -> &'static str {
    outcome.map_or("accepted", Obstacle::label)
}

fn notification_outcome(sent: bool) -> &'static str {
    if sent { "sent" } else { "dead" }
}

#[cfg(test)]
mod tests;
