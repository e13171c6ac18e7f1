//! The mails of a small story, to every role: two shops of one customer, whose settings change, and whose source fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::domain::address::Address;
use crate::domain::expectation::{Expectation, Operand};
use crate::domain::policy::{Policy, Rule, Severity};
use crate::domain::reading::RawValue;
use crate::domain::session::{Contacts, Session, SessionKey};
use crate::domain::world::{World, address, id, name, rule, session};

const TRADE: &str = "14";
const SHOP: &str = "15";
const OWNER: &str = "web@brewco.example";
const FALLBACK: &str = "it@brewco.example";
const OPERATOR: &str = "ops@integrator.example";

struct Story {
    world: World,
    mails: Vec<(Address, Rendered)>,
}

impl Story {
    fn new() -> Self {
        Self::of(&[OPERATOR], Some("Integrator support, +44 20 7946 0000"))
    }

    fn of(operators: &[&str], contact: Option<&str>) -> Self {
        let mut world = World::new();
        let contacts = Arc::new(Contacts {
            customer: Some(name("brewco")),
            fallback: vec![address(FALLBACK)],
            operators: operators.iter().map(|to| address(to)).collect(),
            contact: contact.map(str::to_owned),
            reply_to: Address::parse("support@integrator.example").ok(),
            zone: chrono_tz::Europe::London,
        });
        let audited = |number: &str| Session {
            key: SessionKey { source: name("brewco-erp"), id: id(number) },
            policy: Arc::new(Policy::new(name("orderwise-shopify"), rules())),
            owners: vec![address(OWNER)],
            contacts: Arc::clone(&contacts),
            ..session(number, Vec::new())
        };
        world.plan.sessions = BTreeMap::from([TRADE, SHOP].map(|number| (id(number), audited(number))));
        world.plan.name = name("brewco-erp");
        world.plan.contacts = Arc::clone(&contacts);
        world.plan.alerts.remind_every = Some(Duration::from_hours(48));
        world.rows = [(TRADE, "brewco-trade.co.uk"), (SHOP, "brewco-shop.co.uk")].map(row).into();
        Self { world, mails: Vec::new() }
    }

    fn set(&mut self, session: &str, values: &[(&str, &str)]) -> &mut Self {
        for (setting, value) in values {
            self.world.set(session, setting, &RawValue::text(*value));
        }
        self
    }

    fn keep(&mut self, notifications: &[Notification]) {
        self.mails = notifications.iter().map(|n| (n.to.clone(), super::super::render(n, None).unwrap())).collect();
    }

    fn poll(&mut self) -> &Self {
        let notifications = self.world.poll();
        self.keep(&notifications);
        self
    }

    fn fail(&mut self) {
        let notifications = self.world.fail();
        self.keep(&notifications);
    }

    fn wait(&mut self, hours: i64) {
        self.world.now += TimeDelta::hours(hours);
        let notifications = self.world.alert().notifications;
        self.keep(&notifications);
    }

