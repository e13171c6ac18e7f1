//! Samples of notifications, of each kind and of each form of a kind, as alerting derives them from a small world. The same
//! arguments give the same notification.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::address::Address;
use crate::domain::announcement::{Announcement, EndingCredential, RefusedConfig};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::delivery::{LostNotification, LostNotifications, UndeliverableAddress};
use crate::domain::name::Name;
use crate::domain::notification::{Notification, NotificationKind, Role};
use crate::domain::policy::Severity;
use crate::domain::reading::RawValue;
use crate::domain::reconcile::PollOutcome;

mod world;

use world::{UNDELIVERABLE, World, row};

const ZONE: chrono_tz::Tz = chrono_tz::Europe::London;

/// The notification that a sample shows: a kind, or another form of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    Of(NotificationKind),
    /// Of kind source changed: many sessions changed in one poll.
    SessionsChanged,
    /// Of kind source changed: columns are gone that no rule needs.
    ColumnsForgotten,
    /// Of kind unaudited: a session with an open incident is no longer audited.
    SessionRemoved,
}

impl Sample {
    pub fn all() -> impl Iterator<Item = Self> {
        let forms = [Self::SessionsChanged, Self::ColumnsForgotten, Self::SessionRemoved];
        NotificationKind::ALL.into_iter().map(Self::Of).chain(forms)
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.label(),
            Self::SessionsChanged => "source_changed_sessions",
            Self::ColumnsForgotten => "source_changed_forgotten",
            Self::SessionRemoved => "unaudited_removed",
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::all().find(|sample| sample.label() == label)
    }
}

/// A message of `kind` to `to`, recorded at `at`.
#[cfg(test)]
pub(crate) fn sample(kind: NotificationKind, to: &Address, at: DateTime<Utc>) -> Notification {
    let message = example(Sample::Of(kind), to, at).unwrap_or_else(|| panic!("no notification of {kind}"));
    assert_eq!(message.kind, kind);
    message
}

/// The same for a preview; `None` only if a constant below is broken, which the tests would show.
pub fn example(sample: Sample, to: &Address, at: DateTime<Utc>) -> Option<Notification> {
    let channel = Name::parse("email").ok()?;
    let mut shop = Shop { world: World::new(to, ZONE, at)?, channel, to: to.clone() };
    let before = |minutes| at - TimeDelta::minutes(minutes);
    let kind = match sample {
        Sample::Of(kind) => kind,
        Sample::SessionsChanged => {
            shop.poll(before(5));
            for session in ["14", "15"] {
                shop.world.set(session, "export", &RawValue::Flag(true));
            }
            return shop.poll(at);
        }
        Sample::ColumnsForgotten => {
            shop.world.forget("other_option");
            return shop.alert(at);
        }
        Sample::SessionRemoved => {
            for found in ["Web Service", "FTP"] {
                let poll = shop.transfer(found).world.snapshot();
                shop.world.take(&poll);
            }
            shop.world.remove("14");
            return shop.alert(at);
        }
    };
    match kind {
        NotificationKind::Test => Notification::test(shop.channel, to.clone(), at, ZONE).into(),
        NotificationKind::Drift => {
            shop.poll(before(5));
            shop.transfer("FTP").poll(at)
        }
        NotificationKind::Update => {
            shop.poll(before(30));
            shop.transfer("File Import").poll(before(25));
            shop.transfer("FTP").poll(at)
        }
        NotificationKind::Reminder => {
            let opened = before(24 * 60);
            shop.poll(opened - TimeDelta::minutes(5));
            shop.transfer("FTP").poll(opened);
            shop.poll(at)
        }
        NotificationKind::Resolved => {
            shop.poll(before(45));
            shop.transfer("FTP").poll(before(40));
            shop.transfer("Web Service").poll(at)
        }
        NotificationKind::Missing => {
            shop.poll(before(5));
            shop.world.rows.retain(|(id, _)| id != "14");
            shop.poll(at)
        }
        NotificationKind::Unverifiable => {
            shop.poll(before(65));
            shop.world.unset("14", "export");
            shop.world.set("14", "schedule", &RawValue::Repeated);
            shop.poll(before(60));
            shop.poll(at)
        }
        NotificationKind::SourceChanged => {
            shop.poll(before(5));
            for session in ["14", "15"] {
                shop.world.unset(session, "transfer_type");
                shop.world.set(session, "TransferTypeName", &RawValue::text("Web Service"));
            }
            shop.poll(at)
        }
        NotificationKind::Unreachable => {
            shop.poll(before(65));
            shop.fail(before(60));
            shop.fail(at)
        }
        NotificationKind::Recovered => {
            shop.poll(before(90));
            shop.fail(before(85));
            shop.fail(before(25));
            shop.poll(at)
        }
        NotificationKind::Reload => {
            let problem = "driftwise.yaml:12:1: unknown key \"alarms\" (did you mean \"alerts\"?)".to_owned();
            let recipients = vec![(to.clone(), Role::Operator)];
            shop.world.known.announce(Announcement::Reload(RefusedConfig::new(&[problem], before(60), recipients, at)));
            shop.alert(at)
        }
        NotificationKind::Credential => {
            shop.world.known.announce(Announcement::Credential(ending_secret(to, at)?));
            shop.alert(at)
        }
        NotificationKind::Unaudited => {
            shop.poll(before(5));
            shop.world.rows.push(("20".to_owned(), row("acme-de.myshopify.com")));
            shop.poll(at)
        }
        NotificationKind::Undeliverable => {
            shop.world.known.set_undeliverable(vec![undeliverable(before(5))?]);
            shop.alert(at)
        }
    }
}

