//! Ports of this machine that refuse every connection, and that no other process can take meanwhile.

use tokio::net::{TcpListener, TcpSocket};

/// A port that is bound and never listens: the kernel refuses each connection for as long as this lives.
pub struct ClosedPort {
    pub number: u16,
    held: TcpSocket,
}

impl ClosedPort {
    pub fn hold() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self { number: held.local_addr().unwrap().port(), held }
    }

    /// Begins to listen, without a moment in which another process could take the port.
    pub fn open(self) -> TcpListener {
        self.held.listen(64).unwrap()
    }
}
