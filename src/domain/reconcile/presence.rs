//! Sessions that cannot be seen or read: missing, ambiguous, unverifiable.

use super::session::Draft;
use super::track::{Moved, bad_poll, good_poll};
use super::{PollContext, end, opened};
use crate::domain::catalogue;
use crate::domain::evaluate::{Finding, Verdict};
use crate::domain::incident::{End, Facts, Incident, IncidentKey, IncidentKind, Unread, Window};
use crate::domain::policy::Severity;
use crate::domain::state::Delta;

impl PollContext<'_> {
    /// Other sessions have a row, this one has none.
    pub(super) fn missing(&self, draft: &mut Draft<'_>, delta: &mut Delta) {
        let key = IncidentKey::Missing { session: draft.session.key.id.clone() };
        let mut incident =
            draft.take(IncidentKind::Missing).unwrap_or_else(|| self.begin(draft, key, Severity::Critical));
        incident.facts.name.clone_from(&draft.name);
        match bad_poll(&mut incident, false, self.plan.alerts.confirm_polls, self.now) {
            Moved::Opened => opened(&incident, self.now, delta),
            Moved::Still | Moved::Updated | Moved::Waiting => {}
        }
        draft.incidents.push(incident);
    }

    /// The session has a row: it is not missing.
    pub(super) fn back_again(&self, draft: &mut Draft<'_>, delta: &mut Delta) {
        let Some(mut incident) = draft.take(IncidentKind::Missing) else { return };
        if good_poll(&mut incident, self.plan.alerts.resolve_polls) {
            end(incident, End::VisibleAgain, self.now, delta);
        } else {
            draft.incidents.push(incident);
        }
    }

    /// One incident for all settings of a session that rules need and that cannot be read.
    pub(super) fn unverifiable(&self, draft: &mut Draft<'_>, findings: &[Finding], delta: &mut Delta) {
        let existing = draft.take(IncidentKind::Unverifiable);
        let unread = findings.iter().filter_map(unread).collect::<Vec<_>>();
        let severities = findings.iter().filter(|f| matches!(f.verdict, Verdict::Unverifiable { .. }));
        let Some(severity) = severities.map(|finding| finding.rule.severity).max() else {
            if let Some(incident) = existing {
                end(incident, End::VisibleAgain, self.now, delta);
            }
            return;
        };
        let key = IncidentKey::Unverifiable { session: draft.session.key.id.clone() };
        let mut incident = existing.unwrap_or_else(|| self.begin(draft, key, severity));
        incident.severity = severity;
        incident.facts.name.clone_from(&draft.name);
        incident.facts.reason = summary(&unread);
        incident.facts.unread = unread;
        incident.poll_failed();
        self.open_at_once(&mut incident, delta);
        self.begin_by_now(&mut incident);
        draft.incidents.push(incident);
    }

    fn begin(&self, draft: &Draft<'_>, key: IncidentKey, severity: Severity) -> Incident {
        let window = Window { last_good: draft.before.last_verdict, first_bad: self.now };
        let facts = Facts { name: draft.name.clone(), ..Facts::default() };
        Incident::found(&self.plan.name, self.poll, key, severity, window, facts)
    }
}

fn unread(finding: &Finding) -> Option<Unread> {
    let Verdict::Unverifiable { reason } = &finding.verdict else { return None };
    Some(Unread {
        rule: finding.rule.id.clone(),
        setting: finding.setting.clone(),
        label: catalogue::label(&finding.setting),
        reason: reason.clone(),
    })
}

/// One reason for all, or each setting with its own. Words are compared because only words are repeated.
fn summary(unread: &[Unread]) -> String {
    match unread {
        [first, rest @ ..] if rest.iter().all(|other| other.reason == first.reason) && !rest.is_empty() => {
            first.reason.clone()
        }
        all => all.iter().map(|u| format!("{}: {}", u.label, u.reason)).collect::<Vec<_>>().join("; "),
    }
}
