//! The keys of one mapping, read as what they should be; whatever is not, is reported in words.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::address::Address;
use crate::domain::reading::quote;

use super::report::{Report, nearest, suggestion};
use super::tree::{Entry, Form, Node, Place, Value};
use super::unit::{self, Unfit};

/// A mapping of which only known keys are left. A key that it lacks is looked for in the defaults.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub place: Place,
    entries: &'a [Entry],
    defaults: &'a [Entry],
    known: &'static [&'static str],
}

/// The keys that a mapping may have.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    /// What the mapping is, as in "a source".
    pub of: &'static str,
    pub known: &'static [&'static str],
    /// In the contract, but not built.
    pub later: &'static [&'static str],
}

impl<'a> Fields<'a> {
    /// `None`, and reported, where `node` is no mapping.
    pub fn new(report: &mut Report, node: &'a Node, keys: Keys) -> Option<Self> {
        let Some(entries) = node.entries() else {
            let message = format!("{} must be a mapping of keys to values, not {}", keys.of, node.sort());
            report.problem_with(node.place, message, format!("its keys: {}", keys.known.join(", ")));
            return None;
        };
        for entry in entries {
            let key = entry.key.as_str();
            if keys.later.contains(&key) {
                report.problem(entry.place, format!("{key:?} is not available yet"));
            } else if !keys.known.contains(&key) && may_be_a_secret(report, entry, keys) {
                report.hide_from(entry.place);
                let message = format!("unknown key in {}", keys.of);
                report.problem_with(entry.place, message, format!("known: {}", keys.known.join(", ")));
            } else if !keys.known.contains(&key) {
                // Its name is like none that there is, so its value may be anything: a secret too.
                if nearest(key, keys.known.iter().copied()).is_none() {
                    report.hide(&entry.value);
                }
                let message = format!("{} has no key {}", keys.of, quote(key));
                report.problem_with(entry.place, message, suggestion(key, keys.known.iter().copied()));
            }
        }
        Some(Self { place: node.place, entries, defaults: &[], known: keys.known })
    }

    pub fn empty(place: Place) -> Self {
        Self { place, entries: &[], defaults: &[], known: &[] }
    }

    pub fn with_defaults(self, defaults: Self) -> Self {
        Self { defaults: defaults.entries, ..self }
    }

    /// The value as it stands, with its key; from the defaults where the mapping has none.
    pub fn entry(&self, key: &str) -> Option<&'a Entry> {
        let find = |entries: &'a [Entry]| entries.iter().find(|entry| entry.key == key);
        find(self.entries).or_else(|| find(self.defaults))
    }

    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether the mapping itself has the key.
    pub fn has_own(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// What is missing from the mapping is told at `place`: at the name of a named thing, say.
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Whether an unknown key is probably meant to be this one: it has been told, and that `key` is missing is no news.
    pub fn is_misspelled(&self, key: &str) -> bool {
        let mut unknown = self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str()));
        unknown.any(|entry| nearest(&entry.key, self.known.iter().copied()) == Some(key))
    }

    /// The value, unless there is none or nothing stands after the key.
    pub fn node(&self, report: &mut Report, key: &str) -> Option<&'a Node> {
        let entry = self.entry(key)?;
        if entry.value.is_null() {
            report.problem_with(entry.place, format!("{key:?} has no value"), "give one, or remove the key");
            return None;
        }
        Some(&entry.value)
    }

    /// Like [`Self::node`], and reported where it is missing.
    pub fn required(&self, report: &mut Report, key: &str, of: &str) -> Option<&'a Node> {
        if !self.has(key) && !self.is_misspelled(key) {
            report.problem(self.place, format!("{of} needs the key {key:?}"));
        }
        self.node(report, key)
    }

    pub fn text(&self, report: &mut Report, key: &str) -> Option<&'a str> {
        let node = self.node(report, key)?;
        text(report, node, key)
    }

    pub fn flag(&self, report: &mut Report, key: &str) -> Option<bool> {
        let node = self.node(report, key)?;
        if let Value::Scalar(_, Form::Flag(flag)) = node.value {
            return Some(flag);
        }
        report.problem(node.place, format!("{key:?} must be true or false, not {}", described(node)));
        None
    }

    pub fn whole(&self, report: &mut Report, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.node(report, key)?;
        let number = node.scalar().and_then(|text| text.parse().ok()).filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = range.into_inner();
            let wanted = if to == u64::MAX { format!("of {from} or more") } else { format!("from {from} to {to}") };
            report.problem(node.place, format!("{key:?} must be a whole number {wanted}, not {}", described(node)));
        }
        number
    }

    /// A duration that may be 0.
    pub fn duration_or_zero(&self, report: &mut Report, key: &str) -> Option<Duration> {
        let node = self.node(report, key)?;
        if node.scalar() == Some("0") {
            return Some(Duration::ZERO);
        }
        duration(report, node, key)
    }

    /// A duration longer than 0.
    pub fn duration(&self, report: &mut Report, key: &str) -> Option<Duration> {
        let node = self.node(report, key)?;
        positive(report, node, key)
    }

    pub fn size(&self, report: &mut Report, key: &str) -> Option<u64> {
        let node = self.node(report, key)?;
        let size = node.scalar().map_or(Err(Unfit::Form), unit::read_size);
        let message = match size {
            Ok(0) => format!("{key:?} must be larger than 0"),
            Ok(size) => return Some(size),
            Err(Unfit::TooLarge) => format!("{key:?} is larger than the 1024GiB allowed"),
            Err(Unfit::Form) => format!("{key:?} must be a size such as 16MiB, not {}", described(node)),
        };
        report.problem_with(node.place, message, "units: B, KiB, MiB, GiB");
        None
    }

    /// A path, relative to the file in which it is written.
    pub fn path(&self, report: &mut Report, key: &str) -> Option<PathBuf> {
        let node = self.node(report, key)?;
        let text = text(report, node, key)?;
        Some(report.folder(node.place.file).join(text))
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy>(&self, report: &mut Report, key: &str, words: &[(&'static str, T)]) -> Option<T> {
        let node = self.node(report, key)?;
        choice(report, node, key, words)
    }

    pub fn list(&self, report: &mut Report, key: &str) -> Option<&'a [Node]> {
        let node = self.node(report, key)?;
        list(report, node, key)
    }

    pub fn addresses(&self, report: &mut Report, key: &str) -> Option<Vec<Address>> {
        let items = self.list(report, key)?;
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let Some(address) = address(report, item, key) else { continue };
            if !found.contains(&address) {
                found.push(address);
            }
        }
        Some(found)
    }

    pub fn address(&self, report: &mut Report, key: &str) -> Option<Address> {
        let node = self.node(report, key)?;
        address(report, node, key)
    }

    pub fn map(&self, report: &mut Report, key: &str) -> Option<&'a [Entry]> {
        let node = self.node(report, key)?;
        if node.entries().is_none() {
            let message = format!("{key:?} must be a mapping of names to values, not {}", described(node));
            report.problem(node.place, message);
        }
        node.entries()
    }

    /// Names to single values, all taken as text. Numbers are kept digit for digit.
    pub fn texts(&self, report: &mut Report, key: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for entry in self.map(report, key).unwrap_or_default() {
            if let Some(text) = text(report, &entry.value, &entry.key) {
                found.insert(entry.key.clone(), text.to_owned());
            }
        }
        found
    }
}

