//! Tables, a stage each, and what a small world makes of all of them.

use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::domain::incident::{Facts, IncidentKey, Phase, Window};
use crate::domain::notification::NotificationKind;
use crate::domain::policy::{Policy, Severity};
use crate::domain::reading::RawValue;
use crate::domain::session::Contacts;
use crate::domain::setting::SettingKey;
use crate::domain::world::{World, address, id, name, notified, start};

mod groups;
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
fn recipients_go_by_what_is_wrong_and_who_is_there() {
    let missing = incident(IncidentKey::Missing { session: id("1") }, Severity::Critical);
    let heard = |incident: &Incident, fallback: &[&str], operators: &[&str]| {
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
        assert_eq!(heard(&incident, &[OPS], &[RUN]), all, "{kind:?}");
        assert_eq!(heard(&incident, &[OPS], &[]), no_operator, "{kind:?}");
        assert_eq!(heard(&incident, &[], &[]), alone, "{kind:?}");
    }
    // One address in several roles is told once, and as soon as any of them is.
    assert_eq!(heard(&unreachable(), &[OWNER], &[OWNER]), OWNER);
}

#[test]
fn a_warning_of_a_session_without_owners_goes_to_the_fallback() {
    let mut world = world(&[OPS], &[RUN]);
    world.plan.sessions.get_mut(&id("1")).unwrap().owners.clear();
    let of = recipients::of_incident(&world.plan, &drift(Severity::Warning));
    assert_eq!(of.iter().map(|r| r.to.as_str()).collect::<Vec<_>>(), [OPS]);
}

