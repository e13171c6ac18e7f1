//! Tables, a stage each, and a small world that passes through all of them.

use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::domain::incident::{Facts, IncidentKey, Phase, Window};
use crate::domain::notification::{AboutKey, NotificationKind};
use crate::domain::policy::{Policy, Severity};
use crate::domain::session::Contacts;
use crate::domain::setting::SettingKey;
use crate::domain::world::{World, address, id, name, notified, start};

mod groups;
mod handover;
mod removed;
mod undeliverable;

const OWNER: &str = "owner@acme.example";
const OPS: &str = "ops@integrator.example";
const RUN: &str = "run@integrator.example";
const NEW: &str = "new@acme.example";

fn contacts(world: &World, fallback: &[&str], operators: &[&str]) -> Arc<Contacts> {
    let all = |of: &[&str]| of.iter().map(|to| address(to)).collect();
    Arc::new(Contacts { fallback: all(fallback), operators: all(operators), ..(*world.plan.contacts).clone() })
}

/// A world with this fallback and these operators.
fn world(fallback: &[&str], operators: &[&str]) -> World {
    let mut world = World::new();
    let contacts = contacts(&world, fallback, operators);
    world.plan.contacts = Arc::clone(&contacts);
    for session in world.plan.sessions.values_mut() {
        session.contacts = Arc::clone(&contacts);
    }
    world
}

fn incident(key: IncidentKey, severity: Severity) -> Incident {
    let window = Window { last_good: None, first_bad: start() };
    let mut incident = Incident::found(&name("erp"), 1, key, severity, window, Facts::default());
    incident.phase = Phase::Open { since: start(), good: 0 };
    incident
}

fn drift(severity: Severity) -> Incident {
    let (rule, setting) = (name("export-off"), SettingKey::new("export"));
    incident(IncidentKey::Drift { session: id("1"), rule, setting }, severity)
}

fn unverifiable() -> Incident {
    incident(IncidentKey::Unverifiable { session: id("1") }, Severity::Critical)
}

fn unreachable() -> Incident {
    incident(IncidentKey::Unreachable, Severity::Critical)
}

#[test]
fn recipients_depend_on_the_incident_and_on_the_roles_that_are_named() {
    let missing = incident(IncidentKey::Missing { session: id("1") }, Severity::Critical);
    let recipients_of = |incident: &Incident, fallback: &[&str], operators: &[&str]| {
        let of = recipients::of_incident(&world(fallback, operators).plan, incident).into_iter();
        of.map(|r| format!("{}{}", r.to, if r.blind { " (blind)" } else { "" })).collect::<Vec<_>>().join(", ")
    };
    let both = format!("{OPS}, {OWNER}, {RUN}");
    let blind = format!("{OPS} (blind), {OWNER} (blind), {RUN}");
    let no_operators = format!("{OPS}, {OWNER} (blind)");
    for (incident, all, no_operator, alone) in [
        (drift(Severity::Warning), OWNER, OWNER, OWNER),
        (drift(Severity::Critical), &both, &format!("{OPS}, {OWNER}"), OWNER),
        (missing, &both, &format!("{OPS}, {OWNER}"), OWNER),
        (unverifiable(), &blind, &no_operators, OWNER),
        (unreachable(), &blind, &no_operators, OWNER),
    ] {
        let kind = incident.kind();
        assert_eq!(recipients_of(&incident, &[OPS], &[RUN]), all, "{kind:?}");
        assert_eq!(recipients_of(&incident, &[OPS], &[]), no_operator, "{kind:?}");
        assert_eq!(recipients_of(&incident, &[], &[]), alone, "{kind:?}");
    }
    // One address in several roles is notified once, as soon as the first of its roles.
    assert_eq!(recipients_of(&unreachable(), &[OWNER], &[OWNER]), OWNER);
}

