//! The secrets that must never be shown, every spelling in which a server can repeat them, and the search for any piece of one.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use super::dice::Dice;

/// A piece of this length, in bytes, is as bad as the whole secret.
const PIECE: usize = 14;

/// A password that each kind of quoting changes in another way; its two long runs survive all of them.
pub fn password(dice: &mut Dice) -> String {
    format!("{}&\"k/+<é {}", run(dice), run(dice))
}

/// A token as a server could issue it.
pub fn token(dice: &mut Dice) -> String {
    format!("{}.{}", run(dice), run(dice))
}

fn run(dice: &mut Dice) -> String {
    format!("{:010x}{:010x}", dice.below(1 << 40), dice.below(1 << 40))
}

/// A user name with its password.
#[derive(Debug, Clone)]
pub struct Pair {
    pub username: String,
    pub password: String,
}

impl Pair {
    fn joined(&self) -> String {
        format!("{}:{}", self.username, self.password)
    }

    /// The form for a sign-in over HTTP.
    pub fn basic(&self) -> String {
        BASE64_STANDARD.encode(self.joined())
    }

    /// The form for a sign-in to a mail server.
    pub fn plain(&self) -> String {
        BASE64_STANDARD.encode(format!("\0{}\0{}", self.username, self.password))
    }

    /// The pair in one of the spellings in which a server can repeat it, or a piece of it.
    pub fn spelled_or_piece(&self, dice: &mut Dice) -> String {
        let basic = self.basic();
        match dice.below(12) {
            0 => basic[basic.len() / 2..].to_owned(),
            1 => self.password.chars().take(18).collect(),
            _ => self.spelled(dice),
        }
    }

    /// The pair in one of the spellings in which a server can repeat it.
    pub fn spelled(&self, dice: &mut Dice) -> String {
        let basic = self.basic();
        match dice.below(10) {
            0 => self.password.clone(),
            1 => self.joined(),
            2 => basic,
            3 => format!("Basic {basic}"),
            4 => basic.trim_end_matches('=').to_owned(),
            5 => BASE64_URL_SAFE_NO_PAD.encode(self.joined()),
            6 => BASE64_STANDARD.encode(&self.password),
            7 => escaped(&self.password, |byte| byte.is_ascii_alphanumeric()),
            8 => escaped(&self.password, |_| false),
            _ => escaped(&basic, |byte| byte.is_ascii_alphanumeric()),
        }
    }

    /// The pair in one of the spellings in which a mail server can repeat it.
    pub fn spelled_by_mail_server(&self, dice: &mut Dice) -> String {
        match dice.below(6) {
            0 => self.password.clone(),
            1 => self.joined(),
            2 => self.plain(),
            3 => self.plain().trim_end_matches('=').to_owned(),
            4 => BASE64_STANDARD.encode(&self.password),
            _ => self.basic(),
        }
    }

    /// Every form of which no piece may be shown. In Base64, the part for the user name is not secret.
    fn forms(&self) -> Vec<String> {
        let after = |lead: usize, coded: String| coded[(lead / 3 + 1) * 4..].to_owned();
        let name = self.username.len();
        vec![
            self.password.clone(),
            BASE64_STANDARD.encode(&self.password),
            BASE64_URL_SAFE_NO_PAD.encode(&self.password),
            after(name + 1, self.basic()),
            after(name + 1, BASE64_URL_SAFE_NO_PAD.encode(self.joined())),
            after(name + 2, self.plain()),
            escaped(&self.password, |_| false),
            escaped(&self.password, |_| false).to_lowercase(),
        ]
    }
}

/// A token in one of the spellings in which a server can repeat it.
pub fn spelled(token: &str, dice: &mut Dice) -> String {
    match dice.below(5) {
        0 => token.to_owned(),
        1 => format!("Bearer {token}"),
        2 => escaped(token, |byte| byte.is_ascii_alphanumeric()),
        3 => BASE64_STANDARD.encode(token),
        _ => token[..20].to_owned(),
    }
}

fn escaped(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let byte = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

/// All secrets that must not be shown.
#[derive(Default)]
pub struct Secrets {
    pieces: HashSet<[u8; PIECE]>,
}

impl Secrets {
    pub fn add_pair(&mut self, pair: &Pair) {
        pair.forms().iter().for_each(|form| self.add(form));
    }

    pub fn add_token(&mut self, token: &str) {
        self.add(token);
        self.add(&BASE64_STANDARD.encode(token));
    }

    fn add(&mut self, form: &str) {
        self.pieces.extend(form.as_bytes().windows(PIECE).map(|piece| <[u8; PIECE]>::try_from(piece).unwrap()));
    }

    /// The first piece of a secret in `bytes`, with the text around it.
    pub fn seen_in(&self, bytes: &[u8]) -> Option<String> {
        let at = bytes.windows(PIECE).position(|piece| self.pieces.contains(piece))?;
        let around = &bytes[at.saturating_sub(120)..bytes.len().min(at + 60)];
        Some(String::from_utf8_lossy(around).escape_debug().to_string())
    }
}

#[test]
fn every_spelling_of_a_secret_is_found_and_a_user_name_is_not() {
    let mut dice = Dice::seeded(7);
    for length in 4..9 {
        let pair = Pair { username: "driftwise".chars().take(length).collect(), password: password(&mut dice) };
        let (token, mut secrets) = (token(&mut dice), Secrets::default());
        secrets.add_pair(&pair);
        secrets.add_token(&token);
        for _ in 0..200 {
            for echo in
                [pair.spelled_or_piece(&mut dice), pair.spelled_by_mail_server(&mut dice), spelled(&token, &mut dice)]
            {
                let echo = format!("refused for {echo} by the server");
                assert!(secrets.seen_in(echo.as_bytes()).is_some(), "{echo}");
            }
        }
        let harmless = BASE64_STANDARD.encode(format!("{}:another password that nobody uses", pair.username));
        assert_eq!(secrets.seen_in(harmless.as_bytes()), None);
    }
}
