//! Weaker checks: rules that compare with a param (`{ param: NAME, else: present }`) in sessions that leave the param out.

use std::collections::BTreeMap;
use std::fmt;

use super::expectation::{Expectation, Operand};
use super::name::Name;
use super::plan::Plans;
use super::session::SessionKey;

/// One rule that asks for less, and the sessions in which it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeakerCheck {
    pub policy: Name,
    pub rule: Name,
    /// The param that the sessions leave out.
    pub param: String,
    /// The demand of the rule without the param, after "asks only for".
    pub demand: &'static str,
    /// At least one, in the order of their keys.
    pub sessions: Vec<SessionKey>,
}

impl fmt::Display for WeakerCheck {
    /// Names the first three sessions, and counts the others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let shown = self.sessions.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let Self { policy, rule, param, demand, .. } = self;
        write!(
            f,
            "rule {rule} of policy {policy} asks only for {demand} in sessions without the param {param:?}: {shown}"
        )?;
        match self.sessions.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            1 => f.write_str(", and 1 more session"),
            more => write!(f, ", and {more} more sessions"),
        }
    }
}

/// Every rule that asks for less because sessions leave out its param; by policy, rule and param.
#[must_use]
pub fn weaker_checks(plans: &Plans) -> Vec<WeakerCheck> {
    let mut found: BTreeMap<_, WeakerCheck> = BTreeMap::new();
    for session in plans.values().flat_map(|plan| plan.sessions.values()) {
        for rule in session.policy.rules() {
            for operand in rule.expect.operands() {
                let Operand::Param { name: param, .. } = operand else { continue };
                if session.params.contains_key(param) {
                    continue;
                }
                let check = || WeakerCheck {
                    policy: session.policy.name.clone(),
                    rule: rule.id.clone(),
                    param: param.clone(),
                    demand: demand(&rule.expect),
                    sessions: Vec::new(),
                };
                let key = (&session.policy.name, &rule.id, param);
                let sessions = &mut found.entry(key).or_insert_with(check).sessions;
                if sessions.last() != Some(&session.key) {
                    sessions.push(session.key.clone());
                }
            }
        }
    }
    found.into_values().collect()
}

fn demand(expect: &Expectation) -> &'static str {
    match expect {
        Expectation::Includes(_) => "a usable address",
        _ => "some value",
    }
}
