//! Secrets as they are written. No message here ever quotes one.

use serde_json::{Value as Json, json};

use crate::secret::Secret;

use super::declaration::Shape;
use super::environment::is_variable_name;
use super::report::Report;
use super::shapes::text_like;
use super::tree::Node;

/// A secret: in place, as a variable, or as a file. Variables are read now; a file is only polled,
/// and read again each time it is needed.
pub(super) struct Hidden;

const FORMS: &str = "write the secret itself, { env: NAME } or { file: PATH }";

impl Shape for Hidden {
    type Value = Secret;

    const SECRET: bool = true;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Secret> {
        let entry = match (node.scalar(), node.entries()) {
            (Some(""), _) => return report.refuse_with(node, format!("{key:?} is empty"), FORMS),
            (Some(_), _) if !report.needs_secret(node) => return Some(Secret::NotNeeded),
            (Some(text), _) => return Some(Secret::given(text)),
            (_, Some([entry])) if matches!(entry.key.as_str(), "env" | "file") => entry,
            _ => return report.refuse_with(node, format!("{key:?} is not a secret that can be read"), FORMS),
        };
        let Some(text) = entry.value.scalar().filter(|text| !text.is_empty()) else {
            return report.refuse_with(entry.place, format!("{:?} of {key:?} must be text", entry.key), FORMS);
        };
        if !report.needs_secret(&entry.value) {
            Some(Secret::NotNeeded)
        } else if entry.key == "env" {
            variable(report, &entry.value, key, text)
        } else {
            file(report, &entry.value, key, text)
        }
    }

    fn schema() -> Json {
        let reference = |key: &str, value: Json| {
            let properties = json!({ key: value });
            json!({ "type": "object", "properties": properties, "required": [key], "additionalProperties": false })
        };
        let text = json!({ "type": ["string", "number", "boolean"], "minLength": 1 });
        let name = text_like("name of a variable", "^[A-Za-z_][A-Za-z0-9_]*$");
        json!({ "title": "secret", "anyOf": [text, reference("env", name), reference("file", text.clone())] })
    }
}

fn variable(report: &mut Report, node: &Node, key: &str, name: &str) -> Option<Secret> {
    if !is_variable_name(name) {
        // Not quoted: it may be the secret itself, put in the wrong place.
        report.hide(node);
        let message = format!("{key:?}: what follows \"env\" is not the name of an environment variable");
        return report.refuse_with(node, message, "a name has letters, digits and underscores only");
    }
    let missing = match report.environment.variable(name).as_deref() {
        None => "not set",
        Some("") => "empty",
        Some(value) => return Some(Secret::given(value)),
    };
    report.refuse(node, format!("{key:?}: the environment variable {name} is {missing}"))
}

fn file(report: &mut Report, node: &Node, key: &str, path: &str) -> Option<Secret> {
    let secret = Secret::File(report.folder(node.place.file).join(path));
    if let Err(error) = secret.value() {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        return report.refuse(node, format!("{key:?}: {error}{cause}"));
    }
    Some(secret)
}
