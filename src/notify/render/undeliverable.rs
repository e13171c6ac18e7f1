//! The words about an address that refuses mail, for the people who run Driftwise.

use super::entry::{Row, prose, row};
use super::times::at;
use super::words::{PROSE, VALUE, clean, count, plain};
use crate::domain::delivery::{AddressEnd, AddressNews, LostNotifications, UndeliverableAddress};
use crate::domain::notification::{About, Notification};
use crate::view::words::number;
use chrono_tz::Tz;

/// Longest address in a subject, in characters.
const SHORT: usize = 40;
/// Addresses that are named in a sentence, and sessions in a list; the others are counted.
const NAMED: usize = 3;

/// The addresses of a notification that tells of nothing else.
pub(super) fn of(notification: &Notification) -> Vec<&AddressNews> {
    let news = notification.items.iter().filter_map(|item| match &item.about {
        About::Undeliverable(news) => Some(news),
        _ => None,
    });
    news.collect()
}

pub(super) fn subject(news: &[&AddressNews]) -> String {
    let who = match news {
        [one] => clean(one.address.address.as_str(), SHORT),
        several => format!("{} addresses", number(several.len())),
    };
    match news.iter().map(|news| news.end).collect::<Vec<_>>().as_slice() {
        [Some(AddressEnd::Unused), ..] => format!("{who}: no more mail is sent there"),
        [Some(AddressEnd::Accepted(_)), ..] => format!("Mail to {who} is accepted again"),
        _ => format!("Mail to {who} is refused"),
    }
}

/// The first sentence.
pub(super) fn lead(news: &[&AddressNews]) -> String {
    let mut who = news.iter().take(NAMED).map(|news| news.address.address.to_string()).collect::<Vec<_>>();
    if news.len() > NAMED {
        who.push(format!("{} more", news.len() - NAMED));
    }
    let who = plain(&who.join(", "), VALUE);
    let lost = lost(news.iter().map(|news| news.address.lost.count).sum());
    match news.first().and_then(|news| news.end) {
        None => format!("Mail to {who} is refused. {lost}."),
        Some(AddressEnd::Accepted(_)) => format!("Mail to {who} is accepted again. {lost} before."),
        Some(AddressEnd::Unused) => {
            format!("The configuration no longer names {who}, so no more mail is sent there. {lost} before.")
        }
    }
}

fn lost(notifications: usize) -> String {
    let verb = if notifications == 1 { "was" } else { "were" };
    format!("{} {verb} not delivered", count(notifications, "notification"))
}

/// One line of a list.
pub(super) fn brief(news: &AddressNews) -> String {
    let address = &news.address;
    match news.end {
        None => format!("{}: {}", address.address, lost(address.lost.count)),
        Some(AddressEnd::Accepted(_)) => format!("{}: accepts mail again", address.address),
        Some(AddressEnd::Unused) => format!("{}: not in the configuration any more", address.address),
    }
}

pub(super) fn entry(news: &AddressNews, zone: Tz) -> (String, Vec<Option<Row>>) {
    let UndeliverableAddress { address, since, last_error, lost, .. } = &*news.address;
    let reason = row("Why", last_error);
    let lost_rows = lost_rows(lost);
    let heading = address.to_string();
    let rows = match news.end {
        None => {
            let means = "alerts to this address reach no one. Later notifications are still sent to it; when one is accepted, you get a message";
            let rest = [prose("What this means", means), prose("What to do", &what_to_do(lost))];
            [row("Since when", &at(*since, zone)), reason].into_iter().chain(lost_rows).chain(rest).collect()
        }
        Some(end) => {
            let seen = match end {
                AddressEnd::Accepted(accepted) => row("Accepted again", &at(accepted, zone)),
                AddressEnd::Unused => prose("Why", "the configuration does not name this address any more"),
            };
            let resend = "what was lost is not sent again by itself. “driftwise notifications list” shows it, and “driftwise notifications resend ID” sends one of them to the same address again";
            let resend = prose("What to do", resend).filter(|_| matches!(end, AddressEnd::Accepted(_)));
            [row("Was refused from", &at(*since, zone)), seen].into_iter().chain(lost_rows).chain([resend]).collect()
        }
    };
    (heading, rows)
}

fn lost_rows(lost: &LostNotifications) -> [Option<Row>; 3] {
    let kinds = lost.kinds.iter().map(|(kind, number)| format!("{number} {kind}")).collect::<Vec<_>>();
    let sum = format!("{} ({})", count(lost.count, "notification"), kinds.join(", "));
    let worst = lost.worst.as_ref().map(|worst| {
        format!("{} ({}, notification {})", plain(&worst.subject, VALUE), worst.severity.label(), worst.number)
    });
    let mut sessions = lost.sessions.iter().take(NAMED).map(|key| plain(key, VALUE)).collect::<Vec<_>>();
    if lost.sessions.len() > NAMED {
        sessions.push(format!("{} more", lost.sessions.len() - NAMED));
    }
    [
        row("Not delivered", &sum).filter(|_| lost.count > 0),
        worst.and_then(|worst| row("Most severe", &worst)),
        row("About", &sessions.join(", ")),
    ]
}

fn what_to_do(lost: &LostNotifications) -> String {
    let example = lost.worst.as_ref().map_or_else(|| String::from("ID"), |worst| worst.number.to_string());
    plain(
        &format!(
            "correct the address in the configuration: the new one is notified of everything that is still open. Or have the mailbox repaired and send what was lost again, with “driftwise notifications resend {example}”; “driftwise notifications list” shows the others"
        ),
        PROSE,
    )
}
