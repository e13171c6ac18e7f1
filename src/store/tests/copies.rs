//! Backup and restore: copies are whole, verified and owned by no process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::files::tamper;
use super::world::{Place, World, at, name, shown};
use crate::store::{CopyError, Store, Trouble};

/// The files beside the store in its folder, without its own.
fn others(place: &Place) -> Vec<String> {
    let own = ["driftwise.db", "driftwise.db-wal", "driftwise.db-shm", "driftwise.db.lock"];
    let names = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names = names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>();
    names.retain(|name| !own.contains(&name.as_str()));
    names.sort();
    names
}

async fn state(path: &Path) -> String {
    shown(&Store::read(path).await.unwrap().load().await.unwrap()[&name("acme")])
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_holds_the_last_audit_and_no_owner() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 20);
    world.audit(&store, at(0)).await;
    world.ticked.insert(3);
    world.audit(&store, at(5)).await;
    let copy = place.folder.path().join("copy.db");
    let copied = Store::backup(&place.path(), &copy, false).await.unwrap();
    assert_eq!((copied.sources, copied.last_poll), (1, Some(at(5))));
    assert_eq!(copied.size, fs::metadata(&copy).unwrap().len());
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(others(&place), ["copy.db"]);
    assert_eq!(state(&copy).await, shown(&world.state));
    assert_eq!(Store::owner(&copy).await, None);
    // The new owner does not wait for the owner of the original.
    Store::open(&copy).await.unwrap().close().await;
    store.close().await;
}

#[tokio::test]
async fn a_backup_includes_the_log_of_a_process_that_was_killed() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 5);
    world.audit(&store, at(0)).await;
    // The files at this moment are those that a killed process leaves.
    let dead = tempfile::tempdir().unwrap();
    let path = dead.path().join("dead.db");
    fs::copy(place.path(), &path).unwrap();
    let log = format!("{}-wal", place.path().display());
    assert!(fs::metadata(&log).unwrap().len() > 0);
    fs::copy(log, dead.path().join("dead.db-wal")).unwrap();
    let copy = dead.path().join("copy.db");
    Store::backup(&path, &copy, false).await.unwrap();
    assert_eq!(state(&copy).await, shown(&world.state));
    store.close().await;
}

