//! Parses the replies of a mail server from bytes as they arrive (RFC 5321, 4.2).
//!
//! Pure, and bounded in both directions: the parser never holds more than one line and the lines before it. The same bytes give
//! the same replies, however they are divided into packets. It is strict where a mistake would shift replies (every line begins
//! with the same code) and lenient where it would not: a bare LF ends a line, a bare CR is part of the text, and text that is not
//! UTF-8 is decoded with replacement characters, because only the code decides.

/// Longest line of a reply with its end, in bytes. RFC 5321 (4.5.3.1.5) allows 512; some servers send more.
pub const LONGEST_LINE: usize = 8 * 1024;

/// Most lines of one reply. The longest honest one answers EHLO, with about 20.
pub const MOST_LINES: usize = 256;

/// The reply of a mail server to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// The text of each line, without code and line end.
    pub lines: Vec<String>,
}

impl Reply {
    /// Refused for now (4xx) or for good (5xx).
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

/// Why bytes are not a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first line, as it was sent.
    #[error("a reply without a code")]
    NoCode(String),
    #[error("a reply whose lines do not all begin with the same code")]
    MixedCodes,
    #[error("a reply line longer than {LONGEST_LINE} bytes")]
    LongLine,
    #[error("a reply of more than {MOST_LINES} lines")]
    ManyLines,
}

/// Assembles one reply.
#[derive(Debug, Default)]
pub struct Parser {
    /// The line that has not ended yet.
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
}

impl Parser {
    /// Takes bytes up to the end of the reply. Returns how many it took, and the reply if it is complete; the rest belongs to the
    /// next one.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Reply>), Malformed> {
        let mut taken = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > LONGEST_LINE {
                return Err(Malformed::LongLine);
            }
            taken += piece.len();
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n")
                && let Some(reply) = self.end_line()?
            {
                return Ok((taken, Some(reply)));
            }
        }
        Ok((taken, None))
    }

    /// Adds the line that has ended; returns the reply if that was its last one.
    fn end_line(&mut self) -> Result<Option<Reply>, Malformed> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let parsed = parse_line(line);
        let (code, last, text) = match (parsed, self.code) {
            (Some((code, ..)), Some(first)) if code != first => return Err(Malformed::MixedCodes),
            (Some(parsed), _) => parsed,
            (None, Some(_)) => return Err(Malformed::MixedCodes),
            (None, None) => return Err(Malformed::NoCode(String::from_utf8_lossy(line).into_owned())),
        };
        if self.lines.len() == MOST_LINES {
            return Err(Malformed::ManyLines);
        }
        self.code = Some(code);
        self.lines.push(String::from_utf8_lossy(text).into_owned());
        if !last {
            return Ok(None);
        }
        self.code = None;
        Ok(Some(Reply { code, lines: std::mem::take(&mut self.lines) }))
    }
}

