//! `history`: prints the stored past, oldest first: events, notifications, and incidents that were held back.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::output::{Format, moment};
use super::table::table;
use super::{Exit, Shared, UsageError, print, say, session_key};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config, NeededSecrets};
use crate::domain::event::{Event, EventKind};
use crate::domain::name::Name;
use crate::domain::notification::{NotificationKind, Reason};
use crate::domain::session::{Session, SessionKey};
use crate::store::{NotificationFilter, Store, StoreError, StoredNotification, StoredSuppression};
use crate::view::words::count;
use crate::view::{event, reason, times};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print only the events of this session and of its source as a whole
    #[arg(long, value_name = "SOURCE/ID")]
    session: Option<String>,
    /// Print only events since this time: an age (24h, 7d), a date (2026-11-24) or a time (2026-11-24T09:00:00Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Print at most this many events, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let session = arguments.session.as_deref().map(session_key).transpose()?;
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let zone = session.as_ref().map_or(Tz::UTC, |key| zone(&config, &key.source, Some(key)));
    let since = arguments.since.as_deref().map(|text| since(text, SystemClock.now(), zone)).transpose()?;
    let limit = arguments.limit as usize;
    let mut past = match Store::read(&config.store.path).await {
        Ok(store) => Past::read(&store, session.as_ref(), since, limit).await?,
        Err(e) if e.is_absent() => Past::default(),
        Err(e) => return Err(e.into()),
    };
    let known = |key: &SessionKey| past.events.iter().any(|(_, event)| event.session.as_ref() == Some(&key.id));
    if let Some(key) = session.as_ref().filter(|key| !is_audited(&config, key) && !known(key)) {
        let error = format!("there are no events of {key}, and the configuration does not audit it");
        return Err(UsageError(error).into());
    }
    let complete = past.keep(limit);
    match arguments.format {
        Format::Json => {
            let document = HistoryDocument {
                events: past.events.iter().map(HistoryLine::from).collect(),
                notifications: past.notified.iter().map(NotifiedLine::from).collect(),
                suppressions: past.suppressions.iter().map(SuppressionLine::from).collect(),
                complete,
            };
            print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
        }
        Format::Table if past.is_empty() => print("There are no events to show.\n")?,
        Format::Table => print(&past.table(&config, session.as_ref()))?,
    }
    if !complete {
        say("driftwise: older entries are not shown; --limit and --since choose what is");
    }
    Ok(Exit::Fine)
}

fn is_audited(config: &Config, key: &SessionKey) -> bool {
    config.plans.get(&key.source).is_some_and(|plan| plan.sessions.contains_key(&key.id))
}

/// The zone of the session, or else of its source, or else UTC.
fn zone(config: &Config, source: &Name, key: Option<&SessionKey>) -> Tz {
    let Some(plan) = config.plans.get(source) else { return Tz::UTC };
    key.and_then(|key| plan.sessions.get(&key.id)).map_or(plan.contacts.zone, Session::zone)
}

/// The beginning of the time that `text` means. A date begins in `zone`.
fn since(text: &str, now: DateTime<Utc>, zone: Tz) -> Result<DateTime<Utc>, UsageError> {
    let ago = |age: Duration| now.checked_sub_signed(TimeDelta::from_std(age).ok()?);
    // Where clocks skip midnight, the day begins at one.
    let begins = |day: NaiveDate| {
        let hours = (0..3)
            .filter_map(|hour| day.and_time(NaiveTime::from_hms_opt(hour, 0, 0)?).and_local_timezone(zone).earliest());
        hours.map(|time| time.with_timezone(&Utc)).next()
    };
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(begins);
    let time = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc));
    config::duration(text).and_then(ago).or_else(date).or_else(time).ok_or_else(|| {
        let forms = "write an age such as 24h or 7d, a date such as 2026-11-24, or a time such as 2026-11-24T09:00:00Z";
        UsageError(format!("--since {text:?} is not a time; {forms}"))
    })
}

/// The printed past, each list oldest first.
#[derive(Default)]
struct Past {
    events: Vec<(Name, Event)>,
    notified: Vec<(StoredNotification, Reason)>,
    suppressions: Vec<StoredSuppression>,
}

