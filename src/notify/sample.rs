//! An example of each kind of message, for `mail preview` and for tests: invented, and the same for the same arguments.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::address::Address;
use crate::domain::incident::{End, Facts, Incident, Phase, Thing, Unread, Window};
use crate::domain::message::{Item, Message, MessageKind};
use crate::domain::name::Name;
use crate::domain::policy::Severity;
use crate::domain::reconcile::{About, News};
use crate::domain::session::SessionId;
use crate::domain::setting::SettingKey;

/// A message of `kind` to `to`, recorded at `at`. `None` cannot happen: every name in it is a good one.
pub fn sample(kind: MessageKind, to: Address, at: DateTime<Utc>) -> Option<Message> {
    let item = match kind {
        MessageKind::Test => None,
        MessageKind::Found => Some(found()?),
        MessageKind::Drift => Some(item(kind, drift(at)?, News::Opened)),
        MessageKind::Update => Some(item(kind, drift(at)?, News::Updated { before: "File Import".to_owned() })),
        MessageKind::Reminder => Some(item(kind, older(drift(at)?, TimeDelta::hours(24)), News::StillOpen)),
        MessageKind::Resolved => {
            let fixed = ended(older(drift(at)?, TimeDelta::minutes(40)), at, End::Repaired);
            Some(item(kind, fixed, News::Ended(End::Repaired)))
        }
        MessageKind::Missing => Some(item(kind, missing(at)?, News::Opened)),
        MessageKind::Unverifiable => Some(item(kind, unverifiable(at)?, News::Opened)),
        MessageKind::Unreachable => Some(item(kind, unreachable(at), News::Opened)),
        MessageKind::Recovered => {
            let back = ended(older(unreachable(at), TimeDelta::minutes(25)), at, End::VisibleAgain);
            Some(item(kind, back, News::Ended(End::VisibleAgain)))
        }
    };
    let follow_up =
        matches!(kind, MessageKind::Update | MessageKind::Resolved | MessageKind::Recovered | MessageKind::Reminder);
    let opening = "<opening@driftwise.example>".to_owned();
    let references = item.iter().filter_map(Item::incident).map(|i| format!("<incident-{}@driftwise.example>", i.id));
    let references = references.chain(follow_up.then(|| opening.clone())).collect();
    Some(Message {
        message_id: format!("<sample-{kind}-{}@driftwise.example>", at.timestamp()),
        kind,
        to,
        source: Name::parse("acme-erp").ok()?,
        at,
        zone: chrono_tz::Europe::London,
        subject: subject(kind),
        items: item.into_iter().collect(),
        references,
        in_reply_to: follow_up.then_some(opening),
        contact: Some("Integrator support, +44 20 7946 0000".to_owned()),
        reply_to: Address::parse("support@integrator.example").ok(),
    })
}

fn subject(kind: MessageKind) -> String {
    let drift = "acme-uk.myshopify.com: Transfer Type is not as it should be";
    match kind {
        MessageKind::Drift => drift.to_owned(),
        MessageKind::Update | MessageKind::Resolved | MessageKind::Reminder => format!("Re: {drift}"),
        MessageKind::Missing => "acme-uk.myshopify.com: the session has disappeared".to_owned(),
        MessageKind::Unverifiable => "acme-uk.myshopify.com: settings could not be checked".to_owned(),
        MessageKind::Unreachable => "acme-erp could not be checked".to_owned(),
        MessageKind::Recovered => "Re: acme-erp could not be checked".to_owned(),
        MessageKind::Found => "acme-de.myshopify.com: a session that nobody checks has appeared in acme-erp".to_owned(),
        MessageKind::Test => "Test message of Driftwise".to_owned(),
    }
}

fn item(kind: MessageKind, incident: Incident, news: News) -> Item {
    let link = incident.thing.session().map(|id| format!("https://driftwise.example/sessions/acme-erp/{id}"));
    Item {
        kind,
        severity: incident.severity,
        news,
        about: About::Incident(Box::new(incident)),
        zone: chrono_tz::Europe::London,
        link,
    }
}

fn found() -> Option<Item> {
    let id = SessionId::parse("20").ok()?;
    let about = About::Stranger { id, name: Some("acme-de.myshopify.com".to_owned()) };
    let zone = chrono_tz::Europe::London;
    Some(Item { kind: MessageKind::Found, severity: Severity::Info, news: News::Found, about, zone, link: None })
}

fn begun(thing: Thing, severity: Severity, window: Window, facts: Facts) -> Incident {
    let name = format!("driftwise sample {}", thing.kind().label());
    Incident {
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
        thing,
        severity,
        phase: Phase::Open { since: window.first_bad, good: 0 },
        window,
        facts,
        told: Vec::new(),
        told_at: None,
    }
}

/// Five minutes between the last good look and the first bad one.
fn window(first_bad: DateTime<Utc>) -> Window {
    Window { last_good: Some(first_bad - TimeDelta::minutes(5)), first_bad }
}

fn older(mut incident: Incident, by: TimeDelta) -> Incident {
    incident.window.first_bad -= by;
    incident.window.last_good = incident.window.last_good.map(|good| good - by);
    incident
}

fn ended(mut incident: Incident, at: DateTime<Utc>, end: End) -> Incident {
    incident.phase = Phase::Ended { at, end };
    incident
}

fn session() -> Option<SessionId> {
    SessionId::parse("14").ok()
}

const NAME: &str = "acme-uk.myshopify.com";

fn drift(at: DateTime<Utc>) -> Option<Incident> {
    let thing = Thing::Drift {
        session: session()?,
        rule: Name::parse("transfer-type-web-service").ok()?,
        setting: SettingKey::new("transfer_type"),
    };
    let facts = Facts {
        name: Some(NAME.to_owned()),
        label: "Transfer Type".to_owned(),
        expected: "Web Service".to_owned(),
        found: "FTP".to_owned(),
        why: "With any other type no orders arrive from the shop.".to_owned(),
        fix: "E-Commerce > E-Commerce Sessions > the session > Import Setup, then Save".to_owned(),
        stops_orders: true,
        ..Facts::default()
    };
    Some(begun(thing, Severity::Critical, window(at), facts))
}

fn missing(at: DateTime<Utc>) -> Option<Incident> {
    let facts = Facts { name: Some(NAME.to_owned()), ..Facts::default() };
    Some(begun(Thing::Missing { session: session()? }, Severity::Critical, window(at), facts))
}

fn unverifiable(at: DateTime<Utc>) -> Option<Incident> {
    let unread = |rule, setting, label: &str, reason: &str| {
        let (rule, setting) = (Name::parse(rule).ok()?, SettingKey::new(setting));
        Some(Unread { rule, setting, label: label.to_owned(), reason: reason.to_owned() })
    };
    let unread = vec![
        unread("export-off", "export", "Export", "the source did not return it")?,
        unread(
            "schedule-every-5-minutes",
            "schedule",
            "Schedule",
            "the source returned \"often\", which is not an interval such as 5 or Every 5 minutes",
        )?,
    ];
    let facts = Facts { name: Some(NAME.to_owned()), unread, ..Facts::default() };
    Some(begun(
        Thing::Unverifiable { session: session()? },
        Severity::Critical,
        window(at - TimeDelta::hours(1)),
        facts,
    ))
}

fn unreachable(at: DateTime<Utc>) -> Incident {
    let facts = Facts { reason: "OrderWise refused the sign-in (401)".to_owned(), ..Facts::default() };
    begun(Thing::Unreachable, Severity::Critical, window(at - TimeDelta::hours(1)), facts)
}