#[test]
fn the_fallback_acts_as_operator_where_no_operators_and_no_contact_are_named() {
    let role = |operators: &[&str], contact: Option<&str>, incident: &Incident| {
        let mut world = world(&[OPS], operators);
        let contacts =
            Arc::new(Contacts { contact: contact.map(str::to_owned), ..Contacts::clone(&world.plan.contacts) });
        world.plan.sessions.get_mut(&id("1")).unwrap().contacts = Arc::clone(&contacts);
        world.plan.contacts = contacts;
        let of = recipients::of_incident(&world.plan, incident);
        of.iter().find(|recipient| recipient.to.as_str() == OPS).unwrap().role
    };
    for incident in [drift(Severity::Critical), unverifiable(), unreachable()] {
        assert_eq!(role(&[], None, &incident), Role::ActingOperator);
        assert_eq!(role(&[RUN], None, &incident), Role::Fallback);
        assert_eq!(role(&[], Some("Integrator support"), &incident), Role::Fallback);
    }
}

#[test]
fn a_warning_of_a_session_without_owners_goes_to_the_fallback() {
    let mut world = world(&[OPS], &[RUN]);
    world.plan.sessions.get_mut(&id("1")).unwrap().owners.clear();
    let of = recipients::of_incident(&world.plan, &drift(Severity::Warning));
    assert_eq!(of.iter().map(|r| r.to.as_str()).collect::<Vec<_>>(), [OPS]);
}

