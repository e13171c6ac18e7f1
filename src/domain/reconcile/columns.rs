//! Columns that a source no longer returns, and the incident of kind source changed that they and the breaker cause.
//!
//! A column is gone when the source has returned it before and no row of a snapshot has it. Where a rule needs its setting, the
//! incident lasts until it is back or no rule needs it. A setting that is only watched by a pattern is announced once and
//! forgotten.

use std::collections::HashSet;
use std::sync::Arc;

use super::breaker::MassFailures;
use super::{PollContext, end};
use crate::domain::announcement::Announcement;
use crate::domain::evaluate::in_scope;
use crate::domain::event::{Event, EventKind};
use crate::domain::incident::{End, Facts, Incident, IncidentKey, Window};
use crate::domain::policy::{Policy, Rule, Severity};
use crate::domain::setting::SettingKey;
use crate::domain::snapshot::Snapshot;
use crate::domain::source_change::{Column, ColumnChange, SourceChange};
use crate::domain::state::Delta;

/// Most new columns that a mail names.
const MOST_NEW: usize = 20;

/// A setting that rules need and that is gone.
pub(super) struct Gone {
    pub setting: SettingKey,
    /// Of the most severe rule that needs it.
    pub severity: Severity,
}

/// The settings that the source returned before and that no row of a snapshot has.
#[derive(Default)]
pub(super) struct Absent {
    /// Those that a rule needs.
    pub needed: Vec<Gone>,
    /// Those that were only watched by a pattern, or that a group can do without.
    watched: Vec<SettingKey>,
    /// Those that no rule watched, or whose column is read as another setting now.
    others: Vec<SettingKey>,
}

