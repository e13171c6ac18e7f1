//! Numbers, sentences and marks as every page, command and mail writes them.

use serde::Serialize;

/// The mark of a status on a page, besides its words. Worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    Bad,
    Unclear,
    Good,
    Quiet,
}

/// A number with its noun: `1 session`, `10,000 sessions`.
pub fn count(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// With a comma before every three digits.
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the largest unit that leaves at least 1, with a decimal below 10: `512 bytes`, `1.5 MiB`, `12 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let unit = (bytes.ilog2() as usize / 10 - 1).min(UNITS.len() - 1);
    let tenths = (u128::from(bytes) * 10) >> (10 * (unit + 1));
    let decimal = if tenths < 100 { format!(".{}", tenths % 10) } else { String::new() };
    format!("{}{decimal} {}", tenths / 10, UNITS[unit])
}

/// A reason with a capital letter, to begin a sentence.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// `text`, cut to `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        let counts = [0, 1, 999, 1000, 1_234_567].map(|n| count(n, "session"));
        assert_eq!(counts, ["0 sessions", "1 session", "999 sessions", "1,000 sessions", "1,234,567 sessions"]);
    }

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        let sizes = [0, 1023, 1024, 1536, 10 << 10, (1 << 20) - 1, 5 << 30, 3 << 60].map(size);
        let expected = ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "10 KiB", "1023 KiB", "5.0 GiB", "3145728 TiB"];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!([cut("üüü", 2), cut("üüü", 3), capital("été")], ["üü…", "üüü", "Été"]);
    }
}
