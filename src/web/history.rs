//! The history of one session on its page: events, notifications and held-back incidents in one list, the latest first.

use std::cmp::Reverse;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use futures_util::future::{BoxFuture, try_join3};
use serde::Serialize;

use super::when::When;
use crate::domain::alerting::SuppressionReason;
use crate::domain::event::Event;
use crate::domain::incident::IncidentKey;
use crate::domain::notification::Reason;
use crate::domain::session::SessionKey;
use crate::view::words::cut;
use crate::view::{event, reason};

/// Most entries on the page.
const ENTRIES: usize = 50;

/// Longest text of an entry, in characters.
const WORDS: usize = 600;

/// How long the page waits for the history before it is shown without it.
const GRACE: Duration = Duration::from_secs(3);

/// The source of a session's history for the pages. An error is in words.
pub trait History: Send + Sync {
    /// The last `limit` events of a session.
    fn events<'a>(&'a self, session: &'a SessionKey, limit: usize) -> BoxFuture<'a, Result<Vec<Event>, String>>;

    /// The last `limit` notifications about a session.
    fn notifications<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Notified>, String>>;

    /// The last `limit` incidents of a session and its source that were held back.
    fn suppressions<'a>(
        &'a self,
        session: &'a SessionKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Suppressed>, String>>;
}

/// An incident that was held back, as the page of its session shows it.
#[derive(Debug, Clone)]
pub struct Suppressed {
    pub at: DateTime<Utc>,
    pub key: IncidentKey,
    pub reason: SuppressionReason,
}

/// A notification about a session, as its page shows it.
#[derive(Debug, Clone)]
pub struct Notified {
    pub number: i64,
    /// How many sessions it is about.
    pub sessions: usize,
    /// When its delivery ended, or, before that, when it was recorded.
    pub at: DateTime<Utc>,
    pub to: String,
    pub subject: String,
    pub delivery: Delivery,
    pub reason: Reason,
}

/// The progress of the delivery of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Not tried yet.
    Waiting,
    /// Tried without success, to be tried again.
    Retrying,
    Sent,
    /// Given up.
    Dead,
    /// A later one replaced it before it was sent.
    Superseded,
}

impl Notified {
    fn words(&self) -> String {
        let Self { to, subject, .. } = self;
        let what = match self.delivery {
            Delivery::Waiting => format!("Mail to {to} is about to be sent: {subject}"),
            Delivery::Retrying => format!("Mail to {to} is not delivered yet; Driftwise keeps trying: {subject}"),
            Delivery::Sent => format!("Mail sent to {to}: {subject}"),
            Delivery::Dead => format!("Mail to {to} could not be delivered: {subject}"),
            Delivery::Superseded => format!("Mail to {to} was replaced by a later one: {subject}"),
        };
        what + &reason::why(self.number, self.sessions, &self.reason)
    }
}

/// An event or a notification.
#[derive(Debug, Serialize)]
pub(super) struct HistoryEntry {
    at: When,
    words: String,
    /// Whether it is a notification.
    mail: bool,
}

/// The history of a session; `None` if it cannot be read, which is logged.
pub(super) async fn entries(history: &dyn History, key: &SessionKey, zone: Tz) -> Option<Vec<HistoryEntry>> {
    let all = try_join3(
        history.events(key, ENTRIES),
        history.notifications(key, ENTRIES),
        history.suppressions(key, ENTRIES),
    );
    match tokio::time::timeout(GRACE, all).await {
        Ok(Ok((events, notifications, held))) => Some(merged(&events, &notifications, &held, zone)),
        Ok(Err(error)) => {
            tracing::warn!(session = %key, error, "failed to read the history of a session");
            None
        }
        Err(_) => {
            tracing::warn!(session = %key, limit_s = GRACE.as_secs(), "reading the history of a session took too long");
            None
        }
    }
}

fn merged(events: &[Event], notifications: &[Notified], held: &[Suppressed], zone: Tz) -> Vec<HistoryEntry> {
    let events = events.iter().map(|event| (event.at, event::words(&event.what), false));
    let mails = notifications.iter().map(|mail| (mail.at, mail.words(), true));
    let held = held.iter().map(|held| (held.at, reason::held_back(&held.key, held.reason), false));
    let mut all = events.chain(mails).chain(held).collect::<Vec<_>>();
    // The latest record comes first, also among records of the same time.
    all.reverse();
    all.sort_by_key(|(at, ..)| Reverse(*at));
    let entry = |(at, words, mail): (_, String, _)| HistoryEntry {
        at: When::to_the_second(at, zone),
        words: cut(&words, WORDS),
        mail,
    };
    all.into_iter().take(ENTRIES).map(entry).collect()
}
