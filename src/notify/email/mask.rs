//! Masks mail addresses in the replies of a mail server, before these enter an error and with it the store.
//!
//! Servers often repeat the recipient. The rest, the domain and the words around it, is enough to act on; the outbox names the
//! recipient beside the error.

/// Stands for the part of an address before the `@`.
const MASK: char = '…';

/// The characters that end an unquoted local part, besides spaces.
const DELIMITERS: &str = "<>()[],;:\"";

/// The spellings in which servers write an `@`.
const SIGNS: [&str; 6] = ["@", "＠", "=40", "%40", "+40", "&#64;"];

/// `text` with the local part before each `@` that may belong to an address replaced: `<…@acme.example>`.
pub(super) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, sign)) = next_sign(rest) {
        let (before, after) = rest.split_at(at);
        masked.push_str(without_local_part(before));
        masked.push(MASK);
        masked.push_str(sign);
        rest = after.get(sign.len()..).unwrap_or_default();
    }
    masked.push_str(rest);
    masked
}

/// The first sign, and its position.
fn next_sign(text: &str) -> Option<(usize, &'static str)> {
    let found = SIGNS.into_iter().filter_map(|sign| text.find(sign).map(|at| (at, sign)));
    found.min_by_key(|(at, _)| *at)
}

/// `before` without the local part at its end. A server that breaks its lines may have put spaces after that.
fn without_local_part(before: &str) -> &str {
    let local = before.trim_end();
    let start = match local.strip_suffix('"') {
        Some(quoted) => quoted.rfind('"'),
        None => {
            let mut delimiters = local.char_indices().filter(|(_, c)| c.is_whitespace() || DELIMITERS.contains(*c));
            delimiters.next_back().map(|(at, c)| at + c.len_utf8())
        }
    };
    local.get(..start.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_domain_of_an_address_is_left() {
        for (said, expected) in [
            ("5.1.1 <it@acme.example>: no such user", "5.1.1 <…@acme.example>: no such user"),
            ("it@acme.example", "…@acme.example"),
            ("a@x.example, b@y.example; c@z.example", "…@x.example, …@y.example; …@z.example"),
            ("RCPT TO:<it@acme.example> failed", "RCPT TO:<…@acme.example> failed"),
            ("for <\"john doe\"@acme.example>", "for <…@acme.example>"),
            ("for <it @acme.example>", "for <…@acme.example>"),
            ("bounces+it=acme.example@relay.example", "…@relay.example"),
            ("see https://help.example/?to=it%40acme.example", "see https:…%40acme.example"),
            ("<it=40acme.example> <it&#64;acme.example>", "<…=40acme.example> <…&#64;acme.example>"),
            ("<müller@acme.example> <it＠acme.example>", "<…@acme.example> <…＠acme.example>"),
            ("550 no such user here", "550 no such user here"),
            ("@", "…@"),
            ("\"@", "…@"),
            ("", ""),
        ] {
            assert_eq!(masked(said), expected, "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_name_before_a_sign_survives(
            local in "[a-zA-Z0-9!#$&'*/?^_`{|}~.-]{4,20}",
            sign in prop::sample::select(&SIGNS[..]),
            before in "[ -~]{0,20}",
            after in "[ -~]{0,20}",
        ) {
            prop_assume!(!before.contains(&local) && !after.contains(&local));
            let masked = masked(&format!("{before}{local}{sign}acme.example{after}"));
            prop_assert!(!masked.contains(&local), "{}", masked);
        }

        #[test]
        fn text_without_a_sign_stays_as_it_is(said in "[a-z0-9 <>.\"-]{0,40}") {
            prop_assert_eq!(masked(&said), said);
        }
    }
}
