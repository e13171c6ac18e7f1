//! Baselines: what a policy demands of a session, rule by rule.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::expectation::Expectation;
use super::name::Name;
use super::setting::SettingPattern;

/// How much a drift matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    pub fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.label() == label)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A named set of rules, complete: whatever it extends is already in it.
#[derive(Debug, Clone)]
pub struct Policy {
    pub name: Name,
    rules: Vec<Arc<Rule>>,
    depends_on_time: bool,
    depends_on_others: bool,
}

impl Policy {
    pub fn new(name: Name, rules: Vec<Arc<Rule>>) -> Self {
        let depends_on_time = rules.iter().any(|rule| matches!(rule.expect, Expectation::Within(_)));
        let depends_on_others = rules.iter().any(|rule| matches!(rule.expect, Expectation::Unique));
        Self { name, rules, depends_on_time, depends_on_others }
    }

    /// In the order in which they are evaluated and shown.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Whether a verdict can change while every value stays the same.
    pub fn depends_on_time(&self) -> bool {
        self.depends_on_time
    }

    /// Whether a verdict on one session can change with the values of another.
    pub fn depends_on_others(&self) -> bool {
        self.depends_on_others
    }
}

/// One demand of a policy. Its id is stable; its words may be edited at any time.
#[derive(Debug, Clone)]
pub struct Rule {
    pub id: Name,
    pub setting: SettingPattern,
    pub expect: Expectation,
    pub severity: Severity,
    /// What goes wrong without it, in words for the reader of a mail; empty where the configuration gives none.
    pub why: String,
    /// The way to put it right; empty where the catalogue's place of the setting says enough.
    pub fix: String,
    /// Not applicable while the source has never returned the setting.
    pub optional: bool,
    /// Drift from it stops orders, which can be recovered for 7 days only.
    pub stops_orders: bool,
    /// Settings that change by themselves; only with `unchanged` over a pattern.
    pub ignore: Vec<SettingPattern>,
}

impl Rule {
    /// Whether the rule watches all settings of a pattern one by one, rather than a setting or a group as a whole.
    pub fn watches_each(&self) -> bool {
        matches!((&self.setting, &self.expect), (SettingPattern::Many(_), Expectation::Unchanged))
    }

    /// Whether the rule is about all settings of a pattern as a whole.
    pub fn is_group(&self) -> bool {
        self.group_size().is_some()
    }

    /// How many members a rule about a group asks for.
    pub fn group_size(&self) -> Option<usize> {
        match (&self.setting, &self.expect) {
            (SettingPattern::Many(_), Expectation::AllTicked { count }) => Some(*count),
            _ => None,
        }
    }
}