/// Whether an unknown key may be a secret that slipped in front of a colon.
fn may_be_a_secret(report: &Report, entry: &Entry, keys: Keys) -> bool {
    let several_words = entry.key.contains([' ', ':', '"', '\'']);
    let unlike_any =
        nearest(&entry.key, keys.known.iter().copied()).is_none() && !super::mask::names_a_secret(&entry.key);
    report.hints_at_a_secret(entry.place) && (several_words || unlike_any)
}

/// A single value as text: numbers and `true` too, as they are written.
pub(super) fn text<'a>(report: &mut Report, node: &'a Node, key: &str) -> Option<&'a str> {
    match node.scalar() {
        Some(text) if !text.trim().is_empty() => Some(text),
        Some(_) => {
            report.problem(node.place, format!("{} must not be empty", quote(key)));
            None
        }
        None => {
            report.problem(node.place, format!("{} must be text, not {}", quote(key), node.sort()));
            None
        }
    }
}

pub(super) fn list<'a>(report: &mut Report, node: &'a Node, key: &str) -> Option<&'a [Node]> {
    if let Value::List(items) = &node.value {
        return Some(items);
    }
    let message = format!("{key:?} must be a list, not {}", described(node));
    report.problem_with(node.place, message, "a list is written as [a, b], or one item a line, each after a \"-\"");
    None
}

pub(super) fn positive(report: &mut Report, node: &Node, key: &str) -> Option<Duration> {
    let duration = duration(report, node, key)?;
    if duration.is_zero() {
        report.problem(node.place, format!("{key:?} must be longer than 0"));
        return None;
    }
    Some(duration)
}

fn duration(report: &mut Report, node: &Node, key: &str) -> Option<Duration> {
    match node.scalar().map_or(Err(Unfit::Form), unit::read_duration) {
        Ok(duration) => return Some(duration),
        Err(Unfit::TooLarge) => {
            report.problem(node.place, format!("{key:?} is longer than the ten years allowed"));
        }
        Err(Unfit::Form) => {
            let message = format!("{key:?} must be a duration such as 90s, 5m, 24h or 30d, not {}", described(node));
            report.problem(node.place, message);
        }
    }
    None
}

pub(super) fn choice<T: Copy>(report: &mut Report, node: &Node, key: &str, words: &[(&'static str, T)]) -> Option<T> {
    let found = node.scalar().and_then(|text| words.iter().find(|(word, _)| *word == text));
    if found.is_none() {
        let message = format!("{key:?} cannot be {}", described(node));
        let known = words.iter().map(|(word, _)| *word);
        report.problem_with(node.place, message, suggestion(node.scalar().unwrap_or_default(), known));
    }
    found.map(|(_, value)| *value)
}

pub(super) fn address(report: &mut Report, node: &Node, key: &str) -> Option<Address> {
    let text = text(report, node, key)?;
    match Address::parse(text) {
        Ok(address) => Some(address),
        Err(error) => {
            report.problem(node.place, format!("{}: {error}", quote(key)));
            None
        }
    }
}

/// What a value is, for "not ...": its text where it has one.
pub(super) fn described(node: &Node) -> String {
    node.scalar().map_or_else(|| node.sort().to_owned(), |text| super::mask::user_info(&quote(text)))
}
