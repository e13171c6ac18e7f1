//! The ways to sign in (RFC 4954), and the lines of each.
//!
//! A mechanism has the line of AUTH and the answer to each challenge (334). XOAUTH2 refuses in two steps: a challenge that holds
//! an explanation as JSON, which an empty line answers, and then the refusal itself
//! (<https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>). The session only carries the lines.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

/// The credential for the sign-in, revealed for one session.
pub(super) enum Account {
    Password {
        username: String,
        password: SecretString,
    },
    /// An OAuth 2.0 access token.
    Token {
        username: String,
        token: SecretString,
    },
}

impl Account {
    fn username(&self) -> &str {
        match self {
            Self::Password { username, .. } | Self::Token { username, .. } => username,
        }
    }

    fn secret(&self) -> &str {
        match self {
            Self::Password { password: secret, .. } | Self::Token { token: secret, .. } => secret.expose_secret(),
        }
    }
}

/// A SASL mechanism that this client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    XOAuth2,
    Plain,
    Login,
}

impl Mechanism {
    /// The preferred one first.
    pub const ALL: [Self; 3] = [Self::XOAuth2, Self::Plain, Self::Login];

    pub fn name(self) -> &'static str {
        match self {
            Self::XOAuth2 => "XOAUTH2",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Whether it signs in with the kind of credential that `account` has: a token is never sent in place of a password.
    pub fn fits(self, account: &Account) -> bool {
        matches!(account, Account::Token { .. }) == (self == Self::XOAuth2)
    }

    /// The AUTH command.
    pub fn begin(self, account: &Account) -> SecretString {
        match self {
            Self::XOAuth2 | Self::Plain => {
                SecretString::from(format!("AUTH {} {}", self.name(), self.whole(account).expose_secret()))
            }
            Self::Login => SecretString::from("AUTH LOGIN"),
        }
    }

    /// The line that answers the challenge number `round`, from 0; `None` if the mechanism has nothing more to send. LOGIN goes
    /// by the number, because the text of its challenges is not defined.
    pub fn answer(self, account: &Account, round: usize, explained: bool) -> Option<SecretString> {
        let line = match (self, round) {
            (Self::XOAuth2, 0 | 1) if explained => SecretString::default(),
            // The server ignored the credential in AUTH.
            (Self::XOAuth2 | Self::Plain, 0) => self.whole(account),
            (Self::Login, 0) => BASE64_STANDARD.encode(account.username()).into(),
            (Self::Login, 1) => BASE64_STANDARD.encode(account.secret()).into(),
            _ => return None,
        };
        Some(line)
    }

    /// Why the server is about to refuse, if a challenge of it explains that.
    pub fn explanation(self, challenge: &str) -> Option<String> {
        let challenge = challenge.split_whitespace().collect::<String>();
        if self != Self::XOAuth2 || challenge.is_empty() {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(&challenge).ok();
        Some(decoded.map_or(challenge, |bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The whole credential in one line.
    pub fn whole(self, account: &Account) -> SecretString {
        let (username, secret) = (account.username(), account.secret());
        let line = match self {
            Self::XOAuth2 => format!("user={username}\x01auth=Bearer {secret}\x01\x01"),
            Self::Plain | Self::Login => format!("\0{username}\0{secret}"),
        };
        SecretString::from(BASE64_STANDARD.encode(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mechanism_sends_its_lines_in_order_and_then_no_more() {
        let username = || "driftwise".to_owned();
        let password = Account::Password { username: username(), password: SecretString::from("correct horse") };
        let token = Account::Token { username: username(), token: SecretString::from("t0ken") };
        let plain = "AGRyaWZ0d2lzZQBjb3JyZWN0IGhvcnNl";
        let bearer = "dXNlcj1kcmlmdHdpc2UBYXV0aD1CZWFyZXIgdDBrZW4BAQ==";
        for (mechanism, account, explained, begin, answers) in [
            (Mechanism::Plain, &password, false, format!("AUTH PLAIN {plain}"), vec![plain]),
            (Mechanism::Login, &password, false, "AUTH LOGIN".to_owned(), vec!["ZHJpZnR3aXNl", "Y29ycmVjdCBob3JzZQ=="]),
            (Mechanism::XOAuth2, &token, false, format!("AUTH XOAUTH2 {bearer}"), vec![bearer]),
            (Mechanism::XOAuth2, &token, true, format!("AUTH XOAUTH2 {bearer}"), vec!["", ""]),
        ] {
            assert_eq!(mechanism.begin(account).expose_secret(), begin);
            let said = (0..4).map_while(|round| mechanism.answer(account, round, explained));
            let said = said.map(|line| line.expose_secret().to_owned()).collect::<Vec<_>>();
            assert_eq!(said, answers);
        }
    }

    #[test]
    fn a_token_is_used_by_xoauth2_alone_and_a_password_never() {
        let password = Account::Password { username: String::new(), password: SecretString::default() };
        let token = Account::Token { username: String::new(), token: SecretString::default() };
        assert_eq!(Mechanism::ALL.map(|mechanism| mechanism.fits(&password)), [false, true, true]);
        assert_eq!(Mechanism::ALL.map(|mechanism| mechanism.fits(&token)), [true, false, false]);
    }

    #[test]
    fn a_challenge_of_xoauth2_is_its_explanation() {
        let explanation = |challenge| Mechanism::XOAuth2.explanation(challenge);
        assert_eq!(explanation("eyJzdGF0dXMiOiI0MDAifQ==").as_deref(), Some("{\"status\":\"400\"}"));
        assert_eq!(explanation("eyJzdGF0\ndXMiOiI0MDAifQ==").as_deref(), Some("{\"status\":\"400\"}"));
        assert_eq!(explanation("go on!").as_deref(), Some("goon!"));
        assert_eq!(explanation(" "), None);
        assert_eq!(Mechanism::Login.explanation("VXNlcm5hbWU6"), None);
    }
}
