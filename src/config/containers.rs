//! The shapes of what holds several values: lists, mappings of free names, sections, and what several files add to.

use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use crate::domain::name::Name;
use crate::domain::reading::quote;

use super::declaration::{Declared, Section, Shape, title};
use super::fields::{Fields, read_section, read_value};
use super::report::Report;
use super::schema;
use super::shapes::described;
use super::tree::{Node, Place};

/// A list. An invalid item is reported and left out; a list of such items only is invalid.
pub(super) struct List<S>(PhantomData<S>);

impl<S: Shape> Shape for List<S> {
    type Value = Vec<Item<S::Value>>;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Self::Value> {
        let items = items(report, node, key)?;
        let item =
            |item: &Node| Some(Item { name: String::new(), place: item.place, value: S::read(report, item, key)? });
        let found = items.iter().filter_map(item).collect::<Vec<_>>();
        (items.is_empty() || !found.is_empty()).then_some(found)
    }

    fn schema() -> Json {
        json!({ "title": format!("list of: {}", title::<S>()), "type": "array", "items": S::schema() })
    }

    fn sections() -> &'static [&'static Section] {
        S::sections()
    }
}

/// The items of a list.
pub(super) fn items<'a>(report: &mut Report, node: &'a Node, key: &str) -> Option<&'a [Node]> {
    node.items().or_else(|| {
        let help = "a list is written as [a, b], or one item a line, each after a \"-\"";
        report.refuse(node, (format!("{key:?} must be a list, not {}", described(node)), help))
    })
}

/// One value, or a list of at least one.
pub(super) struct OneOrMany<S>(PhantomData<S>);

impl<S: Shape> Shape for OneOrMany<S> {
    type Value = Vec<S::Value>;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Self::Value> {
        match node.items() {
            None => S::read(report, node, key).map(|value| vec![value]),
            Some([]) => report.refuse(node, format!("{} is an empty list", quote(key))),
            Some(items) => {
                let found = items.iter().filter_map(|item| S::read(report, item, key)).collect::<Vec<_>>();
                (!found.is_empty()).then_some(found)
            }
        }
    }

    fn schema() -> Json {
        let title = format!("{0}, or list of: {0}", title::<S>());
        json!({ "title": title, "anyOf": [S::schema(), { "type": "array", "items": S::schema(), "minItems": 1 }] })
    }
}

/// One value of a mapping or a list with its place; in a list without a name.
#[derive(Debug, Clone)]
pub(super) struct Item<T> {
    pub name: String,
    pub place: Place,
    pub value: T,
}

/// Free names, each with a value of one shape.
pub(super) struct Map<S>(PhantomData<S>);

impl<S: Shape> Shape for Map<S> {
    type Value = Vec<Item<S::Value>>;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Self::Value> {
        let Some(entries) = node.entries() else {
            let message = format!("{} must be a mapping of names to values, not {}", quote(key), described(node));
            return report.refuse(node, message);
        };
        let mut found = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = format!("{key}.{}", entry.key);
            if let Some(value) = read_value::<S>(report, entry, &path) {
                found.push(Item { name: entry.key.clone(), place: entry.value.place, value });
            }
        }
        Some(found)
    }

    fn schema() -> Json {
        json!({ "title": format!("names to: {}", title::<S>()), "type": "object", "additionalProperties": S::schema() })
    }

    fn sections() -> &'static [&'static Section] {
        S::sections()
    }
}

/// A section.
pub(super) struct Sub<D>(PhantomData<D>);

impl<D: Declared> Shape for Sub<D> {
    type Value = D;

    fn read(report: &mut Report, node: &Node, _key: &str) -> Option<D> {
        read_section(report, node)
    }

    fn schema() -> Json {
        schema::section(D::SECTIONS, true)
    }

    fn sections() -> &'static [&'static Section] {
        D::SECTIONS
    }
}

/// The shape of a key that is in the contract and not designed yet.
pub(super) struct Unbuilt;

impl Shape for Unbuilt {
    type Value = ();

    fn schema() -> Json {
        json!(false)
    }
}

/// Named things or a list of them that several files add to. Checks their names; `resolve` reads each.
pub(super) struct Merged<M>(PhantomData<M>);

/// A thing of which several files may define some.
pub(super) trait Member {
    const SECTIONS: &'static [&'static Section];
    /// The sections whose keys belong to one `type` each.
    const TYPES: &'static [(&'static str, &'static Section)] = &[];
    /// By name, and not a list.
    const NAMED: bool = true;
    /// It may be a name with nothing behind it.
    const MAY_BE_EMPTY: bool = false;
}

impl<M: Member> Shape for Merged<M> {
    type Value = ();

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<()> {
        if !M::NAMED {
            return items(report, node, key).map(|_| ());
        }
        let Some(entries) = node.entries() else {
            let message = format!("{key:?} must be a mapping of names, not {}", node.sort());
            return report.refuse(node, (message, format!("for example {key}: {{ NAME: {{ ... }} }}")));
        };
        for entry in entries {
            if let Err(error) = Name::parse(&entry.key) {
                let of = M::SECTIONS.first().map_or("this", |section| section.of);
                report.problem(entry.place, (format!("{} cannot name {of}", quote(&entry.key)), error.to_string()));
            }
        }
        Some(())
    }

    fn schema() -> Json {
        schema::merged::<M>()
    }

    fn sections() -> &'static [&'static Section] {
        M::SECTIONS
    }
}

/// A part of `defaults`: any keys of such a thing. Checks the keys; whatever inherits a value reads it.
pub(super) struct Partial<M>(PhantomData<M>);

impl<M: Member> Shape for Partial<M> {
    type Value = ();

    fn read(report: &mut Report, node: &Node, _key: &str) -> Option<()> {
        Fields::new(report, node, M::SECTIONS).map(|_| ())
    }

    fn schema() -> Json {
        schema::section(M::SECTIONS, false)
    }
}