/// The code of a line, whether the line is the last of its reply, and its text. A code alone is a whole line
/// (RFC 5321, 4.2).
fn parse_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let [first @ b'1'..=b'5', second @ b'0'..=b'9', third @ b'0'..=b'9', rest @ ..] = line else { return None };
    let digit = |byte: &u8| u16::from(byte - b'0');
    let code = digit(first) * 100 + digit(second) * 10 + digit(third);
    match rest {
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(code: u16, lines: &[&str]) -> Reply {
        Reply { code, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    /// Every reply in `bytes`, passed in `pieces`, and the error that ended the parsing.
    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Reply>, Option<Malformed>) {
        let (mut parser, mut replies) = (Parser::default(), Vec::new());
        for mut piece in pieces {
            while !piece.is_empty() {
                match parser.take(piece) {
                    Ok((taken, reply)) => {
                        assert!(taken > 0 && taken <= piece.len());
                        piece = &piece[taken..];
                        replies.extend(reply);
                    }
                    Err(malformed) => return (replies, Some(malformed)),
                }
            }
        }
        (replies, None)
    }

    #[test]
    fn replies_are_parsed_as_the_standard_says() {
        let table: [(&[u8], &[Reply]); 10] = [
            (b"250 ok\r\n", &[reply(250, &["ok"])]),
            (b"250\r\n", &[reply(250, &[""])]),
            (b"250 \r\n", &[reply(250, &[""])]),
            (b"250-one\r\n250-two\r\n250 three\r\n", &[reply(250, &["one", "two", "three"])]),
            (b"250-one\r\n250\r\n", &[reply(250, &["one", ""])]),
            (b"250-one\r\n250-\r\n250 \r\n", &[reply(250, &["one", "", ""])]),
            (b"250 ok\n354-go\n354 on\n", &[reply(250, &["ok"]), reply(354, &["go", "on"])]),
            (b"250 bare\rCR\r\r\n", &[reply(250, &["bare\rCR\r"])]),
            (b"550 Empf\xe4nger\r\n", &[reply(550, &["Empf\u{FFFD}nger"])]),
            (b"250 not finished", &[]),
        ];
        for (bytes, expected) in table {
            let case = String::from_utf8_lossy(bytes);
            assert_eq!(parse([bytes]), (expected.to_vec(), None), "{case:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_a_reply_are_refused_with_the_reason() {
        let no_code = |line: &str| Malformed::NoCode(line.to_owned());
        let table: [(&[u8], Malformed); 12] = [
            (b"\r\n", no_code("")),
            (b"HTTP/1.1 400 Bad Request\r\n", no_code("HTTP/1.1 400 Bad Request")),
            (b"25 ok\r\n", no_code("25 ok")),
            (b"2500 ok\r\n", no_code("2500 ok")),
            (b"650 ok\r\n", no_code("650 ok")),
            (b"050 ok\r\n", no_code("050 ok")),
            (b"250_ok\r\n", no_code("250_ok")),
            (b"250\tok\r\n", no_code("250\tok")),
            (b" 250 ok\r\n", no_code(" 250 ok")),
            (b"250-ok\r\n550 no\r\n", Malformed::MixedCodes),
            (b"250-ok\r\n251-ok\r\n250 ok\r\n", Malformed::MixedCodes),
            (b"250-ok\r\nand more\r\n250 ok\r\n", Malformed::MixedCodes),
        ];
        for (bytes, expected) in table {
            let case = String::from_utf8_lossy(bytes);
            assert_eq!(parse([bytes]), (Vec::new(), Some(expected)), "{case:?}");
        }
    }

    #[test]
    fn lines_and_their_number_are_bounded() {
        let line = |length: usize| [b"250 ".as_slice(), &vec![b'x'; length - 6], b"\r\n"].concat();
        assert_eq!(parse([line(LONGEST_LINE).as_slice()]).0.len(), 1);
        assert_eq!(parse([line(LONGEST_LINE + 1).as_slice()]), (Vec::new(), Some(Malformed::LongLine)));
        // A line that never ends is refused as soon as it is too long, and no byte beyond is kept.
        let mut parser = Parser::default();
        let piece = [b'2'; 1000];
        let refused = (0..9).find_map(|_| parser.take(&piece).err());
        assert_eq!(refused, Some(Malformed::LongLine));
        assert!(parser.line.len() <= LONGEST_LINE);
        let lines = |lines: usize| ["250-x\r\n".repeat(lines - 1), "250 x\r\n".to_owned()].concat();
        assert_eq!(parse([lines(MOST_LINES).as_bytes()]).0[0].lines.len(), MOST_LINES);
        assert_eq!(parse([lines(MOST_LINES + 1).as_bytes()]), (Vec::new(), Some(Malformed::ManyLines)));
    }

    /// A line that a server could send, right or wrong.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let code = prop_oneof![4 => Just("250".to_owned()), 1 => "[0-9]{3}", 1 => "[A-Z0-9]{0,4}"];
        let text = prop::collection::vec(any::<u8>(), 0..20);
        let end = prop_oneof![5 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("")];
        (code, prop_oneof![Just(" "), Just("-"), Just("")], text, end)
            .prop_map(|(code, mark, text, end)| [code.as_bytes(), mark.as_bytes(), &text, end.as_bytes()].concat())
    }

    proptest! {
        #[test]
        fn replies_are_the_same_however_they_are_divided_into_packets(
            lines in prop::collection::vec(line(), 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = lines.concat();
            let mut cuts = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect::<Vec<_>>();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            let whole = parse([bytes.as_slice()]);
            prop_assert_eq!(parse(pieces), whole.clone());
            prop_assert_eq!(parse(bytes.chunks(1)), whole);
        }

        #[test]
        fn a_reply_is_parsed_as_it_was_written(code in 100_u16..600, lines in prop::collection::vec("[^\r\n]{0,40}", 1..9)) {
            let last = lines.len() - 1;
            let said = lines.iter().enumerate().map(|(at, line)| {
                let mark = if at == last { ' ' } else { '-' };
                format!("{code}{mark}{line}\r\n")
            });
            let said = said.collect::<String>();
            prop_assert_eq!(parse([said.as_bytes()]), (vec![Reply { code, lines }], None));
        }
    }
}
