//! A notification of each kind, as alerting derives it from a small world. The same arguments give the same notification.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::email::{Delivery, Email, Options};
use crate::domain::address::{Address, Mailbox};
use crate::domain::announcement::{Announcement, RefusedConfig};
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::notification::{Notification, NotificationKind, Role};
use crate::domain::plan::Due;
use crate::domain::policy::{Policy, Rule, Severity};
use crate::domain::reading::RawValue;
use crate::domain::reconcile::PollOutcome;
use crate::domain::schedule::Schedule;
use crate::domain::session::{Contacts, Session, SessionKey};
use crate::domain::world::{World, contacts, id, name, outcome, rule, session};

const ZONE: chrono_tz::Tz = chrono_tz::Europe::London;

/// A message of `kind` to `to`, recorded at `at`.
pub(crate) fn sample(kind: NotificationKind, to: &Address, at: DateTime<Utc>) -> Notification {
    let mut shop = Shop { world: world(to), to: to.clone() };
    let before = |minutes| at - TimeDelta::minutes(minutes);
    let message = match kind {
        NotificationKind::Test => {
            let from = Mailbox::parse("driftwise@driftwise.example").unwrap();
            let email =
                Email::new(Options { from, delivery: Delivery::Spool(PathBuf::new()), public_url: None }).unwrap();
            Some(email.test(to.clone(), at, ZONE).unwrap())
        }
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
            shop.world.now = at;
            shop.world.evaluate().notifications.into_iter().next()
        }
        NotificationKind::Unaudited => {
            shop.poll(before(5));
            shop.world.rows.push(("20".to_owned(), row("acme-de.myshopify.com")));
            shop.poll(at)
        }
    };
    let message = message.unwrap_or_else(|| panic!("no notification of {kind}"));
    assert_eq!(message.kind, kind);
    message
}

fn subject(notification: &Notification) -> String {
    super::render::render(notification, None).unwrap().subject
}

struct Shop {
    world: World,
    to: Address,
}

impl Shop {
    fn transfer(&mut self, found: &str) -> &mut Self {
        self.world.set("14", "transfer_type", &RawValue::text(found));
        self
    }

    fn poll(&mut self, now: DateTime<Utc>) -> Option<Notification> {
        let poll = outcome(&self.world.answer(), &self.world.plan, now);
        self.step(&poll, now)
    }

    fn fail(&mut self, now: DateTime<Utc>) -> Option<Notification> {
        self.step(&PollOutcome::Unreachable("OrderWise refused the sign-in (401)".to_owned()), now)
    }

    fn step(&mut self, poll: &PollOutcome, now: DateTime<Utc>) -> Option<Notification> {
        self.world.now = now;
        let delta = self.world.reconcile(poll, &Due::All);
        self.world.commit(delta);
        let mut evaluation = self.world.evaluate();
        // Later notifications answer to the subject of the first.
        let subjects = evaluation.notifications.iter().map(|n| (n.id, subject(n)));
        evaluation.entitle(&subjects.collect());
        self.world.known.apply(&evaluation);
        evaluation.notifications.into_iter().find(|notification| notification.to == self.to)
    }
}

/// Two sessions of `acme-erp`, both compliant, with `to` as owner and fallback.
fn world(to: &Address) -> World {
    let mut world = World::new();
    let contacts = Arc::new(Contacts {
        fallback: vec![to.clone()],
        contact: Some("Integrator support, +44 20 7946 0000".to_owned()),
        reply_to: Address::parse("support@integrator.example").ok(),
        zone: ZONE,
        ..Contacts::clone(&contacts())
    });
    let audited = |number: &str| Session {
        key: SessionKey { source: name("acme-erp"), id: id(number) },
        policy: Arc::new(Policy::new(name("orderwise-shopify"), rules())),
        schedule: Schedule::parse("*/5 * * * *", ZONE, world.now).unwrap(),
        owners: vec![to.clone()],
        contacts: Arc::clone(&contacts),
        ..session(number, Vec::new())
    };
    world.plan.sessions = BTreeMap::from(["14", "15"].map(|number| (id(number), audited(number))));
    world.plan.name = name("acme-erp");
    world.plan.contacts = contacts;
    world.plan.alerts.remind_every = Some(Duration::from_hours(24));
    world.rows = vec![("14".to_owned(), row("acme-uk.myshopify.com")), ("15".to_owned(), row("acme-fr.myshopify.com"))];
    world
}

fn rules() -> Vec<Arc<Rule>> {
    let web_service = Expectation::Equals(Operand::Literal("Web Service".to_owned()));
    let mut transfer = rule("transfer-type-web-service", "transfer_type", web_service, Severity::Critical);
    let words = Arc::make_mut(&mut transfer);
    words.why = "With any other type no orders arrive from the shop.".to_owned();
    words.stops_orders = true;
    vec![
        rule("export-off", "export", Expectation::Unticked, Severity::Critical),
        rule("schedule-every-5-minutes", "schedule", Expectation::Every(Duration::from_mins(5)), Severity::Critical),
        transfer,
    ]
}

fn row(shop: &str) -> Vec<(String, RawValue)> {
    let raw_values = [
        ("name", RawValue::text(shop)),
        ("export", RawValue::Flag(false)),
        ("schedule", RawValue::text("Every 5 minutes")),
        ("transfer_type", RawValue::text("Web Service")),
    ];
    raw_values.map(|(column, raw)| (column.to_owned(), raw)).into()
}
