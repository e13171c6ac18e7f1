//! The random replies of a mail server: at every stage any code, in pieces or too much of it, floods, silence, and closed
//! connections.
//!
//! At most one stage of a conversation is wrong. Two wrongs could add up to a conversation that is right in every byte that a
//! client can see.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use super::dice::Dice;

/// Most bytes that a flood sends: far more than a client may keep, and few enough for a test machine.
const FLOOD: usize = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Greeting,
    Hello,
    SignIn,
    Sender,
    Recipient,
    Data,
    /// The reply to the final dot.
    Dot,
    Quit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    Code(u16),
    /// The right reply, and a second one: in the same packet, or 5 ms later.
    Stray(u16, bool),
    /// The right reply, followed at once by all later ones.
    Ahead,
    /// A reply without a line end.
    FloodBytes,
    /// A reply of many lines, none of which is the last.
    FloodLines,
    Silence,
    Close,
    CloseWithin,
    /// A refusal in Latin-1.
    Latin(u16),
    /// Lines with different codes.
    Mixed(u16),
    BareLineFeed,
    NoCode,
}

/// How a client can read the reply at a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// One complete reply of the grammar.
    Reply(u16),
    /// More than one reply, or a malformed one, which a client could take for this code.
    Unclear(u16),
    /// No reply.
    Nothing,
}

impl Said {
    pub fn code(self) -> u16 {
        match self {
            Self::Reply(code) | Self::Unclear(code) => code,
            Self::Nothing => 0,
        }
    }

    pub fn refuses(self) -> bool {
        self.code() >= 500
    }
}

/// The way in which one conversation replies.
pub struct Voice {
    pub out: TcpStream,
    dice: Dice,
    wrong: Option<(Stage, Wrong)>,
    /// Odd but harmless: pieces of one byte, several lines, text that is not UTF-8.
    odd: bool,
    /// A text that every reply repeats.
    pub echo: String,
}

impl Voice {
    /// Without any fault.
    pub fn honest(out: TcpStream) -> Self {
        Self { out, dice: Dice::seeded(0), wrong: None, odd: false, echo: String::new() }
    }

    /// Temporary refusals and closed connections; `wild` adds the rest of the grammar.
    pub fn hostile(out: TcpStream, mut dice: Dice, wild: bool) -> Self {
        const STAGES: [Stage; 12] = [
            Stage::Greeting,
            Stage::Hello,
            Stage::SignIn,
            Stage::Sender,
            Stage::Recipient,
            Stage::Recipient,
            Stage::Data,
            Stage::Data,
            Stage::Dot,
            Stage::Dot,
            Stage::Dot,
            Stage::Quit,
        ];
        let stage = STAGES[usize::try_from(dice.below(12)).unwrap()];
        let wrong = match (wild, dice.below(10)) {
            (_, 0..=2) => None,
            (false, 3..=6) => Some(Wrong::Code([421, 450, 451, 452][usize::try_from(dice.below(4)).unwrap()])),
            (false, _) => Some(Wrong::Close),
            (true, _) => Some(Wrong::any(&mut dice)),
        };
        let odd = wild && dice.below(2) == 0;
        Self { out, dice, wrong: wrong.map(|wrong| (stage, wrong)), odd, echo: String::new() }
    }

    /// The wrong of this conversation, for figures.
    pub fn wrong(&self) -> Option<(Stage, Wrong)> {
        self.wrong
    }

    /// The reply that follows at `stage`, where `code` would be right.
    pub fn will_say(&self, stage: Stage, code: u16) -> Said {
        match self.wrong.filter(|(wrong, _)| *wrong == stage).map(|(_, wrong)| wrong) {
            None => Said::Reply(code),
            Some(Wrong::Code(other) | Wrong::Latin(other)) => Said::Reply(other),
            Some(Wrong::Stray(..) | Wrong::Ahead | Wrong::BareLineFeed) => Said::Unclear(code),
            // Some clients use the last line, and some the first.
            Some(Wrong::Mixed(other)) => Said::Unclear(other),
            Some(_) => Said::Nothing,
        }
    }

