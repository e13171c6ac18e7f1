//! Tables: in Markdown, and for a terminal, with columns as wide as their widest value, one space between them, and outside text
//! made harmless.

use crate::domain::reading::visible;

/// Longest value, in characters; a longer one is cut.
const WIDEST: usize = 300;

/// Lines of `rows` under `head`, without trailing spaces.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let clean = |raw: &str| {
        let shown = raw.chars().map(visible).collect::<String>();
        if shown.chars().count() <= WIDEST {
            return shown;
        }
        shown.chars().take(WIDEST - 1).chain(std::iter::once('…')).collect()
    };
    let head = head.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = std::iter::once(&head).chain(rows).map(|row| row.iter().map(|raw| clean(raw)).collect::<Vec<_>>());
    let all = all.collect::<Vec<_>>();
    let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|raw| raw.chars().count()).max();
    let widths = (0..head.len()).map(|column| width(column).unwrap_or_default()).collect::<Vec<_>>();
    let mut text = String::new();
    for row in &all {
        let raw_values = row.iter().zip(&widths).map(|(raw, width)| format!("{raw:width$}")).collect::<Vec<_>>();
        text.push_str(raw_values.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The same as a Markdown table.
pub(super) fn markdown(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        format!("| {} |\n", cells.iter().map(|cell| escaped(cell.trim())).collect::<Vec<_>>().join(" | "))
    };
    let head = head.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rule = format!("|{}\n", " --- |".repeat(head.len()));
    std::iter::once(line(&head)).chain([rule]).chain(rows.iter().map(|row| line(row))).collect()
}

/// Text that Markdown shows as it is, including its line breaks.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' | '!' | '$' => {
                safe.extend(['\\', c]);
            }
            c => safe.push(visible(c)),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{markdown, table};

    #[test]
    fn outside_text_stays_in_its_cell_of_a_markdown_table() {
        let rows = [vec![String::from("  a|b"), String::from("<b>`x`</b> [y](z)")]];
        let text = markdown(&["ONE", "TWO"], &rows);
        assert_eq!(text, "| ONE | TWO |\n| --- | --- |\n| a\\|b | \\<b\\>\\`x\\`\\</b\\> \\[y\\](z) |\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_outside_text_is_harmless() {
        let rows = [vec![String::from("a\u{1b}[31m"), String::from("x")], vec![String::from("bb"), "y".repeat(400)]];
        let text = table(&["ONE", "TWO"], &rows);
        assert_eq!(text, format!("ONE     TWO\na\u{FFFD}[31m  x\nbb      {}…\n", "y".repeat(299)));
    }

    #[test]
    fn no_cell_breaks_or_reverses_a_line() {
        for mark in ['\0', '\n', '\r', '\t', '\u{85}', '\u{202E}', '\u{2066}', '\u{200B}', '\u{FEFF}'] {
            let text = table(&["ONE"], &[vec![format!("a{mark}b")]]);
            assert_eq!(text, "ONE\na\u{FFFD}b\n", "{mark:?}");
        }
    }
}
