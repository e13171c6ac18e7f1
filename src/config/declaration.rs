//! Declares a key of the configuration once: name, shape, default, status, example, description.
//!
//! `keys` holds the declarations. Each generates the typed field that the rest of `config` reads, its part of the JSON Schema
//! (`schema`), its row in `docs/configuration.md`, its suggestion for a misspelled key, and the masking of its value (`mask`).
//! A misspelled use does not compile, because every key is a field of a struct.
//!
//! Why not serde and schemars: a derived reader stops at the first error. A trial with six keys needed a wrapper around every
//! field, and the wrapper lost the place of the error. `Deserialize` also has no access to environment, folder and report, so
//! secrets, paths and cross-checks would need a second reader. Here one trait, [`Shape`], both reads and describes a value.

use serde_json::Value as Json;

use super::fields::Fields;
use super::report::Report;
use super::tree::{Node, Place};

/// Reads the value of a key, and describes it in the schema and the reference.
pub(super) trait Shape {
    type Value;

    /// `None`, and reported, if the value is invalid. The default reads nothing, for keys that are not available yet.
    fn read(_: &mut Report, _: &Node, _: &str) -> Option<Self::Value> {
        None
    }

    /// Its `title` is the type in the reference, such as "duration".
    fn schema() -> Json;

    /// The sections inside the value.
    fn sections() -> &'static [&'static Section] {
        &[]
    }

    /// Reports never show the value.
    const SECRET: bool = false;

    /// The value may be a URL with a sign-in: reports show it only if it certainly has none.
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

/// The type in the reference.
pub(super) fn title<S: Shape>() -> String {
    S::schema()["title"].as_str().unwrap_or_default().to_owned()
}

/// Whether a key is optional, required or not built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Optional,
    Required,
    /// In the contract and not built: refused as "not available yet".
    Later,
}

/// The declaration of a key.
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
    /// The mapping in messages, such as "a source".
    pub of: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference, which a test writes"))]
    pub about: &'static [&'static str],
    pub keys: &'static [Key],
}

impl Section {
    /// The keys that are available.
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

/// A key that was read, with its places.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    /// An `Option`, unless the key has a default.
    pub value: T,
    /// The mapping or its defaults have the key; its value may be invalid.
    pub given: bool,
    /// The mapping itself has the key.
    pub own: bool,
    /// An unknown key of the mapping probably misspells this one.
    pub misspelled: bool,
    /// The place of the key, else of its mapping.
    pub key: Place,
    /// The place of the value, else of its mapping.
    pub at: Place,
}

impl<T> Found<T> {
    /// Neither given nor misspelled.
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
/// single value of YAML without quotes or `{}`, the example as any YAML. A default is read like a given value.
macro_rules! section {
    ($($(#[doc = $about:literal])+ $name:ident: $of:literal {
        $($(#[doc = $doc:literal])+ $key:ident: $shape:ty $(= $default:literal)?, $status:ident, $example:literal;)*
    })+) => {$(
        $(#[doc = $about])+
        pub(in crate::config) struct $name {
            /// Missing keys are reported here.
            #[allow(dead_code, reason = "not every section has checks")]
            pub place: $crate::config::tree::Place,
            $($(#[doc = $doc])+
            #[allow(dead_code, reason = "no code reads a key that is not available yet")]
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
