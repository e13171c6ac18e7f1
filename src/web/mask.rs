//! Masks mail addresses on a page: only the first letter and the host stay, as in `i…@acme.example`.
//!
//! Addresses that would look the same are numbered in the order in which they appear on the page: `i…(2)@acme.example`.

use std::collections::BTreeMap;

/// The addresses that one page has shown so far.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// By their masked form: the parts before the `@`, in lower case.
    shown: BTreeMap<String, Vec<String>>,
}

impl Masks {
    /// `text` with the mail addresses in it masked.
    pub fn mask(&mut self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut parts = text.split('@').peekable();
        while let Some(part) = parts.next() {
            // Any text that could be the part before the `@`, even if no mail server would accept it.
            let local = |c: char| !c.is_whitespace() && !"<>()[]{}:;,|“”‘’".contains(c);
            let start =
                part.char_indices().rev().take_while(|(_, c)| local(*c)).last().map_or(part.len(), |(at, _)| at);
            let first = part[start..].char_indices().find(|(_, c)| !matches!(c, '"' | '\''));
            match (first, parts.peek()) {
                // Text that is already masked stays as it is.
                (Some((at, first)), Some(rest)) if first != '…' => {
                    masked.push_str(&part[..start + at + first.len_utf8()]);
                    masked.push('…');
                    let host = rest.chars().take_while(|c| c.is_alphanumeric() || ".-".contains(*c));
                    let like = first.to_lowercase().chain(['@']).chain(host.flat_map(char::to_lowercase)).collect();
                    match self.number(like, part[start + at..].to_lowercase()) {
                        1 => {}
                        number => masked.extend(["(", &number.to_string(), ")"]),
                    }
                }
                _ => masked.push_str(part),
            }
            if parts.peek().is_some() {
                masked.push('@');
            }
        }
        masked
    }

    /// The number of an address, from 1, among those that look `like` it.
    fn number(&mut self, like: String, local: String) -> usize {
        let shown = self.shown.entry(like).or_default();
        let at = shown.iter().position(|other| *other == local).unwrap_or_else(|| {
            shown.push(local);
            shown.len() - 1
        });
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_keeps_its_first_letter_and_its_host() {
        for (text, shown) in [
            ("integrations@acme.example", "i…@acme.example"),
            ("includes it@acme.example, and x@y", "includes i…@acme.example, and x…@y"),
            ("Jo <jo@a.example>;\"é.b\"@c|d+e@f", "Jo <j…@a.example>;\"é…@c|d…@f"),
            ("the source returned \"o'brien@x\"", "the source returned \"o…@x\""),
            ("a@b@c", "a…@b…@c"),
            ("@since, a @ b, x@", "@since, a @ b, x…@"),
            ("<…@acme.example>: unknown", "<…@acme.example>: unknown"),
            ("no address", "no address"),
        ] {
            assert_eq!(Masks::default().mask(text), shown);
        }
    }

    #[test]
    fn addresses_that_differ_look_different_on_one_page() {
        let mut masks = Masks::default();
        let shown = ["jo@a.example", "John <john@a.example>", "JO@A.example", "jo@b.example", "john@a.example"];
        let shown = shown.map(|text| masks.mask(text));
        assert_eq!(
            shown,
            ["j…@a.example", "John <j…(2)@a.example>", "J…@A.example", "j…@b.example", "j…(2)@a.example"]
        );
    }
}
