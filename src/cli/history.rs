//! `history`: the events that the store keeps, oldest first.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::Args;
use serde::Serialize;

use super::output::Format;
use super::table::table;
use super::{Exit, Shared, UsageError, print, say, session_key};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config, NeededSecrets};
use crate::domain::event::{Event, EventKind};
use crate::domain::name::Name;
use crate::domain::session::{Session, SessionKey};
use crate::store::Store;
use crate::view::words::count;
use crate::view::{event, times};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print only the events of this session and of its source as a whole
    #[arg(long, value_name = "SOURCE/ID")]
    session: Option<String>,
    /// Print only events since then: an age (24h, 7d), a date (2026-11-24) or a time (2026-11-24T09:00:00Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Print at most so many events, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(shared: &Shared, arguments: Arguments) -> anyhow::Result<Exit> {
    let session = arguments.session.as_deref().map(session_key).transpose()?;
    let config = shared.load_for(&NeededSecrets::NONE)?;
    let zone = session.as_ref().map_or(Tz::UTC, |key| zone(&config, &key.source, Some(key)));
    let since = arguments.since.as_deref().map(|text| since(text, SystemClock.now(), zone)).transpose()?;
    let limit = arguments.limit as usize;
    // One more than is shown, to know whether there are more.
    let mut events = match Store::read(&config.store.path).await {
        Ok(store) => {
            let one_more = limit.saturating_add(1);
            match &session {
                None => store.events(None, None, since, one_more).await?,
                Some(key) => {
                    let mut events = store.events(Some(&key.source), Some(&key.id), since, one_more).await?;
                    events.extend(store.source_events(&key.source, since, one_more).await?);
                    events.sort_by_key(|(_, event)| event.at);
                    events
                }
            }
        }
        Err(e) if e.is_absent() => Vec::new(),
        Err(e) => return Err(e.into()),
    };
    let known = |key: &SessionKey| events.iter().any(|(_, event)| event.session.as_ref() == Some(&key.id));
    if let Some(key) = session.filter(|key| !is_audited(&config, key) && !known(key)) {
        let error = format!("there are no events of {key}, and the configuration does not audit it");
        return Err(UsageError(error).into());
    }
    let older = events.len().saturating_sub(limit);
    events.drain(..older);
    match arguments.format {
        Format::Json => {
            let document =
                HistoryDocument { events: events.iter().map(HistoryLine::from).collect(), complete: older == 0 };
            print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
        }
        Format::Table if events.is_empty() => print("There are no events to show.\n")?,
        Format::Table => print(&as_table(&config, &events))?,
    }
    if older > 0 {
        let shown = count(limit, "event");
        say(&format!(
            "driftwise: there are older events than these {shown}; --limit and --since choose which are shown"
        ));
    }
    Ok(Exit::Fine)
}

fn is_audited(config: &Config, key: &SessionKey) -> bool {
    config.plans.get(&key.source).is_some_and(|plan| plan.sessions.contains_key(&key.id))
}

/// The zone of the session, else of its source, else UTC.
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
        UsageError(format!("--since {text:?} is no time; {forms}"))
    })
}

fn as_table(config: &Config, events: &[(Name, Event)]) -> String {
    let line = |(source, event): &(Name, Event)| {
        let key = key(source, event);
        let at = times::exact(event.at, zone(config, source, key.as_ref()));
        let about = key.map_or_else(|| source.to_string(), |key| key.to_string());
        vec![at, about, event::words(&event.what)]
    };
    let rows = events.iter().map(line).collect::<Vec<_>>();
    table(&["TIME", "SESSION", "EVENT"], &rows)
}

fn key(source: &Name, event: &Event) -> Option<SessionKey> {
    event.session.clone().map(|id| SessionKey { source: source.clone(), id })
}

#[derive(Serialize)]
struct HistoryDocument<'a> {
    events: Vec<HistoryLine<'a>>,
    /// False where older events were left out.
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

impl<'a> From<&'a (Name, Event)> for HistoryLine<'a> {
    fn from((source, event): &'a (Name, Event)) -> Self {
        Self {
            at: event.at.to_rfc3339_opts(SecondsFormat::Millis, true),
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
            assert!(since(wrong, Tz::UTC).unwrap_err().contains(&format!("{wrong:?} is no time")), "{wrong}");
        }
    }
}
