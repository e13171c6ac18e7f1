//! Mail addresses: of owners, fallbacks and the notification address of a session.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One mail address without a display name, compared without regard to case.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(Arc<str>);

/// A text that cannot be an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a mail address such as name@company.example")]
pub struct AddressError(String);

impl Address {
    /// Longest address that SMTP carries, in bytes (RFC 5321, 4.5.3.1.3, less the angle brackets).
    pub const MAX: usize = 254;

    /// Accepts what mail servers deliver in practice: one `@`, a dotted or plain local part of printable ASCII
    /// without specials, and a host of letters, digits, dots and hyphens. Stray spaces around it are dropped.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let fail = || AddressError(text.chars().take(80).collect());
        let (local, host) = text.rsplit_once('@').ok_or_else(fail)?;
        let local_ok = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&b);
        let host_ok = |part: &str| {
            !part.is_empty()
                && part.len() <= 63
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let dots_ok = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
        if text.len() > Self::MAX
            || local.is_empty()
            || local.len() > 64
            || !local.bytes().all(local_ok)
            || !dots_ok
            || !host.split('.').all(host_ok)
        {
            return Err(fail());
        }
        Ok(Self(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Address {}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let folded = |a: &Self| a.0.bytes().map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>();
        folded(self).cmp(&folded(other))
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0.as_ref().to_owned()
    }
}

/// An address with an optional display name, as in `Driftwise <driftwise@company.example>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAddress {
    pub name: Option<String>,
    pub address: Address,
}

impl NamedAddress {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('<') else {
            return Ok(Self { name: None, address: Address::parse(text)? });
        };
        let fail = || AddressError(text.chars().take(80).collect());
        let address = Address::parse(rest.strip_suffix('>').ok_or_else(fail)?)?;
        let name = name.trim().trim_matches('"').trim();
        if name.chars().any(char::is_control) {
            return Err(fail());
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(Self { name, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_servers_deliver_are_accepted_and_others_are_not() {
        for good in ["a@b", "it@acme.example", " a.b+c@x-y.example ", "o'neil@acme.co.uk"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        let bad = ["", "a", "@b", "a@", "a@@b", "a b@c", "a@b c", "a@-b", ".a@b", "a..b@c", "a@b\r\nBcc: x@y", "<a@b>"];
        for bad in bad {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_compare_without_regard_to_case() {
        assert_eq!(Address::parse("IT@Acme.example").unwrap(), Address::parse("it@acme.EXAMPLE").unwrap());
    }

    #[test]
    fn a_mailbox_may_carry_a_display_name() {
        let mailbox = NamedAddress::parse("\"Drift, wise\" <d@x.example>").unwrap();
        assert_eq!(mailbox.name.as_deref(), Some("Drift, wise"));
        assert_eq!(mailbox.address.as_str(), "d@x.example");
        assert!(NamedAddress::parse("x <d@x.example").is_err());
        assert!(NamedAddress::parse("a\r\nBcc: <d@x.example>").is_err());
    }
}