/// A case of which everything can be changed.
fn with<T>(incident: Incident, change: impl FnOnce(&mut Case<'_>, &mut Alerts) -> T) -> T {
    let mut alerts = World::new().plan.alerts;
    let copy = alerts.clone();
    let incident = Arc::new(incident);
    let mut case = Case { incident: &incident, alerts: &copy, since: start(), source_unreachable: false, now: start() };
    change(&mut case, &mut alerts)
}

#[test]
fn inhibition_holds_what_follows_from_an_unreachable_source() {
    let held = Err(Stop::Suppressed(SuppressionReason::SourceUnreachable));
    for (incident, change, expected) in [
        (drift(Severity::Critical), Change::Opened, Ok(())),
        (drift(Severity::Critical), Change::Updated, Ok(())),
        (drift(Severity::Critical), Change::StillOpen(1), held),
        (unverifiable(), Change::Opened, held),
        (unverifiable(), Change::StillOpen(1), held),
    ] {
        with(incident, |case, _| {
            assert_eq!(inhibition::pass(case, change), Ok(()));
            case.source_unreachable = true;
            assert_eq!(inhibition::pass(case, change), expected, "{change:?}");
        });
    }
}

#[test]
fn severity_holds_what_is_less() {
    let held = Err(Stop::Suppressed(SuppressionReason::BelowSeverity));
    for (severity, expected) in [(Severity::Info, held), (Severity::Warning, Ok(())), (Severity::Critical, Ok(()))] {
        with(drift(severity), |case, _| assert_eq!(severity::pass(case), expected, "{severity}"));
    }
}

#[test]
fn a_grace_period_needs_its_time_and_a_second_failed_poll() {
    let hour = start() + TimeDelta::hours(1);
    for (failed_polls, minutes, expected) in [
        (1, 59, Err(Stop::Waits(None))),
        (1, 600, Err(Stop::Waits(None))),
        (2, 59, Err(Stop::Waits(Some(hour)))),
        (2, 60, Ok(())),
    ] {
        for incident in [unreachable(), unverifiable()] {
            with(Incident { failed_polls, ..incident }, |case, _| {
                case.now = start() + TimeDelta::minutes(minutes);
                assert_eq!(grace_period::pass(case, Change::Opened, false), expected, "{failed_polls}, {minutes}");
                assert_eq!(
                    grace_period::pass(case, Change::StillOpen(1), false),
                    Ok(()),
                    "who was notified has waited"
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
        assert_eq!(grace_period::pass(&case, Change::Opened, true), Err(Stop::Waits(None)));
    });
    with(Incident { failed_polls: 2, ..unreachable() }, |case, alerts| {
        let day = start() + TimeDelta::hours(24);
        assert_eq!(grace_period::pass(case, Change::Opened, true), Err(Stop::Waits(Some(day))));
        alerts.unreachable_after = Duration::MAX;
        let never = Case { alerts, ..*case };
        assert_eq!(grace_period::pass(&never, Change::Opened, false), Err(Stop::Waits(None)));
    });
}

#[test]
fn what_is_owed_goes_by_the_log() {
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
    // Owners and fallback hear after a day that nobody could check, and the operator is reminded an hour later.
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
fn a_new_owner_of_an_open_incident_is_told_of_it_once_and_a_former_one_of_the_end() {
    let mut world = World::new();
    world.poll();
    world.tick("1", "customer_validation_1", false);
    let opened = world.poll();
    assert_eq!(notified(&opened), [(NotificationKind::Drift, OWNER)]);
    world.plan.sessions.get_mut(&id("1")).unwrap().owners = vec![address(NEW)];
    let handover = world.alert().notifications;
    assert_eq!(notified(&handover), [(NotificationKind::Drift, NEW)]);
    assert_eq!(handover[0].items[0].change(), Some(Change::Handover));
    world.state.plan_changed();
    assert!(world.poll().is_empty());
    world.tick("1", "customer_validation_2", false);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Update, NEW)], "a former owner hears of the end only");
    world.tick("1", "customer_validation_1", true);
    world.tick("1", "customer_validation_2", true);
    let over = world.poll();
    assert_eq!(notified(&over), [(NotificationKind::Resolved, NEW), (NotificationKind::Resolved, OWNER)]);
    assert_eq!(over[0].openings[0].notification, handover[0].id);
    assert_eq!(over[1].openings[0].notification, opened[0].id);
}

#[test]
fn nobody_is_told_of_an_end_whose_beginning_they_were_not_told_of() {
    let mut world = World::new();
    world.plan.alerts.min_severity = Severity::Critical;
    world.poll();
    world.tick("1", "customer_validation_1", false);
    assert!(world.poll().is_empty());
    world.plan.alerts.min_severity = Severity::Info;
    world.tick("1", "customer_validation_1", true);
    assert!(world.poll().is_empty());
}

#[test]
fn a_former_fallback_is_told_that_a_critical_drift_is_over_also_where_it_matters_less_now() {
    let mut world = World::new();
    world.tick("1", "export", true);
    assert_eq!(notified(&world.poll()), [(NotificationKind::Drift, OPS), (NotificationKind::Drift, OWNER)]);
    let contacts = contacts(&world, &[NEW], &[]);
    let session = world.plan.sessions.get_mut(&id("1")).unwrap();
    session.contacts = contacts;
    let mut rules = session.policy.rules().to_vec();
    Arc::make_mut(&mut rules[0]).severity = Severity::Warning;
    session.policy = Arc::new(Policy::new(session.policy.name.clone(), rules));
    world.state.plan_changed();
    assert!(notified(&world.poll()).iter().all(|(_, to)| *to == NEW), "until the next poll it was critical still");
    world.tick("1", "export", false);
    let over = notified(&world.poll()).into_iter().map(|(kind, to)| format!("{kind} {to}")).collect::<Vec<_>>();
    assert!(over.contains(&format!("resolved {OPS}")) && over.contains(&format!("resolved {OWNER}")), "{over:?}");
}

#[test]
fn what_is_held_is_counted_once_for_an_incident_and_reason_and_said_with_what_is_sent() {
    let mut world = World::new();
    world.plan.alerts.min_severity = Severity::Critical;
    world.poll();
    world.tick("1", "customer_validation_1", false);
    world.poll();
    assert!(world.alert().suppressions.is_empty(), "counted by the poll before");
    world.tick("1", "export", true);
    let sent = world.poll();
    assert_eq!(sent.len(), 2);
    let held = &sent[0].reason.held;
    assert_eq!((held.len(), held[0].stage), (1, Stage::Severity), "{held:?}");
    assert!(held[0].what.contains("validation"), "{held:?}");
    let because = &sent[1].reason.because[0];
    assert_eq!((because.change.as_str(), because.role), ("opened", Role::Owner));
    assert_eq!(because.what, "drift of export from export-off in erp/1");
}

#[test]
fn what_follows_from_an_unreachable_source_is_told_when_it_is_back() {
    let mut world = World::new();
    world.plan.alerts.remind_every = None;
    world.poll();
    world.set("1", "export", &RawValue::text("perhaps"));
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
fn a_partial_repair_carries_what_is_still_wrong() {
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
fn ids_are_made_of_what_is_told_and_to_whom_and_not_of_the_time() {
    let mut world = World::new();
    world.tick("1", "export", true);
    let delta = {
        let snapshot =
            crate::domain::snapshot::Snapshot::read(&world.answer(), &world.plan.mapping, world.now).unwrap();
        world.reconcile(&crate::domain::reconcile::PollOutcome::Snapshot(snapshot), &crate::domain::plan::Due::All)
    };
    world.commit(delta);
    let ids = |world: &mut World| world.evaluate().notifications.iter().map(|notified| notified.id).collect::<Vec<_>>();
    let now = ids(&mut world);
    world.now += TimeDelta::days(3);
    assert_eq!((now.len(), ids(&mut world)), (2, now));
}