#[tokio::test]
async fn a_backup_replaces_a_file_only_with_force_and_never_the_store() {
    let place = Place::new();
    place.open().await.close().await;
    let copy = place.folder.path().join("copy.db");
    fs::write(&copy, "older").unwrap();
    let refused = Store::backup(&place.path(), &copy, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::Exists { .. }), "{refused}");
    assert_eq!(fs::read(&copy).unwrap(), b"older");
    Store::backup(&place.path(), &copy, true).await.unwrap();
    assert_ne!(fs::read(&copy).unwrap(), b"older");
    let link = place.folder.path().join("link.db");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let log = place.folder.path().join("driftwise.db-wal");
    for own in [place.path(), link, log] {
        let refused = Store::backup(&place.path(), &own, true).await.unwrap_err();
        assert!(matches!(refused, CopyError::Same { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_damaged_store_gives_no_backup_and_leaves_no_file() {
    let place = Place::new();
    let store = place.open().await;
    World::new("acme", 2).audit(&store, at(0)).await;
    store.close().await;
    tamper(&place.path(), "PRAGMA foreign_keys = OFF; DELETE FROM sources").await;
    let refused = Store::backup(&place.path(), &place.folder.path().join("copy.db"), false).await.unwrap_err();
    let CopyError::Store(error) = &refused else { panic!("{refused}") };
    assert_eq!(error.trouble, Trouble::Corrupt);
    let nowhere = place.folder.path().join("no/such/copy.db");
    let refused = Store::backup(&place.path(), &nowhere, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::Write { .. }), "{refused}");
    assert_eq!(others(&place), [""; 0]);
}

#[tokio::test]
async fn a_backup_that_is_given_up_leaves_no_file() {
    let place = Place::new();
    let store = place.open().await;
    World::new("acme", 2_000).audit(&store, at(0)).await;
    let copy = place.folder.path().join("copy.db");
    let path = place.path();
    let mut backup = Box::pin(Store::backup(&path, &copy, false));
    // Until the temporary file exists.
    while others(&place).is_empty() {
        tokio::select! {
            biased;
            _ = &mut backup => panic!("it was done before it could be given up"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(backup);
    assert_eq!(others(&place), [""; 0]);
    store.close().await;
}

#[tokio::test]
async fn a_restore_brings_back_the_copy_and_keeps_the_replaced_store_with_its_log() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 5);
    world.audit(&store, at(0)).await;
    let copy = place.folder.path().join("copy.db");
    Store::backup(&place.path(), &copy, false).await.unwrap();
    let before = shown(&world.state);
    world.ticked.insert(2);
    world.audit(&store, at(5)).await;
    let after = shown(&world.state);
    assert_ne!(before, after);
    let refused = Store::restore(&place.path(), &copy, at(9)).await.unwrap_err();
    let CopyError::Store(error) = &refused else { panic!("{refused}") };
    assert!(error.is_taken(), "{error}");
    // As after a process that was killed: its log is left.
    let log = fs::read(format!("{}-wal", place.path().display())).unwrap();
    let database = fs::read(place.path()).unwrap();
    store.close().await;
    fs::write(place.path(), &database).unwrap();
    fs::write(format!("{}-wal", place.path().display()), &log).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o640)).unwrap();

    let restored = Store::restore(&place.path(), &copy, at(9)).await.unwrap();
    assert_eq!(state(&place.path()).await, before);
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o640);
    let replaced = restored.replaced.unwrap();
    assert!(replaced.to_string_lossy().contains(".replaced-2026"), "{}", replaced.display());
    assert_eq!(state(&replaced).await, after, "what the log held is there too");
    place.open().await.close().await;
    assert_eq!(state(&place.path()).await, before);
}

#[tokio::test]
async fn a_restore_creates_a_store_where_there_is_none_and_refuses_a_file_that_is_not_a_whole_store() {
    let place = Place::new();
    let store = place.open().await;
    World::new("acme", 2).audit(&store, at(0)).await;
    let copy = place.folder.path().join("copy.db");
    Store::backup(&place.path(), &copy, false).await.unwrap();
    store.close().await;
    let kept = fs::read(place.path()).unwrap();
    let cut = place.folder.path().join("cut.db");
    fs::write(&cut, &fs::read(&copy).unwrap()[..8192]).unwrap();
    let foreign = place.folder.path().join("foreign.db");
    tamper(&foreign, "CREATE TABLE theirs (x)").await;
    let newer = place.folder.path().join("newer.db");
    fs::copy(&copy, &newer).unwrap();
    tamper(&newer, "PRAGMA user_version = 99").await;
    let absent = place.folder.path().join("absent.db");
    let refused = Store::restore(&place.path(), &cut, at(1)).await.unwrap_err();
    assert!(matches!(&refused, CopyError::Unusable { path } if *path == cut), "{refused}");
    for (path, label) in [(&foreign, "foreign"), (&newer, "newer"), (&absent, "absent")] {
        let refused = Store::restore(&place.path(), path, at(1)).await.unwrap_err();
        let CopyError::Store(error) = &refused else { panic!("{refused}") };
        assert_eq!(error.label(), label, "{error}");
    }
    let refused = Store::restore(&place.path(), &place.path(), at(1)).await.unwrap_err();
    assert!(matches!(refused, CopyError::Same { .. }), "{refused}");
    assert_eq!(fs::read(place.path()).unwrap(), kept);
    fs::write(place.path(), "no database any more").unwrap();
    let restored = Store::restore(&place.path(), &copy, at(1)).await.unwrap();
    assert_eq!(fs::read(restored.replaced.unwrap()).unwrap(), b"no database any more");
    place.open().await.close().await;
    let elsewhere = place.folder.path().join("new.db");
    let restored = Store::restore(&elsewhere, &copy, at(1)).await.unwrap();
    assert_eq!(restored.replaced, None);
    Store::open(&elsewhere).await.unwrap().close().await;
}