impl PollContext<'_> {
    pub(super) fn absent(&self, snapshot: &Snapshot) -> Absent {
        let known = self.state.known_settings.iter().filter(|setting| !snapshot.returns(setting));
        let mut known = known.cloned().collect::<Vec<_>>();
        known.sort();
        let mut absent = Absent::default();
        if known.is_empty() {
            return absent;
        }
        let policies = self.policies();
        for setting in known {
            let needed = || policies.iter().filter_map(|policy| needs(policy, &setting, snapshot)).max();
            let watched = || policies.iter().any(|policy| watches(policy, &setting));
            if self.plan.mapping.renames(&setting) {
                absent.others.push(setting);
            } else if let Some(severity) = needed() {
                absent.needed.push(Gone { setting, severity });
            } else if watched() {
                absent.watched.push(setting);
            } else {
                absent.others.push(setting);
            }
        }
        absent
    }

    /// Forgets the settings that no rule needs: the source is not known to return them, and each session drops the pinned value
    /// at its next poll. Those that were watched are announced once. A column that returns is new.
    pub(super) fn forget(&self, columns: Absent, delta: &mut Delta) {
        let Absent { watched, others, .. } = columns;
        if !watched.is_empty() {
            let columns = ColumnChange {
                origin: self.plan.origin.clone(),
                gone: watched.iter().map(|setting| Column::of(setting, &self.plan.mapping)).collect(),
                new: self.named(&delta.new_settings),
            };
            delta.announcements.push(Announcement::forgotten(&self.plan.name, self.poll, columns, self.now));
        }
        for setting in &watched {
            let what = EventKind::SettingForgotten { setting: setting.clone() };
            delta.events.push(Event { at: self.now, session: None, what });
        }
        delta.forgotten = watched.into_iter().chain(others).collect();
    }

    /// The columns of settings, at most [`MOST_NEW`].
    fn named(&self, settings: &[SettingKey]) -> Vec<String> {
        settings.iter().take(MOST_NEW).map(|setting| Column::of(setting, &self.plan.mapping).name).collect()
    }

    /// The policies of the sessions, each once.
    fn policies(&self) -> Vec<&Policy> {
        let mut seen = HashSet::new();
        let all = self.plan.sessions.values().map(|session| &session.policy);
        all.filter(|policy| seen.insert(Arc::as_ptr(policy))).map(|policy| &**policy).collect()
    }

    /// Opens, updates or ends the incident of the source.
    pub(super) fn source_changed(&self, snapshot: &Snapshot, gone: &[Gone], failures: MassFailures, delta: &mut Delta) {
        let known = self.state.changed.as_ref();
        let before = self.state.source_change();
        let MassFailures { lasting, taken_as_real } = failures;
        if gone.is_empty() && lasting.is_empty() {
            let Some(incident) = known else { return };
            let unneeded = before
                .is_some_and(|before| before.columns.gone.iter().any(|column| !snapshot.returns(&column.setting)));
            let why = match (taken_as_real, unneeded) {
                (true, _) => End::TakenAsReal,
                (false, true) => End::BaselineChanged,
                (false, false) => End::VisibleAgain,
            };
            end(incident.clone(), why, self.now, delta);
            return;
        }
        let columns = ColumnChange {
            origin: self.plan.origin.clone(),
            gone: gone.iter().map(|gone| Column::of(&gone.setting, &self.plan.mapping)).collect(),
            new: self.new_columns(gone, delta),
        };
        let severities = gone.iter().map(|gone| gone.severity).chain(lasting.iter().map(|failure| failure.severity));
        let severity = severities.max().unwrap_or(Severity::Info);
        let change = SourceChange { columns, failures: lasting };
        let mut incident = known.cloned().unwrap_or_else(|| {
            let window = Window { last_good: self.state.record.last_success, first_bad: self.now };
            let key = IncidentKey::SourceChanged;
            Incident::found(&self.plan.name, self.poll, key, severity, window, Facts::default())
        });
        if before.is_some_and(|before| !change.subjects().is_subset(&before.subjects())) {
            incident.revision += 1;
            let what = EventKind::Updated {
                incident: incident.id,
                key: incident.key.clone(),
                before: incident.facts.reason.clone(),
                found: change.words(),
            };
            delta.events.push(Event { at: self.now, session: None, what });
        }
        incident.severity = severity;
        incident.facts.reason = change.words();
        incident.facts.stops_orders = change.failures.iter().any(|failure| failure.stops_orders);
        incident.facts.change = Some(Box::new(change));
        self.open_at_once(&mut incident, delta);
        self.begin_by_now(&mut incident);
        if known != Some(&incident) {
            delta.changed = Some(incident);
        }
    }

    /// The columns that came when others went, as long as those are gone.
    fn new_columns(&self, gone: &[Gone], delta: &Delta) -> Vec<String> {
        let before = self.state.source_change().map(|change| &change.columns);
        let was_gone = |setting: &SettingKey| {
            before.is_some_and(|before| before.gone.iter().any(|column| column.setting == *setting))
        };
        let mut new = before.filter(|_| !gone.is_empty()).map(|before| before.new.clone()).unwrap_or_default();
        if gone.iter().any(|gone| !was_gone(&gone.setting)) {
            new.extend(self.named(&delta.new_settings));
        }
        new.truncate(MOST_NEW);
        new
    }
}

/// The severity of the most severe rule of a policy that cannot be checked without a setting. A group can do without some of its
/// members.
fn needs(policy: &Policy, setting: &SettingKey, snapshot: &Snapshot) -> Option<Severity> {
    let needs = policy.rules().iter().filter(|rule| {
        let members = || snapshot.settings.iter().filter(|setting| rule.setting.matches(setting)).count();
        !rule.watches_each() && rule.setting.matches(setting) && rule.group_size().is_none_or(|size| members() < size)
    });
    needs.map(|rule| rule.severity).max()
}

/// Whether a rule of a policy watches a setting, by name or by a pattern.
fn watches(policy: &Policy, setting: &SettingKey) -> bool {
    let watches = |rule: &Rule| {
        if rule.watches_each() { in_scope(policy, rule, setting) } else { rule.setting.matches(setting) }
    };
    policy.rules().iter().any(|rule| watches(rule))
}
