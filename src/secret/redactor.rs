//! Removes known secrets, in any encoding, from outside text.
//!
//! A server can repeat its requests: in a redirect, an error page, a value of a row. So this searches outside text for every
//! secret that its sender knows. It keeps each secret in its encodings (Base64 in both alphabets at all three alignments,
//! hexadecimal), and searches the text in its original form and with its escapes decoded (percent, JSON, HTML; see `spelling`).
//! Letters match without regard to case, because servers return hosts and header names in lower case.
//!
//! Some secrets stay, because their removal would damage too much other text: a secret of one to three characters by itself
//! (as a pair with the user name, and in Base64 from six characters on, it is removed). In rows, where a wrong match would read
//! as drift, also: a number of up to six digits, a piece of a password, and a password of fewer than eight characters within
//! a longer word.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};

use super::spelling::{self, View};
use super::unknown;

/// Replaces a secret.
pub const REDACTED: &str = "[redacted]";

/// Shortest secret that is removed by itself, in bytes: the length of a [`gram`].
const SHORTEST: usize = 4;

/// Shortest encoding that is removed, in bytes. Shorter ones occur by chance.
const SHORTEST_ENCODED: usize = 6;

/// In a row, a shorter secret is removed only as a word of its own, in bytes.
const WORD: usize = 8;

/// A piece of a long secret is as dangerous as all of it. The length from which a piece counts lies in this range, in bytes.
const PIECE: Range<usize> = 8..16;

/// A number of at most this many digits in a row is an ID, a count or a price, and stays.
const NUMBER: usize = 6;

/// The part of a secret that is kept in encodings, in bytes. Tokens can be long, and a piece is enough.
const ENCODED: usize = 1024;

/// A secret that a source knows, and whether its pieces count.
#[derive(Clone)]
pub struct KnownSecret {
    value: SecretString,
    grain: Grain,
}

impl fmt::Debug for KnownSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownSecret").field("grain", &self.grain).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grain {
    /// Pieces do not count: a piece of a pair may be the user name, which is not secret.
    Whole,
    /// Pieces may be words: they count in quotes, and not in rows.
    Words,
    /// Pieces always count.
    Random,
}

impl KnownSecret {
    /// A secret that a person may have chosen.
    pub fn password(value: impl Into<SecretString>) -> Self {
        Self { value: value.into(), grain: Grain::Words }
    }

    /// A user name and a password, in the form of Basic authentication.
    fn pair(username: &str, password: &SecretString) -> Self {
        let pair = format!("{username}:{}", password.expose_secret());
        Self { value: pair.into(), grain: Grain::Whole }
    }

    /// The password, and its pair with the user name.
    pub fn sign_in(username: &str, password: &SecretString) -> [Self; 2] {
        [Self::password(password.clone()), Self::pair(username, password)]
    }

    /// The same from a URL, where both are percent-encoded.
    pub fn sign_in_of_url(username: &str, password: &str) -> [Self; 2] {
        Self::sign_in(&spelling::percent_decoded(username), &spelling::percent_decoded(password).into())
    }

    /// A secret made by a machine.
    pub fn token(value: impl Into<SecretString>) -> Self {
        Self { value: value.into(), grain: Grain::Random }
    }
}

/// One spelling of a secret.
struct Spelling {
    bytes: Box<[u8]>,
    grain: Grain,
}

impl Spelling {
    /// The length from which a piece counts in a `place`, in bytes.
    fn least(&self, place: Destination) -> usize {
        let len = self.bytes.len();
        match (self.grain, place) {
            (Grain::Whole, _) | (Grain::Words, Destination::Row) => len,
            (Grain::Random, Destination::Row) => len.min(PIECE.end),
            (Grain::Words | Grain::Random, Destination::Quote) => {
                len.min(len.div_ceil(2).clamp(PIECE.start, PIECE.end))
            }
        }
    }
}