impl Past {
    /// Reads one more of each than `limit`, to know whether there are more.
    async fn read(
        store: &Store,
        session: Option<&SessionKey>,
        since: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Self, StoreError> {
        let limit = limit.saturating_add(1);
        let mut events = store.events(session.map(|key| &key.source), session.map(|key| &key.id), since, limit).await?;
        if let Some(key) = session {
            events.extend(store.source_events(&key.source, since, limit).await?);
            events.sort_by_key(|(_, event)| event.at);
        }
        let of_session = session.map(ToString::to_string);
        let filter = NotificationFilter { session: of_session, since, ..NotificationFilter::default() };
        let notified = store.notifications_with_reasons(&filter, limit).await?;
        let suppressions = store.suppressions(session, since, limit).await?;
        Ok(Self { events, notified, suppressions })
    }

    /// Keeps the newest `limit` of each, and nothing from before the oldest event kept. True if that drops nothing.
    fn keep(&mut self, limit: usize) -> bool {
        let before = self.len();
        let older = self.events.len().saturating_sub(limit);
        self.events.drain(..older);
        if let (1.., Some((_, oldest))) = (older, self.events.first()) {
            let from = oldest.at;
            self.notified.retain(|(notification, _)| notification.recorded_at >= from);
            self.suppressions.retain(|held| held.at >= from);
        }
        self.notified.drain(..self.notified.len().saturating_sub(limit));
        self.suppressions.drain(..self.suppressions.len().saturating_sub(limit));
        self.len() == before
    }

    fn len(&self) -> usize {
        self.events.len() + self.notified.len() + self.suppressions.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `of`: the session that every entry is about, if there is one.
    fn table(&self, config: &Config, of: Option<&SessionKey>) -> String {
        let of_place = |at, source: &Name, key: Option<SessionKey>, words| {
            let time = times::exact(at, zone(config, source, key.as_ref()));
            (at, vec![time, key.map_or_else(|| source.to_string(), |key| key.to_string()), words])
        };
        let events = self.events.iter().map(|(source, event)| {
            let key = key(source, event);
            of_place(event.at, source, key, event::words(&event.what))
        });
        let held = self.suppressions.iter().map(|held| of_place(held.at, &held.source, held.place(), held_back(held)));
        let notified = self.notified.iter().map(|(notification, reason)| {
            let one = match (of, notification.sessions.as_slice()) {
                (Some(of), _) => Some(of.clone()),
                (None, [one]) => SessionKey::parse(one),
                (None, _) => None,
            };
            let zone = one.as_ref().map_or(Tz::UTC, |key| zone(config, &key.source, Some(key)));
            let about = match (one, notification.sessions.len()) {
                (Some(key), _) => key.to_string(),
                (None, 0) => String::new(),
                (None, several) => count(several, "session"),
            };
            let at = notification.recorded_at;
            (at, vec![times::exact(at, zone), about, notification_words(notification, reason)])
        });
        let mut rows = events.chain(held).chain(notified).collect::<Vec<_>>();
        rows.sort_by_key(|(at, _)| *at);
        let rows = rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>();
        table(&["TIME", "SESSION", "EVENT"], &rows)
    }
}

fn held_back(held: &StoredSuppression) -> String {
    reason::held_back(&held.key, held.reason)
}

fn notification_words(notification: &StoredNotification, reason: &Reason) -> String {
    let StoredNotification { id, kind, to, subject, .. } = notification;
    let why = reason::why(*id, notification.sessions.len(), reason);
    format!("Notification {id} ({kind}) to {to}: {subject}{why}")
}

fn key(source: &Name, event: &Event) -> Option<SessionKey> {
    event.session.clone().map(|id| SessionKey { source: source.clone(), id })
}

#[derive(Serialize)]
struct HistoryDocument<'a> {
    events: Vec<HistoryLine<'a>>,
    notifications: Vec<NotifiedLine<'a>>,
    suppressions: Vec<SuppressionLine<'a>>,
    /// False if older events were left out.
    complete: bool,
}

/// An event as it is listed: in words, and as the store keeps it.
#[derive(Serialize)]
struct HistoryLine<'a> {
    at: String,
    source: &'a Name,
    session: Option<String>,
    words: String,
    #[serde(flatten)]
    what: &'a EventKind,
}

/// A notification and why it went to its recipient.
#[derive(Serialize)]
struct NotifiedLine<'a> {
    at: String,
    id: i64,
    kind: NotificationKind,
    to: &'a str,
    subject: &'a str,
    sessions: &'a [String],
    reason: reason::ReasonDocument<'a>,
}

impl<'a> From<&'a (StoredNotification, Reason)> for NotifiedLine<'a> {
    fn from((notification, reason): &'a (StoredNotification, Reason)) -> Self {
        let StoredNotification { id, kind, to, subject, sessions, .. } = notification;
        Self {
            at: moment(notification.recorded_at),
            id: *id,
            kind: *kind,
            to: to.as_str(),
            subject,
            sessions,
            reason: reason.into(),
        }
    }
}

/// An incident that was held back, and why.
#[derive(Serialize)]
struct SuppressionLine<'a> {
    at: String,
    source: &'a Name,
    session: Option<String>,
    incident: Uuid,
    reason: &'static str,
    words: String,
}

impl<'a> From<&'a StoredSuppression> for SuppressionLine<'a> {
    fn from(held: &'a StoredSuppression) -> Self {
        Self {
            at: moment(held.at),
            source: &held.source,
            session: held.place().map(|key| key.to_string()),
            incident: held.incident,
            reason: held.reason.label(),
            words: held_back(held),
        }
    }
}

impl<'a> From<&'a (Name, Event)> for HistoryLine<'a> {
    fn from((source, event): &'a (Name, Event)) -> Self {
        Self {
            at: moment(event.at),
            source,
            session: key(source, event).map(|key| key.to_string()),
            words: event::words(&event.what),
            what: &event.what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_an_age_a_date_in_the_zone_or_a_time() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let since = |text, zone| since(text, now, zone).map(|time| time.to_rfc3339()).map_err(|e| e.to_string());
        let cases = [
            ("24h", Tz::UTC, "2026-11-23T12:00:00+00:00"),
            ("7d", Tz::UTC, "2026-11-17T12:00:00+00:00"),
            ("2026-11-24", Tz::UTC, "2026-11-24T00:00:00+00:00"),
            ("2026-06-24", Tz::Europe__London, "2026-06-23T23:00:00+00:00"),
            ("2026-11-24T09:00:00+02:00", Tz::UTC, "2026-11-24T07:00:00+00:00"),
            // Clocks go from 00:00 to 01:00 on this day.
            ("2026-04-24", Tz::Africa__Cairo, "2026-04-23T22:00:00+00:00"),
        ];
        for (text, zone, expected) in cases {
            assert_eq!(since(text, zone).as_deref(), Ok(expected), "{text} in {zone}");
        }
        for wrong in ["yesterday", "24", "2026-13-01", "2026-11-24T09:00:00", ""] {
            assert!(since(wrong, Tz::UTC).unwrap_err().contains(&format!("{wrong:?} is not a time")), "{wrong}");
        }
    }
}
