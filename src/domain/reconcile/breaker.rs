//! The breaker: finds rules that many sessions begin to break in one poll, which is a change of the source and not of each
//! session.
//!
//! A failure of this kind lasts while enough of its sessions break the rule, at most for `blind_after`: a change that lasts as
//! long is taken as real.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::PollContext;
use super::assess::Assessed;
use crate::domain::catalogue;
use crate::domain::evaluate::{Finding, Verdict};
use crate::domain::name::Name;
use crate::domain::observation::RowMatch;
use crate::domain::plan::Due;
use crate::domain::session::{Session, SessionId};
use crate::domain::setting::SettingKey;
use crate::domain::source_change::MassFailure;

/// The failures that last after a poll.
#[derive(Default)]
pub struct MassFailures {
    pub lasting: Vec<MassFailure>,
    /// Some lasted as long as `blind_after` and are taken as real.
    pub(super) taken_as_real: bool,
}

impl MassFailures {
    pub fn holds(&self, finding: &Finding) -> bool {
        self.lasting.iter().any(|failure| failure.is_of(&finding.rule.id, &finding.setting))
    }
}

/// By rule and setting, the sessions that began to break it in this poll.
type Began<'a> = BTreeMap<(Name, SettingKey), Vec<(&'a SessionId, &'a Finding, &'a Verdict)>>;

impl PollContext<'_> {
    pub(super) fn mass_failures(&self, assessed: &[Assessed<'_>], due: &Due) -> MassFailures {
        let mut began = Began::new();
        for one in assessed {
            for (finding, verdict) in one.began() {
                let key = (finding.rule.id.clone(), finding.setting.clone());
                began.entry(key).or_default().push((&one.session.key.id, finding, verdict));
            }
        }
        let mut failures = MassFailures::default();
        for known in self.state.source_change().into_iter().flat_map(|change| &change.failures) {
            // Also if the clock was ahead when it began.
            let since = known.since.min(self.now);
            if (self.now - since).to_std().is_ok_and(|lasted| lasted >= self.plan.alerts.blind_after) {
                failures.taken_as_real = true;
                continue;
            }
            let joined = began.remove(&(known.rule.clone(), known.setting.clone())).unwrap_or_default();
            let still = known.sessions.iter().filter(|id| self.still_fails(known, id, assessed, due));
            let sessions = still.chain(joined.iter().map(|(id, ..)| *id)).cloned().collect::<BTreeSet<_>>();
            let of = known.of.max(sessions.len());
            if self.trips(sessions.len(), of) {
                failures.lasting.push(MassFailure { since, of, sessions, ..known.clone() });
            }
        }
        for ((rule, setting), sessions) in began {
            if self.trips(sessions.len(), sessions.len()) {
                let of = self.kept_before(&rule, &setting, due);
                if self.trips(sessions.len(), of) {
                    failures.lasting.extend(self.failure(of, &sessions));
                }
            }
        }
        failures
    }

    fn trips(&self, failing: usize, of: usize) -> bool {
        let breaker = self.plan.alerts.breaker;
        let (failing, of) = (failing as u64, of as u64);
        failing >= u64::from(breaker.at_least) && failing * 100 >= of * u64::from(breaker.share)
    }

    /// Whether a session that broke the rule still does; one that this poll could not see has not repaired it.
    fn still_fails(&self, known: &MassFailure, id: &SessionId, assessed: &[Assessed<'_>], due: &Due) -> bool {
        let Some(session) = self.plan.sessions.get(id) else { return false };
        match assessed.binary_search_by(|one| one.session.key.id.cmp(id)) {
            Ok(at) if matches!(assessed[at].row, RowMatch::Seen(_)) => assessed[at]
                .findings
                .iter()
                .any(|finding| known.is_of(&finding.rule.id, &finding.setting) && fails(finding)),
            Ok(_) => true,
            // One that was due and needed no verdict breaks nothing.
            Err(_) => !due.includes(session) && session.policy.rules().iter().any(|rule| rule.id == known.rule),
        }
    }

    /// How many of the sessions that are due kept a rule until now.
    fn kept_before(&self, rule: &Name, setting: &SettingKey, due: &Due) -> usize {
        let kept = |session: &Session| {
            let rule = session.policy.rules().iter().find(|known| known.id == *rule)?;
            let known = self.state.sessions.get(&session.key.id)?;
            let seen = known.observation.as_ref()?;
            let noted =
                known.record.noncompliant.iter().any(|entry| entry.rule == rule.id && entry.setting == *setting);
            (!noted && (!rule.watches_each() || seen.raw(setting).is_some())).then_some(())
        };
        self.plan.sessions.values().filter(|session| due.includes(session) && kept(session).is_some()).count()
    }

    fn failure(&self, of: usize, sessions: &[(&SessionId, &Finding, &Verdict)]) -> Option<MassFailure> {
        let (first, finding, _) = sessions.first()?;
        let mut counts: BTreeMap<&Verdict, usize> = BTreeMap::new();
        for (_, _, verdict) in sessions {
            *counts.entry(verdict).or_default() += 1;
        }
        // Of several as frequent ones always the same.
        let (expected, found) = match counts.into_iter().max_by_key(|(verdict, count)| (*count, Reverse(*verdict)))?.0 {
            Verdict::Drifted { expected, found } => (expected.clone(), found),
            Verdict::Unverifiable { reason } => {
                let session = self.plan.sessions.get(*first)?;
                (finding.rule.expect.describe(&session.params).into_owned(), reason)
            }
            Verdict::Compliant | Verdict::NotApplicable => return None,
        };
        Some(MassFailure {
            rule: finding.rule.id.clone(),
            setting: finding.setting.clone(),
            label: catalogue::label(&finding.setting),
            severity: sessions.iter().map(|(_, finding, _)| finding.rule.severity).max()?,
            stops_orders: sessions.iter().any(|(_, finding, _)| finding.rule.stops_orders),
            expected,
            found: found.clone(),
            since: self.now,
            of,
            sessions: sessions.iter().map(|(id, ..)| (*id).clone()).collect(),
        })
    }
}

/// Whether the rule is not kept, or cannot be checked.
pub(super) fn fails(finding: &Finding) -> bool {
    matches!(finding.verdict, Verdict::Drifted { .. } | Verdict::Unverifiable { .. })
}
