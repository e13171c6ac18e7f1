//! Retention and purges: removed data is gone from the file, and the file shrinks.

use std::fs;

use super::files::tamper;
use super::world::{Place, World, at, name, outgoing};
use crate::domain::session::SessionKey;
use crate::domain::world::address;
use crate::store::outbox::add;
use crate::store::{MASK, NotificationFilter, PurgeScope, Purged, Store};

async fn put(store: &Store, messages: &[crate::store::Outgoing]) {
    let mut transaction = store.writing().await.unwrap();
    add(&mut transaction, messages).await.unwrap();
    transaction.commit().await.unwrap();
}

fn rows(purged: &Purged) -> Vec<(&'static str, u64)> {
    purged.removed.iter().chain(&purged.masked).copied().filter(|(_, rows)| *rows > 0).collect()
}

fn session(id: &str) -> PurgeScope {
    PurgeScope::Session(SessionKey::parse(&format!("acme/{id}")).unwrap())
}

#[tokio::test]
async fn retention_returns_space_to_the_disk() {
    let place = Place::new();
    let store = place.open().await;
    let messages = (0..1_000).map(|number| {
        let mut message = outgoing(number, "a@acme.example");
        message.raw = vec![b'x'; 8_000];
        message
    });
    put(&store, &messages.collect::<Vec<_>>()).await;
    tamper(&place.path(), "UPDATE outbox SET state = 'sent', finished_at = 1").await;
    store.note_retention_seen(at(-10)).await.unwrap();
    let large = store.disk_usage().await.unwrap().size;
    assert_eq!(store.prune(at(0), 100, || false).await.unwrap(), 1_000);
    store.close().await;
    let small = fs::metadata(place.path()).unwrap().len();
    assert!(large > 8_000_000 && small < 400_000, "{large} to {small} bytes");
}

#[tokio::test]
async fn a_purge_removes_a_session_that_is_no_longer_audited_and_nothing_else() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 3);
    world.audit(&store, at(0)).await;
    world.ticked.extend([1, 2]);
    world.audit(&store, at(5)).await;
    assert!(store.purgeable(&session("1")).await.unwrap().audited);
    world.retire(&store, 1, at(6)).await;
    let (mut both, alone, mut sent) =
        (outgoing(8, "a@acme.example"), outgoing(1, "a@acme.example"), outgoing(9, "b@acme.example"));
    both.sessions = vec!["acme/1".to_owned(), "acme/2".to_owned()];
    sent.sessions.clone_from(&both.sessions);
    put(&store, &[both, alone, sent]).await;
    tamper(&place.path(), "UPDATE outbox SET state = 'sent', finished_at = 1 WHERE recipient = 'b@acme.example'").await;

    let counted = store.purgeable(&session("1")).await.unwrap();
    assert!(!counted.audited);
    let events = store.events(None, None, None, 100).await.unwrap().len();
    let purged = store.purge(&session("1")).await.unwrap();
    assert_eq!(purged, counted, "the dry run says what goes");
    assert_eq!(purged.waiting, 1);
    let removed = rows(&purged);
    assert!(removed.contains(&("notifications", 2)) && removed.contains(&("values", 2)), "{removed:?}");
    let of_1 = removed.iter().find(|(what, _)| *what == "events").unwrap().1;
    let left = store.events(None, None, None, 100).await.unwrap();
    assert_eq!(left.len(), events - usize::try_from(of_1).unwrap());
    assert!(left.iter().all(|(_, event)| event.session.as_ref().is_none_or(|id| id.as_str() != "1")));
    assert_eq!(rows(&store.purge(&session("1")).await.unwrap()), []);
    assert_eq!(store.load().await.unwrap()[&name("acme")].sessions.len(), 2);
    store.integrity_check().await.unwrap();
}

#[tokio::test]
async fn a_purged_address_is_nowhere_in_the_file_and_others_stay() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.audit(&store, at(0)).await;
    world.ticked.insert(1);
    world.audit(&store, at(5)).await;
    world.audit(&store, at(10)).await;
    let gone = "J.Doe@acme.example";
    let mut other = outgoing(5, "other@acme.example");
    other.subject = format!("The address is {gone}");
    other.raw = format!("Subject: x\r\n\r\nnow {gone}, was mj.doe@acme.example\r\n").into_bytes();
    let longer = outgoing(6, "mj.doe@acme.example");
    put(&store, &[outgoing(4, "j.doe@ACME.example"), other, longer]).await;
    let over = format!(
        "UPDATE outbox SET state = 'sent', finished_at = 1;
         UPDATE events SET doc = json_set(doc, '$.note', 'to {gone}') WHERE id = 1;
         UPDATE observations SET raw_values = replace(raw_values, 'null', '\"{gone}\"') WHERE until IS NOT NULL"
    );
    tamper(&place.path(), &over).await;
    let scope = PurgeScope::Address(address(&gone.to_lowercase()));
    let counted = store.purgeable(&scope).await.unwrap();
    let purged = store.purge(&scope).await.unwrap();
    assert_eq!(purged, counted);
    let expected = [("notifications", 1), ("events", 1), ("notifications", 1), ("bodies of sent notifications", 1)];
    assert_eq!(rows(&purged), expected);
    let left = store.notifications(&NotificationFilter::default(), 10).await.unwrap();
    assert_eq!(left.len(), 2);
    assert_eq!(left[0].subject, format!("The address is {MASK}"));
    store.close().await;
    let bytes = fs::read(place.path()).unwrap().to_ascii_lowercase();
    let text = String::from_utf8_lossy(&bytes);
    let found = text.matches("j.doe@acme.example").count();
    assert_eq!(found, text.matches("mj.doe@acme.example").count(), "only the longer address is left");
    assert!(found > 0);
}
