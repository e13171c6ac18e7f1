//! The demand of a rule: `expect: WORD` or `expect: { FORM: VALUE }`.

use regex::Regex;
use serde_json::{Value as Json, json};

use crate::domain::expectation::{Expectation, Operand};
use crate::domain::reading::quote;

use super::containers::{Sub, items};
use super::declaration::{Declared, Section, Shape, section};
use super::fields::read_section;
use super::report::{Report, suggestion};
use super::schema;
use super::shapes::{Choice, Text, Whole, Words};
use super::tree::{Form, Node, Value};
use super::words::Span;

/// The demands without a value.
fn words() -> [(&'static str, Expectation); 4] {
    [
        ("ticked", Expectation::Ticked),
        ("unticked", Expectation::Unticked),
        ("present", Expectation::Present),
        ("unchanged", Expectation::Unchanged),
    ]
}

section! {
    /// The demands that need a value; exactly one of them. `ticked`, `unticked`, `present` and `unchanged` (the value seen first) need none.
    ExpectKeys: "\"expect\"" {
        /// This value.
        equals: Operand, Optional, "Main";
        /// One of these values.
        one_of: Operands, Optional, "[GBP, EUR]";
        /// None of these values.
        not_one_of: Operands, Optional, "[Shop, Counter]";
        /// Text that matches.
        matches: Regex, Optional, "\"^WEB\"";
        /// Exactly this interval.
        every: Span, Optional, "5m";
        /// This interval or a shorter one.
        at_most: Span, Optional, "15m";
        /// A list of addresses with this one in it.
        includes: Operand, Optional, "name@company.example";
        /// A time not older than that.
        within: Span, Optional, "2h";
        /// Every setting of the group is ticked.
        all_ticked: Sub<AllTickedKeys>, Optional, "{ count: 4 }";
        /// No two sessions share the value.
        unique: Choice<Source>, Optional, "source";
    }

    /// How many settings the group has.
    AllTickedKeys: "\"all_ticked\"" {
        /// At least so many of them can be read.
        count: Whole<usize, 1, 1000>, Required, "4";
    }

    /// A value that comes from a param of the session.
    ParamKeys: "a value that comes from a param" {
        /// Name of the param.
        param: Text, Required, "warehouse";
        /// Without the param, the rule asks only for some value.
        r#else: Choice<PresentWord>, Optional, "present";
    }
}

/// `source`, the only value of `unique`.
#[derive(Clone, Copy)]
pub(super) struct Source;

impl Words for Source {
    const WORDS: &'static [(&'static str, Self)] = &[("source", Self)];
}

/// `present`, the only value of `else`.
#[derive(Clone, Copy)]
pub(super) struct PresentWord;

impl Words for PresentWord {
    const WORDS: &'static [(&'static str, Self)] = &[("present", Self)];
}

impl Shape for Expectation {
    type Value = Self;

    fn read(report: &mut Report, node: &Node, _key: &str) -> Option<Self> {
        match &node.value {
            Value::Scalar(word, _) => read_word(report, node, word),
            Value::Map(entries) => {
                if let [entry] = entries.as_slice() {
                    if words().iter().any(|(word, _)| *word == entry.key) {
                        let word = &entry.key;
                        report.problem(entry.place, format!("{word:?} has no value; write \"expect: {word}\""));
                        return None;
                    }
                    return read_section::<ExpectKeys>(report, node).and_then(demand);
                }
                let message = "\"expect\" must have exactly one demand; write a rule for each";
                report.refuse(node, (message, all_forms()))
            }
            Value::List(_) => report.refuse(node, ("\"expect\" must be one demand, not a list", all_forms())),
        }
    }

    fn schema() -> Json {
        let mut form = schema::section(ExpectKeys::SECTIONS, false);
        form["minProperties"] = 1.into();
        form["maxProperties"] = 1.into();
        let words = words().map(|(word, _)| word);
        let title = "`ticked`, `unticked`, `present`, `unchanged`, or mapping";
        json!({ "title": title, "anyOf": [{ "enum": words }, form, { "type": "string", "pattern": r"\$\{" }] })
    }

