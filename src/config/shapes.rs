//! The shapes of single values that need no grammar: text, flag, number, one of several words, paths. Values with a grammar, such
//! as an address or a duration, are in `words`; lists and mappings in `containers`.

use std::fs::File;
use std::io::{self, Read as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::declaration::{Shape, shape};
use super::mask::user_info;
use super::report::{Report, suggestion};
use super::tree::{Form, Node, Value};
use super::words::SpanOrZero;
use crate::domain::reading::quote;

/// The schema of a text that matches `pattern`, or holds `${NAME}`, whose value only the reader knows.
pub(super) fn text_like(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": format!(r"{pattern}|\$\{{") })
}

/// The schema of any single value whose text matches `pattern`; numbers are not matched.
pub(super) fn any_text(pattern: &str) -> Json {
    json!({ "type": ["string", "number", "boolean"], "pattern": pattern })
}

/// Adds the word of the reference to a schema.
pub(super) fn titled(title: &str, mut schema: Json) -> Json {
    schema["title"] = title.into();
    schema
}

/// The value in a message after "not": its text, or its type.
pub(super) fn described(node: &Node) -> String {
    node.scalar().map_or_else(|| node.sort().to_owned(), |text| user_info(&quote(text)))
}

/// Any single value as text, numbers and `true` as they are written. Not empty.
pub(super) struct Text;

shape!(Text, String, titled("text", any_text(r"\S")), |report, node, key| match node.scalar() {
    Some(text) if !text.trim().is_empty() => Some(text.to_owned()),
    Some(_) => report.refuse(node, format!("{} must not be empty", quote(key))),
    None => report.refuse(node, format!("{} must be text, not {}", quote(key), node.sort())),
});

/// `true` or `false`.
pub(super) struct Flag;

shape!(
    Flag,
    bool,
    json!({ "title": "true or false", "type": ["boolean", "string"], "pattern": r"^\$\{" }),
    |report, node, key| match node.value {
        Value::Scalar(_, Form::Flag(flag)) => Some(flag),
        _ => report.refuse(node, format!("{key:?} must be true or false, not {}", described(node))),
    }
);

/// A whole number of type `T` from `MIN` to `MAX`.
pub(super) struct Whole<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T: TryFrom<u64>, const MIN: u64, const MAX: u64> Whole<T, MIN, MAX> {
    fn title() -> String {
        let range = if MAX == u64::MAX { format!("of {MIN} or more") } else { format!("from {MIN} to {MAX}") };
        format!("whole number {range}")
    }
}

impl<T: TryFrom<u64>, const MIN: u64, const MAX: u64> Shape for Whole<T, MIN, MAX> {
    type Value = T;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<T> {
        let number = node.scalar().and_then(|text| text.parse().ok()).filter(|number| (MIN..=MAX).contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .or_else(|| report.refuse(node, format!("{key:?} must be a {}, not {}", Self::title(), described(node))))
    }

    fn schema() -> Json {
        let pattern = r"^\+?[0-9]+$|\$\{";
        json!({ "title": Self::title(), "type": ["integer", "string"], "minimum": MIN, "maximum": MAX, "pattern": pattern })
    }
}

/// A closed set of words.
pub(super) trait Words: Sized + Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
    /// In the contract, but not built.
    const LATER: &'static [&'static str] = &[];
}

/// One word of a closed set.
pub(super) struct Choice<W>(PhantomData<W>);

impl<W: Words> Shape for Choice<W> {
    type Value = W;

    fn read(report: &mut Report, node: &Node, key: &str) -> Option<W> {
        let text = node.scalar().unwrap_or_default();
        let known = W::WORDS.iter().map(|(word, _)| *word);
        if let Some((_, value)) = W::WORDS.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let key = quote(key);
        if W::LATER.contains(&text) {
            let available = known.collect::<Vec<_>>().join(", ");
            return report
                .refuse(node, (format!("{key}: {text:?} is not available yet"), format!("available: {available}")));
        }
        report.refuse(node, (format!("{key} cannot be {}", described(node)), suggestion(text, known)))
    }

    fn schema() -> Json {
        let words = W::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let title = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        json!({ "title": title, "anyOf": [{ "enum": words }, { "type": "string", "pattern": r"\$\{" }] })
    }
}

/// As [`SpanOrZero`]; the list of growing intervals that the contract allows is not built.
pub(super) struct Repeat;

shape!(Repeat, Duration, SpanOrZero::schema(), |report, node, key| {
    if node.items().is_some() {
        return report.refuse(node, (format!("a list for {key:?} is not available yet"), "give one duration"));
    }
    SpanOrZero::read(report, node, key)
});

/// A path, relative to the file that names it.
pub(super) struct FilePath;

shape!(FilePath, PathBuf, titled("path", any_text(r"\S")), |report, node, key| {
    Some(report.folder(node.place.file).join(Text::read(report, node, key)?))
});

/// A file with certificates. It is read at once, so that `validate` reports a wrong path.
pub(super) struct Certificates;

shape!(Certificates, PathBuf, titled("path of a PEM file", any_text(r"\S")), |report, node, key| {
    let path = FilePath::read(report, node, key)?;
    report.inputs.file(&path);
    match certificates(&path) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => Some(path),
        Ok(_) => {
            let message = format!("{key:?}: {} holds no certificate in PEM form", path.display());
            report.refuse(node, (message, "such a file has a line -----BEGIN CERTIFICATE-----"))
        }
        Err(error) => report.refuse(node, format!("{key:?}: cannot read {}: {error}", path.display())),
    }
});

/// The first MiB of the file, as a mistyped path may name a device without end.
fn certificates(path: &Path) -> io::Result<String> {
    /// All authorities of a system together take a fourth of it.
    const LARGEST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    // Checked before opening, because opening a pipe waits for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The URL of the store, read as the path that it names.
pub(super) struct StoreUrl;

shape!(StoreUrl, PathBuf, titled("`sqlite://PATH`", text_like("^sqlite://[^?#]+$")), |report, node, key| {
    let url = Text::read(report, node, key)?;
    let path = url.strip_prefix("sqlite://").filter(|path| !path.is_empty() && !path.contains(['?', '#']));
    if let Some(path) = path {
        return Some(report.folder(node.place.file).join(path));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        // Such a URL holds a password.
        report.hide(node);
        return report.refuse(node, ("a postgres store is not available yet", "available: sqlite://PATH"));
    }
    let message = format!("{key:?} of the store must be sqlite://PATH, not {}", described(node));
    report.refuse(node, (message, "for example sqlite://driftwise.db or sqlite:///var/lib/driftwise.db"))
});
