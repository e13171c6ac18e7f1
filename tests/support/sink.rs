//! A mail server that accepts everything and keeps the mails in order. A client that is killed loses only its connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::mailbox::Mail;

#[derive(Clone)]
pub struct Sink {
    pub port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// An accepted mail, with the recipient of its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub to: String,
    pub mail: Mail,
}

impl Taken {
    pub fn id(&self) -> String {
        self.mail.id().to_owned()
    }
}

impl Sink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Self { port: listener.local_addr().unwrap().port(), taken: Arc::default() };
        let taken = Arc::clone(&sink.taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                // Connections are meant to break.
                std::thread::spawn(move || drop(talk(stream, &taken)));
            }
        });
        sink
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

fn talk(stream: TcpStream, taken: &Mutex<Vec<Taken>>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    let mut say = |text: &str| out.write_all(format!("{text}\r\n").as_bytes());
    let mut to = String::new();
    say("220 sink")?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_ascii_uppercase();
        if command.starts_with("EHLO") {
            say("250-sink\r\n250 8BITMIME")?;
        } else if command.starts_with("RCPT") {
            line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut to);
            say("250 ok")?;
        } else if command == "DATA" {
            say("354 go on")?;
            let mut raw = String::new();
            loop {
                let mut line = String::new();
                if lines.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if line == ".\r\n" {
                    break;
                }
                raw.push_str(line.strip_prefix('.').unwrap_or(&line));
            }
            let mail = Mail::parse(raw.into_bytes());
            taken.lock().unwrap().push(Taken { to: to.clone(), mail });
            say("250 taken")?;
        } else if command == "QUIT" {
            return say("221 bye");
        } else {
            say("250 ok")?;
        }
    }
}
