//! The file, its owner, and everything that can be wrong with it.

use std::error::Error as _;
use std::fs;
use std::path::Path;

use super::world::{Place, World, at, name, outgoing, shown};
use crate::store::{Store, StoreError, Trouble};

async fn refused(path: &Path) -> StoreError {
    Store::open(path).await.expect_err("it cannot be opened")
}

/// Runs SQL on the file as another program.
pub(super) async fn tamper(path: &Path, sql: &str) {
    use sqlx::Connection as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn the_disk_use_counts_the_database_and_its_log() {
    let place = Place::new();
    let store = place.open().await;
    let usage = store.disk_usage().await.unwrap();
    let database = fs::metadata(place.path()).unwrap().len();
    assert!(usage.size > database, "{usage:?}, database {database}");
    assert!(usage.free > 0);
}

#[tokio::test]
async fn a_second_owner_is_refused_with_the_name_of_the_first() {
    let place = Place::new();
    let store = place.open().await;
    let error = refused(&place.path()).await;
    let by = format!("process {}", std::process::id());
    assert_eq!(error.trouble, Trouble::Locked { by: by.clone() });
    assert!(
        error.to_string().starts_with(&format!("the store {} is in use by {by}", place.path().display())),
        "{error}"
    );
    #[cfg(unix)]
    {
        let link = place.folder.path().join("link.db");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        assert_eq!(refused(&link).await.label(), "locked");
    }
    let clone = store.clone();
    store.close().await;
    assert_eq!(refused(&place.path()).await.label(), "locked");
    drop(clone);
    place.open().await;
}

#[tokio::test]
async fn a_newer_schema_and_a_database_of_another_program_are_refused_and_left_alone() {
    let place = Place::new();
    place.open().await.close().await;
    tamper(&place.path(), "PRAGMA user_version = 999").await;
    let error = refused(&place.path()).await;
    assert!(matches!(error.trouble, Trouble::Newer { found: 999, .. }), "{error}");
    assert!(error.to_string().contains("newer Driftwise"), "{error}");
    assert_eq!(Store::read(&place.path()).await.unwrap_err().label(), "newer");

    let theirs = place.folder.path().join("theirs.db");
    tamper(&theirs, "CREATE TABLE theirs (x)").await;
    assert_eq!(refused(&theirs).await.trouble, Trouble::Foreign);
    assert_eq!(Store::read(&theirs).await.unwrap_err().trouble, Trouble::Foreign);
}

#[tokio::test]
async fn a_store_from_before_the_first_form_is_refused_and_left_alone() {
    for version in [1, 2] {
        let place = Place::new();
        let old =
            format!("CREATE TABLE outbox (x); PRAGMA user_version = {version}; PRAGMA application_id = 1148344179");
        tamper(&place.path(), &old).await;
        let error = refused(&place.path()).await;
        assert_eq!(error.trouble, Trouble::Outdated);
        assert!(error.to_string().contains("move it away to start with an empty store"), "{error}");
        assert_eq!(Store::read(&place.path()).await.unwrap_err().trouble, Trouble::Outdated);
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_reported_as_corrupt() {
    let place = Place::new();
    fs::write(place.path(), "not a database, whatever its name says. ".repeat(200)).unwrap();
    for error in [refused(&place.path()).await, Store::read(&place.path()).await.unwrap_err()] {
        assert_eq!((&error.trouble, error.label()), (&Trouble::Corrupt, "corrupt"));
        let cause = error.source().expect("SQLite says why").to_string();
        assert!(!error.to_string().contains(&cause), "the cause stands in the text and in the chain: {error}");
    }
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.audit(&store, at(0)).await;
    tamper(&place.path(), "UPDATE sessions SET record = '{' WHERE id = '1'").await;
    let error = store.load().await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unreadable { what: "session acme/1".to_owned() });
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let place = Place::new();
    let path = place.folder.path().join("no/such/store.db");
    assert_eq!(refused(&path).await.trouble, Trouble::NoFolder);
    assert!(!place.folder.path().join("no").exists());
    assert_eq!(refused(place.folder.path()).await.trouble, Trouble::Folder);
    let error = Store::read(&path).await.unwrap_err();
    assert!(error.is_absent(), "{error}");
}

#[tokio::test]
async fn a_reader_makes_no_files_and_cannot_write() {
    let place = Place::new();
    assert!(Store::read(&place.path()).await.unwrap_err().is_absent());
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 0);

    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.audit(&store, at(0)).await;
    store.close().await;
    let files = || fs::read_dir(place.folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect::<Vec<_>>();
    let before = files();
    let reader = Store::read(&place.path()).await.unwrap();
    assert_eq!(shown(&reader.load().await.unwrap()[&name("acme")]), shown(&world.state));
    reader.ping().await.unwrap();
    assert_eq!(files(), before);
    let delta = world.next(at(5));
    assert_eq!(reader.record(&name("acme"), &delta, at(5)).await.unwrap_err().trouble, Trouble::ReadOnly);
}

#[tokio::test]
async fn a_reader_sees_what_the_owner_records() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.audit(&store, at(0)).await;
    let reader = Store::read(&place.path()).await.unwrap();
    for minutes in [5, 10] {
        world.ticked.insert(usize::from(minutes == 10));
        world.audit(&store, at(minutes)).await;
        assert_eq!(shown(&reader.load().await.unwrap()[&name("acme")]), shown(&world.state));
    }
}

#[tokio::test]
async fn a_file_that_was_deleted_or_replaced_is_not_written_and_serves_again_when_put_back() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 2);
    world.audit(&store, at(0)).await;
    let away = place.folder.path().join("away.db");
    fs::rename(place.path(), &away).unwrap();
    let delta = world.next(at(5));
    let record = async || store.record(&name("acme"), &delta, at(5)).await;
    assert_eq!(record().await.unwrap_err().label(), "gone");
    assert_eq!(store.ping().await.unwrap_err().label(), "gone");
    assert_eq!(store.post(&[outgoing(0, "a@x.example")]).await.unwrap_err().label(), "gone");
    assert!(!place.path().exists(), "nothing is made in its place");
    fs::write(place.path(), "").unwrap();
    assert_eq!(store.ping_writer().await.unwrap_err().label(), "gone");
    fs::rename(&away, place.path()).unwrap();
    record().await.unwrap();
    store.ping().await.unwrap();
    store.ping_writer().await.unwrap();
}

