//! An address that refuses mail: subject, first sentence and entry.

use super::entry::{EntryRow, EntryWriter, HeadedRows, prose, row};
use super::words::{VALUE, clean, count, listed, plain};
use crate::domain::delivery::{AddressChange, AddressEnd, LostNotifications, UndeliverableAddress};
use crate::domain::notification::{About, Notification};
use crate::view::words::number;

/// Longest address in a subject, in characters.
const SHORT: usize = 40;
/// Most addresses that a sentence names, and most sessions in a list; the others are counted.
const NAMED: usize = 3;

/// The addresses of a notification of undeliverable addresses, or none of another.
pub(super) fn of(notification: &Notification) -> Vec<&AddressChange> {
    let changes = notification.items.iter().filter_map(|item| match &item.about {
        About::Undeliverable(change) => Some(change),
        _ => None,
    });
    changes.collect()
}

pub(super) fn subject(changes: &[&AddressChange]) -> String {
    let who = match changes {
        [one] => clean(one.address.address.as_str(), SHORT),
        several => format!("{} addresses", number(several.len())),
    };
    match Outcome::of(changes) {
        Outcome::Refused => format!("Mail to {who} is refused"),
        Outcome::Accepted => format!("{who} {} mail again", if changes.len() == 1 { "accepts" } else { "accept" }),
        Outcome::Unused => format!("{who}: no more mail is sent there"),
        Outcome::Mixed => format!("Mail to {who} is no longer refused"),
    }
}

/// What became of all addresses of a notification.
enum Outcome {
    Refused,
    Accepted,
    Unused,
    Mixed,
}

impl Outcome {
    fn of(changes: &[&AddressChange]) -> Self {
        let all = |wanted: fn(Option<AddressEnd>) -> bool| changes.iter().all(|change| wanted(change.end));
        if all(|end| matches!(end, Some(AddressEnd::Accepted(_)))) {
            Self::Accepted
        } else if all(|end| matches!(end, Some(AddressEnd::Unused))) {
            Self::Unused
        } else if all(|end| end.is_some()) {
            Self::Mixed
        } else {
            Self::Refused
        }
    }
}

/// The first sentence.
pub(super) fn lead(changes: &[&AddressChange]) -> String {
    let who = plain(&listed(changes.iter().map(|change| change.address.address.to_string()), NAMED), VALUE);
    let outcome = match Outcome::of(changes) {
        Outcome::Refused => format!("Mail to {who} is refused."),
        Outcome::Accepted => format!("{who} {} mail again.", if changes.len() == 1 { "accepts" } else { "accept" }),
        Outcome::Unused => format!("The configuration no longer names {who}, so no more mail is sent there."),
        Outcome::Mixed => format!("Mail to {who} is no longer refused."),
    };
    let before = if changes.iter().all(|change| change.end.is_some()) { "Before that, " } else { "" };
    match changes.iter().map(|change| change.address.lost.count).sum::<usize>() {
        0 => outcome,
        count => format!("{outcome} {before}{}.", lost(count)),
    }
}

fn lost(notifications: usize) -> String {
    let verb = if notifications == 1 { "was" } else { "were" };
    format!("{} {verb} not delivered", count(notifications, "notification"))
}

/// One line of a list.
pub(super) fn brief(change: &AddressChange) -> String {
    let address = &change.address;
    match change.end {
        None => format!("{}: {}", address.address, lost(address.lost.count)),
        Some(AddressEnd::Accepted(_)) => format!("{}: accepts mail again", address.address),
        Some(AddressEnd::Unused) => format!("{}: no longer in the configuration", address.address),
    }
}

impl EntryWriter {
    pub(super) fn undeliverable(&self, change: &AddressChange) -> HeadedRows {
        let UndeliverableAddress { address, since, last_error, lost, .. } = &*change.address;
        let rows = match change.end {
            None => {
                let means = "alerts to this address reach no one. Driftwise still sends each new one, and reports when the address accepts one";
                let rest = [prose("What this means", means), prose("What to do", &self.mend(lost))];
                [row("Since when", &self.at(*since)), row("Why", last_error)]
                    .into_iter()
                    .chain(lost_rows(lost))
                    .chain(rest)
                    .collect()
            }
            Some(end) => {
                let seen = match end {
                    AddressEnd::Accepted(accepted) => row("Accepted again", &self.at(accepted)),
                    AddressEnd::Unused => prose("Why", "the configuration of Driftwise no longer names this address"),
                };
                let resend = prose("What to do", &self.resend()).filter(|_| matches!(end, AddressEnd::Accepted(_)));
                [row("Was refused from", &self.at(*since)), seen]
                    .into_iter()
                    .chain(lost_rows(lost))
                    .chain([resend])
                    .collect()
            }
        };
        (address.to_string(), rows)
    }

    fn mend(&self, lost: &LostNotifications) -> String {
        if !self.role.runs_checks() {
            return format!("tell {} the right address, or have the mailbox repaired", self.contact);
        }
        let example = lost.worst.as_ref().map_or_else(|| String::from("ID"), |worst| worst.number.to_string());
        format!(
            "correct the address in the configuration of Driftwise: the new address is notified of everything that is still open. Or have the mailbox repaired, then resend what was lost with “driftwise notifications resend {example}”; “driftwise notifications list” shows the others"
        )
    }

    fn resend(&self) -> String {
        if self.role.runs_checks() {
            String::from(
                "the lost notifications are not sent again automatically. “driftwise notifications list” shows them, and “driftwise notifications resend ID” sends one again",
            )
        } else {
            format!("the lost notifications are not sent again automatically. To get one, ask {}", self.contact)
        }
    }
}

fn lost_rows(lost: &LostNotifications) -> [Option<EntryRow>; 3] {
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
