//! Columns that a source no longer returns, and the incident of kind source changed that they and the breaker make.

use std::collections::HashSet;
use std::sync::Arc;

use super::breaker::MassFailures;
use super::{PollContext, end};
use crate::domain::event::{Event, EventKind};
use crate::domain::incident::{End, Facts, Incident, IncidentKey, Window};
use crate::domain::policy::{Policy, Severity};
use crate::domain::setting::SettingKey;
use crate::domain::snapshot::Snapshot;
use crate::domain::source_change::{Column, ColumnChange, SourceChange};
use crate::domain::state::Delta;

/// Most new columns that are named: a mail that somebody reads.
const MOST_NEW: usize = 20;

/// A setting that the source returned before and that no row of a snapshot has.
pub(super) struct Gone {
    pub setting: SettingKey,
    /// Of the most severe rule that needs it.
    pub severity: Severity,
}

impl PollContext<'_> {
    /// The settings that rules need and that are gone.
    pub(super) fn gone(&self, snapshot: &Snapshot) -> Vec<Gone> {
        let absent = self.absent(snapshot);
        if absent.is_empty() {
            return Vec::new();
        }
        let policies = self.policies();
        let needed = |setting: &SettingKey| {
            let severity = policies.iter().filter_map(|policy| needs(policy, setting, snapshot)).max()?;
            Some(Gone { setting: setting.clone(), severity })
        };
        absent.into_iter().filter_map(needed).collect()
    }

    /// The settings that the source returned before and that no row has. A column that is read as another setting now is not gone.
    fn absent(&self, snapshot: &Snapshot) -> Vec<&SettingKey> {
        let known = self.state.known_settings.iter();
        let absent = known.filter(|setting| !snapshot.returns(setting) && !self.plan.mapping.renames(setting));
        let mut absent = absent.collect::<Vec<_>>();
        absent.sort();
        absent
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
            new.extend(delta.new_settings.iter().map(|setting| Column::of(setting, &self.plan.mapping).name));
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
