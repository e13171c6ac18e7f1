//! Generated histories: what must hold whatever happens, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use crate::domain::event::EventKind;
use crate::domain::incident::{Incident, IncidentKey, IncidentKind};
use crate::domain::notification::{Item, Notification};
use crate::domain::plan::{Breaker, Due};
use crate::domain::reading::RawValue;
use crate::domain::reconcile::PollOutcome;
use crate::domain::session::SessionId;
use crate::domain::setting::SettingKey;
use crate::domain::snapshot::Snapshot;
use crate::domain::state::Delta;
use crate::domain::world::World;

/// What can happen between two polls, or to a poll.
#[derive(Debug, Clone)]
enum Step {
    Set {
        session: u8,
        setting: usize,
        raw: usize,
    },
    Drop {
        session: u8,
        setting: usize,
    },
    /// Both sessions at once.
    SetAll {
        setting: usize,
        raw: usize,
    },
    DropAll {
        setting: usize,
    },
    Hide {
        session: u8,
    },
    Double {
        session: u8,
    },
    Restore {
        session: u8,
    },
    Poll {
        minutes: i64,
    },
    Fail {
        minutes: i64,
    },
    Hold {
        minutes: i64,
    },
}

const SETTINGS: [&str; 5] = ["export", "notification_email", "customer_validation_1", "Postcodes", "NewOption"];