#[tokio::test]
async fn a_dropped_transaction_leaves_the_writer_connected() {
    let place = Place::new();
    let store = place.open().await;
    let writer = &store.owned.as_ref().unwrap().writer;
    // Only the connection that created the table sees it.
    sqlx::query("CREATE TEMP TABLE ours (x)").execute(writer).await.unwrap();
    for _ in 0..200 {
        drop(store.writing().await.unwrap());
        sqlx::query("SELECT x FROM ours").fetch_all(writer).await.unwrap();
    }
}

#[tokio::test]
async fn a_writer_that_is_replaced_while_the_file_is_away_makes_no_other_and_keeps_the_log() {
    let place = Place::new();
    let store = place.open().await;
    let writer = &store.owned.as_ref().unwrap().writer;
    let away = place.folder.path().join("away.db");
    let log = fs::read(crate::store::file::log(&place.path())).unwrap();
    assert!(!log.is_empty());
    fs::rename(place.path(), &away).unwrap();
    writer.acquire().await.unwrap().close().await.unwrap();
    assert!(writer.acquire().await.is_err());
    assert!(!place.path().exists());
    assert_eq!(fs::read(crate::store::file::log(&place.path())).unwrap(), log);
    fs::rename(&away, place.path()).unwrap();
    store.ping_writer().await.unwrap();
}

