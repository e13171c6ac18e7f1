//! What the program measures of itself, for Prometheus. One explicit registry, label values from enums, and every label set
//! at 0 from the start, so that the first increase is seen as one.
//!
//! Series of single sessions and sources are not kept here but written from the published when somebody asks: see [`exposition`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus::{GaugeVec, Registry, TextEncoder};

use crate::domain::incident::IncidentKind;
use crate::domain::name::Name;
use crate::domain::notification::NotificationKind;
use crate::domain::policy::Severity;
use crate::notify::Obstacle;
use crate::source::Failure;
use crate::store::Operation;
use crate::telemetry;

mod catalogue;
pub mod exposition;
pub mod label;
#[cfg(test)]
pub(crate) mod stage;

use catalogue::{Catalogue, count, time};
pub use label::{Late, Phase, Suppressed};

/// The media type of what [`Metrics::encode`] and [`exposition::write`] write.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters, gauges and histograms of one running program.
pub struct Metrics {
    registry: Registry,
    all: Catalogue,
    channel: &'static str,
}

impl Metrics {
    /// `channel` is the label of the alert channel, such as `email`.
    ///
    /// # Errors
    /// Only where two metrics were given one name, which a test would have shown.
    pub fn new(sources: &[Name], channel: &'static str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let all = Catalogue::register(&registry)?;
        let revision = option_env!("DRIFTWISE_REVISION").unwrap_or("unknown");
        all.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        let metrics = Self { registry, all, channel };
        metrics.start_at_zero();
        for source in sources {
            metrics.start_source_at_zero(source);
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
            for outcome in [message_outcome(true), message_outcome(false)] {
                count(&all.messages, &[self.channel, kind.label(), outcome]);
            }
        }
        for outcome in std::iter::once(None).chain(Obstacle::ALL.map(Some)) {
            count(&all.attempts, &[self.channel, attempt_outcome(outcome)]);
        }
        for phase in Phase::ALL {
            all.audit_duration.with_label_values(&[phase.label()]);
        }
        for reason in Suppressed::ALL {
            count(&all.suppressed, &[reason.label()]);
        }
        for operation in Operation::WHILE_RUNNING {
            count(&all.store_errors, &[operation.label()]);
        }
        all.delivery.with_label_values(&[self.channel]);
        self.outbox(0, 0, 0, None);
    }

    fn start_source_at_zero(&self, source: &Name) {
        let all = &self.all;
        let source = source.as_str();
        for outcome in [audit_outcome(true), audit_outcome(false)] {
            count(&all.audits, &[source, outcome]);
        }
        for reason in Late::ALL {
            count(&all.audits_late, &[source, reason.label()]);
        }
        for outcome in std::iter::once(None).chain(Failure::ALL.map(Some)) {
            count(&all.requests, &[source, request_outcome(outcome)]);
        }
        all.request_duration.with_label_values(&[source]);
    }

    /// An audit that is over; `ok` is false where the source could not be read.
    pub fn audit(&self, source: &Name, ok: bool) {
        count(&self.all.audits, &[source.as_str(), audit_outcome(ok)]).inc();
    }

    pub fn phase(&self, phase: Phase, elapsed: Duration) {
        time(&self.all.audit_duration, &[phase.label()], elapsed);
    }

    /// Audits that came later than their schedule asks.
    pub fn late(&self, source: &Name, reason: Late, audits: u64) {
        count(&self.all.audits_late, &[source.as_str(), reason.label()]).inc_by(audits);
    }

    /// One attempt to read a source; `None` is success.
    pub fn request(&self, source: &Name, outcome: Option<Failure>, elapsed: Duration) {
        count(&self.all.requests, &[source.as_str(), request_outcome(outcome)]).inc();
        time(&self.all.request_duration, &[source.as_str()], elapsed);
    }

    /// A source that this machine could not ask.
    pub fn not_asked(&self, source: &Name, failure: Failure) {
        count(&self.all.requests, &[source.as_str(), request_outcome(Some(failure))]).inc();
    }

    pub fn incident_opened(&self, kind: IncidentKind, severity: Severity) {
        count(&self.all.incidents_opened, &[kind.label(), severity.label()]).inc();
    }

    pub fn incident_resolved(&self, kind: IncidentKind, severity: Severity) {
        count(&self.all.incidents_resolved, &[kind.label(), severity.label()]).inc();
    }

    /// A message that was accepted, or given up.
    pub fn message(&self, kind: NotificationKind, sent: bool) {
        count(&self.all.messages, &[self.channel, kind.label(), message_outcome(sent)]).inc();
    }

    /// One attempt to send a message; `None` is acceptance.
    pub fn attempt(&self, outcome: Option<Obstacle>) {
        count(&self.all.attempts, &[self.channel, attempt_outcome(outcome)]).inc();
    }

    /// From when a message was recorded to when it was accepted.
    pub fn delivered_after(&self, elapsed: Duration) {
        time(&self.all.delivery, &[self.channel], elapsed);
    }

    pub fn suppressed(&self, reason: Suppressed, notices: u64) {
        count(&self.all.suppressed, &[reason.label()]).inc_by(notices);
    }

    pub fn store_error(&self, operation: Operation) {
        count(&self.all.store_errors, &[operation.label()]).inc();
    }

    /// What the outbox holds that is not sent; `oldest_pending` is when the oldest that still waits was recorded.
    pub fn outbox(&self, pending: u64, retrying: u64, dead: u64, oldest_pending: Option<DateTime<Utc>>) {
        for (state, messages) in [("pending", pending), ("retrying", retrying), ("dead", dead)] {
            let messages = i64::try_from(messages).unwrap_or(i64::MAX);
            self.all.outbox.with_label_values(&[state]).set(messages);
        }
        set_moment(&self.all.outbox_oldest, oldest_pending);
    }

    /// A configuration was accepted.
    pub fn config_loaded(&self, at: DateTime<Utc>) {
        self.all.config_sound.set(1);
        set_moment(&self.all.config_loaded_at, Some(at));
    }

    /// A configuration was refused; the one before still holds.
    pub fn config_refused(&self) {
        self.all.config_sound.set(0);
    }

    /// Appends everything in the text format.
    ///
    /// # Errors
    /// Where the encoder refuses a metric, which a test would have shown.
    pub fn encode(&self, out: &mut String) -> Result<(), prometheus::Error> {
        self.all.log_lines_dropped.inc_by(telemetry::take_dropped());
        TextEncoder::new().encode_utf8(&self.registry.gather(), out)
    }
}

/// A moment that is not there is absent rather than 0, which would read as 1970.
fn set_moment(gauge: &GaugeVec, at: Option<DateTime<Utc>>) {
    match at {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds fit a double until the year 287396")]
        Some(at) => gauge.with_label_values::<&str>(&[]).set(at.timestamp_millis() as f64 / 1_000.0),
        None => gauge.reset(),
    }
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

fn message_outcome(sent: bool) -> &'static str {
    if sent { "sent" } else { "dead" }
}

#[cfg(test)]
mod tests;
