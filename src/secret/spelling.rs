//! Decodes escapes in outside text: percent-encoding, the escapes of JSON and of HTML, also nested.

use std::ops::Range;

/// A text with its escapes decoded.
pub(super) struct View {
    pub bytes: Vec<u8>,
    /// The range of each byte in the original text.
    pub from: Vec<Range<usize>>,
}

/// Most layers of escapes that are decoded: a URL in JSON in HTML has three.
const LAYERS: usize = 4;

/// Size of a window, and its overlap with the next one, in bytes. A view takes about 20 times the memory of its text.
const WINDOW: usize = 64 << 10;
const OVERLAP: usize = 8 << 10;

/// The views of a text with escapes; most texts have none.
pub(super) fn views(text: &[u8]) -> impl Iterator<Item = View> {
    let starts = (0..text.len()).step_by(WINDOW - OVERLAP);
    let windows = starts.map(move |start| (start, &text[start..text.len().min(start + WINDOW)]));
    windows.filter(|(_, window)| has_escapes(window)).flat_map(|(start, window)| {
        let plain = View { bytes: window.to_vec(), from: (start..start + window.len()).map(|at| at..at + 1).collect() };
        std::iter::successors(undone(&plain), undone).take(LAYERS)
    })
}

fn has_escapes(text: &[u8]) -> bool {
    // Without an early exit in a chunk, so that the compiler can vectorise it.
    text.chunks(64).any(|chunk| chunk.iter().fold(false, |found, byte| found | matches!(byte, b'%' | b'\\' | b'&')))
}

/// Decodes one layer of escapes, if there is any.
fn undone(view: &View) -> Option<View> {
    let mut next = View { bytes: Vec::with_capacity(view.bytes.len()), from: Vec::with_capacity(view.bytes.len()) };
    let (mut rest, mut at, mut changed) = (view.bytes.as_slice(), 0, false);
    while let Some(byte) = rest.first() {
        let escape = match byte {
            b'%' => percent(rest),
            b'\\' => backslash(rest),
            b'&' => entity(rest),
            _ => None,
        };
        changed |= escape.is_some();
        let (meant, len) = escape.unwrap_or((Meant::Byte(*byte), 1));
        let from = view.from[at].start..view.from[at + len - 1].end;
        match meant {
            Meant::Byte(byte) => next.push(byte, &from),
            Meant::Char(c) => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| next.push(byte, &from)),
        }
        at += len;
        rest = &rest[len..];
    }
    changed.then_some(next)
}

/// A part of a URL without its percent-encoding.
pub(super) fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [byte, after @ ..] = rest {
        let escape = if *byte == b'%' { percent(rest) } else { None };
        match escape {
            Some((Meant::Byte(byte), len)) => {
                bytes.push(byte);
                rest = &rest[len..];
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl View {
    fn push(&mut self, byte: u8, from: &Range<usize>) {
        self.bytes.push(byte);
        self.from.push(from.clone());
    }
}

/// The meaning of an escape.
enum Meant {
    Byte(u8),
    Char(char),
}

/// `%41`
fn percent(text: &[u8]) -> Option<(Meant, usize)> {
    let value = number(text.get(1..3)?, 16)?;
    Some((Meant::Byte(u8::try_from(value).ok()?), 3))
}

/// `\n`, `\"`, `\x41`, `\u0041`, `\uD83D\uDE00`
fn backslash(text: &[u8]) -> Option<(Meant, usize)> {
    let unit = |text: &[u8]| number(text.strip_prefix(b"\\u")?.get(..4)?, 16).and_then(|unit| u16::try_from(unit).ok());
    let byte = match text.get(1)? {
        b'u' => {
            let first = unit(text)?;
            let second = text.get(6..).and_then(unit);
            let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
            return match (char::from_u32(first.into()), pair) {
                (Some(c), _) => Some((Meant::Char(c), 6)),
                (None, pair) => Some((Meant::Char(pair?), 12)),
            };
        }
        b'x' => return Some((Meant::Byte(u8::try_from(number(text.get(2..4)?, 16)?).ok()?), 4)),
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        byte @ (b'"' | b'\\' | b'/' | b'\'') => *byte,
        _ => return None,
    };
    Some((Meant::Byte(byte), 2))
}

/// `&amp;`, `&#65;`, `&#x41;`
fn entity(text: &[u8]) -> Option<(Meant, usize)> {
    /// Longest name or number, in bytes.
    const LONGEST: usize = 10;
    let end = text.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let c = match &text[1..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        _ => return None,
    };
    Some((Meant::Char(c), end + 1))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_layer_by_layer() {
        let cases = [
            ("%63%61n", "can"),
            ("%2563an", "can"),
            (r"c\u0061n", "can"),
            (r"\\u0063an", "can"),
            (r#"a\"b\/c\n"#, "a\"b/c\n"),
            ("&lt;&#99;&#x61;&amp;quot;", "<ca\""),
            (r"\uD83D\uDE00\u00e9", "😀é"),
            ("%C3%A9%", "é%"),
        ];
        for (text, plain) in cases {
            let last = views(text.as_bytes()).last().unwrap();
            assert_eq!(String::from_utf8(last.bytes).unwrap(), plain, "{text}");
        }
    }

    #[test]
    fn text_without_escapes_has_no_view() {
        for text in ["", "plain", "15% off", "%+1", r"\q \u12 \uD83D \", "& &; &unknown; &#; &#x110000;"] {
            assert_eq!(views(text.as_bytes()).count(), 0, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_decoded_in_windows_and_keeps_its_places() {
        let text = format!("{}%41", "x".repeat(WINDOW + 5));
        let last = views(text.as_bytes()).last().unwrap();
        assert_eq!(last.bytes.last(), Some(&b'A'));
        assert_eq!(last.from.last(), Some(&(WINDOW + 5..WINDOW + 8)));
    }
}