#[tokio::test]
async fn without_its_log_or_lock_the_store_writes_nothing_until_they_are_back() {
    for ending in ["-wal", ".lock"] {
        let place = Place::new();
        let store = place.open().await;
        let mut world = World::new("acme", 2);
        world.audit(&store, at(0)).await;
        store.post(&[outgoing(0, "a@x.example")]).await.unwrap();
        let file = place.folder.path().join(format!("driftwise.db{ending}"));
        let away = place.folder.path().join("away");
        fs::rename(&file, &away).unwrap();
        let error = store.ping_writer().await.unwrap_err();
        assert_eq!(error.trouble, Trouble::Gone { file: file.canonicalize().unwrap_or_else(|_| file.clone()) });
        assert!(error.to_string().contains(ending), "{error}");
        assert_eq!(
            store.due("email", at(1), 9).await.unwrap_err().label(),
            "gone",
            "what leaves could not be recorded"
        );
        fs::rename(&away, &file).unwrap();
        store.ping_writer().await.unwrap();
        assert_eq!(store.due("email", at(1), 9).await.unwrap().len(), 1);
        store.integrity_check().await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_recording_goes_on_when_there_is_room() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 300);
    let writer = &store.owned.as_ref().unwrap().writer;
    // SQLite reports a limit on its pages like a full disk.
    sqlx::raw_sql("PRAGMA max_page_count = 30").execute(writer).await.unwrap();
    let delta = world.next(at(0));
    let error = store.record(&name("acme"), &delta, at(0)).await.unwrap_err();
    assert_eq!((&error.trouble, error.operation.label()), (&Trouble::Full, "record"));
    assert!(store.load().await.unwrap().is_empty(), "half an audit was recorded");
    sqlx::raw_sql("PRAGMA max_page_count = 100000").execute(writer).await.unwrap();
    world.audit(&store, at(5)).await;
    assert_eq!(shown(&store.load().await.unwrap()[&name("acme")]), shown(&world.state));
}

#[tokio::test]
async fn a_store_that_becomes_read_only_while_in_use_is_reported_and_recording_goes_on_afterwards() {
    let place = Place::new();
    let store = place.open().await;
    let mut world = World::new("acme", 3);
    world.audit(&store, at(0)).await;
    let before = shown(&world.state);
    let writer = &store.owned.as_ref().unwrap().writer;
    // SQLite reports this as it does a disk that was remounted read-only.
    sqlx::raw_sql("PRAGMA query_only = ON").execute(writer).await.unwrap();
    world.ticked.insert(1);
    let delta = world.next(at(5));
    let error = store.record(&name("acme"), &delta, at(5)).await.unwrap_err();
    assert_eq!((&error.trouble, error.operation.label()), (&Trouble::ReadOnly, "record"));
    assert!(store.ping_writer().await.is_err(), "the probe sees it, too");
    assert_eq!(shown(&store.load().await.unwrap()[&name("acme")]), before);
    sqlx::raw_sql("PRAGMA query_only = OFF").execute(writer).await.unwrap();
    world.audit(&store, at(5)).await;
    store.ping_writer().await.unwrap();
    assert_eq!(shown(&store.load().await.unwrap()[&name("acme")]), shown(&world.state));
}

/// Whether this process may write to any file.
fn superuser(place: &Path) -> bool {
    fs::OpenOptions::new().append(true).open(place).is_ok()
}

/// Runs one test of this program again as a user without rights.
fn as_nobody(test: &str) {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut again = std::process::Command::new("setpriv");
    again.args(nobody).arg(std::env::current_exe().unwrap()).args(["--exact", test]);
    let output = again.output().expect("as the superuser, this test needs setpriv");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_or_file_that_may_not_be_written_is_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.open().await.close().await;
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&place.path(), 0o444);
    if superuser(&place.path()) {
        return as_nobody("store::tests::files::a_folder_or_file_that_may_not_be_written_is_reported");
    }
    assert_eq!(refused(&place.path()).await.trouble, Trouble::ReadOnly);
    allow(&place.path(), 0o644);
    fs::remove_file(place.folder.path().join("driftwise.db.lock")).unwrap();
    allow(place.folder.path(), 0o555);
    assert_eq!(refused(&place.path()).await.trouble, Trouble::Forbidden);
    Store::read(&place.path()).await.unwrap().load().await.unwrap();
    allow(place.folder.path(), 0o755);
}
