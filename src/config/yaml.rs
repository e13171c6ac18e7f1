//! Parses YAML into a tree with places: follows anchors, aliases and merge keys, substitutes variables, refuses repeated keys.
//!
//! Bounds the nesting, and the number of values after all aliases are followed, so that a few lines of nested aliases cannot
//! fill the memory.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::environment::Environment;
use super::report::Report;
use super::tree::{Entry, Form, Node, Place, Value};
use super::{mask, scalar};

/// Deepest nesting; a real configuration needs seven.
const DEEPEST: usize = 32;

/// Most values in a file after aliases are followed: 50,000 sessions of 20 values, in some 200 MB.
const MOST_VALUES: usize = 1_000_000;

/// From so many keys on, a mapping is searched with an index.
const INDEXED: usize = 16;

/// Parses one file of the report. `None` for an invalid file, which is reported, and for an empty one.
pub(super) fn parse(report: &mut Report, file: usize, text: &str, environment: &dyn Environment) -> Option<Node> {
    let mut builder = Builder {
        events: Parser::new_from_str(text),
        report,
        environment,
        file,
        anchors: HashMap::new(),
        secret_keys: HashMap::new(),
        values: 0,
        depth: 0,
    };
    match builder.document() {
        Ok(node) => node,
        Err(stop) => {
            let Halt { place, message, syntax } = *stop;
            if syntax {
                builder.report.distrust(place.file);
            }
            let line = text.lines().nth(place.line - 1).unwrap_or_default();
            if syntax && line.contains("${") && line.contains(['{', '[']) {
                let help = "between { } and [ ], a text with ${...} needs quotes: \"${NAME}\"";
                builder.report.problem(place, (message, help));
            } else {
                builder.report.problem(place, message);
            }
            None
        }
    }
}

/// An error that ends the parsing of a file.
struct Halt {
    place: Place,
    message: String,
    /// The text is not valid YAML, so its secrets are not known.
    syntax: bool,
}

type YamlResult<T> = Result<T, Box<Halt>>;

struct Builder<'a, 'e> {
    events: Parser<'a, StrInput<'a>>,
    report: &'a mut Report<'e>,
    environment: &'a dyn Environment,
    file: usize,
    anchors: HashMap<usize, Node>,
    /// Whether a key names a secret. Distinct keys are few.
    secret_keys: HashMap<String, bool>,
    values: usize,
    depth: usize,
}

