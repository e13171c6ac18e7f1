//! Reads the keys of one mapping: reports unknown ones, and finds the others in the mapping or its defaults.

use crate::domain::reading::quote;

use super::declaration::{Declared, Found, Key, Section, Shape, Status};
use super::mask;
use super::report::{Report, nearest, suggestion};
use super::tree::{Entry, Node, Place};
use super::url;

/// A mapping with its defaults, the nearest first, which hold the keys that it lacks.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub place: Place,
    entries: &'a [Entry],
    defaults: [&'a [Entry]; 2],
    sections: &'static [&'static Section],
}

impl<'a> Fields<'a> {
    /// Reports unknown keys. `None`, and reported, if `node` is no mapping. The `of` of the first section names it in messages.
    pub fn new(report: &mut Report, node: &'a Node, sections: &'static [&'static Section]) -> Option<Self> {
        let fields = Self::of(node, sections);
        if node.entries().is_none() {
            let of = sections.first().map_or("this", |section| section.of);
            let message = format!("{of} must be a mapping of keys to values, not {}", node.sort());
            let known = fields.known().collect::<Vec<_>>().join(", ");
            if !node.is_null() {
                report.hide_unknown(node);
            }
            return report.refuse(node, (message, format!("its keys: {known}")));
        }
        fields.entries.iter().for_each(|entry| fields.check(report, entry));
        Some(fields)
    }

    /// As [`Self::new`] for a mapping that was checked before; an empty one if `node` is none.
    pub fn of(node: &'a Node, sections: &'static [&'static Section]) -> Self {
        Self { entries: node.entries().unwrap_or_default(), ..Self::empty(node.place, sections) }
    }

    pub fn empty(place: Place, sections: &'static [&'static Section]) -> Self {
        Self { place, entries: &[], defaults: [&[]; 2], sections }
    }

    /// Inherits from `defaults`, and then from the defaults of those.
    pub fn with_defaults(self, defaults: Self) -> Self {
        Self { defaults: [defaults.entries, defaults.defaults[0]], ..self }
    }

    /// Reports missing keys at `place`, such as the name of the mapping.
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    pub fn read<D: Declared>(&self, report: &mut Report) -> D {
        D::read(report, self)
    }

    fn keys(&self) -> impl Iterator<Item = &'static Key> + Clone + use<> {
        self.sections.iter().flat_map(|section| section.keys)
    }

    fn known(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        self.keys().filter(|key| key.status != Status::Later).map(|key| key.name)
    }

    fn is_known(&self, key: &str) -> bool {
        self.keys().any(|known| known.name == key)
    }

    fn check(&self, report: &mut Report, entry: &Entry) {
        let key = entry.key.as_str();
        if let Some(known) = self.keys().find(|known| known.name == key) {
            if known.status == Status::Later {
                report.hide_unknown(&entry.value);
                report.problem(entry.place, format!("{key:?} is not available yet"));
            } else if known.may_hold_a_sign_in && entry.value.scalar().is_some_and(url::may_hold_a_sign_in) {
                report.hide(&entry.value);
            }
            return;
        }
        // Its value may be a secret, and with a misplaced colon so may the key.
        if !entry.value.is_null() {
            report.hide_unknown(&entry.value);
        }
        let of = self.sections.first().map_or("this", |section| section.of);
        let near = || nearest(key, self.known()).is_some();
        let plain = || mask::is_plainly_a_key(key) && !entry.value.is_null();
        let no_secret = || mask::names_a_secret(key) || !report.hints_at_a_secret(entry.place);
        if !key.contains([' ', ':', '"', '\'']) && (near() || plain() && no_secret()) {
            report.problem(entry.place, (format!("{of} has no key {}", quote(key)), suggestion(key, self.known())));
        } else {
            report.hide_from(entry.place);
            let known = self.known().collect::<Vec<_>>().join(", ");
            report.problem(entry.place, (format!("unknown key in {of}"), format!("known: {known}")));
        }
    }

    /// The entry of the mapping, else of its defaults.
    pub fn entry(&self, key: &str) -> Option<&'a Entry> {
        let places = [self.entries, self.defaults[0], self.defaults[1]];
        places.into_iter().find_map(|entries| entries.iter().find(|entry| entry.key == key))
    }

    fn is_misspelled(&self, key: &str) -> bool {
        let mut unknown = self.entries.iter().filter(|entry| !self.is_known(&entry.key));
        unknown.any(|entry| nearest(&entry.key, self.known()) == Some(key))
    }

    /// Reads a key; reports one that is required by `of` and missing.
    pub fn found<S: Shape>(&self, report: &mut Report, of: &str, key: Option<&'static Key>) -> Found<Option<S::Value>> {
        let (name, status) = key.map_or(("", Status::Later), |key| (key.name, key.status));
        let entry = if status == Status::Later { None } else { self.entry(name) };
        let misspelled = entry.is_none() && self.is_misspelled(name);
        if status == Status::Required && entry.is_none() && !misspelled {
            report.problem(self.place, format!("{of} needs the key {name:?}"));
        }
        Found {
            value: entry.and_then(|entry| read_entry::<S>(report, entry)),
            given: entry.is_some(),
            own: self.entries.iter().any(|entry| entry.key == name),
            misspelled,
            key: entry.map_or(self.place, |entry| entry.place),
            at: entry.map_or(self.place, |entry| entry.value.place),
        }
    }

    /// As [`Self::found`]; a missing or invalid key has the default.
    #[expect(clippy::expect_used, reason = "defaults are constants, and a test reads each")]
    pub fn found_or<S: Shape>(
        &self,
        report: &mut Report,
        of: &str,
        key: Option<&'static Key>,
        default: &str,
    ) -> Found<S::Value> {
        let Found { value, given, own, misspelled, key, at } = self.found::<S>(report, of, key);
        let value = value
            .unwrap_or_else(|| S::read(report, &Node::plain(default, self.place), "").expect("a default can be read"));
        Found { value, given, own, misspelled, key, at }
    }
}

/// The value of a key, which may not be null.
pub(super) fn read_entry<S: Shape>(report: &mut Report, entry: &Entry) -> Option<S::Value> {
    read_value::<S>(report, entry, &entry.key)
}

/// As [`read_entry`], with the name of the key in messages.
pub(super) fn read_value<S: Shape>(report: &mut Report, entry: &Entry, called: &str) -> Option<S::Value> {
    if entry.value.is_null() {
        let message = format!("{} has no value", quote(called));
        return report.refuse(entry.place, (message, "give one, or remove the key"));
    }
    S::read(report, &entry.value, called)
}

/// The mapping at `node` as the section `D`.
pub(super) fn read_section<D: Declared>(report: &mut Report, node: &Node) -> Option<D> {
    Some(Fields::new(report, node, D::SECTIONS)?.read(report))
}
