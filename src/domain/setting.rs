//! The name of one option of a session, and patterns over such names.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The stable key of a setting: one of the catalogue's, or the name of an unmapped column.
///
/// Column names match without regard to case (SQL aliases are retyped), and so do keys, which are shown as written.
#[derive(Clone)]
pub struct SettingKey {
    shown: Arc<str>,
    folded: Arc<str>,
}

impl SettingKey {
    pub fn new(text: &str) -> Self {
        let shown: Arc<str> = Arc::from(text.trim());
        let folded = shown.to_lowercase();
        let folded = if *folded == *shown { Arc::clone(&shown) } else { Arc::from(folded) };
        Self { shown, folded }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// In lower case: equal for equal keys.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

impl PartialEq for SettingKey {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for SettingKey {}

impl PartialOrd for SettingKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SettingKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl Hash for SettingKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl fmt::Display for SettingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for SettingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.shown)
    }
}

impl Serialize for SettingKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown)
    }
}

impl<'de> Deserialize<'de> for SettingKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(&String::deserialize(deserializer)?))
    }
}

/// What a rule is about: one setting, or all settings that match a pattern with `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingPattern {
    One(SettingKey),
    /// The pattern as written; `*` stands for any run of characters.
    Many(SettingKey),
}

impl SettingPattern {
    pub fn parse(text: &str) -> Self {
        let key = SettingKey::new(text);
        if key.as_str().contains('*') { Self::Many(key) } else { Self::One(key) }
    }

    /// The setting or the pattern, as written.
    pub fn key(&self) -> &SettingKey {
        match self {
            Self::One(key) | Self::Many(key) => key,
        }
    }

    pub fn matches(&self, setting: &SettingKey) -> bool {
        match self {
            Self::One(key) => key == setting,
            Self::Many(pattern) => glob(pattern.folded(), setting.folded()),
        }
    }
}

/// `*` matches any run of characters, everything else itself.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let Some((middle, tail)) = rest.rsplit_once('*') else {
        return text.ends_with(rest);
    };
    for part in middle.split('*') {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_compare_without_regard_to_case_and_show_as_written() {
        assert_eq!(SettingKey::new("TransferType"), SettingKey::new("transfertype "));
        assert_eq!(SettingKey::new("TransferType").to_string(), "TransferType");
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let cases = [
            ("customer_validation_*", "Customer_Validation_2", true),
            ("customer_validation_*", "customer_validation_", true),
            ("customer_validation_*", "customer_valid", false),
            ("*", "anything", true),
            ("last*run*", "last_big_run_at", true),
            ("last*run", "last_run_at", false),
            ("a*a", "a", false),
            ("export", "EXPORT", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(SettingPattern::parse(pattern).matches(&SettingKey::new(text)), expected, "{pattern} {text}");
        }
    }
}
