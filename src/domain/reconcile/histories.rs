//! Generated histories: what must hold whatever happens, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use crate::domain::event::Happening;
use crate::domain::incident::{IncidentKind, Thing};
use crate::domain::message::MessageKind;
use crate::domain::plan::Due;
use crate::domain::reading::Cell;
use crate::domain::reconcile::SourceLook;
use crate::domain::sighting::Sighting;
use crate::domain::state::Delta;
use crate::domain::world::World;

/// What can happen between two looks, or to a look.
#[derive(Debug, Clone)]
enum Step {
    Set { session: u8, setting: usize, cell: usize },
    Drop { session: u8, setting: usize },
    Hide { session: u8 },
    Double { session: u8 },
    Restore { session: u8 },
    Look { minutes: i64 },
    Fail { minutes: i64 },
    Hold { minutes: i64 },
}

const SETTINGS: [&str; 5] = ["export", "notification_email", "customer_validation_1", "Postcodes", "NewOption"];

fn cells() -> [Cell; 6] {
    [
        Cell::Flag(true),
        Cell::Flag(false),
        Cell::Null,
        Cell::text("perhaps"),
        Cell::text("owner@acme.example"),
        Cell::Number("0".into()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let session = 1u8..=2;
    prop_oneof![
        3 => (session.clone(), 0..SETTINGS.len(), 0..cells().len())
            .prop_map(|(session, setting, cell)| Step::Set { session, setting, cell }),
        1 => (session.clone(), 0..SETTINGS.len()).prop_map(|(session, setting)| Step::Drop { session, setting }),
        1 => session.clone().prop_map(|session| Step::Hide { session }),
        1 => session.clone().prop_map(|session| Step::Double { session }),
        2 => session.prop_map(|session| Step::Restore { session }),
        6 => (-5i64..300).prop_map(|minutes| Step::Look { minutes }),
        2 => (1i64..90).prop_map(|minutes| Step::Fail { minutes }),
        1 => (1i64..90).prop_map(|minutes| Step::Hold { minutes }),
    ]
}

/// Changes the world; for a look, says what it saw.
fn take(world: &mut World, step: &Step) -> Option<SourceLook> {
    match step {
        Step::Set { session, setting, cell } => {
            world.set(&session.to_string(), SETTINGS[*setting], &cells()[*cell]);
        }
        Step::Drop { session, setting } => world.unset(&session.to_string(), SETTINGS[*setting]),
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
        Step::Look { minutes } => {
            world.now += TimeDelta::minutes(*minutes);
            return Some(match Sighting::read(&world.answer(), &world.plan.mapping, world.now) {
                Ok(sighting) => SourceLook::Answer(sighting),
                Err(e) => SourceLook::Unreachable(e.to_string()),
            });
        }
        Step::Fail { minutes } => {
            world.now += TimeDelta::minutes(*minutes);
            return Some(SourceLook::Unreachable(String::from("refused")));
        }
        Step::Hold { minutes } => {
            world.now += TimeDelta::minutes(*minutes);
            return Some(SourceLook::Held(String::from("refused; it is not asked again")));
        }
    }
    None
}

fn open_ids(world: &World) -> BTreeMap<Uuid, Thing> {
    world.state.incidents().filter(|i| i.is_open()).map(|i| (i.id, i.thing.clone())).collect()
}

fn opened(delta: &Delta) -> Vec<Uuid> {
    let id = |what: &Happening| if let Happening::Opened { incident, .. } = what { Some(*incident) } else { None };
    delta.events.iter().filter_map(|event| id(&event.what)).collect()
}

fn ended(delta: &Delta) -> Vec<Uuid> {
    let id = |what: &Happening| if let Happening::Ended { incident, .. } = what { Some(*incident) } else { None };
    delta.events.iter().filter_map(|event| id(&event.what)).collect()
}

/// One decision, held against everything that must be true of it.
fn hold(world: &mut World, look: &SourceLook, mailed: &mut BTreeSet<(Uuid, String)>) -> Result<(), TestCaseError> {
    let decision = world.decide(look, &Due::All);
    let again = world.decide(look, &Due::All);
    prop_assert_eq!(&decision.delta.events, &again.delta.events, "the same look gives the same events");
    prop_assert_eq!(&decision.messages, &again.messages, "and the same messages");
    let before = open_ids(world);
    let (opened, ended) = (opened(&decision.delta), ended(&decision.delta));
    if matches!(look, SourceLook::Unreachable(_) | SourceLook::Held(_)) {
        let blind = |id: &Uuid| before.get(id).is_none_or(|thing| thing.kind() == IncidentKind::Unreachable);
        prop_assert!(ended.is_empty() && opened.iter().all(blind), "a look that could not see moved something");
        prop_assert!(decision.delta.sessions.is_empty());
    }
    for message in &decision.messages {
        for item in message.items.iter().filter(|item| item.kind <= MessageKind::Unverifiable) {
            let incident = item.incident().expect("openings are of incidents");
            let fresh = mailed.insert((incident.id, message.to.to_string()));
            prop_assert!(fresh, "an opening was told twice to {}", message.to);
        }
    }
    world.state.apply(decision.delta);
    let after = open_ids(world);
    let expected: BTreeSet<Uuid> = before.keys().chain(&opened).filter(|id| !ended.contains(id)).copied().collect();
    prop_assert_eq!(
        after.keys().copied().collect::<BTreeSet<_>>(),
        expected,
        "an incident came or went without an event"
    );
    let things = after.values().collect::<BTreeSet<_>>();
    prop_assert_eq!(things.len(), after.len(), "two incidents are open for one thing");
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
        (world.plan.alerts.confirm_looks, world.plan.alerts.resolve_looks) = (confirm, resolve);
        let mut mailed = BTreeSet::new();
        for step in &steps {
            if let Some(look) = take(&mut world, step) {
                hold(&mut world, &look, &mut mailed)?;
            }
        }
    }

    #[test]
    fn a_second_look_at_an_unchanged_world_changes_nothing_but_the_time(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new();
        for step in &steps {
            if let Some(look) = take(&mut world, step) {
                let decision = world.decide(&look, &Due::All);
                world.state.apply(decision.delta);
            }
        }
        let Ok(sighting) = Sighting::read(&world.answer(), &world.plan.mapping, world.now) else { return Ok(()) };
        let look = SourceLook::Answer(sighting);
        world.plan.alerts.remind_every = None;
        let settle = world.decide(&look, &Due::All);
        world.state.apply(settle.delta);
        let quiet = world.decide(&look, &Due::All).delta;
        prop_assert!(quiet.events.is_empty(), "{:?}", quiet.events);
        prop_assert!(quiet.observations.is_empty() && quiet.pins.is_empty() && quiet.new_ids.is_empty());
    }
}