impl<'a> Builder<'a, '_> {
    fn document(&mut self) -> YamlResult<Option<Node>> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(self.stop(&span, "a second document begins here; a configuration file holds one"));
                }
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                event => root = Some(self.node(event, &span)?),
            }
        }
    }

    fn next(&mut self) -> YamlResult<(Event<'a>, Span)> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    #[expect(clippy::unnecessary_box_returns, reason = "every step carries it, and a node is large already")]
    fn syntax(&self, error: &ScanError) -> Box<Halt> {
        let marker = error.marker();
        let place = Place { file: self.file, line: marker.line().max(1), column: marker.col() + 1 };
        Box::new(Halt { place, message: format!("this is not valid YAML: {}", error.info()), syntax: true })
    }

    #[expect(clippy::unnecessary_box_returns, reason = "every step carries it, and a node is large already")]
    fn stop(&self, span: &Span, message: &str) -> Box<Halt> {
        Box::new(Halt { place: self.place(span), message: message.to_owned(), syntax: false })
    }

    fn place(&self, span: &Span) -> Place {
        Place { file: self.file, line: span.start.line().max(1), column: span.start.col() + 1 }
    }

    fn count(&mut self, more: usize, span: &Span) -> YamlResult<()> {
        self.values = self.values.saturating_add(more);
        if self.values > MOST_VALUES {
            let message = "with its aliases (*name) followed, this file has more than the allowed 1,000,000 values";
            return Err(self.stop(span, message));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: &Span) -> YamlResult<Node> {
        self.count(1, span)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.stop(span, "this is nested more deeply than the allowed 32 levels"));
        }
        let (node, anchor) = match event {
            Event::Alias(id) => (self.alias(id, span)?, 0),
            Event::Scalar(text, style, anchor, tag) => {
                let literal = self.tagged_as_text(tag.as_deref(), span) || style != ScalarStyle::Plain;
                (self.scalar(&text, literal, span), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tagged_as_text(tag.as_deref(), span);
                (self.list(span)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.tagged_as_text(tag.as_deref(), span);
                (self.map(span)?, anchor)
            }
            _ => return Err(self.stop(span, "this is not valid YAML")),
        };
        self.depth -= 1;
        if anchor > 0 {
            self.count(node.size(), span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// True for `!!str`. Other tags of YAML itself change nothing; any other tag is reported.
    fn tagged_as_text(&mut self, tag: Option<&Tag>, span: &Span) -> bool {
        let Some(tag) = tag else { return false };
        if !tag.is_yaml_core_schema() && tag.handle != "!" {
            self.report.problem(self.place(span), "YAML tags such as !name are not supported");
        } else if tag.handle == "!" && !tag.suffix.is_empty() {
            let help = "for a secret or a variable write { env: NAME }, { file: PATH } or ${NAME}";
            self.report.problem(self.place(span), ("YAML tags such as !name are not supported", help));
        }
        tag.is_yaml_core_schema() && tag.suffix == "str"
    }

    fn alias(&mut self, id: usize, span: &Span) -> YamlResult<Node> {
        let Some(size) = self.anchors.get(&id).map(Node::size) else {
            return Err(self.stop(span, "this alias refers to itself"));
        };
        self.count(size, span)?;
        self.anchors.get(&id).cloned().ok_or_else(|| self.stop(span, "this alias has no anchor"))
    }

    fn scalar(&mut self, text: &str, literal: bool, span: &Span) -> Node {
        let place = self.place(span);
        let form = |text: &str| if literal { Form::Text } else { scalar::form(text) };
        let value = match scalar::interpolate(text, self.environment) {
            Ok(None) => Value::Scalar(text.to_owned(), form(text)),
            Ok(Some(filled)) => {
                // An empty variable is an empty text and not null.
                let form = Some(form(&filled)).filter(|form| *form != Form::Null).unwrap_or(Form::Text);
                Value::Scalar(filled, form)
            }
            Err(message) => {
                self.report.problem(place, message);
                self.report.silence(place);
                Value::Scalar(text.to_owned(), Form::Text)
            }
        };
        Node { place, last_line: span.end.line().max(place.line), value }
    }

    fn list(&mut self, span: &Span) -> YamlResult<Node> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(self.whole(span, &at, Value::List(items)));
            }
            items.push(self.node(event, &at)?);
        }
    }

    fn map(&mut self, span: &Span) -> YamlResult<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: HashMap<String, Place> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                merge(self.report, &mut entries, merged);
                return Ok(self.whole(span, &at, Value::Map(entries)));
            }
            let place = self.place(&at);
            let plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let key = match event {
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(self.stop(&at, "a key must be a single word or text")),
            };
            let (event, at) = self.next()?;
            let value = self.node(event, &at)?;
            if self.names_a_secret(&key) {
                self.report.hide(&value);
            }
            if plain && key == "<<" {
                merged.push(value);
                continue;
            }
            let first = if entries.len() < INDEXED {
                entries.iter().find(|entry| entry.key == key).map(|entry| entry.place)
            } else {
                known.extend(entries[known.len()..].iter().map(|entry| (entry.key.clone(), entry.place)));
                known.get(&key).copied()
            };
            if let Some(first) = first {
                let message = format!("the key {key:?} is given twice; first given at line {}", first.line);
                self.report.problem(place, message);
                continue;
            }
            entries.push(Entry { key, place, value });
        }
    }

    fn names_a_secret(&mut self, key: &str) -> bool {
        if let Some(known) = self.secret_keys.get(key) {
            return *known;
        }
        let secret = mask::names_a_secret(key);
        self.secret_keys.insert(key.to_owned(), secret);
        secret
    }

    fn whole(&self, start: &Span, end: &Span, value: Value) -> Node {
        Node { place: self.place(start), last_line: end.end.line().max(start.start.line()), value }
    }
}

/// Adds the entries of `<<`. An entry of the mapping itself precedes them, and an earlier mapping a later one.
fn merge(report: &mut Report, entries: &mut Vec<Entry>, merged: Vec<Node>) {
    let mut known: HashSet<String> = HashSet::new();
    if !merged.is_empty() {
        known.extend(entries.iter().map(|entry| entry.key.clone()));
    }
    let single = |node: Node| match node.value {
        Value::List(items) => items,
        _ => vec![node],
    };
    for node in merged.into_iter().flat_map(single) {
        match node.value {
            Value::Map(more) => entries.extend(more.into_iter().filter(|entry| known.insert(entry.key.clone()))),
            _ => report.problem(node.place, "\"<<\" must be a mapping or a list of mappings"),
        }
    }
}