    fn sections() -> &'static [&'static Section] {
        ExpectKeys::SECTIONS
    }
}

fn forms() -> impl Iterator<Item = &'static str> + Clone {
    ExpectKeys::SECTION.keys.iter().map(|key| key.name)
}

fn all_forms() -> String {
    let words = words().map(|(word, _)| word);
    format!("{}, or one of {{ {}: ... }}", words.join(", "), forms().collect::<Vec<_>>().join(" | "))
}

fn read_word(report: &mut Report, node: &Node, word: &str) -> Option<Expectation> {
    if let Some((_, expectation)) = words().into_iter().find(|(known, _)| *known == word) {
        return Some(expectation);
    }
    if let Some(key) = ExpectKeys::SECTION.keys.iter().find(|key| key.name == word) {
        return report.refuse(node, format!("\"expect: {word}\" needs a value, as in {{ {word}: {} }}", key.example));
    }
    let known = words().map(|(word, _)| word).into_iter().chain(forms());
    report.refuse(node, (format!("\"expect\" cannot be {}", quote(word)), suggestion(word, known)))
}

/// The one demand that is given; `None` if it is invalid.
fn demand(keys: ExpectKeys) -> Option<Expectation> {
    let all_ticked = keys.all_ticked.value.and_then(|all| all.count.value);
    None.or(keys.equals.value.map(Expectation::Equals))
        .or(keys.one_of.value.map(Expectation::OneOf))
        .or(keys.not_one_of.value.map(Expectation::NotOneOf))
        .or(keys.matches.value.map(Expectation::Matches))
        .or(keys.every.value.map(Expectation::Every))
        .or(keys.at_most.value.map(Expectation::AtMost))
        .or(keys.includes.value.map(Expectation::Includes))
        .or(keys.within.value.map(Expectation::Within))
        .or(all_ticked.map(|count| Expectation::AllTicked { count }))
        .or(keys.unique.value.map(|Source| Expectation::Unique))
}

/// A value, or `{ param: NAME }`, or `{ param: NAME, else: present }`.
impl Shape for Operand {
    type Value = Self;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Self> {
        match &node.value {
            // An empty text is a value: the setting must be empty.
            Value::Scalar(text, Form::Text) => Some(Self::Literal(text.clone())),
            Value::Map(_) => {
                let keys = read_section::<ParamKeys>(report, node)?;
                Some(Self::Param { name: keys.param.value?, or_present: keys.r#else.value.is_some() })
            }
            _ => Text::read(report, node, key).map(Self::Literal),
        }
    }

    fn schema() -> Json {
        let title = "value, or `{ param: NAME, else: present }`";
        let text = json!({ "type": ["string", "number", "boolean"] });
        json!({ "title": title, "anyOf": [text, schema::section(ParamKeys::SECTIONS, true)] })
    }

    fn sections() -> &'static [&'static Section] {
        ParamKeys::SECTIONS
    }
}

/// Several values, or a param that may have several.
pub(super) struct Operands;

impl Shape for Operands {
    type Value = Vec<Operand>;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Vec<Operand>> {
        if node.entries().is_some() {
            return Operand::read(report, node, key).map(|operand| vec![operand]);
        }
        let items = items(report, node, key)?;
        if items.is_empty() {
            let message = format!("{key:?} is an empty list, which no value or every value would meet");
            return report.refuse(node, message);
        }
        items.iter().map(|item| Operand::read(report, item, key)).collect()
    }

    fn schema() -> Json {
        let list = json!({ "type": "array", "items": Operand::schema(), "minItems": 1 });
        let title = "list of values, or `{ param: NAME }`";
        json!({ "title": title, "anyOf": [list, schema::section(ParamKeys::SECTIONS, true)] })
    }
}
