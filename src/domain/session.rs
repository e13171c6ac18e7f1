//! An audited session: its identity, its policy, its schedule and its recipients.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::name::Name;
use super::policy::Policy;
use super::reading::is_invisible;
use super::schedule::Schedule;

/// The id of a session within its source, as OrderWise numbers it.
///
/// IDs that read as numbers match by value: `14`, `"14"`, `014`, `+14`, `14.0` and `1.4e1` are the same session. Whole numbers
/// come first and in their order, as OrderWise lists them: 9 before 14 before `shop`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId {
    /// The id as a number, so that most are compared without reading their text; [`SessionId::NO_NUMBER`] for every other.
    number: u64,
    text: Arc<str>,
}

/// A text that cannot be a [`SessionId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionIdError {
    #[error("a session ID is 1 to 128 printable characters, usually a whole number")]
    Text,
    /// Such as `1e400`, which no other spelling could be compared with.
    #[error("a session ID that is a number has at most 128 digits when it is written out")]
    Number,
}

impl SessionId {
    /// Longest id, in characters.
    pub const MAX: usize = 128;

    pub fn parse(text: &str) -> Result<Self, SessionIdError> {
        let text = text.trim();
        if is_plain(text) {
            return Ok(Self::of(Arc::from(text)));
        }
        if text.is_empty() || text.chars().count() > Self::MAX || text.chars().any(is_invisible) {
            return Err(SessionIdError::Text);
        }
        match Decimal::read(text) {
            Some(number) => Ok(Self::of(Arc::from(number.written_out().ok_or(SessionIdError::Number)?))),
            None => Ok(Self::of(Arc::from(text))),
        }
    }

    /// The id of a `text` that needs no normalising, as nearly all do; the two share the text.
    pub fn shared(text: &Arc<str>) -> Option<Self> {
        is_plain(text).then(|| Self::of(Arc::clone(text)))
    }

    /// Stands for every id that is not a number below it.
    const NO_NUMBER: u64 = u64::MAX;

    fn of(text: Arc<str>) -> Self {
        let number = if is_whole(&text) { text.parse().ok() } else { None };
        Self { number: number.unwrap_or(Self::NO_NUMBER), text }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Orders ids that are not a `u64`: greater whole numbers first, which have no leading zeros here, then texts.
    fn rank(&self) -> (bool, usize, &str) {
        let whole = is_whole(&self.text);
        (!whole, if whole { self.text.len() } else { 0 }, &self.text)
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && (self.number != Self::NO_NUMBER || self.text == other.text)
    }
}

impl Eq for SessionId {}

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for SessionId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionId {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.number.cmp(&other.number) {
            Ordering::Equal if self.number == Self::NO_NUMBER => self.rank().cmp(&other.rank()),
            order => order,
        }
    }
}

/// Whether a text is a whole number in its shortest form, as nearly every id is.
fn is_plain(text: &str) -> bool {
    (1..=18).contains(&text.len()) && is_whole(text) && !text.starts_with('0')
}

fn is_whole(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// A decimal number with any number of digits: `0.digits` times ten to the power of `point`.
struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    point: i64,
}

impl Decimal {
    /// Reads what JSON, spreadsheets and databases write for a number: a sign, digits with a point, an exponent.
    fn read(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let (negative, mantissa) = unsigned(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if !is_whole(whole) || !is_whole(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let exponent = exponent.map_or(Some(0), exponent_of)?;
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let leading = all.len() - significant.len();
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()?;
        let digits = significant.trim_end_matches('0').to_owned();
        Some(Self { negative, digits, point: point.saturating_add(exponent) })
    }

    /// The one spelling of its value, without an exponent. `None` where that is too long for an ID.
    fn written_out(&self) -> Option<String> {
        if self.digits.is_empty() {
            return Some("0".to_owned());
        }
        let longest = i64::try_from(SessionId::MAX).ok()?;
        if !(-longest..=longest).contains(&self.point) {
            return None;
        }
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
        let len = i64::try_from(self.digits.len()).ok()?;
        let number = match usize::try_from(self.point) {
            Ok(_) if self.point >= len => format!("{}{}", self.digits, zeros(self.point - len)),
            Ok(point) if point > 0 => format!("{}.{}", &self.digits[..point], &self.digits[point..]),
            _ => format!("0.{}{}", zeros(-self.point), self.digits),
        };
        (number.len() <= SessionId::MAX).then(|| if self.negative { format!("-{number}") } else { number })
    }
}

/// Whether a number is negative, and the rest of it.
fn unsigned(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Reads an exponent. One that is too large for the type becomes the largest.
fn exponent_of(text: &str) -> Option<i64> {
    let (negative, digits) = unsigned(text);
    if digits.is_empty() || !is_whole(digits) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX);
    Some(if negative { -size } else { size })
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

impl TryFrom<String> for SessionId {
    type Error = SessionIdError;

    fn try_from(text: String) -> Result<Self, SessionIdError> {
        Self::parse(&text)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.text.as_ref().to_owned()
    }
}

/// How people name a session: `SOURCE/ID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionKey {
    pub source: Name,
    pub id: SessionId,
}

impl SessionKey {
    /// Reads `SOURCE/ID`; `None` where it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (source, id) = text.split_once('/')?;
        Some(Self { source: Name::parse(source).ok()?, id: SessionId::parse(id).ok()? })
    }
}

impl SessionKey {
    /// The path of the session's page.
    pub fn page(&self) -> String {
        format!("/sessions/{}/{}", self.source, url_piece(self.id.as_str()))
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.id)
    }
}

