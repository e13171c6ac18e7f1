//! Secrets as they are written: in place, as a variable, or as a file. No message here ever quotes one.

use crate::secret::Secret;

use super::environment::{Environment, is_variable_name};
use super::fields::Fields;
use super::report::Report;
use super::tree::Node;

const FORMS: &str = "write the secret itself, { env: NAME } or { file: PATH }";

/// The secret under `key`. Variables are read now; a file is only polled, and read again each time it is needed.
pub(super) fn read(
    report: &mut Report,
    fields: &Fields<'_>,
    key: &str,
    environment: &dyn Environment,
) -> Option<Secret> {
    let node = fields.node(report, key)?;
    if let Some(text) = node.scalar() {
        if text.is_empty() {
            report.problem_with(node.place, format!("{key:?} is empty"), FORMS);
            return None;
        }
        return Some(Secret::given(text));
    }
    let entry = match node.entries() {
        Some([entry]) if matches!(entry.key.as_str(), "env" | "file") => entry,
        _ => {
            report.problem_with(node.place, format!("{key:?} is not a secret that can be read"), FORMS);
            return None;
        }
    };
    let Some(text) = entry.value.scalar().filter(|text| !text.is_empty()) else {
        report.problem_with(entry.place, format!("{:?} of {key:?} must be text", entry.key), FORMS);
        return None;
    };
    if entry.key == "env" {
        variable(report, &entry.value, key, text, environment)
    } else {
        file(report, &entry.value, key, text)
    }
}

fn variable(report: &mut Report, node: &Node, key: &str, name: &str, environment: &dyn Environment) -> Option<Secret> {
    if !is_variable_name(name) {
        // Not quoted: it may be the secret itself, put in the wrong place.
        report.hide(node);
        let message = format!("{key:?}: what follows \"env\" is not the name of an environment variable");
        report.problem_with(node.place, message, "a name has letters, digits and underscores only");
        return None;
    }
    let value = environment.variable(name);
    match value.as_deref() {
        None => report.problem(node.place, format!("{key:?}: the environment variable {name} is not set")),
        Some("") => report.problem(node.place, format!("{key:?}: the environment variable {name} is empty")),
        Some(value) => return Some(Secret::given(value)),
    }
    None
}

fn file(report: &mut Report, node: &Node, key: &str, path: &str) -> Option<Secret> {
    let secret = Secret::File(report.folder(node.place.file).join(path));
    if let Err(error) = secret.value() {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        report.problem(node.place, format!("{key:?}: {error}{cause}"));
        return None;
    }
    Some(secret)
}