    /// The mail to an address, with its lines joined.
    fn to(&self, address: &str) -> String {
        let of = self.mails.iter().find(|(to, _)| to.as_str() == address);
        let (_, mail) = of.unwrap_or_else(|| panic!("no mail to {address}: {:?}", self.subjects()));
        mail.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn subjects(&self) -> Vec<(&str, &str)> {
        self.mails.iter().map(|(to, mail)| (to.as_str(), mail.subject.as_str())).collect()
    }

    fn reads(&self, what: &str) {
        let mut all = String::new();
        for (to, mail) in &self.mails {
            write!(all, "To: {to}\nSubject: {}\n\n{}\n\n==========\n\n", mail.subject, mail.text.trim_end()).unwrap();
        }
        insta::assert_snapshot!(format!("story-{what}"), all.trim_end());
    }
}

fn rules() -> Vec<Arc<Rule>> {
    let stops = |mut rule: Arc<Rule>, why: &str| {
        let words = Arc::make_mut(&mut rule);
        (words.stops_orders, words.why) = (true, why.to_owned());
        rule
    };
    let says = |mut rule: Arc<Rule>, why: &str| {
        why.clone_into(&mut Arc::make_mut(&mut rule).why);
        rule
    };
    let web_service = Expectation::Equals(Operand::Literal("Web Service".to_owned()));
    let active = rule("session-is-active", "active", Expectation::Ticked, Severity::Critical);
    let transfer = rule("transfer-type-web-service", "transfer_type", web_service, Severity::Critical);
    let export = rule("export-off", "export", Expectation::Unticked, Severity::Critical);
    let contact = rule("add-customer-contact", "add_customer_contact", Expectation::Ticked, Severity::Warning);
    vec![
        stops(active, "A session that is not active is not expected to import any orders."),
        stops(transfer, "With any other transfer type, no orders come in from the API."),
        says(export, "While Export is ticked, OrderWise can push unwanted data to the shop."),
        says(contact, "Part of the recommended setup; probably affects orders of known customers with a new contact."),
    ]
}

fn row((number, shop): (&str, &str)) -> (String, Vec<(String, RawValue)>) {
    let values = [
        ("name", shop),
        ("active", "yes"),
        ("transfer_type", "Web Service"),
        ("export", "no"),
        ("add_customer_contact", "yes"),
    ];
    (number.to_owned(), values.map(|(column, value)| (column.to_owned(), RawValue::text(value))).into())
}

#[test]
fn settings_that_change_and_are_put_right() {
    let mut story = Story::new();
    story.poll();
    let all = [("active", "no"), ("export", "yes"), ("add_customer_contact", "no")];
    story.set(TRADE, &all).set(SHOP, &[("export", "yes")]).poll().reads("drift");
    let stopped = "Brewco: orders may have stopped (brewco-trade.co.uk), 3 more changes";
    assert_eq!(story.subjects(), [FALLBACK, OPERATOR, OWNER].map(|to| (to, stopped)));
    let right = [("export", "no"), ("add_customer_contact", "yes")];
    story.set(TRADE, &right).set(SHOP, &[("export", "no")]).poll().reads("partial");
    story.set(TRADE, &[("active", "yes")]).poll().reads("right");
    let all_right = "brewco-trade.co.uk: Active was put right";
    assert_eq!(story.subjects(), [FALLBACK, OPERATOR, OWNER].map(|to| (to, all_right)));
}

#[test]
fn a_session_that_is_missing_and_then_removed() {
    let mut story = Story::new();
    story.poll();
    story.set(TRADE, &[("add_customer_contact", "no")]).poll();
    story.world.rows.retain(|(number, _)| number != TRADE);
    story.poll().reads("missing");
    story.world.plan.sessions.remove(&id(TRADE));
    let removed = story.world.retire();
    story.keep(&removed);
    story.reads("removed");
    story.set(SHOP, &[("add_customer_contact", "no")]).poll();
    story.world.plan.sessions.remove(&id(SHOP));
    let removed = story.world.retire();
    story.keep(&removed);
    story.reads("removed-warning");
}

#[test]
fn a_source_that_cannot_be_checked_for_a_day() {
    let mut story = Story::new();
    story.poll();
    story.set(SHOP, &[("export", "yes")]).poll();
    story.fail();
    story.fail();
    story.wait(2);
    assert_eq!(story.subjects(), [(OPERATOR, "brewco-erp could not be checked")]);
    story.reads("unreachable");
    story.wait(23);
    story.reads("unchecked-for-a-day");
    story.poll().reads("checked-again");
}

/// Follows the fallback through each kind of mail that tells operators what to do, and asserts which advice it gets.
fn advice_to_the_fallback(operators: &[&str], contact: Option<&str>, advice: [&str; 5]) {
    let mut story = Story::of(operators, contact);
    let (whom, rest) = advice.split_first().unwrap();
    let says = |story: &Story, words: &str| {
        let text = story.to(FALLBACK);
        assert!(text.to_lowercase().contains(&words.to_lowercase()), "{words:?} is not in {text}");
        let runs_checks = words.contains("Driftwise");
        assert_eq!(!text.contains("people who run these checks") && !text.contains("Integrator support"), runs_checks);
    };
    story.poll();
    story.set(TRADE, &[("add_customer_contact", "no")]).poll();
    story.world.rows.retain(|(number, _)| number != TRADE);
    says(story.poll(), whom);
    if operators.is_empty() {
        let (unaudited, changed, removed, note) = (rest[0], rest[1], rest[2], rest[3]);
        story.world.rows.push(row(("16", "brewco-new.co.uk")));
        says(story.poll(), unaudited);
        story.world.rows.iter_mut().for_each(|(_, columns)| columns.retain(|(name, _)| name != "transfer_type"));
        says(story.poll(), changed);
        story.world.plan.sessions.remove(&id(TRADE));
        let retired = story.world.retire();
        story.keep(&retired);
        says(&story, removed);
        story.set(SHOP, &[("export", "yes")]).poll();
        assert!(story.to(FALLBACK).contains(note), "{}", story.to(FALLBACK));
    }
}

#[test]
fn a_fallback_that_runs_the_checks_reads_what_operators_read() {
    advice_to_the_fallback(
        &[],
        None,
        [
            "take it out of the configuration of Driftwise",
            "add it to the configuration of Driftwise",
            "name the new one under columns in the configuration of Driftwise",
            "the configuration of Driftwise no longer includes it",
            "change the rule and reload: the alert then ends",
        ],
    );
}

#[test]
fn a_fallback_with_a_contact_or_with_operators_besides_reads_whom_to_notify() {
    advice_to_the_fallback(
        &[],
        Some("Integrator support"),
        [
            "or was deleted on purpose, tell Integrator support",
            "perhaps a copy of another, tell Integrator support",
            "Nothing in OrderWise. Tell Integrator support",
            "If that is a mistake, tell Integrator support",
            "If this change is intended, tell Integrator support",
        ],
    );
    advice_to_the_fallback(&[OPERATOR], None, ["tell the people who run these checks", "", "", "", ""]);
}
