//! A mail server that follows a script, once, over a plain connection.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy)]
pub enum Step {
    Say(&'static str),
    /// A line that begins so must come.
    Expect(&'static str),
    /// The message, up to the final dot.
    Take,
    /// Break the connection.
    Close,
    /// Say nothing until the other side hangs up.
    Hang,
}

pub struct Script {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Script {
    #[expect(clippy::disallowed_methods, reason = "the far side of a test has no supervisor")]
    pub async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move { follow(listener.accept().await.unwrap().0, &steps).await });
        Self { port, task }
    }

    /// Fails if the client did not say what the script expects.
    pub async fn finish(self) {
        self.task.await.unwrap();
    }
}

async fn follow(stream: TcpStream, steps: &[Step]) {
    let mut stream = BufReader::new(stream);
    for step in steps {
        match step {
            Step::Say(words) => stream.get_mut().write_all(words.as_bytes()).await.unwrap(),
            Step::Expect(start) => {
                let line = line(&mut stream).await;
                assert!(line.starts_with(start), "{line:?} is not {start:?}");
            }
            Step::Take => while line(&mut stream).await != ".\r\n" {},
            Step::Close => return,
            Step::Hang => break,
        }
    }
    // What the client still has to say, until it hangs up: an early close could lose what was said to it.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    assert!(stream.read_line(&mut line).await.unwrap() > 0, "the client hung up");
    line
}

/// A port at which nobody listens.
pub async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}