/// A text as one piece of a URL: everything but the plainest characters is percent-encoded, so that no part of it is read as a
/// path of its own.
pub fn url_piece(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut piece, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            piece.push(char::from(byte));
        } else {
            let _ = write!(piece, "%{byte:02X}");
        }
        piece
    })
}

/// The parameters of a session that a policy may ask for, such as `notification_email`: one value, or several for a rule that
/// takes a list.
pub type Params = BTreeMap<String, Vec<String>>;

/// One OrderWise e-commerce session that is audited, with everything that the configuration says of it.
#[derive(Debug, Clone)]
pub struct Session {
    pub key: SessionKey,
    /// The name for people; without it, the name that the source returns.
    pub name: Option<String>,
    pub policy: Arc<Policy>,
    pub schedule: Schedule,
    /// Shared by the sessions that have the same.
    pub params: Arc<Params>,
    /// Notified of every incident of the session. Not empty unless `contacts.fallback` is not.
    pub owners: Vec<Address>,
    pub labels: BTreeMap<String, String>,
    /// Shared by the sessions of a customer.
    pub contacts: Arc<Contacts>,
}

impl Session {
    /// The zone of its times in mails and of its schedule.
    pub fn zone(&self) -> Tz {
        self.schedule.zone()
    }
}

/// The recipients and contacts of a session or a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contacts {
    pub customer: Option<Name>,
    /// Notified of critical incidents and of those without an owner: the customer's, else `alerts.fallback`.
    pub fallback: Vec<Address>,
    /// The people who run Driftwise: notified of everything that concerns the audit itself, and of critical incidents.
    pub operators: Vec<Address>,
    /// The contact that a mail names.
    pub contact: Option<String>,
    pub reply_to: Option<Address>,
    /// The zone of times in mails about a source rather than a session.
    pub zone: Tz,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_read_as_numbers_match_by_value() {
        let id = |text: &str| SessionId::parse(text).unwrap();
        let long = "9".repeat(40);
        let cases: [(&str, &[&str]); 7] = [
            (
                "14",
                &[
                    " 14 ", "\u{A0}14", "14.0", "14.00", "14.", "014", "0014", "+14", "1.4e1", "1.4E+1", "0.14e2",
                    ".14e2", "1400e-2", "14e0", "14e00", "140e-1",
                ],
            ),
            ("0", &["-0", "+0", "0.0", "-0.00", "00", "0e5", "0e99999999999999999999999", "-0e-7"]),
            ("-14", &["-014", "-14.0", "-1.4e1"]),
            ("14.5", &["14.50", "+14.5", "1.45e1", "0014.5"]),
            ("0.05", &["5e-2", ".05", "0.50e-1"]),
            (&long, &[&format!("0{long}.0"), &format!("+{long}")]),
            ("1000000000000000000000", &["1e21", "1E+21", "10.0e20"]),
        ];
        for (written, others) in cases {
            assert_eq!(id(written).as_str(), written);
            for same in others {
                assert_eq!(id(same), id(written), "{same}");
                assert_eq!(id(same).as_str(), written, "{same}");
            }
        }
    }

    #[test]
    fn ids_that_do_not_read_as_numbers_match_by_letter() {
        let id = |text: &str| SessionId::parse(text).unwrap();
        for text in
            ["14a", "fourteen", "1,4", "1 4", "e1", "1e", "1e+", "--14", "+-14", "+", "-", ".", "1.4.0", "0x0E", "NaN"]
        {
            assert_eq!(id(text).as_str(), text);
            assert_ne!(id(text), id("14"), "{text}");
        }
    }

    #[test]
    fn an_id_that_cannot_be_compared_is_refused_with_the_reason() {
        let nines = "9".repeat(SessionId::MAX);
        assert_eq!(SessionId::parse(&nines).unwrap().as_str(), nines);
        assert_eq!(SessionId::parse("1e127").unwrap().as_str().len(), SessionId::MAX);
        for text in ["1e128", "1e400", "-1e400", "1e-400", "9e99999999999999999999999", "9e-99999999999999999999999"] {
            assert_eq!(SessionId::parse(text), Err(SessionIdError::Number), "{text}");
        }
        for text in ["", "  ", "a\nb", &"9".repeat(129), &"x".repeat(129)] {
            assert_eq!(SessionId::parse(text), Err(SessionIdError::Text), "{text:?}");
        }
    }

    #[test]
    fn ids_are_in_the_order_of_their_numbers() {
        let sorted = [
            "0",
            "2",
            "9",
            "14",
            "100",
            "18446744073709551614",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999",
            "100000000000000000000",
            "-3",
            "14.5",
            "shop-1",
            "shop-2",
        ];
        let mut ids = sorted.map(|text| SessionId::parse(text).unwrap());
        ids.reverse();
        ids.sort();
        assert_eq!(ids.each_ref().map(SessionId::as_str), sorted);
        for (at, one) in ids.iter().enumerate() {
            assert_eq!(ids.iter().position(|other| other == one), Some(at));
        }
    }

    #[test]
    fn a_session_is_named_source_slash_id() {
        let key = SessionKey::parse("acme-erp/014").unwrap();
        assert_eq!(key.to_string(), "acme-erp/14");
        assert_eq!(SessionKey::parse("acme-erp"), None);
    }
}
