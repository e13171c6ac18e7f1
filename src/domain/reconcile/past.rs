//! Past values of settings: since when a setting is wrong under a rule that did not judge it at the time.

use chrono::{DateTime, Utc};

use super::changed_settings;
use crate::domain::evaluate::{Circumstances, Finding, Verdict, verdict_on};
use crate::domain::incident::Window;
use crate::domain::observation::Observation;
use crate::domain::session::Session;
use crate::domain::state::PastValue;

/// Between which polls a setting went wrong under the rule of `finding`, if an earlier value was right. `previous`: the last
/// observation before this poll, and its time.
pub(super) fn window(
    session: &Session,
    finding: &Finding,
    past: &[PastValue],
    (previous, at): (&Observation, DateTime<Utc>),
    around: Circumstances<'_>,
) -> Option<Window> {
    let rule = &*finding.rule;
    let verdict =
        |seen: &Observation, now| verdict_on(session, rule, &finding.setting, seen, Circumstances { now, ..around });
    let concerned = |value: &&PastValue| {
        if rule.watches_each() { value.setting == finding.setting } else { rule.setting.matches(&value.setting) }
    };
    let mut first_bad = around.now;
    let mut last = verdict(previous, at);
    if last == Verdict::Compliant {
        return Some(Window { last_good: Some(at), first_bad });
    }
    let mut seen = previous.clone();
    for value in past.iter().rev().filter(concerned) {
        if matches!(last, Verdict::Drifted { .. }) {
            first_bad = value.replaced;
        }
        seen = seen.with(&value.setting, value.raw.as_ref());
        last = verdict(&seen, value.last_seen);
        if last == Verdict::Compliant {
            return Some(Window { last_good: Some(value.last_seen), first_bad });
        }
    }
    None
}

/// Remembers the values of `before`, last seen at `last_seen`, that `seen` does not have any more.
pub(super) fn note(
    past: &mut Vec<PastValue>,
    before: &Observation,
    seen: &Observation,
    last_seen: DateTime<Utc>,
    now: DateTime<Utc>,
) {
    for setting in changed_settings(before, seen) {
        let of_it = past.iter().filter(|value| value.setting == setting).count();
        if of_it >= PastValue::MOST_OF_ONE
            && let Some(oldest) = past.iter().position(|value| value.setting == setting)
        {
            past.remove(oldest);
        }
        let raw = before.raw(&setting).cloned();
        past.push(PastValue { setting, raw, last_seen, replaced: now });
    }
    past.drain(..past.len().saturating_sub(PastValue::MOST));
}
