//! How the columns of a source become settings, and its words values.

use std::collections::{BTreeMap, HashMap};

use crate::domain::observation::Mapping;
use crate::domain::reading::{Kind, RawValue, quote};
use crate::domain::setting::SettingKey;

use super::fields::{self, Fields};
use super::report::{Report, suggestion};

/// Reads `session_id_column`, `columns`, `values` and `kinds`.
pub(super) fn read(report: &mut Report, fields: &Fields<'_>) -> Mapping {
    let session_id_column = fields.text(report, "session_id_column").unwrap_or("session_id").trim().to_owned();
    let columns = columns(report, fields, &session_id_column);
    let mut values = HashMap::new();
    for entry in fields.map(report, "values").unwrap_or_default() {
        let Some(meanings) = entry.value.entries() else {
            let message = format!("the values of {} must be a mapping, not {}", quote(&entry.key), entry.value.sort());
            let help = "for example values: { transfer_type: { \"3\": Web Service } }";
            report.problem_with(entry.value.place, message, help);
            continue;
        };
        let mut read = HashMap::new();
        for meaning in meanings {
            if let Some(text) = fields::text(report, &meaning.value, &meaning.key) {
                read.insert(meaning.key.trim().to_owned(), RawValue::text(text));
            }
        }
        values.insert(SettingKey::new(&entry.key), read);
    }
    let mut kinds = HashMap::new();
    for entry in fields.map(report, "kinds").unwrap_or_default() {
        let Some(word) = fields::text(report, &entry.value, &entry.key) else { continue };
        if let Some((_, kind)) = Kind::ALL.iter().find(|(name, _)| *name == word) {
            kinds.insert(SettingKey::new(&entry.key), *kind);
        } else {
            let known = Kind::ALL.iter().map(|(name, _)| *name);
            let message = format!("{} is no kind of setting", quote(word));
            report.problem_with(entry.value.place, message, suggestion(word, known));
        }
    }
    Mapping { session_id_column, columns, values, kinds }
}

/// Setting to column. A column can be only one setting, or one of the two would silently never be read.
fn columns(report: &mut Report, fields: &Fields<'_>, id_column: &str) -> Vec<(SettingKey, String)> {
    let mut columns = Vec::new();
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for entry in fields.map(report, "columns").unwrap_or_default() {
        let Some(column) = fields::text(report, &entry.value, &entry.key) else { continue };
        let column = column.trim();
        if let Some(other) = taken.insert(column.to_lowercase(), &entry.key) {
            let message = format!("the column {} is already the setting {}", quote(column), quote(other));
            report.problem(entry.value.place, message);
        }
        if column.eq_ignore_ascii_case(id_column) {
            let message = format!("the column {} is the one that holds the session ID", quote(column));
            report.problem(entry.value.place, message);
        }
        columns.push((SettingKey::new(&entry.key), column.to_owned()));
    }
    columns
}