/// Passes a case of the incident to `change` and returns its result.
fn with<T>(incident: Incident, change: impl FnOnce(&mut Case<'_>, &mut Alerts) -> T) -> T {
    let mut alerts = World::new().plan.alerts;
    let copy = alerts.clone();
    let incident = Arc::new(incident);
    let mut case = Case {
        incident: &incident,
        alerts: &copy,
        since: start(),
        source_unreachable: false,
        source_change: None,
        now: start(),
    };
    change(&mut case, &mut alerts)
}

#[test]
fn an_unreachable_source_holds_back_reminders_and_unverifiable_settings() {
    let held = Err(Stop { reason: SuppressionReason::SourceUnreachable, until: None });
    for (incident, change, expected) in [
        (drift(Severity::Critical), Change::Opened, Ok(())),
        (drift(Severity::Critical), Change::Updated, Ok(())),
        (drift(Severity::Critical), Change::StillOpen(1), held),
        (unverifiable(), Change::Opened, held),
        (unverifiable(), Change::StillOpen(1), held),
    ] {
        with(incident, |case, _| {
            assert_eq!(inhibition::pass(case, change, false), Ok(()));
            case.source_unreachable = true;
            assert_eq!(inhibition::pass(case, change, false), expected, "{change:?}");
        });
    }
}

#[test]
fn incidents_below_the_least_severity_are_held_back() {
    let held = Err(Stop { reason: SuppressionReason::BelowSeverity, until: None });
    for (severity, expected) in [(Severity::Info, held), (Severity::Warning, Ok(())), (Severity::Critical, Ok(()))] {
        with(drift(severity), |case, _| assert_eq!(severity::pass(case), expected, "{severity}"));
    }
}

#[test]
fn a_grace_period_needs_its_time_and_a_second_failed_poll() {
    let held = |until| Err(Stop { reason: SuppressionReason::GracePeriod, until });
    let hour = start() + TimeDelta::hours(1);
    for (failed_polls, minutes, expected) in
        [(1, 59, held(Some(hour))), (1, 600, held(None)), (2, 59, held(Some(hour))), (2, 60, Ok(()))]
    {
        for incident in [unreachable(), unverifiable()] {
            with(Incident { failed_polls, ..incident }, |case, _| {
                case.now = start() + TimeDelta::minutes(minutes);
                assert_eq!(grace_period::pass(case, Change::Opened, false), expected, "{failed_polls}, {minutes}");
                assert_eq!(
                    grace_period::pass(case, Change::StillOpen(1), false),
                    Ok(()),
                    "a recipient who was notified has waited"
                );
            });
        }
    }
    with(drift(Severity::Warning), |case, _| assert_eq!(grace_period::pass(case, Change::Opened, false), Ok(())));
    with(Incident { failed_polls: 1, ..unreachable() }, |case, alerts| {
        alerts.unreachable_after = Duration::ZERO;
        let case = Case { alerts, ..*case };
        assert_eq!(
            grace_period::pass(&case, Change::Opened, false),
            Ok(()),
            "without a grace period the first poll counts"
        );
        assert_eq!(grace_period::pass(&case, Change::Opened, true), held(Some(start() + TimeDelta::hours(24))));
    });
    with(Incident { failed_polls: 2, ..unreachable() }, |case, alerts| {
        let day = start() + TimeDelta::hours(24);
        assert_eq!(grace_period::pass(case, Change::Opened, true), held(Some(day)));
        alerts.unreachable_after = Duration::MAX;
        let never = Case { alerts, ..*case };
        assert_eq!(grace_period::pass(&never, Change::Opened, false), held(None));
    });
}

#[test]
fn the_log_decides_which_change_is_due() {
    let entry = |revision, minutes, reminders| LogEntry {
        opening: crate::domain::notification::Opening { notification: Uuid::nil(), subject: String::new() },
        role: Role::Owner,
        blind: false,
        revision,
        notified_at: start() + TimeDelta::minutes(minutes),
        reminders,
        ended: false,
    };
    let day = start() + TimeDelta::hours(24);
    with(Incident { revision: 3, ..drift(Severity::Critical) }, |case, alerts| {
        assert_eq!(repeat::due(case, None, false), Ok(Change::Opened));
        assert_eq!(repeat::due(case, None, true), Ok(Change::Handover));
        assert_eq!(repeat::due(case, Some(&entry(2, 0, 0)), true), Ok(Change::Updated));
        assert_eq!(repeat::due(case, Some(&entry(3, 0, 0)), true), Err(Some(day)));
        assert_eq!(repeat::due(case, Some(&entry(3, 600, 0)), true), Err(Some(day)), "noted by a clock that was ahead");
        case.now = day;
        assert_eq!(repeat::due(case, Some(&entry(3, 0, 4)), true), Ok(Change::StillOpen(5)));
        alerts.remind_every = None;
        let never = Case { alerts, ..*case };
        assert_eq!(repeat::due(&never, Some(&entry(3, 0, 0)), true), Err(None));
    });
}

#[test]
fn a_grace_period_ends_and_a_reminder_comes_without_a_poll() {
    let mut world = world(&[OPS], &[RUN]);
    world.poll();
    world.fail();
    world.fail();
    let next = world.alert().next.unwrap();
    assert_eq!(next, start() + TimeDelta::minutes(62));
    world.now = next - TimeDelta::seconds(1);
    assert!(world.alert().notifications.is_empty());
    world.now = next;
    let opened = world.alert();
    assert_eq!(notified(&opened.notifications), [(NotificationKind::Unreachable, RUN)]);
    // Owners and fallback are notified after a day, and the operator is reminded an hour later.
    world.now = opened.next.unwrap();
    assert_eq!(world.now, start() + TimeDelta::minutes(2) + TimeDelta::hours(24));
    let blind = world.alert();
    assert_eq!(
        notified(&blind.notifications),
        [(NotificationKind::Unreachable, OPS), (NotificationKind::Unreachable, OWNER)]
    );
    for notification in &blind.notifications {
        let About::Incident { blind: Some(sessions), .. } = &notification.items[0].about else { panic!("plain words") };
        assert_eq!(sessions.len(), 2);
        assert!(notification.reason.because[0].blind);
    }
    world.now = blind.next.unwrap();
    assert_eq!(notified(&world.alert().notifications), [(NotificationKind::Reminder, RUN)]);
    let over = notified(&world.poll()).iter().map(|(kind, to)| format!("{kind} {to}")).collect::<Vec<_>>();
    assert_eq!(over, [OPS, OWNER, RUN].map(|to| format!("recovered {to}")));
}

#[test]
fn a_grace_period_is_stored_as_the_reason_until_the_first_recipients_are_notified() {
    for (unreachable_after, stored) in [(Duration::from_hours(1), 1), (Duration::ZERO, 0)] {
        let mut world = world(&[OPS], &[RUN]);
        world.plan.alerts.unreachable_after = unreachable_after;
        let poll = crate::domain::reconcile::PollOutcome::Unreachable("refused".to_owned());
        let delta = world.reconcile(&poll, &crate::domain::plan::Due::All);
        world.commit(delta);
        let suppressions = world.evaluate().suppressions;
        assert_eq!(suppressions.len(), stored, "{suppressions:?}");
        assert!(suppressions.iter().all(|held| held.reason == SuppressionReason::GracePeriod));
    }
}

#[test]
fn a_suppression_is_counted_once_and_stored_with_the_next_notification_of_the_session() {
    let mut world = World::new();
    world.plan.alerts.min_severity = Severity::Critical;
    world.poll();
    world.tick("1", "customer_validation_1", false);
    world.poll();
    assert!(world.alert().suppressions.is_empty(), "counted by the poll before");
    world.tick("1", "export", true);
    let sent = world.poll();
    assert_eq!(sent.len(), 2);
    let held = &sent[0].reason.suppressions;
    assert_eq!((held.len(), held[0].reason), (1, SuppressionReason::BelowSeverity), "{held:?}");
    let AboutKey::Incident { key, .. } = &held[0].about else { panic!("{held:?}") };
    assert_eq!(key.rule().unwrap().1.as_str(), "customer_validation_*");
    let because = &sent[1].reason.because[0];
    assert_eq!((because.change.as_str(), because.role), ("opened", Role::Owner));
    let (rule, setting) = (name("export-off"), SettingKey::new("export"));
    let key = IncidentKey::Drift { session: id("1"), rule, setting };
    assert_eq!(because.about, AboutKey::Incident { source: name("erp"), key });
}

#[test]
fn unverifiable_settings_are_notified_when_an_unreachable_source_is_back() {
    let mut world = World::new();
    world.plan.alerts.remind_every = None;
    world.poll();
    world.unset("1", "export");
    world.poll();
    world.poll();
    for _ in 0..70 {
        assert!(notified(&world.fail()).iter().all(|(kind, _)| *kind == NotificationKind::Unreachable));
    }
    let back = world.poll();
    let kinds = back.iter().map(|notified| notified.kind).collect::<Vec<_>>();
    assert_eq!(kinds, [NotificationKind::Recovered, NotificationKind::Unverifiable]);
}

#[test]
fn a_partial_repair_lists_the_incidents_that_are_still_open() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "export", true);
    world.tick("1", "customer_validation_1", false);
    world.poll();
    world.tick("1", "customer_validation_1", true);
    let partial = world.poll();
    assert_eq!(notified(&partial), [(NotificationKind::Resolved, OWNER)]);
    let still = partial[0].still.iter().map(|incident| incident.facts.label.as_str()).collect::<Vec<_>>();
    assert_eq!(still, ["Export"]);
    world.tick("1", "customer_validation_2", false);
    let further = world.poll();
    assert_eq!((further[0].kind, further[0].wrong().len()), (NotificationKind::Drift, 2));
    assert_eq!(further[0].wrong()[0].severity, Severity::Critical, "the most severe first");
}

#[test]
fn ids_depend_on_items_and_recipient_and_not_on_the_time() {
    let mut world = World::new();
    world.tick("1", "export", true);
    let delta = {
        let snapshot =
            crate::domain::snapshot::Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now).unwrap();
        world.reconcile(&crate::domain::reconcile::PollOutcome::Snapshot(snapshot), &crate::domain::plan::Due::All)
    };
    world.commit(delta);
    let ids = |world: &mut World| world.evaluate().notifications.iter().map(|notified| notified.id).collect::<Vec<_>>();
    let now = ids(&mut world);
    world.now += TimeDelta::days(3);
    assert_eq!((now.len(), ids(&mut world)), (2, now));
}
