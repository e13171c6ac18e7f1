//! The state of delivery in words: mail that waits for a retry, and addresses that refuse mail.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::times;
use super::words::count;
use crate::domain::delivery::{DeliveryState, UndeliverableAddress};
use crate::domain::reading::visible;

/// Mail that has waited for less than this is not reported: most failures end at the second or third attempt.
const WORTH_A_LINE: TimeDelta = TimeDelta::minutes(2);

/// Longest error in a line, in characters.
const LONGEST: usize = 300;

/// The delivery over one channel, with its words.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryView<'a>(pub &'a DeliveryState);

/// The delivery for scripts.
#[derive(Debug, Serialize)]
pub struct DeliveryDocument {
    pub channel: String,
    pub retrying: u64,
    pub retrying_since: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub undeliverable: Vec<UndeliverableDocument>,
}

/// An address that refuses mail, for scripts.
#[derive(Debug, Serialize)]
pub struct UndeliverableDocument {
    pub address: String,
    pub since: DateTime<Utc>,
    /// Notifications that were given up.
    pub lost: usize,
    pub last_error: String,
}

impl DeliveryView<'_> {
    /// A sentence for mail that has waited for minutes, and one for each address that refuses mail, with times in `zone`.
    pub fn sentences(self, now: DateTime<Utc>, zone: Tz) -> Vec<String> {
        let refused = self.0.undeliverable.iter().map(|address| refused(address, zone));
        self.retrying(now, zone).into_iter().chain(refused).collect()
    }

    fn retrying(self, now: DateTime<Utc>, zone: Tz) -> Option<String> {
        let since = self.0.retrying_since.filter(|since| now - *since >= WORTH_A_LINE)?;
        let waiting = count(usize::try_from(self.0.retrying).unwrap_or(usize::MAX), "notification");
        let since = times::at(since, zone);
        let error = self.0.last_error.as_deref().map(|error| format!(" The last attempt failed: {}", sentence(error)));
        let how = if self.0.retrying == 1 {
            "has been waiting to be sent since"
        } else {
            "are waiting to be sent, the oldest since"
        };
        Some(format!("{waiting} {how} {since}.{}", error.unwrap_or_default()))
    }

    pub fn document(self) -> DeliveryDocument {
        let DeliveryState { channel, retrying, retrying_since, last_error, undeliverable } = self.0;
        let address = |found: &UndeliverableAddress| UndeliverableDocument {
            address: found.address.to_string(),
            since: found.since,
            lost: found.lost.count,
            last_error: found.last_error.clone(),
        };
        DeliveryDocument {
            channel: channel.to_string(),
            retrying: *retrying,
            retrying_since: *retrying_since,
            last_error: last_error.clone(),
            undeliverable: undeliverable.iter().map(address).collect(),
        }
    }
}

fn refused(found: &UndeliverableAddress, zone: Tz) -> String {
    let UndeliverableAddress { address, since, last_error, lost, .. } = found;
    let since = times::at(*since, zone);
    let verb = if lost.count == 1 { "was" } else { "were" };
    let lost = match lost.count {
        0 => String::new(),
        lost => format!("; {} {verb} not delivered", count(lost, "notification")),
    };
    format!("Mail to {address} has been refused since {since}{lost}: {}", sentence(last_error))
}

/// An error on one line, of a readable length and with a full stop.
fn sentence(error: &str) -> String {
    let mut shown =
        error.chars().take(LONGEST).map(|c| if c.is_whitespace() { ' ' } else { visible(c) }).collect::<String>();
    if error.chars().count() > LONGEST {
        shown.push('…');
    } else if !shown.ends_with('.') {
        shown.push('.');
    }
    shown
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::delivery::LostNotifications;
    use crate::domain::world::{address, name, start};

    fn state(retrying: u64) -> DeliveryState {
        let undeliverable = UndeliverableAddress {
            id: Uuid::nil(),
            address: address("old@acme.example"),
            since: start(),
            last_error: "RCPT TO was refused: 550 \"no such\u{202e} user\"".to_owned(),
            lost: LostNotifications { count: 2, ..LostNotifications::default() },
            accepted_at: None,
            notified: Vec::new(),
        };
        DeliveryState {
            channel: name("email"),
            retrying,
            retrying_since: (retrying > 0).then(start),
            last_error: (retrying > 0).then(|| "the connection to mail.example:25 was refused".to_owned()),
            undeliverable: vec![undeliverable],
        }
    }

    #[test]
    fn mail_that_waits_for_minutes_and_addresses_that_refuse_it_have_a_sentence_each() {
        let refused = "Mail to old@acme.example has been refused since Mon 23 Nov 2026 09:00 UTC; 2 notifications were not \
                       delivered: RCPT TO was refused: 550 \"no such\u{fffd} user\".";
        let waits = "3 notifications are waiting to be sent, the oldest since Mon 23 Nov 2026 09:00 UTC. The last attempt failed: \
                     the connection to mail.example:25 was refused.";
        let at = |minutes| start() + TimeDelta::minutes(minutes);
        let of = |state: &DeliveryState, now| DeliveryView(state).sentences(now, chrono_tz::UTC);
        assert_eq!(of(&state(3), at(2)), [waits, refused]);
        assert_eq!(of(&state(3), at(1)), [refused], "a retry or two is usual");
        assert_eq!(of(&state(0), at(9)), [refused]);
        assert!(of(&state(1), at(2))[0].starts_with("1 notification has been waiting to be sent since Mon"));
    }

    #[test]
    fn a_long_error_is_cut() {
        let long = DeliveryState { last_error: Some("x".repeat(9_000)), ..state(1) };
        let lines = DeliveryView(&long).sentences(start() + TimeDelta::minutes(5), chrono_tz::UTC);
        assert!(lines[0].chars().count() < 450 && lines[0].ends_with("x…"), "{}", lines[0]);
    }
}
