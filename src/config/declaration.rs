//! How a key of the configuration is declared, once: name, shape, default, whether it must be there, example, description.
//!
//! `keys` holds the declarations. From each come the typed field that the rest of `config` reads, its line in the JSON Schema
//! (`schema`), its row in `docs/configuration.md`, the words of "did you mean", and whether reports hide its value (`mask`).
//! A misspelled use does not compile, because every key is a field of a struct.
//!
//! Why not serde and schemars: a sketch of six keys of `source` and `alerts`, read by a `Deserializer` over the located tree,
//! needed a wrapper around every field, because a derived reader stops at the first error; the wrapper lost the place of the
//! error, whose type it does not know; and `Deserialize` is handed no environment, folder or report, so that secrets, paths and
//! cross-checks would need a second reader. Here one trait, [`Shape`], says how a value is read and how the schema describes it.

use serde_json::Value as Json;

use super::fields::Fields;
use super::report::Report;
use super::tree::{Node, Place};

/// What may stand behind a key: how it is read, and how the schema and the reference describe it.
pub(super) trait Shape {
    type Value;

    /// Reports the value and returns `None` where it is unusable, or where `resolve` reads it.
    fn read(_: &mut Report, _: &Node, _: &str) -> Option<Self::Value> {
        None
    }

    /// Its `title` is the word of the reference, as in "duration".
    fn schema() -> Json;

    /// The sections that stand inside.
    fn sections() -> &'static [&'static Section] {
        &[]
    }

    /// Reports never show the value.
    const SECRET: bool = false;

    /// The value may be a URL with a sign-in: reports show it only where it surely has none.
    const MAY_HOLD_A_SIGN_IN: bool = false;
}

/// The [`Shape`] of a type: `shape!(Type, Value, schema, |report, node, key| reading)`.
macro_rules! shape {
    ($shape:ty, $value:ty, $schema:expr, |$report:ident, $node:ident, $key:ident| $read:expr) => {
        impl $crate::config::declaration::Shape for $shape {
            type Value = $value;

            fn read(
                $report: &mut $crate::config::report::Report,
                $node: &$crate::config::tree::Node,
                $key: &str,
            ) -> Option<$value> {
                $read
            }

            fn schema() -> serde_json::Value {
                $schema
            }
        }
    };
}
pub(super) use shape;

/// The word of the reference for a shape.
pub(super) fn title<S: Shape>() -> String {
    S::schema()["title"].as_str().unwrap_or_default().to_owned()
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Optional,
    Required,
    /// In the contract and not built, or built and not wired: refused as "not available yet". The one switch to flip.
    Later,
}

/// One key as it is declared.
pub(super) struct Key {
    pub name: &'static str,
    /// The lines of its description.
    pub about: &'static [&'static str],
    /// A single value of YAML, without quotes.
    pub default: Option<&'static str>,
    pub status: Status,
    /// As YAML.
    pub example: &'static str,
    pub secret: bool,
    pub may_hold_a_sign_in: bool,
    pub schema: fn() -> Json,
    pub sections: fn() -> &'static [&'static Section],
}

/// The keys of one mapping.
pub(super) struct Section {
    /// What the mapping is, as in "a source".
    pub of: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference, which a test writes"))]
    pub about: &'static [&'static str],
    pub keys: &'static [Key],
}

impl Section {
    /// The keys that can be used today.
    pub fn known(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().filter(|key| key.status != Status::Later)
    }
}

/// A struct that [`section!`] made.
pub(super) trait Declared: Sized {
    const SECTION: &'static Section;
    const SECTIONS: &'static [&'static Section] = &[Self::SECTION];

    fn read(report: &mut Report, fields: &Fields<'_>) -> Self;
}

/// A key as it was found: its value, and where to report what is wrong with it.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    /// An `Option`, unless the key has a default.
    pub value: T,
    /// Somebody wrote the key, in the mapping or in its defaults; its value may be unusable.
    pub given: bool,
    /// The mapping itself has the key.
    pub own: bool,
    /// An unknown key was probably meant to be this one, so that it is missing is no news.
    pub misspelled: bool,
    /// Where the key stands, else its mapping.
    pub key: Place,
    /// Where the value stands, else its mapping.
    pub at: Place,
}

impl<T> Found<T> {
    /// Neither written nor meant.
    pub fn is_missing(&self) -> bool {
        !self.given && !self.misspelled
    }
}

/// The name of a key that is a Rust keyword is declared as `r#type`.
pub(super) const fn key_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Declares sections. Each key is `/// description`, then `name: Shape = "default", status, "example";`, the default as a
/// single value of YAML without quotes, the example as any YAML. A default is read like a value that somebody wrote.
macro_rules! section {
    ($($(#[doc = $about:literal])+ $name:ident: $of:literal {
        $($(#[doc = $doc:literal])+ $key:ident: $shape:ty $(= $default:literal)?, $status:ident, $example:literal;)*
    })+) => {$(
        $(#[doc = $about])+
        pub(in crate::config) struct $name {
            /// Where what is missing is reported.
            #[allow(dead_code, reason = "not every section is asked")]
            pub place: $crate::config::tree::Place,
            $($(#[doc = $doc])+
            #[allow(dead_code, reason = "a key that is not available yet is read by nobody")]
            pub $key: $crate::config::declaration::Found<section!(@value $shape $(, $default)?)>,)*
        }

        impl $crate::config::declaration::Declared for $name {
            const SECTION: &'static $crate::config::declaration::Section = &$crate::config::declaration::Section {
                of: $of,
                about: &[$($about),+],
                keys: &[$($crate::config::declaration::Key {
                    name: $crate::config::declaration::key_name(stringify!($key)),
                    about: &[$($doc),+],
                    default: section!(@default $($default)?),
                    status: $crate::config::declaration::Status::$status,
                    example: $example,
                    secret: <$shape as $crate::config::declaration::Shape>::SECRET,
                    may_hold_a_sign_in: <$shape as $crate::config::declaration::Shape>::MAY_HOLD_A_SIGN_IN,
                    schema: <$shape as $crate::config::declaration::Shape>::schema,
                    sections: <$shape as $crate::config::declaration::Shape>::sections,
                }),*],
            };

            fn read(report: &mut $crate::config::report::Report, fields: &$crate::config::fields::Fields<'_>) -> Self {
                let mut keys = Self::SECTION.keys.iter();
                let of = Self::SECTION.of;
                Self {
                    $($key: section!(@read report, fields, of, keys, $shape $(, $default)?),)*
                    place: fields.place,
                }
            }
        }
    )+};
    (@value $shape:ty) => { Option<<$shape as $crate::config::declaration::Shape>::Value> };
    (@value $shape:ty, $default:literal) => { <$shape as $crate::config::declaration::Shape>::Value };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
    (@read $report:ident, $fields:ident, $of:ident, $keys:ident, $shape:ty) => {
        $fields.found::<$shape>($report, $of, $keys.next())
    };
    (@read $report:ident, $fields:ident, $of:ident, $keys:ident, $shape:ty, $default:literal) => {
        $fields.found_or::<$shape>($report, $of, $keys.next(), $default)
    };
}
pub(super) use section;
