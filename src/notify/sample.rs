//! A message of each kind, as the program itself makes it: a small world is looked at until somebody is told. Invented, and
//! the same for the same arguments.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::email::{Delivery, Email, Options};
use crate::domain::address::{Address, Mailbox};
use crate::domain::decide::{Sender, decide};
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::message::{Message, MessageKind};
use crate::domain::plan::Due;
use crate::domain::policy::{Policy, Rule, Severity};
use crate::domain::reading::Cell;
use crate::domain::reconcile::SourceLook;
use crate::domain::schedule::Schedule;
use crate::domain::session::{Contacts, Session, SessionKey};
use crate::domain::sighting::Sighting;
use crate::domain::world::{World, id, name, rule, session};

const ZONE: chrono_tz::Tz = chrono_tz::Europe::London;

/// A message of `kind` to `to`, recorded at `at`.
pub(crate) fn sample(kind: MessageKind, to: &Address, at: DateTime<Utc>) -> Message {
    let mut shop = Shop { world: world(to), to: to.clone() };
    let before = |minutes| at - TimeDelta::minutes(minutes);
    let message = match kind {
        MessageKind::Test => {
            let from = Mailbox::parse("driftwise@driftwise.example").unwrap();
            let email = Email::new(Options { from, delivery: Delivery::Spool(PathBuf::new()) }).unwrap();
            Some(email.test(to.clone(), at, ZONE).unwrap())
        }
        MessageKind::Drift => {
            shop.look(before(5));
            shop.transfer("FTP").look(at)
        }
        MessageKind::Update => {
            shop.look(before(30));
            shop.transfer("File Import").look(before(25));
            shop.transfer("FTP").look(at)
        }
        MessageKind::Reminder => {
            let opened = before(24 * 60);
            shop.look(opened - TimeDelta::minutes(5));
            shop.transfer("FTP").look(opened);
            shop.look(at)
        }
        MessageKind::Resolved => {
            shop.look(before(45));
            shop.transfer("FTP").look(before(40));
            shop.transfer("Web Service").look(at)
        }
        MessageKind::Missing => {
            shop.look(before(5));
            shop.world.rows.retain(|(id, _)| id != "14");
            shop.look(at)
        }
        MessageKind::Unverifiable => {
            shop.look(before(65));
            shop.world.unset("14", "export");
            shop.world.set("14", "schedule", &Cell::text("often"));
            shop.look(before(60));
            shop.look(at)
        }
        MessageKind::Unreachable => {
            shop.look(before(65));
            shop.fail(before(60));
            shop.fail(at)
        }
        MessageKind::Recovered => {
            shop.look(before(90));
            shop.fail(before(85));
            shop.fail(before(25));
            shop.look(at)
        }
        MessageKind::Found => {
            shop.look(before(5));
            shop.world.rows.push(("20".to_owned(), row("acme-de.myshopify.com")));
            shop.look(at)
        }
    };
    let message = message.unwrap_or_else(|| panic!("nobody is told of {kind}"));
    assert_eq!(message.kind, kind);
    message
}

struct Shop {
    world: World,
    to: Address,
}

impl Shop {
    fn transfer(&mut self, found: &str) -> &mut Self {
        self.world.set("14", "transfer_type", &Cell::text(found));
        self
    }

    fn look(&mut self, now: DateTime<Utc>) -> Option<Message> {
        let sighting = Sighting::read(&self.world.answer(), &self.world.plan.mapping, now).unwrap();
        self.step(&SourceLook::Answer(sighting), now)
    }

    fn fail(&mut self, now: DateTime<Utc>) -> Option<Message> {
        self.step(&SourceLook::Unreachable("OrderWise refused the sign-in (401)".to_owned()), now)
    }

    fn step(&mut self, look: &SourceLook, now: DateTime<Utc>) -> Option<Message> {
        let sender =
            Sender { domain: "driftwise.example".to_owned(), public_url: Some("https://driftwise.example".to_owned()) };
        let World { plan, state, .. } = &mut self.world;
        let decision = decide(plan, state, look, &Due::All, &sender, now);
        state.apply(decision.delta);
        decision.messages.into_iter().find(|message| message.to == self.to)
    }
}

/// Two sessions of `acme-erp`, both as they should be, of which `to` is told.
fn world(to: &Address) -> World {
    let mut world = World::new();
    let contacts = Arc::new(Contacts {
        customer: None,
        fallback: vec![to.clone()],
        contact: Some("Integrator support, +44 20 7946 0000".to_owned()),
        reply_to: Address::parse("support@integrator.example").ok(),
        zone: ZONE,
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

fn row(shop: &str) -> Vec<(String, Cell)> {
    let cells = [
        ("name", Cell::text(shop)),
        ("export", Cell::Flag(false)),
        ("schedule", Cell::text("Every 5 minutes")),
        ("transfer_type", Cell::text("Web Service")),
    ];
    cells.map(|(column, cell)| (column.to_owned(), cell)).into()
}
