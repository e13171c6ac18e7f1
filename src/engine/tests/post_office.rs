//! A channel that keeps a ledger of the mail that it accepted, and that refuses, stalls or hangs as a test says.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::domain::notification::{About, Notification};
use crate::notify::{Channel, Composed, Obstacle, Outbound, Reissued, SendError};

/// Takes messages, or refuses them as the test says.
#[derive(Default)]
pub(super) struct PostOffice {
    ledger: Mutex<Ledger>,
    /// Rung when a message that stalls may go on.
    pub go_on: Notify,
    /// Rung when a send hangs for good.
    pub hung: Notify,
    /// Rung at each attempt.
    pub asked: Notify,
}

#[derive(Default)]
struct Ledger {
    accepted: Vec<Outbound>,
    attempts: Vec<String>,
    /// Every attempt fails.
    down: Option<SendError>,
    refused: HashMap<String, SendError>,
    stalled: BTreeSet<String>,
    /// How many more points of a send pass before one never ends: each message has one before it is accepted and one after.
    points: Option<usize>,
    /// No message can be composed.
    broken: bool,
    /// A file that is moved away when the next message is accepted.
    moved_at_next: Option<(PathBuf, PathBuf)>,
}

pub(super) fn refusal(obstacle: Obstacle, permanent: bool) -> SendError {
    SendError { obstacle, permanent, reply: None, reason: format!("{obstacle:?}"), own_words: true, retry_after: None }
}

impl PostOffice {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(super) fn accepted(&self) -> Vec<Outbound> {
        self.ledger().accepted.clone()
    }

    /// The bodies of the mail to `to`, in order.
    pub(super) fn of(&self, to: &str) -> Vec<String> {
        let of = |outbound: &&Outbound| outbound.to.as_str() == to;
        self.ledger().accepted.iter().filter(of).map(|l| String::from_utf8(l.raw.clone()).unwrap()).collect()
    }

    pub(super) fn attempts(&self, to: &str) -> usize {
        self.ledger().attempts.iter().filter(|attempt| *attempt == to).count()
    }

    pub(super) fn down(&self, error: Option<SendError>) {
        self.ledger().down = error;
    }

    pub(super) fn break_down(&self, broken: bool) {
        self.ledger().broken = broken;
    }

    pub(super) fn refuse(&self, to: &str, error: SendError) {
        self.ledger().refused.insert(to.to_owned(), error);
    }

    pub(super) fn accept(&self, to: &str) {
        self.ledger().refused.remove(to);
    }

    pub(super) fn stall(&self, to: &str) {
        self.ledger().stalled.insert(to.to_owned());
    }

    pub(super) fn move_at_next(&self, from: &Path, to: &Path) {
        self.ledger().moved_at_next = Some((from.to_owned(), to.to_owned()));
    }

    /// Passes this many more points of sends; the next never ends and rings `hung`.
    pub(super) fn hang_after(&self, points: Option<usize>) {
        self.ledger().points = points;
    }

    async fn point(&self) {
        tokio::task::yield_now().await;
        let hangs = match &mut self.ledger().points {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if hangs {
            self.hung.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn receive(&self, outbound: &Outbound) -> Result<(), SendError> {
        let mut ledger = self.ledger();
        let refused = ledger.down.clone().or_else(|| ledger.refused.get(outbound.to.as_str()).cloned());
        if let Some(error) = refused {
            return Err(error);
        }
        ledger.accepted.push(outbound.clone());
        if let Some((from, to)) = ledger.moved_at_next.take() {
            std::fs::rename(from, to).unwrap();
        }
        Ok(())
    }
}

impl Channel for PostOffice {
    fn label(&self) -> &'static str {
        "email"
    }

    fn compose(&self, message: &Notification) -> Composed {
        let broken = self.ledger().broken;
        assert!(!broken, "a fault of ours, as the test wants it");
        let line = |item: &crate::domain::notification::Item| match &item.about {
            About::Undeliverable(change) => Some(format!("{} {}\n", item.kind(), change.address.address)),
            _ => Some(format!("{} {}\n", item.kind(), item.incident()?.id)),
        };
        let raw = message.items.iter().filter_map(line).collect::<String>().into_bytes();
        Composed { message_id: format!("<{}@driftwise.example>", message.id), subject: message.kind.to_string(), raw }
    }

    fn reissue(&self, raw: &[u8], notification: uuid::Uuid) -> Reissued {
        Reissued { message_id: format!("<{notification}@driftwise.example>"), raw: raw.to_vec() }
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let to = outbound.to.as_str().to_owned();
            let stalls = self.ledger().stalled.contains(&to);
            self.ledger().attempts.push(to);
            self.asked.notify_one();
            self.point().await;
            if stalls {
                self.go_on.notified().await;
            }
            let answer = self.receive(outbound);
            self.point().await;
            answer
        })
    }
}
