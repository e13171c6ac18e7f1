//! A YAML document as a tree of values with their places.

use serde_json::Value as Json;

use super::scalar;

/// A place: the number of the file in the report, and line and column from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub file: usize,
    pub line: usize,
    pub column: usize,
}

/// One value with its place.
#[derive(Debug, Clone)]
pub struct Node {
    pub place: Place,
    /// The line on which the value ends.
    pub last_line: usize,
    pub value: Value,
}

/// A scalar, a list or a mapping.
#[derive(Debug, Clone)]
pub enum Value {
    /// A single value: its text after substitution of variables, and its type in YAML 1.2.
    Scalar(String, Form),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// The type of a single value in the core schema of YAML 1.2. A quoted value is always text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Null,
    Flag(bool),
    Whole,
    Decimal,
    Text,
}

/// One `key: value` of a mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub value: Node,
}

impl Place {
    /// A file as a whole.
    pub fn file(file: usize) -> Self {
        Self { file, line: 0, column: 0 }
    }
}

impl From<&Node> for Place {
    fn from(node: &Node) -> Self {
        node.place
    }
}

impl Node {
    /// A default as if it stood at `place`: a single value without quotes, or `{}`.
    pub fn plain(text: &str, place: Place) -> Self {
        let value = match text {
            "{}" => Value::Map(Vec::new()),
            _ => Value::Scalar(text.to_owned(), scalar::form(text)),
        };
        Self { place, last_line: place.line, value }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(_, Form::Null))
    }

    /// The text of a single value that is not null.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, form) if *form != Form::Null => Some(text),
            _ => None,
        }
    }

    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry of a mapping.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// The number of values in it, itself included.
    pub fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(..) => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Scalar(_, Form::Null) => Json::Null,
            Value::Scalar(_, Form::Flag(flag)) => (*flag).into(),
            Value::Scalar(text, Form::Whole | Form::Decimal) => {
                serde_json::from_str(text).unwrap_or_else(|_| text.clone().into())
            }
            Value::Scalar(text, Form::Text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
        }
    }

    /// Its type, for a message.
    pub fn sort(&self) -> &'static str {
        match &self.value {
            Value::Scalar(_, Form::Null) => "nothing",
            Value::Scalar(_, Form::Flag(_)) => "true or false",
            Value::Scalar(_, Form::Whole | Form::Decimal) => "a number",
            Value::Scalar(_, Form::Text) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}
