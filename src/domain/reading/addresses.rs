//! Address columns: free text that can hold several addresses in any of the usual separators.

use crate::domain::address::Address;

/// The pieces of an address list, as written: `a@x; B <b@x>, c@x` gives three.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', ',', '\n', '\r', '|']).flat_map(|part| {
        let part = part.trim();
        let bracketed =
            part.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(address, _)| address.trim());
        let words = if bracketed.is_some() { "" } else { part };
        bracketed.into_iter().chain(words.split_whitespace())
    })
}

/// Whether one of the addresses in `text` is `wanted`.
pub fn includes(text: &str, wanted: &Address) -> bool {
    split(text).filter_map(|piece| Address::parse(piece).ok()).any(|address| address == *wanted)
}

/// Whether there is one address that mail could be sent to.
pub fn any_usable(text: &str) -> bool {
    split(text).any(|piece| Address::parse(piece).is_ok())
}

/// A form that is equal for lists of the same addresses, in any order and case.
pub fn folded(text: &str) -> Vec<String> {
    let mut pieces = split(text).map(str::to_lowercase).collect::<Vec<_>>();
    pieces.sort();
    pieces.dedup();
    pieces
}

/// Whether both hold the same addresses, in any order and case.
pub fn same(a: &str, b: &str) -> bool {
    folded(a) == folded(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_addresses_are_found_in_any_separator() {
        let list = "it@acme.example; Ops <OPS@acme.example>, x@y z@y\nlast@y";
        assert_eq!(split(list).collect::<Vec<_>>(), ["it@acme.example", "OPS@acme.example", "x@y", "z@y", "last@y"]);
        assert!(includes(list, &Address::parse("ops@acme.example").unwrap()));
        assert!(!includes(list, &Address::parse("nobody@acme.example").unwrap()));
    }

    #[test]
    fn an_address_is_not_found_inside_a_longer_one() {
        assert!(!includes("not-it@acme.example", &Address::parse("it@acme.example").unwrap()));
    }

    #[test]
    fn a_text_without_an_address_is_not_usable() {
        assert!(any_usable("see wiki or a@b"));
        for text in ["", "none", "@", "a@"] {
            assert!(!any_usable(text), "{text}");
        }
    }

    #[test]
    fn order_and_case_do_not_matter() {
        assert!(same("a@x;b@x", "B@x, a@x"));
        assert!(!same("a@x", "a@x;b@x"));
    }
}
