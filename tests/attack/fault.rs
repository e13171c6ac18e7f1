//! The HTTP answers of a source: right, or spoiled in one of many ways, with the secrets of the request in headers, reason
//! phrases, locations and bodies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::dice::Dice;
use super::secrets;
use super::world::{Source, State};

/// A spoiled answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// At the sign-in, or at the export.
    Status(u16, At),
    Redirect(u16, At),
    /// A page with status 200, instead of JSON.
    Html(At),
    /// An object with an explanation, with status 200.
    Object,
    Text,
    Empty,
    NoContent,
    NotUtf8,
    BrokenJson,
    /// Closed in the middle of the body.
    Cut,
    BadChunk,
    BadGzip,
    Garbage,
    HugeHead,
    Close,
    Hang,
    /// A byte at a time, for ever.
    Trickle,
    /// All rows, with the secrets of the request among them.
    EchoRows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    SignIn,
    Export,
}

impl Fault {
    pub fn any(dice: &mut Dice, echoes: bool) -> Self {
        const CODES: [u16; 13] = [400, 401, 402, 403, 404, 405, 408, 415, 429, 500, 502, 503, 504];
        let at = if dice.below(3) == 0 { At::SignIn } else { At::Export };
        match dice.below(if echoes { 24 } else { 21 }) {
            0..=3 => Self::Status(CODES[usize::try_from(dice.below(13)).unwrap()], at),
            4 => Self::Status(401, at),
            5..=6 => Self::Redirect([301, 302, 303, 307, 308][usize::try_from(dice.below(5)).unwrap()], at),
            7 => Self::Html(at),
            8 => Self::Object,
            9 => Self::Text,
            10 => Self::Empty,
            11 => Self::NoContent,
            12 => Self::NotUtf8,
            13 => Self::BrokenJson,
            14 => Self::Cut,
            15 => Self::BadChunk,
            16 => Self::BadGzip,
            17 => Self::Garbage,
            18 => Self::HugeHead,
            19 => Self::Close,
            20 => [Self::Hang, Self::Trickle][usize::try_from(dice.below(2)).unwrap()],
            _ => Self::EchoRows,
        }
    }

    /// Its name in figures.
    pub fn label(self) -> &'static str {
        match self {
            Self::Status(..) => "status",
            Self::Redirect(..) => "redirect",
            Self::Html(_) => "html",
            Self::Object => "object",
            Self::Text => "text",
            Self::Empty => "empty",
            Self::NoContent => "no content",
            Self::NotUtf8 => "not UTF-8",
            Self::BrokenJson => "broken JSON",
            Self::Cut => "cut",
            Self::BadChunk => "bad chunk",
            Self::BadGzip => "bad gzip",
            Self::Garbage => "garbage",
            Self::HugeHead => "huge head",
            Self::Close => "close",
            Self::Hang => "hang",
            Self::Trickle => "trickle",
            Self::EchoRows => "echo",
        }
    }

    fn at(self) -> At {
        match self {
            Self::Status(_, at) | Self::Redirect(_, at) | Self::Html(at) => at,
            _ => At::Export,
        }
    }
}

/// A request: its path, and the credential or token that it came with.
struct Asked {
    at: At,
    authorization: String,
}

impl Asked {
    fn token(&self) -> Option<&str> {
        self.authorization.strip_prefix("Bearer ")
    }
}

/// Reads the request of one connection and answers it.
pub fn serve(source: &Source, stream: TcpStream) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let asked = read(stream)?;
    let mut state = source.state();
    let fault = state.fault.filter(|(fault, _)| fault.at() == asked.at).map(|(fault, _)| fault);
    if let Some(fault) = fault {
        *state.tally.spoiled.entry(fault.label()).or_default() += 1;
        state.fault = state.fault.filter(|(_, left)| *left > 1).map(|(fault, left)| (fault, left - 1));
        let spoiled = spoil(&mut state, fault, asked.token());
        if matches!(fault, Fault::Hang | Fault::Trickle) {
            state.held.push(out.try_clone()?);
        }
        drop(state);
        return play(&mut out, fault, &spoiled);
    }
    let answer = answer(&mut state, &asked);
    drop(state);
    out.write_all(&answer)
}

fn read(stream: TcpStream) -> std::io::Result<Asked> {
    let mut lines = BufReader::new(stream);
    let (mut first, mut authorization, mut length) = (String::new(), String::new(), 0);
    lines.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.trim().clone_into(&mut authorization),
            "content-length" => length = value.trim().parse().unwrap_or_default(),
            _ => {}
        }
    }
    lines.take(length).read_to_end(&mut Vec::new())?;
    let at = if first.contains("/token/gettoken") { At::SignIn } else { At::Export };
    Ok(Asked { at, authorization })
}

