//! The shapes of what holds several values: lists, mappings of free names, sections, and what several files add to.

use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use crate::domain::reading::quote;

use super::declaration::{Declared, Section, Shape, title};
use super::fields::{read_section, read_value};
use super::report::Report;
use super::schema;
use super::shapes::described;
use super::tree::{Node, Place};

/// A list of such values. One that cannot be read is reported and left out; where all are, so is the list.
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
        report.refuse_with(node, format!("{key:?} must be a list, not {}", described(node)), help)
    })
}

/// One value or a list of them, which is not empty.
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

/// One value of a mapping or a list, with where it stands; in a list without a name.
#[derive(Debug, Clone)]
pub(super) struct Item<T> {
    pub name: String,
    pub place: Place,
    pub value: T,
}

/// Names, which are free, to values of one shape.
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

/// What is in the contract and not designed further: nothing can stand there.
pub(super) struct Unbuilt;

impl Shape for Unbuilt {
    type Value = ();

    fn schema() -> Json {
        json!(false)
    }
}

/// Named things or a list of them that several files add to: `resolve` reads them, with `sections` as what each may hold.
pub(super) struct Merged<M>(PhantomData<M>);

/// What is merged over files.
pub(super) trait Member {
    const SECTIONS: &'static [&'static Section];
    /// The sections whose keys belong to one `type` each.
    const TYPES: &'static [(&'static str, &'static Section)] = &[];
    /// By name, and not a list.
    const NAMED: bool = true;
    /// A name alone is enough, with nothing behind it.
    const MAY_BE_EMPTY: bool = false;
}

impl<M: Member> Shape for Merged<M> {
    type Value = ();

    fn schema() -> Json {
        schema::merged::<M>()
    }

    fn sections() -> &'static [&'static Section] {
        M::SECTIONS
    }
}

/// A part of `defaults`: any keys of such a thing. `resolve` reads it, once for each that inherits.
pub(super) struct Partial<M>(PhantomData<M>);

impl<M: Member> Shape for Partial<M> {
    type Value = ();

    fn schema() -> Json {
        schema::section(M::SECTIONS, false)
    }
}