/// A client secret that ends in two weeks.
fn ending_secret(to: &Address, at: DateTime<Utc>) -> Option<EndingCredential> {
    let credential = Credential {
        key: "email.smtp.oauth2.client_secret".to_owned(),
        source: None,
        kind: CredentialKind::ClientSecret,
        ends: vec![at + TimeDelta::days(14)],
    };
    EndingCredential::new(&credential, &[(to.clone(), Role::Operator)], at)
}

/// An address that has refused two notifications.
fn undeliverable(since: DateTime<Utc>) -> Option<UndeliverableAddress> {
    let address = Address::parse(UNDELIVERABLE).ok()?;
    let subject = "acme-uk.myshopify.com: orders may have stopped".to_owned();
    Some(UndeliverableAddress {
        id: UndeliverableAddress::id_of("email", &address, Uuid::nil()),
        address,
        since,
        last_error: "the mail server smtp.office365.com:587 refused the recipient (RCPT TO): 550 \"5.1.1 <…@acme.example>: user unknown\"".to_owned(),
        lost: LostNotifications {
            count: 2,
            worst: Some(LostNotification { number: 12, severity: Severity::Critical, subject }),
            kinds: vec![(NotificationKind::Drift, 1), (NotificationKind::Reminder, 1)],
            sessions: vec!["acme-erp/14".to_owned()],
        },
        accepted_at: None,
        notified: Vec::new(),
    })
}

fn subject(notification: &Notification) -> String {
    super::render::render(notification, None).map(|rendered| rendered.subject).unwrap_or_default()
}

struct Shop {
    world: World,
    channel: Name,
    to: Address,
}

impl Shop {
    fn transfer(&mut self, found: &str) -> &mut Self {
        self.world.set("14", "transfer_type", &RawValue::text(found));
        self
    }

    fn poll(&mut self, now: DateTime<Utc>) -> Option<Notification> {
        self.world.now = now;
        let poll = self.world.snapshot();
        self.step(&poll, now)
    }

    fn fail(&mut self, now: DateTime<Utc>) -> Option<Notification> {
        self.step(&PollOutcome::Unreachable("OrderWise refused the sign-in (401)".to_owned()), now)
    }

    fn step(&mut self, poll: &PollOutcome, now: DateTime<Utc>) -> Option<Notification> {
        self.world.now = now;
        self.world.take(poll);
        self.alert(now)
    }

    fn alert(&mut self, now: DateTime<Utc>) -> Option<Notification> {
        self.world.now = now;
        let mut evaluation = self.world.evaluate(&self.channel);
        // Later notifications refer to the subject of the first.
        let subjects = evaluation.notifications.iter().map(|n| (n.id, subject(n)));
        evaluation.entitle(&subjects.collect());
        self.world.known.apply(&evaluation);
        evaluation.notifications.into_iter().find(|notification| notification.to == self.to)
    }
}
