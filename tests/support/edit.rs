//! Edits of a text or file that fail if the words to replace are not in it.

use std::path::Path;

/// `text` with every `before` replaced by `after`; fails if there is none.
#[track_caller]
pub fn replaced(text: &str, before: &str, after: &str) -> String {
    assert!(text.contains(before), "{before:?} is not in:\n{text}");
    text.replace(before, after)
}

/// Makes such replacements in a file, one after the other.
#[track_caller]
pub fn edit(path: &Path, edits: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(path).unwrap();
    for (before, after) in edits {
        text = replaced(&text, before, after);
    }
    std::fs::write(path, text).unwrap();
}
