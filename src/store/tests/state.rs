//! The state that is recorded is the state that is loaded.

use std::sync::Arc;
use std::time::Duration;

use super::world::{Place, World, at, id, name, outgoing, shown};
use crate::domain::announcement::{Announcement, EndingCredential};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::name::Rename;
use crate::domain::reading::RawValue;
use crate::domain::setting::SettingKey;
use crate::store::{NotificationFilter, Outgoing, Renamed, Store};

/// A source that goes through everything that can happen to it, and keeps some of each.
async fn eventful(store: &Store) -> World {
    let mut world = World::new("acme", 6);
    world.audit(store, at(0)).await;
    world.ticked.extend([1, 2]);
    world.gone.insert(3);
    world.audit(store, at(5)).await;
    world.ticked.remove(&2);
    world.extra = vec![
        ("Late\0Column".to_owned(), RawValue::Nested("{\"a\": [1]}".into())),
        ("other_late".to_owned(), RawValue::Number("1e400".into())),
        ("Twice".to_owned(), RawValue::Null),
        ("twice".to_owned(), RawValue::Null),
    ];
    world.audit(store, at(10)).await;
    world.retire(store, 4, at(11)).await;
    world.fail(store, at(15)).await;
    world
}

async fn loaded(store: &Store, source: &str) -> String {
    shown(&store.load().await.unwrap()[&name(source)])
}

#[tokio::test]
async fn a_recorded_state_is_loaded_exactly() {
    let place = Place::new();
    let store = place.open().await;
    assert!(store.load().await.unwrap().is_empty());
    let mut world = eventful(&store).await;
    let mut other = World::new("other", 2);
    other.audit(&store, at(0)).await;

    assert!(world.state.unreachable.is_some());
    assert_eq!(world.state.sessions.len(), 5);
    let kinds = world.state.incidents().map(|incident| incident.kind().label()).collect::<Vec<_>>();
    assert!(["drift", "missing", "unverifiable", "unreachable"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    assert_eq!(loaded(&store, "acme").await, shown(&world.state));
    assert_eq!(loaded(&store, "other").await, shown(&other.state));

    world.audit(&store, at(20)).await;
    assert!(world.state.unreachable.is_none());
    assert_eq!(loaded(&store, "acme").await, shown(&world.state));
    store.integrity_check().await.unwrap();
}

#[tokio::test]
async fn a_process_that_died_left_everything_that_was_recorded() {
    let place = Place::new();
    let store = place.open().await;
    let world = eventful(&store).await;
    // A copy of the files as they are now is what a crash leaves: the log is not folded in.
    let crashed = Place::new();
    for file in ["driftwise.db", "driftwise.db-wal"] {
        std::fs::copy(place.folder.path().join(file), crashed.folder.path().join(file)).unwrap();
    }
    let again = crashed.open().await;
    assert_eq!(loaded(&again, "acme").await, shown(&world.state));
    again.integrity_check().await.unwrap();
    drop(store);
    // Also without a close, the next owner goes on.
    let mut world = world;
    world.audit(&again, at(30)).await;
    assert_eq!(loaded(&again, "acme").await, shown(&world.state));
}

#[tokio::test]
async fn a_restart_changes_no_later_decision() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = eventful(&store).await;
    let straight = world.next(at(20));
    store.close().await;
    world.state = place.open().await.load().await.unwrap().remove(&name("acme")).unwrap();
    let resumed = world.next(at(20));
    assert_eq!(straight.events, resumed.events);
    assert_eq!(straight.incidents, resumed.incidents);
}

#[tokio::test]
async fn sessions_with_the_same_settings_share_them_in_memory() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 3);
    world.audit(&store, at(0)).await;
    let mut other = World::new("other", 1);
    other.audit(&store, at(0)).await;
    let loaded = store.load().await.unwrap();
    let shape = |source: &str, number| {
        Arc::clone(&loaded[&name(source)].sessions[&id(number)].observation.as_ref().unwrap().shape)
    };
    assert!(Arc::ptr_eq(&shape("acme", 0), &shape("acme", 2)));
    assert!(Arc::ptr_eq(&shape("acme", 0), &shape("other", 0)));
}

#[tokio::test]
async fn sessions_with_the_same_pinned_values_share_them_in_memory() {
    let place = Place::new();
    let store = place.open().await;
    World::new("acme", 3).audit(&store, at(0)).await;
    let loaded = store.load().await.unwrap();
    let session = |n| &loaded[&name("acme")].sessions[&id(n)];
    assert!(!session(0).pinned.is_empty());
    assert_eq!(session(0).pinned, session(2).pinned);
    assert!(Arc::ptr_eq(&session(0).pinned, &session(2).pinned));
    let observation = session(0).observation.as_ref().unwrap();
    assert_eq!(observation.raw_values.capacity(), observation.raw_values.len());
}

#[tokio::test]
async fn a_session_that_comes_back_starts_empty_and_keeps_its_history() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.audit(&store, at(0)).await;
    let session = world.plan.sessions[&id(1)].clone();
    world.retire(&store, 1, at(5)).await;
    assert!(!store.load().await.unwrap()[&name("acme")].sessions.contains_key(&id(1)));
    world.plan.sessions.insert(id(1), session.clone());
    world.audit(&store, at(10)).await;
    let runs = store.observations(&session.key, 10).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.until).collect::<Vec<_>>(), [Some(at(5)), None]);
    assert_eq!(loaded(&store, "acme").await, shown(&world.state));
}

