//! Secrets in the configuration. No message quotes one.

use serde_json::{Value as Json, json};

use crate::secret::Secret;

use super::declaration::{Shape, shape};
use super::environment::is_variable_name;
use super::report::Report;
use super::shapes::{Text, any_text, text_like, titled};
use super::tree::Node;

/// A secret: in place, as a variable, or as a file. A variable is read once; a file is checked, and read again at each use.
pub(super) struct Hidden;

const FORMS: &str = "write the secret itself, { env: NAME } or { file: PATH }";

impl Shape for Hidden {
    type Value = Secret;

    const SECRET: bool = true;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<Secret> {
        let entry = match (node.scalar(), node.entries()) {
            (Some(""), _) => return report.refuse(node, (format!("{key:?} is empty"), FORMS)),
            (Some(_), _) if !report.needs_secret(node) => return Some(Secret::NotNeeded),
            (Some(text), _) => return Some(Secret::given(text)),
            (_, Some([entry])) if matches!(entry.key.as_str(), "env" | "file") => entry,
            _ => return report.refuse(node, (format!("{key:?} is not written like a secret"), FORMS)),
        };
        let Some(text) = entry.value.scalar().filter(|text| !text.is_empty()) else {
            return report.refuse(entry.place, (format!("{:?} of {key:?} must be text", entry.key), FORMS));
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
        let name = titled("name of a variable", text_like("^[A-Za-z_][A-Za-z0-9_]*$"));
        json!({ "title": "secret", "anyOf": [text, reference("env", name), reference("file", text.clone())] })
    }
}

/// The path of a file that is itself a secret, such as a private key. It is checked, and read again at each use.
pub(super) struct SecretFile;

shape!(SecretFile, Secret, titled("path of a secret file", any_text(r"\S")), |report, node, key| {
    let path = Text::read(report, node, key)?;
    if report.needs_secret(node) { file(report, node, key, &path) } else { Some(Secret::NotNeeded) }
});

fn variable(report: &mut Report, node: &Node, key: &str, name: &str) -> Option<Secret> {
    if !is_variable_name(name) {
        // Not quoted: it may be the secret itself.
        report.hide(node);
        let message = format!("{key:?}: the value of \"env\" is not the name of an environment variable");
        return report.refuse(node, (message, "a name has letters, digits and underscores only"));
    }
    let missing = match report.environment.variable(name).as_deref() {
        None => "not set",
        Some("") => "empty",
        Some(value) => return Some(Secret::given(value)),
    };
    report.refuse(node, format!("{key:?}: the environment variable {name} is {missing}"))
}

fn file(report: &mut Report, node: &Node, key: &str, path: &str) -> Option<Secret> {
    let path = report.folder(node.place.file).join(path);
    report.inputs.file(&path);
    let secret = Secret::File(path);
    if let Err(error) = secret.value() {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        return report.refuse(node, format!("{key:?}: {error}{cause}"));
    }
    Some(secret)
}
