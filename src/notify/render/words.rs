//! Outside text in a mail: on one line, without marks that hide or reorder it, and of a readable length.

use crate::domain::name::Name;
use crate::domain::reading::{is_invisible, visible};
use crate::domain::session::{SessionId, SessionKey};
pub(super) use crate::view::words::{count, number};

/// Longest value, name or label, in characters.
pub(super) const VALUE: usize = 300;
/// Longest explanation, in characters.
pub(super) const PROSE: usize = 800;

/// `text` on one line, at most `most` characters. Line breaks and tabs become spaces; other control and direction marks
/// become a visible replacement, so that a value made of them does not look empty.
pub(super) fn plain(text: &str, most: usize) -> String {
    let text = text.trim();
    let mut shown = String::with_capacity(text.len().min(most * 4));
    for (at, c) in text.chars().enumerate() {
        if at == most {
            shown.push_str("… (cut)");
            break;
        }
        shown.push(match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            c => visible(c),
        });
    }
    shown
}

/// A value, or the words for an empty one.
pub(super) fn value(text: &str) -> String {
    let shown = plain(text, VALUE);
    if shown.is_empty() { "(empty)".to_owned() } else { shown }
}

/// Outside text on one line of at most `most` characters, without marks and stray spaces: for subjects.
pub(super) fn clean(text: &str, most: usize) -> String {
    let line = text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).collect::<String>();
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= most {
        return words;
    }
    let mut cut = words.chars().take(most - 1).collect::<String>();
    cut.push('…');
    cut
}

/// Longest name of a session, in characters.
const NAME: usize = 120;

/// The session's name for people, or its number, or the source.
pub(super) fn who(source: &Name, session: Option<&SessionId>, name: Option<&str>) -> String {
    match (named(name), session) {
        (Some(name), _) => name,
        (None, Some(id)) => format!("session {source}/{id}"),
        (None, None) => source.to_string(),
    }
}

/// The name of a session, if it has one that can be read.
pub(super) fn named(name: Option<&str>) -> Option<String> {
    name.map(|name| plain(name, NAME)).filter(|name| !name.is_empty())
}

/// The same for a session alone.
pub(super) fn name_of(key: &SessionKey, name: Option<&str>) -> String {
    who(&key.source, Some(&key.id), name)
}

/// `a`, `a and b`, or `a, b and 3 more`: at most `most` names; the others are counted.
pub(super) fn listed(names: impl ExactSizeIterator<Item = String>, most: usize) -> String {
    let more = names.len().saturating_sub(most);
    let mut names = names.take(most).collect::<Vec<_>>();
    names.extend((more > 0).then(|| format!("{} more", number(more))));
    match names.pop() {
        Some(last) if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// About how many bytes `text` takes in HTML.
pub(super) fn escaped(text: &str) -> usize {
    text.len() + 5 * text.bytes().filter(|b| b"<>&\"'/".contains(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_visible_and_lines_become_one() {
        assert_eq!(plain(" a\r\nBcc: x\u{202E}y\0z ", 100), "a  Bcc: x\u{FFFD}y\u{FFFD}z");
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        assert_eq!(plain(&"ü".repeat(5000), 3), "üüü… (cut)");
        assert_eq!(plain("üüü", 3), "üüü");
    }
}