/// SQLite that is interrupted between its steps rolls back the whole transaction by itself, as on a full disk.
#[tokio::test]
async fn an_audit_that_is_broken_off_at_any_step_leaves_nothing_and_the_next_one_is_recorded() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 3);
    world.audit(&store, at(0)).await;
    world.ticked.insert(1);
    let delta = world.next(at(5));
    let before = shown(&world.state);
    let mut broken_off = 0;
    for mut steps in (0..).step_by(50) {
        let mut writer = store.owned.as_ref().unwrap().writer.acquire().await.unwrap();
        let goes_on = move || {
            steps -= 1;
            steps > 0
        };
        writer.lock_handle().await.unwrap().set_progress_handler(1, goes_on);
        drop(writer);
        if store.record(&name("acme"), &delta, at(5)).await.is_ok() {
            break;
        }
        broken_off += 1;
        assert_eq!(shown(&store.load().await.unwrap()[&name("acme")]), before, "broken off after {steps} steps");
    }
    assert!(broken_off > 5, "an audit was broken off {broken_off} times");
    world.state.apply(delta);
    assert_eq!(shown(&store.load().await.unwrap()[&name("acme")]), shown(&world.state));
    store.integrity_check().await.unwrap();
}

#[tokio::test]
async fn a_renamed_source_keeps_state_history_and_log_once() {
    let place = Place::new();
    let store = place.open().await;
    let world = eventful(&store).await;
    let sent = world.alert(&store, at(16)).await.len();
    assert!(sent > 0);
    let history = store.load_alerting().await.unwrap();
    let credential = Credential {
        key: "sources.acme.tls.ca_file".to_owned(),
        source: Some(name("acme")),
        kind: CredentialKind::CaCertificate,
        ends: vec![at(20)],
    };
    let mut ending = Announcement::Credential(EndingCredential::new(&credential, &[], at(16)).unwrap());
    assert!(store.announce(&ending).await.unwrap());
    // Two of them only look like sessions of it.
    let others = ["acme/1", "acme-2/1", "ac/acme/1", "acme/\"acme/1"].map(String::from);
    store.post(&[Outgoing { sessions: others.to_vec(), ..outgoing(99, "a@acme.example") }]).await.unwrap();
    let lost = store.notifications(&NotificationFilter::default(), 1).await.unwrap()[0].id;
    store.dead(lost, at(16), "550 unknown").await.unwrap();
    let rename = Rename { from: name("acme"), to: name("shop") };
    let renames = std::slice::from_ref(&rename);
    assert_eq!(store.rename(renames).await.unwrap(), [Renamed::Moved]);
    assert_eq!(store.rename(renames).await.unwrap(), [Renamed::Nothing], "once");
    let all = store.load().await.unwrap();
    assert_eq!(all.keys().map(ToString::to_string).collect::<Vec<_>>(), ["shop"]);
    let mut expected = world.state.clone();
    expected.rename(&name("shop"));
    assert_eq!(shown(&all[&name("shop")]), shown(&expected));
    let after = store.load_alerting().await.unwrap();
    assert_eq!(after.log, history.log);
    assert!(after.incidents.iter().all(|incident| incident.source == name("shop")));
    ending.rename(&rename);
    assert!(after.announcements.contains(&ending), "{:?}", after.announcements);
    let refusing = store.undeliverable("email").await.unwrap().remove(0);
    assert_eq!(refusing.lost.sessions, ["shop/1", "acme-2/1", "ac/acme/1", "shop/\"acme/1"]);
    let notified = store.notifications_with_reasons(&NotificationFilter::default(), 100).await.unwrap();
    let mut sessions = notified[..sent].iter().flat_map(|(row, _)| &row.sessions);
    assert!(sessions.all(|key| key.starts_with("shop/")), "{notified:?}");
    let reasons = format!("{:?}", notified.iter().map(|(_, reason)| reason).collect::<Vec<_>>());
    assert!(reasons.contains("\"shop\"") && !reasons.contains("\"acme\""), "{reasons}");
    // No notification is due under the new name.
    let mut world = world;
    world.plan.name = name("shop");
    assert!(world.due(&store, at(16)).await.0.notifications.is_empty());
    store.integrity_check().await.unwrap();
    // A name that has a state of its own keeps it.
    let mut other = World::new("acme", 2);
    other.audit(&store, at(20)).await;
    assert_eq!(store.rename(renames).await.unwrap(), [Renamed::Kept]);
    assert_eq!(store.load().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_changed_source_is_loaded_as_it_was_and_a_forgotten_setting_stays_forgotten() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 6);
    world.plan.alerts.unreachable_after = Duration::from_hours(1);
    world.extra.push(("other_option".to_owned(), RawValue::text("a")));
    world.audit(&store, at(0)).await;
    world.extra.clear();
    world.ticked.extend(0..6);
    world.audit(&store, at(5)).await;
    let change = world.state.source_change().unwrap();
    assert_eq!((change.columns.gone.len(), change.failures[0].sessions.len()), (1, 6));
    assert!(
        world.state.sessions.values().all(|session| !session.pinned.contains_key(&SettingKey::new("other_option")))
    );
    assert_eq!(loaded(&store, "acme").await, shown(&world.state));
    let sent = world.alert(&store, at(5)).await;
    assert_eq!(
        sent.iter().map(|sent| sent.items.len()).collect::<Vec<_>>(),
        [2],
        "what changed, and what is forgotten"
    );
    world.ticked.clear();
    world.extra.push(("needed".to_owned(), RawValue::text("there")));
    world.audit(&store, at(10)).await;
    assert!(world.state.changed.is_none());
    assert_eq!(loaded(&store, "acme").await, shown(&world.state));
    let forgotten = SettingKey::new("other_option");
    let states = store.load().await.unwrap();
    let state = &states[&name("acme")];
    assert!(!state.known_settings.contains(&forgotten));
    assert!(state.sessions.values().all(|session| !session.pinned.contains_key(&forgotten)));
}
