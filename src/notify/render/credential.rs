//! A credential that ends: subject, first sentence and entry.

use chrono::{DateTime, TimeDelta, Utc};

use super::entry::{EntryWriter, HeadedRows, prose, row};
use super::words::{VALUE, count, plain};
use crate::domain::announcement::EndingCredential;
use crate::domain::name::Name;
use crate::domain::notification::{About, Notification};
use crate::view::credential::{act, effect, noun};
use crate::view::words::capital;

/// The credentials of a notification about credentials that end, the first end first; empty for any other notification.
pub(super) fn of(notification: &Notification) -> Vec<&EndingCredential> {
    let ending = notification.items.iter().filter_map(|item| match &item.about {
        About::Credential(ending) => Some(ending),
        _ => None,
    });
    let mut ending = ending.collect::<Vec<_>>();
    ending.sort_by_key(|ending| ending.end);
    ending
}

pub(super) fn subject(ending: &[&EndingCredential], now: DateTime<Utc>) -> String {
    match ending {
        [] => String::new(),
        [one] => short(one, now),
        [first, rest @ ..] => format!("{}, and {} more", short(first, now), rest.len()),
    }
}

/// The first sentences.
pub(super) fn lead(ending: &[&EndingCredential], now: DateTime<Utc>) -> String {
    match ending {
        [] => String::new(),
        [one] => {
            format!("{}; {}.", short(one, now), consequence(one, now))
        }
        [first, second] => format!("{}. {}.", short(first, now), short(second, now)),
        [first, rest @ ..] => format!("{}. {} follow.", short(first, now), count(rest.len(), "more credential")),
    }
}

/// One credential as a sentence, without the full stop.
fn short(ending: &EndingCredential, now: DateTime<Utc>) -> String {
    let purpose = ending.source.as_ref().map_or("mail", Name::as_str);
    format!("The {} for {} {}", noun(ending.kind), plain(purpose, VALUE), when(ending.end, now))
}

/// What stops, now or later.
fn consequence(ending: &EndingCredential, now: DateTime<Utc>) -> String {
    let effect = effect(ending.source.as_ref());
    if ending.end <= now { effect } else { format!("after that, {effect}") }
}

/// One line of a list.
pub(super) fn brief(ending: &EndingCredential) -> String {
    format!("{}: {}", ending.key, when(ending.end, ending.at))
}

fn when(end: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let left = end - now;
    // A day that has begun counts.
    let days = usize::try_from((left + TimeDelta::days(1) - TimeDelta::seconds(1)).num_days()).unwrap_or(0);
    match days {
        _ if left <= TimeDelta::zero() => "has expired".to_owned(),
        0 | 1 => "expires within a day".to_owned(),
        days => format!("expires in {}", count(days, "day")),
    }
}

impl EntryWriter {
    pub(super) fn credential(&self, ending: &EndingCredential) -> HeadedRows {
        let rows = vec![
            row("Key", &ending.key),
            row(if ending.end <= self.now { "Expired" } else { "Expires" }, &self.at(ending.end)),
            prose("What this means", &consequence(ending, self.now)),
            prose(
                "What to do",
                &if self.role.runs_checks() { act(ending.kind).to_owned() } else { format!("tell {}", self.contact) },
            ),
        ];
        (capital(noun(ending.kind)), rows)
    }
}
