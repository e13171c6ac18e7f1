//! Writes the series of single sessions and sources as text, from the published state, at each scrape.
//!
//! Nothing is kept between scrapes: a vector of gauges with a series for each session takes ten times the memory of the state
//! itself. A series is present only if it has something to report, and disappears with its session.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

use crate::domain::evaluate::VerdictKind;
use crate::domain::incident::Incident;
use crate::domain::reading::{is_invisible, visible};
use crate::domain::session::Session;
use crate::engine::published::{Plans, Present, Published};
use crate::view::session::{SessionView, Staleness};
use crate::view::source::SourceView;

/// The usual size of the series of one session, in bytes: six series of about a hundred.
pub(super) const BYTES_A_SESSION: usize = 640;

/// The verdicts that are counted.
const COUNTED: [VerdictKind; 3] = [VerdictKind::Drifted, VerdictKind::Unverifiable, VerdictKind::NotApplicable];

/// One session with its view, made once for all families.
struct Line<'a> {
    /// `source="acme-erp",session="14"`, escaped.
    labels: String,
    view: SessionView<'a>,
}

/// Appends the series of every published session and source, and the clock, as of `now`.
pub fn write(published: &Published, now: DateTime<Utc>, out: &mut String) {
    let plans = published.plans();
    out.reserve(plans.values().map(|plan| plan.sessions.len()).sum::<usize>() * BYTES_A_SESSION);
    published.read(|present| {
        let lines = lines(&plans, present);
        write_sessions(&lines, out);
        write_drifts(&lines, out);
        write_polls(&lines, present, out);
        write_stale(&lines, now, out);
        write_sources(&plans, present, out);
        write_credentials(present, now, out);
        write_scheduler(present, out);
    });
    let help = "The clock of the program; subtract the time of the scrape to see how wrong it is.";
    Family::new(out, "clock_timestamp_seconds", help).alone(Seconds(now));
}

fn lines<'a>(plans: &'a Plans, present: &'a Present) -> Vec<Line<'a>> {
    let sessions = plans.values().flat_map(|plan| plan.sessions.values());
    let line = |session: &'a Session| {
        let view = SessionView::of(present.state(&session.key.source), session);
        let labels = format!("source=\"{}\",session=\"{}\"", session.key.source, escape(session.key.id.as_str()));
        Line { labels, view }
    };
    sessions.map(line).collect()
}

fn write_sessions(lines: &[Line<'_>], out: &mut String) {
    let mut family = Family::new(out, "session_info", "An audited session; always 1.");
    for Line { labels, view: SessionView { session, .. } } in lines {
        let customer = session.contacts.customer.as_ref().map_or("", |name| name.as_str());
        // Only the configured name: a metric has no text of a source.
        let name = escape(session.name.as_deref().unwrap_or_default());
        let policy = &session.policy.name;
        family.series(format_args!("{labels},policy=\"{policy}\",customer=\"{customer}\",name=\"{name}\""), 1);
    }
    let mut family = Family::new(out, "session_status", "The last verdict on the session; always 1.");
    for Line { labels, view } in lines {
        family.series(format_args!("{labels},status=\"{}\"", view.verdict.label()), 1);
    }
    let help = "Whether the last poll found the session: 0 while it is missing or its source is unreachable.";
    let mut family = Family::new(out, "session_visible", help);
    for Line { labels, view } in lines {
        family.series(labels, u8::from(view.is_visible()));
    }
    let mut family = Family::new(out, "session_findings", "Findings other than compliant, by verdict.");
    for Line { labels, view } in lines {
        for verdict in COUNTED {
            let findings = view.findings.iter().filter(|finding| finding.verdict == verdict).count();
            if findings > 0 {
                family.series(format_args!("{labels},state=\"{}\"", verdict.label()), findings);
            }
        }
    }
}

fn write_drifts(lines: &[Line<'_>], out: &mut String) {
    let mut family = Family::new(out, "drift_open", "An open drift; always 1.");
    for line in lines {
        for drift in line.view.drifts() {
            family.series(DriftLabels(line, drift), 1);
        }
    }
    let mut family = Family::new(out, "drift_opened_timestamp_seconds", "When an open drift was confirmed.");
    for line in lines {
        for drift in line.view.drifts() {
            family.moment(DriftLabels(line, drift), drift.open_since());
        }
    }
}

/// The labels of a drift.
struct DriftLabels<'a>(&'a Line<'a>, &'a Incident);

impl fmt::Display for DriftLabels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(line, drift) = self;
        f.write_str(&line.labels)?;
        let Some((rule, setting)) = drift.key.rule() else { return Ok(()) };
        write!(f, ",rule=\"{rule}\",setting=\"{}\",severity=\"{}\"", escape(setting.as_str()), drift.severity)
    }
}

