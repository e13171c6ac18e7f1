//! The JSON Schema (2020-12) of the configuration, for editors: structure, types, ranges, words. The test
//! `schema_and_reader_agree` lists everything else that the reader checks, such as references.

use serde_json::{Map, Value as Json, json};

use super::containers::Member;
use super::declaration::{Section, Status};
use super::keys::MAIN;
use super::report::Report;
use super::tree::{Node, Place};
use super::yaml;

/// The schema of the main file, which an included file also fits.
fn schema() -> Json {
    let mut schema = section(MAIN, true);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Configuration of Driftwise".into();
    schema
}

/// [`schema`] as it is printed and checked in.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// A mapping with the keys of these sections; `with_required`, unless it may inherit a required key.
pub(super) fn section(sections: &[&Section], with_required: bool) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in sections.iter().flat_map(|section| section.known()) {
        let mut schema = (key.schema)();
        schema["description"] = description(key.about).into();
        schema["examples"] = json!([example(key.example)]);
        if let Some(default) = key.default {
            schema["default"] = Node::plain(default, Place::file(0)).to_json();
        }
        properties.insert(key.name.to_owned(), schema);
        if with_required && key.status == Status::Required {
            required.push(key.name);
        }
    }
    let mut schema =
        json!({ "title": "mapping", "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// Named things, or a list of them. `defaults` may hold the required keys, so none is required here.
pub(super) fn merged<M: Member>() -> Json {
    let mut item = section(M::SECTIONS, false);
    let of_types = M::TYPES.iter().map(|(word, _)| {
        let others = M::TYPES.iter().filter(|(other, _)| other != word).flat_map(|(_, section)| section.known());
        let refused = others.map(|key| (key.name.to_owned(), json!(false))).collect::<Map<_, _>>();
        let is_type = json!({ "properties": { "type": { "const": word } }, "required": ["type"] });
        json!({ "if": is_type, "then": { "properties": refused } })
    });
    let of_types = of_types.collect::<Vec<_>>();
    if !of_types.is_empty() {
        item["allOf"] = of_types.into();
    }
    if !M::NAMED {
        return json!({ "title": "list of: mapping", "type": "array", "items": item });
    }
    let item = if M::MAY_BE_EMPTY { json!({ "anyOf": [item, { "type": "null" }] }) } else { item };
    let name = json!({ "pattern": "^[A-Za-z0-9._-]{1,64}$" });
    json!({ "title": "names to: mapping", "type": "object", "propertyNames": name, "additionalProperties": item })
}

/// The lines of a description as one text.
pub(super) fn description(about: &[&str]) -> String {
    about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// An example as JSON.
fn example(yaml: &str) -> Json {
    let nothing = |_: &str| None;
    let mut report = Report::new(&nothing);
    let file = report.add("".into(), yaml);
    yaml::parse(&mut report, file, yaml, &nothing).map_or(Json::Null, |node| node.to_json())
}