/// The use of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination {
    /// In a reason, for people: remove too much rather than too little.
    Quote,
    /// In a row, for comparison: a wrong removal would read as drift.
    Row,
}

/// See the module. Its `Debug` shows no secret.
#[derive(Default)]
pub struct Redactor {
    forms: Vec<Spelling>,
    /// Every fourth run of four bytes of each form, so that any seven bytes of a form hold one.
    anchors: HashMap<u32, Vec<Anchor>>,
    /// A filter of the hashes of all `anchors`; empty if there are none.
    filter: Vec<u64>,
}

struct Anchor {
    form: usize,
    at: usize,
}

/// Most anchors of the same four bytes, and most of them from one form. The forms of passwords come first, so that a
/// repetitive token displaces none of them and cannot make a search slow.
const SAME: usize = 32;
const SAME_FORM: usize = 2;

impl Redactor {
    /// Passwords must come before tokens.
    pub fn new<'a>(known: impl IntoIterator<Item = &'a KnownSecret>) -> Self {
        let mut forms = Vec::new();
        for secret in known {
            spell(secret, &mut forms);
        }
        let mut redactor = Self { forms: Vec::new(), anchors: HashMap::new(), filter: vec![0; FILTER / 64] };
        for form in forms {
            redactor.add(form);
        }
        redactor
    }

    fn add(&mut self, form: Spelling) {
        if self.forms.iter().any(|known| known.bytes == form.bytes && known.grain == form.grain) {
            return;
        }
        let index = self.forms.len();
        for (block, bytes) in form.bytes.chunks_exact(SHORTEST).enumerate() {
            let gram = gram(bytes);
            let same = self.anchors.entry(gram).or_default();
            if same.len() < SAME && same.iter().filter(|anchor| anchor.form == index).count() < SAME_FORM {
                same.push(Anchor { form: index, at: block * SHORTEST });
            }
            let bit = hash(gram);
            self.filter[bit / 64] |= 1 << (bit % 64);
        }
        self.forms.push(form);
    }

    /// A text to quote for people: without known secrets and their pieces, and without text that resembles other secrets.
    pub fn quote<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.redact(text, Destination::Quote) {
            Cow::Borrowed(text) => unknown::redact(text),
            Cow::Owned(text) => Cow::Owned(unknown::redact(&text).into_owned()),
        }
    }

    /// A value or the name of a column, without any known secret.
    pub fn value<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.len() <= NUMBER && text.bytes().all(|b| b.is_ascii_digit()) {
            return Cow::Borrowed(text);
        }
        self.redact(text, Destination::Row)
    }

    fn redact<'a>(&self, text: &'a str, place: Destination) -> Cow<'a, str> {
        let mut found = Vec::new();
        if !self.forms.is_empty() {
            self.search(text.as_bytes(), place, |hit| found.push(hit));
            for view in spelling::views(text.as_bytes()) {
                self.search(&view.bytes, place, |hit| found.push(view.origin(hit)));
            }
        }
        if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(without(text, found)) }
    }

    /// Passes every piece of a secret in `text` to `found`, from left to right.
    fn search(&self, text: &[u8], place: Destination, mut found: impl FnMut(Range<usize>)) {
        let (mut at, mut done) = (0, 0);
        while let Some(bytes) = text.get(at..at + SHORTEST) {
            let gram = gram(bytes);
            let bit = hash(gram);
            if self.filter[bit / 64] & (1 << (bit % 64)) != 0
                && let Some(hit) = self.longest(text, at, done, gram, place)
            {
                done = hit.end;
                at = hit.end;
                found(hit);
            } else {
                at += 1;
            }
        }
    }

    /// The longest piece of a secret around the four bytes at `at`, from `done` on.
    fn longest(&self, text: &[u8], at: usize, done: usize, gram: u32, place: Destination) -> Option<Range<usize>> {
        let pieces = self.anchors.get(&gram)?.iter().filter_map(|anchor| {
            let form = &self.forms[anchor.form];
            let same = |(one, other): &(&u8, &u8)| one.eq_ignore_ascii_case(other);
            let before = text[done..at].iter().rev().zip(form.bytes[..anchor.at].iter().rev()).take_while(same).count();
            let after = text[at..].iter().zip(&form.bytes[anchor.at..]).take_while(same).count();
            let piece = at - before..at + after;
            let is_one =
                piece.len() >= form.least(place) && (place == Destination::Quote || stands_alone(text, &piece, form));
            is_one.then_some(piece)
        });
        pieces.max_by_key(Range::len)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

/// Whether a short secret in a row is a word of its own.
fn stands_alone(text: &[u8], piece: &Range<usize>, form: &Spelling) -> bool {
    let of_a_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
    let before = piece.start.checked_sub(1).and_then(|at| text.get(at));
    form.grain != Grain::Words || form.bytes.len() >= WORD || !of_a_word(before) && !of_a_word(text.get(piece.end))
}

/// `text` with [`REDACTED`] in place of each range.
fn without(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let (mut kept, mut from) = (String::with_capacity(text.len()), 0);
    let mut ranges = ranges.into_iter().peekable();
    while let Some(Range { start, mut end }) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start <= end) {
            end = end.max(next.end);
        }
        kept.push_str(&text[from..text.floor_char_boundary(start)]);
        kept.push_str(REDACTED);
        from = text.ceil_char_boundary(end);
    }
    kept.push_str(&text[from..]);
    kept
}