    /// Sends the reply. An error ends the conversation.
    pub fn say(&mut self, stage: Stage, code: u16, words: &str) -> std::io::Result<Said> {
        let said = self.will_say(stage, code);
        let echo = if self.echo.is_empty() { String::new() } else { format!(" {}", self.echo) };
        let words = format!("{words}{echo}");
        let Some((_, wrong)) = self.wrong.filter(|(wrong, _)| *wrong == stage) else {
            self.right(stage, code, &words)?;
            return Ok(said);
        };
        match wrong {
            Wrong::Code(other) => self.out.write_all(format!("{other} {words}\r\n").as_bytes())?,
            Wrong::Stray(other, true) => {
                self.out.write_all(format!("{code} {words}\r\n{other} stray{echo}\r\n").as_bytes())?;
            }
            Wrong::Stray(other, false) => {
                self.out.write_all(format!("{code} {words}\r\n").as_bytes())?;
                sleep(Duration::from_millis(5));
                self.out.write_all(format!("{other} stray{echo}\r\n").as_bytes())?;
            }
            Wrong::Ahead => {
                let later = "250-ahead\r\n250 AUTH PLAIN\r\n235 in\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 taken\r\n";
                self.out.write_all(format!("{code} {words}\r\n{later}").as_bytes())?;
            }
            Wrong::FloodBytes => self.flood(format!("{code} {}", "x".repeat(1 << 16)).as_bytes())?,
            Wrong::FloodLines => self.flood(format!("{code}-{words}\r\n").repeat(1 << 10).as_bytes())?,
            Wrong::Silence => {}
            Wrong::Close => self.out.shutdown(Shutdown::Both)?,
            Wrong::CloseWithin => {
                self.out.write_all(format!("{code} {words}").as_bytes())?;
                self.out.shutdown(Shutdown::Both)?;
            }
            Wrong::Latin(other) => {
                self.out.write_all(&[format!("{other} {words} ").as_bytes(), b"refus\xE9\r\n"].concat())?;
            }
            Wrong::Mixed(other) => self.out.write_all(format!("{code}-{words}\r\n{other} end\r\n").as_bytes())?,
            Wrong::BareLineFeed => self.out.write_all(format!("{code} {words}\n").as_bytes())?,
            Wrong::NoCode => self.out.write_all(format!("{words}\r\n").as_bytes())?,
        }
        Ok(said)
    }

    fn right(&mut self, stage: Stage, code: u16, words: &str) -> std::io::Result<()> {
        // The first line names the server, the others its offers.
        if stage == Stage::Hello {
            self.out.write_all(format!("{code}-sink\r\n").as_bytes())?;
        }
        // Unasked replies shift into the next stage if the right one comes in pieces.
        if !self.odd || self.wrong.is_some_and(|(_, wrong)| matches!(wrong, Wrong::Stray(..) | Wrong::Ahead)) {
            return self.out.write_all(format!("{code} {words}\r\n").as_bytes());
        }
        let mut reply = Vec::new();
        // The offers of a server are a list of words.
        if stage != Stage::Hello {
            for line in 0..self.dice.below(4) {
                reply.extend(format!("{code}-line {line}\r\n").as_bytes());
            }
        }
        reply.extend(format!("{code} {words}").as_bytes());
        match self.dice.below(4) {
            0 => reply.extend(b" \xE9\xFC\xFF"),
            1 if stage == Stage::Dot => reply = format!("{code}").into_bytes(),
            _ => {}
        }
        reply.extend(b"\r\n");
        if self.dice.below(2) == 0 {
            return self.out.write_all(&reply);
        }
        for byte in reply {
            self.out.write_all(&[byte])?;
        }
        Ok(())
    }

    fn flood(&mut self, piece: &[u8]) -> std::io::Result<()> {
        let mut sent = 0;
        while sent < FLOOD {
            self.out.write_all(piece)?;
            sent += piece.len();
        }
        Ok(())
    }
}

impl Wrong {
    fn any(dice: &mut Dice) -> Self {
        const CODES: [u16; 28] = [
            0, 99, 101, 200, 211, 214, 220, 221, 235, 250, 251, 252, 299, 334, 354, 399, 421, 450, 451, 452, 500, 503,
            530, 535, 550, 552, 554, 999,
        ];
        let code = CODES[usize::try_from(dice.below(28)).unwrap()];
        match dice.below(18) {
            0..=4 => Self::Code(code),
            5..=6 => Self::Stray(code, true),
            7 => Self::Stray([220, 235, 250, 354, 451, 550][usize::try_from(dice.below(6)).unwrap()], false),
            8 => Self::Ahead,
            9 => Self::FloodBytes,
            10 => Self::FloodLines,
            11 => Self::Silence,
            12 => Self::Close,
            13 => Self::CloseWithin,
            14 => Self::Latin([450, 451, 550, 554][usize::try_from(dice.below(4)).unwrap()]),
            15 => Self::Mixed(code),
            16 => Self::BareLineFeed,
            _ => Self::NoCode,
        }
    }

    /// Its name in figures.
    pub fn label(self) -> &'static str {
        match self {
            Self::Code(_) => "code",
            Self::Stray(..) => "stray",
            Self::Ahead => "ahead",
            Self::FloodBytes => "flood of bytes",
            Self::FloodLines => "flood of lines",
            Self::Silence => "silence",
            Self::Close => "close",
            Self::CloseWithin => "close within",
            Self::Latin(_) => "latin",
            Self::Mixed(_) => "mixed",
            Self::BareLineFeed => "bare line feed",
            Self::NoCode => "no code",
        }
    }
}