fn answer(state: &mut State, asked: &Asked) -> Vec<u8> {
    let known = match asked.at {
        At::SignIn => asked.authorization == format!("Basic {}", state.pair.basic()),
        At::Export => asked.token().is_some_and(|token| state.tokens.iter().any(|known| known == token)),
    };
    let body = match asked.at {
        _ if !known => return whole("401 Unauthorized", "", b""),
        At::SignIn => {
            let token = secrets::token(&mut state.dice);
            state.tokens.push(token.clone());
            format!("\"{token}\"")
        }
        At::Export => {
            state.tally.answers += 1;
            state.rows(None)
        }
    };
    whole("200 OK", "Content-Type: application/json\r\n", body.as_bytes())
}

fn whole(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n").into_bytes();
    bytes.extend(body);
    bytes
}

/// The bytes of a spoiled answer.
fn spoil(state: &mut State, fault: Fault, token: Option<&str>) -> Vec<u8> {
    let mut dice = Dice::seeded(state.dice.below(u64::MAX));
    let mut echo = || if state.echoes { state.echo(token, &mut dice) } else { String::from("a user") };
    let (a, b, c) = (echo(), echo(), echo());
    // Not a piece: a piece of a password is not removed from a row, because it may be a word that the row holds anyway.
    let row = state.pair.spelled(&mut dice);
    let headers = format!("X-Asked: {a}\r\nSet-Cookie: session={b}\r\nWWW-Authenticate: Basic realm=\"{c}\"\r\n");
    let page = format!("<html><head><title>Refused {a}</title></head><body>{b}</body></html>");
    let explained = format!("{{\"Notification\": {}}}", serde_json::json!(format!("no rights for {a}")));
    match fault {
        Fault::Status(code, _) => {
            let bodies = [page, explained, format!("refused: {b}"), String::new()];
            let body = &bodies[usize::try_from(dice.below(4)).unwrap()];
            let retry = if dice.below(3) == 0 { "Retry-After: 5\r\n" } else { "" };
            whole(&format!("{code} {c}"), &format!("{headers}{retry}"), body.as_bytes())
        }
        Fault::Redirect(code, _) => {
            let port = 9;
            let location = format!("Location: http://127.0.0.1:{port}/login/{a}?user={b}&again={c}\r\n{headers}");
            whole(&format!("{code} Moved"), &location, page.as_bytes())
        }
        Fault::Html(_) => whole("200 OK", &headers, page.as_bytes()),
        Fault::Object => whole("200 OK", &headers, explained.as_bytes()),
        Fault::Text => whole("200 OK", &headers, format!("{a} is not allowed").as_bytes()),
        Fault::Empty => whole("200 OK", &headers, b"[]"),
        Fault::NoContent => format!("HTTP/1.1 204 {a}\r\nConnection: close\r\n{headers}\r\n").into_bytes(),
        Fault::NotUtf8 => whole("200 OK", &headers, &[b"[\"", a.as_bytes(), b"\xE9\xFF\"]"].concat()),
        Fault::BrokenJson => whole("200 OK", "", format!("[{{\"session_id\": 1, \"{a}\": {b}}}]").as_bytes()),
        Fault::Cut => {
            let rows = state.rows(Some(&a));
            let bytes = whole("200 OK", &headers, rows.as_bytes());
            bytes[..bytes.len() - rows.len() / 2].to_vec()
        }
        Fault::BadChunk => {
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\nzz {a}\r\n[]\r\n0\r\n\r\n")
                .into_bytes()
        }
        Fault::BadGzip => whole("200 OK", &format!("Content-Encoding: gzip\r\n{headers}"), page.as_bytes()),
        Fault::Garbage => format!("\0\x01{a}\r\n\r\n{b}").into_bytes(),
        Fault::HugeHead => format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n{headers}\r\n[]", a.repeat(20_000)).into_bytes(),
        Fault::Close | Fault::Hang => Vec::new(),
        Fault::Trickle => format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n{headers}\r\n[").into_bytes(),
        Fault::EchoRows => whole("200 OK", &headers, state.rows(Some(&row)).as_bytes()),
    }
}

fn play(out: &mut TcpStream, fault: Fault, spoiled: &[u8]) -> std::io::Result<()> {
    out.write_all(spoiled)?;
    match fault {
        // Until the client closes the connection, or the world is healed.
        Fault::Hang => out.read(&mut [0]).map(drop),
        Fault::Trickle => loop {
            out.write_all(b" ")?;
            std::thread::sleep(Duration::from_millis(50));
        },
        _ => out.shutdown(Shutdown::Write),
    }
}
