//! Reports the life of the program to the service manager, by the protocol of `sd_notify(3)`: datagrams to the socket that
//! the variable `NOTIFY_SOCKET` names. Without it, as in a container, nothing is sent.
//!
//! A service manager that does not listen does not stop the program: the log reports it once.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager(Option<Arc<Listening>>);

#[derive(Debug)]
struct Listening {
    /// A path, or `@` and the name of an abstract socket.
    socket: String,
    watchdog: Option<Duration>,
    /// A failure to send is already in the log.
    failed: AtomicBool,
}

impl ServiceManager {
    /// Reports to `socket`, the value of `NOTIFY_SOCKET`.
    pub fn new(socket: Option<String>) -> Self {
        let socket = socket.filter(|socket| !socket.is_empty());
        let watchdog = sd_notify::watchdog_enabled();
        Self(socket.map(|socket| Arc::new(Listening { socket, watchdog, failed: AtomicBool::new(false) })))
    }

    pub fn listens(&self) -> bool {
        self.0.is_some()
    }

    /// The time without a sign of life after which the service manager ends the program; `None` if it does not watch.
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// Reports that the program runs. Also ends a reload, accepted or refused.
    pub fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Reports that a reload begins.
    pub fn reloading(&self) {
        let since = NotifyState::monotonic_usec_now().ok();
        self.send(&std::iter::once(NotifyState::Reloading).chain(since).collect::<Vec<_>>());
    }

    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Sends the sign of life: the scheduler ticks.
    pub fn alive(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// Sends a line for people, as `systemctl status` shows it.
    pub fn status(&self, status: &str) {
        self.send(&[NotifyState::Status(status)]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(listening) = &self.0 else { return };
        let text = states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n";
        match send(&listening.socket, text.as_bytes()) {
            Ok(()) => listening.failed.store(false, Ordering::Relaxed),
            Err(error) if !listening.failed.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "cannot report to the service manager that NOTIFY_SOCKET names");
            }
            Err(_) => {}
        }
    }
}

/// Sends one datagram; fails at once if the queue of the receiver is full.
fn send(socket: &str, text: &[u8]) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.connect_addr(&address)?;
    sender.send(text).map(drop)
}