fn raw_values() -> [RawValue; 6] {
    [
        RawValue::Flag(true),
        RawValue::Flag(false),
        RawValue::Null,
        RawValue::text("perhaps"),
        RawValue::text("owner@acme.example"),
        RawValue::Number("0".into()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let session = 1u8..=2;
    prop_oneof![
        3 => (session.clone(), 0..SETTINGS.len(), 0..raw_values().len())
            .prop_map(|(session, setting, raw)| Step::Set { session, setting, raw }),
        1 => (session.clone(), 0..SETTINGS.len()).prop_map(|(session, setting)| Step::Drop { session, setting }),
        1 => (0..SETTINGS.len(), 0..raw_values().len()).prop_map(|(setting, raw)| Step::SetAll { setting, raw }),
        1 => (0..SETTINGS.len()).prop_map(|setting| Step::DropAll { setting }),
        1 => session.clone().prop_map(|session| Step::Hide { session }),
        1 => session.clone().prop_map(|session| Step::Double { session }),
        2 => session.prop_map(|session| Step::Restore { session }),
        6 => (-5i64..300).prop_map(|minutes| Step::Poll { minutes }),
        2 => (1i64..90).prop_map(|minutes| Step::Fail { minutes }),
        1 => (1i64..90).prop_map(|minutes| Step::Hold { minutes }),
    ]
}

/// Changes the world; for a poll, returns its outcome.
fn take(world: &mut World, step: &Step) -> Option<PollOutcome> {
    match step {
        Step::Set { session, setting, raw } => {
            world.set(&session.to_string(), SETTINGS[*setting], &raw_values()[*raw]);
        }
        Step::Drop { session, setting } => world.unset(&session.to_string(), SETTINGS[*setting]),
        Step::SetAll { setting, raw } => {
            for n in ["1", "2"] {
                world.set(n, SETTINGS[*setting], &raw_values()[*raw]);
            }
        }
        Step::DropAll { setting } => {
            for n in ["1", "2"] {
                world.unset(n, SETTINGS[*setting]);
            }
        }
        Step::Hide { session } => world.rows.retain(|(id, _)| *id != session.to_string()),
        Step::Double { session } => {
            let row = world.rows.iter().find(|(id, _)| *id == session.to_string()).cloned();
            world.rows.extend(row);
        }
        Step::Restore { session } => {
            let id = session.to_string();
            let row = world.rows.iter().find(|(known, _)| *known == id).cloned();
            world.rows.retain(|(known, _)| *known != id);
            world.rows.push(row.unwrap_or_else(|| (id.clone(), crate::domain::world::compliant(&id))));
        }
        Step::Poll { minutes } => {
            world.now += TimeDelta::minutes(*minutes);
            return Some(match Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now) {
                Ok(snapshot) => PollOutcome::Snapshot(snapshot),
                Err(e) => PollOutcome::Unreachable(e.to_string()),
            });
        }
        Step::Fail { minutes } => {
            world.now += TimeDelta::minutes(*minutes);
            return Some(PollOutcome::Unreachable(String::from("refused")));
        }
        Step::Hold { minutes } => {
            world.now += TimeDelta::minutes(*minutes);
            return Some(PollOutcome::Cooldown(String::from("refused; it is not asked again")));
        }
    }
    None
}

fn open_ids(world: &World) -> BTreeMap<Uuid, IncidentKey> {
    world.state.incidents().filter(|i| i.is_open()).map(|i| (i.id, i.key.clone())).collect()
}

fn opened(delta: &Delta) -> Vec<Uuid> {
    let id = |what: &EventKind| if let EventKind::Opened { incident, .. } = what { Some(*incident) } else { None };
    delta.events.iter().filter_map(|event| id(&event.what)).collect()
}

fn ended(delta: &Delta) -> Vec<Uuid> {
    let id = |what: &EventKind| if let EventKind::Ended { incident, .. } = what { Some(*incident) } else { None };
    delta.events.iter().filter_map(|event| id(&event.what)).collect()
}

/// The export of one session, followed apart from the code and as simply as can be.
#[derive(Debug, Clone, Copy, Default)]
struct Followed {
    /// A poll has found it unticked.
    was_right: bool,
    drifted: bool,
}

impl Followed {
    /// Follows the value of the export in a poll that saw the session, if it was returned.
    fn poll(&mut self, raw: Option<&RawValue>) {
        match raw.and_then(RawValue::as_text) {
            Some("false" | "0") => *self = Self { was_right: true, drifted: false },
            Some("true") => self.drifted = true,
            // It cannot be read: drift if it was right once, and no change otherwise.
            _ => self.drifted |= raw.is_some() && self.was_right,
        }
    }
}

/// Follows the export of each session that a snapshot shows, and compares.
fn follow(
    followed: &mut BTreeMap<SessionId, Followed>,
    world: &World,
    poll: &PollOutcome,
) -> Result<(), TestCaseError> {
    let PollOutcome::Snapshot(snapshot) = poll else { return Ok(()) };
    let export = SettingKey::new("export");
    for (id, state) in &world.state.sessions {
        let of_session = followed.entry(id.clone()).or_default();
        if let Some(seen) = snapshot.seen(id) {
            of_session.poll(seen.raw(&export));
        }
        let of_export = |incident: &&Incident| incident.key.rule().is_some_and(|(_, setting)| *setting == export);
        let drifted = state.open(IncidentKind::Drift).filter(of_export).count();
        prop_assert_eq!(drifted, usize::from(of_session.drifted), "the export of {}", id);
    }
    Ok(())
}

/// Makes one poll and checks everything that must be true of it.
fn hold(world: &mut World, poll: &PollOutcome) -> Result<(), TestCaseError> {
    let delta = world.reconcile(poll, &Due::All);
    let again = world.reconcile(poll, &Due::All);
    prop_assert_eq!(&delta.events, &again.events, "the same poll gives the same events");
    prop_assert_eq!(&delta.incidents, &again.incidents, "and the same incidents");
    let before = open_ids(world);
    let (opened, ended) = (opened(&delta), ended(&delta));
    if matches!(poll, PollOutcome::Unreachable(_) | PollOutcome::Cooldown(_)) {
        let blind = |id: &Uuid| before.get(id).is_none_or(|key| key.kind() == IncidentKind::Unreachable);
        prop_assert!(ended.is_empty() && opened.iter().all(blind), "a poll that could not see moved something");
        prop_assert!(delta.sessions.is_empty());
    }
    world.state.apply(delta);
    let after = open_ids(world);
    let expected: BTreeSet<Uuid> = before.keys().chain(&opened).filter(|id| !ended.contains(id)).copied().collect();
    prop_assert_eq!(
        after.keys().copied().collect::<BTreeSet<_>>(),
        expected,
        "an incident came or went without an event"
    );
    let things = after.values().collect::<BTreeSet<_>>();
    prop_assert_eq!(things.len(), after.len(), "two incidents are open for one key");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_repeated_or_claimed_blindly(
        confirm in 1u32..4,
        resolve in 1u32..4,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        (world.plan.alerts.confirm_polls, world.plan.alerts.resolve_polls) = (confirm, resolve);
        let mut followed = BTreeMap::new();
        for step in &steps {
            if let Some(poll) = take(&mut world, step) {
                hold(&mut world, &poll)?;
                if (confirm, resolve) == (1, 1) {
                    follow(&mut followed, &world, &poll)?;
                }
            }
        }
    }

    #[test]
    fn whatever_is_held_back_an_owner_has_heard_of_each_drift_when_it_has_lasted_for_a_day(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new();
        world.plan.alerts.breaker = Breaker { share: 50, at_least: 2 };
        let mut sent = BTreeSet::new();
        let mut hear = |notifications: Vec<Notification>| {
            let to_owner = notifications.iter().filter(|notified| notified.to.as_str() == "owner@acme.example");
            sent.extend(to_owner.flat_map(|notified| notified.items.iter().map(Item::id)));
        };
        for step in &steps {
            if let Some(poll) = take(&mut world, step) {
                let delta = world.reconcile(&poll, &Due::All);
                world.commit(delta);
                hear(world.alert().notifications);
            }
        }
        for hours in [1, 24, 1] {
            world.now += TimeDelta::hours(hours);
            hear(world.alert().notifications);
            let Ok(snapshot) = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now) else { return Ok(()) };
            let delta = world.reconcile(&PollOutcome::Snapshot(snapshot), &Due::All);
            world.commit(delta);
            hear(world.alert().notifications);
        }
        let change = world.state.source_change();
        prop_assert!(change.is_none_or(|change| change.failures.is_empty()), "{change:?}");
        for incident in world.state.incidents().filter(|incident| incident.kind() == IncidentKind::Drift) {
            prop_assert!(sent.contains(&incident.id), "no notification of {incident:?}");
        }
    }

    #[test]
    fn a_second_poll_at_an_unchanged_world_changes_nothing_but_the_time(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new();
        for step in &steps {
            if let Some(poll) = take(&mut world, step) {
                let delta = world.reconcile(&poll, &Due::All);
                world.state.apply(delta);
            }
        }
        let Ok(snapshot) = Snapshot::read(&world.raw_snapshot(), &world.plan.mapping, world.now) else { return Ok(()) };
        let poll = PollOutcome::Snapshot(snapshot);
        let settle = world.reconcile(&poll, &Due::All);
        world.state.apply(settle);
        let quiet = world.reconcile(&poll, &Due::All);
        prop_assert!(quiet.events.is_empty(), "{:?}", quiet.events);
        prop_assert!(quiet.changed.is_none() && quiet.forgotten.is_empty() && quiet.announcements.is_empty());
        prop_assert!(quiet.observations.is_empty() && quiet.pinned.is_empty() && quiet.new_ids.is_empty());
    }
}
