//! The view of one incident: its title, since when it lasts, and its effect on orders.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::session::NO_ROW;
use super::source::SourceView;
use super::times;
use super::words::{Mood, capital};
use crate::domain::alerting::{Case, Stop, SuppressionReason};
use crate::domain::catalogue;
use crate::domain::incident::{End, Incident, IncidentKind};
use crate::domain::notification::Change;
use crate::domain::plan::Alerts;

/// What became of an incident that ended, in a few words that follow "is" or stand alone.
pub fn ended(kind: IncidentKind, end: End) -> &'static str {
    match (kind, end) {
        (IncidentKind::Drift, End::Removed) => "no longer checked, not put right",
        (_, End::Removed) | (IncidentKind::Drift, End::NoLongerAudited | End::NotReturned) => "no longer checked",
        (IncidentKind::Drift | IncidentKind::SourceChanged, End::BaselineChanged) => "no longer reported",
        (IncidentKind::Drift, _) => "put right",
        (IncidentKind::Missing, _) => "back again",
        (IncidentKind::SourceChanged, End::TakenAsReal) => "changed for good",
        (IncidentKind::SourceChanged, _) => "being checked as before",
        (IncidentKind::Unverifiable | IncidentKind::Unreachable, _) => "being checked again",
    }
}

/// One incident, with its words.
#[derive(Debug, Clone, Copy)]
pub struct IncidentView<'a>(pub &'a Incident);

impl IncidentView<'_> {
    /// The setting of a drift, or what could not be read.
    pub fn title(self) -> String {
        match (self.0.kind(), self.0.key.rule()) {
            (_, Some((_, setting))) => catalogue::label(setting),
            (IncidentKind::Missing, _) => capital(NO_ROW),
            (IncidentKind::Unverifiable, _) => "Some settings could not be checked".to_owned(),
            (IncidentKind::SourceChanged, _) => "The source changed".to_owned(),
            (IncidentKind::Unreachable | IncidentKind::Drift, _) => "The source could not be read".to_owned(),
        }
    }

    pub fn mood(self) -> Mood {
        match self.0.kind() {
            IncidentKind::Drift | IncidentKind::Missing => Mood::Bad,
            IncidentKind::Unverifiable | IncidentKind::Unreachable | IncidentKind::SourceChanged => Mood::Unclear,
        }
    }

    /// Between which polls it began.
    pub fn since(self, zone: Tz) -> String {
        times::since(self.0.window, zone)
    }

    /// While it lasts, orders of the shop may have stopped.
    pub fn may_stop_orders(self) -> bool {
        self.0.facts.stops_orders || self.0.kind() == IncidentKind::Missing
    }

    /// Until when its grace period holds back the first notification, if nothing else does.
    pub fn grace_period(
        self,
        alerts: &Alerts,
        source: &SourceView<'_>,
        now: DateTime<Utc>,
        zone: Tz,
    ) -> Option<String> {
        let case = Case {
            incident: self.0,
            alerts,
            since: self.0.window.first_bad.min(now),
            source_unreachable: self.0.kind() != IncidentKind::Unreachable && source.unreachable.is_some(),
            source_change: source.changed.and_then(|changed| changed.facts.change.as_deref()),
            now,
        };
        let Err(Stop { reason: SuppressionReason::GracePeriod, until }) = case.pass(Change::Opened, false) else {
            return None;
        };
        let end = match until {
            Some(until) => format!("lasts until {}", times::at(until, zone)),
            None => "ends when another poll has failed".to_owned(),
        };
        Some(format!("no mail yet: the grace period (unreachable_after) {end}"))
    }

    /// Until when orders can still be recovered, where they may have stopped.
    pub fn orders(self, now: DateTime<Utc>, zone: Tz) -> Option<String> {
        self.may_stop_orders().then(|| times::recoverable(self.0.window, now, zone))
    }
}
