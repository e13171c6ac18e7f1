//! What a rule demands, from the words of the configuration.

use regex::Regex;

use crate::domain::address::Address;
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::reading::quote;

use super::fields::{self, Fields, Keys, described};
use super::report::{Report, suggestion};
use super::tree::{Entry, Node, Value};

const WORDS: [&str; 4] = ["ticked", "unticked", "present", "unchanged"];

const FORMS: [&str; 10] =
    ["equals", "one_of", "not_one_of", "matches", "every", "at_most", "includes", "within", "all_ticked", "unique"];

/// Reads `expect: WORD` or `expect: { FORM: VALUE }`.
pub(super) fn read(report: &mut Report, node: &Node) -> Option<Expectation> {
    match &node.value {
        Value::Scalar(word, _) => read_word(report, node, word),
        Value::Map(entries) => {
            if let [entry] = entries.as_slice() {
                return read_form(report, entry);
            }
            let message = "\"expect\" takes exactly one demand; what must hold together is several rules";
            report.problem_with(node.place, message, all_forms());
            None
        }
        Value::List(_) => {
            report.problem_with(node.place, "\"expect\" takes one demand, not a list", all_forms());
            None
        }
    }
}

fn all_forms() -> String {
    format!("{}, or one of {{ {}: ... }}", WORDS.join(", "), FORMS.join(" | "))
}

fn read_word(report: &mut Report, node: &Node, word: &str) -> Option<Expectation> {
    match word {
        "ticked" => return Some(Expectation::Ticked),
        "unticked" => return Some(Expectation::Unticked),
        "present" => return Some(Expectation::Present),
        "unchanged" => return Some(Expectation::Unchanged),
        _ => {}
    }
    if FORMS.contains(&word) {
        let message = format!("\"expect: {word}\" needs a value, as in {{ {word}: {} }}", example(word));
        report.problem(node.place, message);
    } else {
        let message = format!("\"expect\" cannot be {}", quote(word));
        report.problem_with(node.place, message, suggestion(word, WORDS.into_iter().chain(FORMS)));
    }
    None
}

fn example(form: &str) -> &'static str {
    match form {
        "one_of" | "not_one_of" => "[a, b]",
        "matches" => "\"^shop\"",
        "every" | "at_most" => "5m",
        "includes" => "name@company.example",
        "within" => "2h",
        "all_ticked" => "{ count: 4 }",
        "unique" => "source",
        _ => "value",
    }
}

fn read_form(report: &mut Report, entry: &Entry) -> Option<Expectation> {
    let (form, node) = (entry.key.as_str(), &entry.value);
    match form {
        "equals" => operand(report, node, form).map(Expectation::Equals),
        "one_of" => operands(report, node, form).map(Expectation::OneOf),
        "not_one_of" => operands(report, node, form).map(Expectation::NotOneOf),
        "includes" => included(report, node).map(Expectation::Includes),
        "matches" => regex(report, node).map(Expectation::Matches),
        "every" => fields::positive(report, node, form).map(Expectation::Every),
        "at_most" => fields::positive(report, node, form).map(Expectation::AtMost),
        "within" => fields::positive(report, node, form).map(Expectation::Within),
        "all_ticked" => {
            let keys = Keys { of: "\"all_ticked\"", known: &["count"], later: &[] };
            let fields = Fields::new(report, node, keys)?;
            fields.required(report, "count", "\"all_ticked\"")?;
            let count = fields.whole(report, "count", 1..=1000)?;
            Some(Expectation::AllTicked { count: usize::try_from(count).ok()? })
        }
        "unique" => fields::choice(report, node, form, &[("source", ())]).map(|()| Expectation::Unique),
        word if WORDS.contains(&word) => {
            report.problem(entry.place, format!("{word:?} takes no value; write \"expect: {word}\""));
            None
        }
        word => {
            let message = format!("unknown expectation {}", quote(word));
            report.problem_with(entry.place, message, suggestion(word, FORMS.into_iter().chain(WORDS)));
            None
        }
    }
}

/// A value, or `{ param: NAME }`, or `{ param: NAME, else: present }`.
fn operand(report: &mut Report, node: &Node, form: &str) -> Option<Operand> {
    if node.entries().is_none() {
        // An empty text is a value too: "must be empty".
        if let Value::Scalar(text, form) = &node.value
            && *form == super::tree::Form::Text
        {
            return Some(Operand::Literal(text.clone()));
        }
        return fields::text(report, node, form).map(|text| Operand::Literal(text.to_owned()));
    }
    let keys = Keys { of: "a value that comes from a param", known: &["param", "else"], later: &[] };
    let fields = Fields::new(report, node, keys)?;
    fields.required(report, "param", keys.of)?;
    let name = fields.text(report, "param")?.to_owned();
    let or_present = fields.has("else") && fields.choice(report, "else", &[("present", ())]).is_some();
    Some(Operand::Param { name, or_present })
}

fn operands(report: &mut Report, node: &Node, form: &str) -> Option<Vec<Operand>> {
    if node.entries().is_some() {
        return operand(report, node, form).map(|operand| vec![operand]);
    }
    let items = fields::list(report, node, form)?;
    if items.is_empty() {
        report
            .problem(node.place, format!("{form:?} is an empty list: nothing could ever meet it, or everything would"));
        return None;
    }
    items.iter().map(|item| operand(report, item, form)).collect()
}

fn included(report: &mut Report, node: &Node) -> Option<Operand> {
    let operand = operand(report, node, "includes")?;
    if let Operand::Literal(text) = &operand
        && let Err(error) = Address::parse(text)
    {
        report.problem(node.place, format!("\"includes\": {error}"));
        return None;
    }
    Some(operand)
}

fn regex(report: &mut Report, node: &Node) -> Option<Regex> {
    let text = fields::text(report, node, "matches")?;
    match Regex::new(text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            // The last line says what is wrong; those before it draw the expression.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let message = format!("\"matches\" is not a regular expression: {reason}");
            report.problem_with(node.place, message, format!("it reads {}", described(node)));
            None
        }
    }
}
