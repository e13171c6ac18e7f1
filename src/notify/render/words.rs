//! Outside text in a mail: on one line, without marks that hide or reorder it, and of a readable length.

use crate::domain::reading::visible;

/// Longest value, name or label that is shown, in characters.
pub(super) const VALUE: usize = 300;
/// Longest explanation that is shown, in characters.
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

/// A value, or that there is none.
pub(super) fn value(text: &str) -> String {
    let shown = plain(text, VALUE);
    if shown.is_empty() { "(empty)".to_owned() } else { shown }
}

/// About how many bytes `text` takes in HTML.
pub(super) fn escaped(text: &str) -> usize {
    text.len() + 5 * text.bytes().filter(|b| b"<>&\"'/".contains(b)).count()
}

/// `1 setting`, `3 settings`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
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
