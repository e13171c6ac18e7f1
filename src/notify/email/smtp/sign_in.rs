//! The ways to sign in (RFC 4954), and what each says when.
//!
//! A mechanism is what stands in AUTH and what answers each challenge (334). One that needs more, such as XOAUTH2 with its
//! explanation in a challenge, answers here too; the session only carries the lines.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

/// A user name and its password, revealed for one session.
pub(super) struct Account {
    pub username: String,
    pub password: SecretString,
}

/// A SASL mechanism that this client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
}

impl Mechanism {
    /// The preferred one first.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The AUTH command.
    pub fn begin(self, account: &Account) -> SecretString {
        match self {
            Self::Plain => SecretString::from(format!("AUTH PLAIN {}", plain(account))),
            Self::Login => SecretString::from("AUTH LOGIN"),
        }
    }

    /// The line that answers the challenge number `round`, from 0; none where the mechanism has nothing more to say. LOGIN goes
    /// by the order: what servers ask with is not defined.
    pub fn answer(self, account: &Account, round: usize) -> Option<SecretString> {
        let line = match (self, round) {
            // The server passed over what stood in AUTH.
            (Self::Plain, 0) => plain(account),
            (Self::Login, 0) => BASE64_STANDARD.encode(&account.username),
            (Self::Login, 1) => BASE64_STANDARD.encode(account.password.expose_secret()),
            _ => return None,
        };
        Some(SecretString::from(line))
    }
}

fn plain(account: &Account) -> String {
    BASE64_STANDARD.encode(format!("\0{}\0{}", account.username, account.password.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mechanism_says_its_lines_in_order_and_then_no_more() {
        let account = Account { username: "driftwise".to_owned(), password: SecretString::from("correct horse") };
        let plain = "AGRyaWZ0d2lzZQBjb3JyZWN0IGhvcnNl";
        for (mechanism, begin, answers) in [
            (Mechanism::Plain, format!("AUTH PLAIN {plain}"), vec![plain]),
            (Mechanism::Login, "AUTH LOGIN".to_owned(), vec!["ZHJpZnR3aXNl", "Y29ycmVjdCBob3JzZQ=="]),
        ] {
            assert_eq!(mechanism.begin(&account).expose_secret(), begin);
            let said = (0..4).map_while(|round| mechanism.answer(&account, round));
            let said = said.map(|line| line.expose_secret().to_owned()).collect::<Vec<_>>();
            assert_eq!(said, answers);
        }
    }
}