/// Adds every form of `secret` to search for.
fn spell(secret: &KnownSecret, forms: &mut Vec<Spelling>) {
    let text = secret.value.expose_secret();
    let mut written = vec![text.as_bytes().to_vec()];
    if text.contains(' ') {
        // The form of a space in HTML forms.
        written.push(text.replace(' ', "+").into_bytes());
    }
    if !text.is_ascii() {
        let latin_1 = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<_>>>();
        written.extend(latin_1);
    }
    for bytes in written {
        let start = &bytes[..bytes.len().min(ENCODED)];
        let encoded = (0..3).flat_map(|before| base64(start, before)).chain([hexadecimal(start)]);
        let encoded = encoded.filter(|form| form.len() >= SHORTEST_ENCODED).collect::<Vec<_>>();
        if bytes.len() >= SHORTEST {
            forms.push(Spelling { bytes: bytes.into(), grain: secret.grain });
        }
        forms.extend(encoded.into_iter().map(|form| Spelling { bytes: form.into(), grain: Grain::Random }));
    }
}

/// The Base64 of `bytes` after `before` other bytes, in both alphabets: only the characters that depend on `bytes` alone.
fn base64(bytes: &[u8], before: usize) -> Vec<Vec<u8>> {
    let padded = [&[0; 2][..before], bytes].concat();
    let encoded = STANDARD_NO_PAD.encode(&padded);
    // A character has six bits. Those with bits of the bytes before, or of a byte that may follow, are left out.
    let (start, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    let standard = encoded.as_bytes()[start.min(end)..end].to_vec();
    let for_urls = standard.iter().map(|b| match b {
        b'+' => b'-',
        b'/' => b'_',
        b => *b,
    });
    let for_urls = for_urls.collect::<Vec<_>>();
    if for_urls == standard { vec![standard] } else { vec![standard, for_urls] }
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// Bits of the filter: 8 KiB, which fits into the first-level cache of a core.
const FILTER: usize = 1 << 16;

/// Four bytes as a number, the same for letters of either case.
fn gram(bytes: &[u8]) -> u32 {
    let bytes = bytes.first_chunk::<SHORTEST>().copied().unwrap_or_default();
    u32::from_le_bytes(bytes) | 0x2020_2020
}

fn hash(gram: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> 16) as usize
}

impl View {
    /// The range of a piece of the view in the original text.
    fn origin(&self, piece: Range<usize>) -> Range<usize> {
        self.from[piece.start].start..self.from[piece.end - 1].end
    }
}

#[cfg(test)]
mod tests;