fn write_polls(lines: &[Line<'_>], present: &Present, out: &mut String) {
    let help = "When the session was last seen and evaluated.";
    let mut family = Family::new(out, "session_last_verdict_timestamp_seconds", help);
    for line in lines {
        family.moment(&line.labels, line.view.last_verdict);
    }
    let help = "When the next audit of the session is due.";
    let mut family = Family::new(out, "session_next_audit_timestamp_seconds", help);
    for Line { labels, view: SessionView { session, .. } } in lines {
        let schedule_key = (session.key.source.clone(), session.schedule.key());
        family.moment(labels, present.next_audits.get(&schedule_key).copied());
    }
}

/// Sessions share schedules and polls, so staleness is computed once for each pair of them.
fn write_stale(lines: &[Line<'_>], now: DateTime<Utc>, out: &mut String) {
    let help = format!("The last verdict is {}; always 1.", Staleness::EITHER);
    let mut family = Family::new(out, "session_stale", &help);
    let mut known = HashMap::new();
    for Line { labels, view } in lines {
        let key = (view.session.schedule.key_ref(), view.last_verdict);
        if *known.entry(key).or_insert_with(|| view.is_stale(now)) {
            family.series(labels, 1);
        }
    }
}

fn write_sources(plans: &Plans, present: &Present, out: &mut String) {
    let polled_at = || {
        let known = plans.keys().filter_map(|name| Some((name, present.state(name)?)));
        known.filter(|(_, state)| state.record.polls > 0)
    };
    let mut family = Family::new(out, "source_up", "Whether the last poll read the source.");
    for (name, state) in polled_at() {
        let up = SourceView::of(name, state).unreachable.is_none();
        family.series(format_args!("source=\"{name}\""), u8::from(up));
    }
    let help = "Columns of the source, or many of its sessions at once, have changed; always 1.";
    let mut family = Family::new(out, "source_changed", help);
    for (name, _) in polled_at().filter(|(name, state)| SourceView::of(name, state).changed.is_some()) {
        family.series(format_args!("source=\"{name}\""), 1);
    }
    let help = "When the source was last read.";
    let mut family = Family::new(out, "source_last_success_timestamp_seconds", help);
    for (name, state) in polled_at() {
        family.moment(format_args!("source=\"{name}\""), state.record.last_success);
    }
    let mut family =
        Family::new(out, "source_sessions", "Sessions in the last snapshot of the source: audited or unaudited.");
    for (name, state) in polled_at().filter(|(_, state)| state.record.last_success.is_some()) {
        for (label, sessions) in [("audited", state.record.audited), ("unaudited", state.record.unaudited)] {
            family.series(format_args!("source=\"{name}\",state=\"{label}\""), sessions);
        }
    }
}

/// Keys hold names, and names need no escaping.
fn write_credentials(present: &Present, now: DateTime<Utc>, out: &mut String) {
    let help = "When a credential expires; for a file with several certificates, the next one to expire.";
    let mut family = Family::new(out, "credential_expiry_timestamp_seconds", help);
    for credential in &present.credentials {
        let labels = format_args!("credential=\"{}\",kind=\"{}\"", credential.key, credential.kind.label());
        family.moment(labels, credential.end(now));
    }
}

/// Absent before the scheduler has started.
fn write_scheduler(present: &Present, out: &mut String) {
    let help = "Whether the scheduler has ticked within the last ten seconds.";
    if let Some(ticking) = present.ticking() {
        Family::new(out, "scheduler_ticking", help).alone(u8::from(ticking));
    }
}

/// A gauge under construction: its help and type lines come with its first series.
struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
    help: &'a str,
    headed: bool,
}

impl<'a> Family<'a> {
    /// `help` needs no escaping: neither backslash nor line break.
    fn new(out: &'a mut String, name: &'static str, help: &'a str) -> Self {
        Self { out, name, help, headed: false }
    }

    fn series(&mut self, labels: impl fmt::Display, value: impl fmt::Display) {
        self.head();
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "driftwise_{}{{{labels}}} {value}", self.name);
    }

    /// The one series of a gauge without labels.
    fn alone(&mut self, value: impl fmt::Display) {
        self.head();
        let _ = writeln!(self.out, "driftwise_{} {value}", self.name);
    }

    fn head(&mut self) {
        let Self { name, help, .. } = *self;
        if !std::mem::replace(&mut self.headed, true) {
            let _ = write!(self.out, "# HELP driftwise_{name} {help}\n# TYPE driftwise_{name} gauge\n");
        }
    }

    /// A time in seconds since 1970; absent if there is none.
    fn moment(&mut self, labels: impl fmt::Display, at: Option<DateTime<Utc>>) {
        if let Some(at) = at {
            self.series(labels, Seconds(at));
        }
    }
}

/// A time in seconds since 1970, with milliseconds.
struct Seconds(DateTime<Utc>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.timestamp(), self.0.timestamp_subsec_millis())
    }
}

/// Escapes a label value for the text format. Names need no escaping. Ids of sessions and settings come from outside and may
/// hold invisible characters: Prometheus refuses a NUL, and others reverse the text of an alert.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| matches!(c, '\\' | '"') || is_invisible(c)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(visible(c)),
        }
    }
    Cow::Owned(escaped)
}
