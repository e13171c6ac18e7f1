//! The form of the database, and the migrations from each older form to the present one.
//!
//! A list of our own over `PRAGMA user_version`: the number changes in the transaction that changes the form, so a store is
//! never between two forms, and a reader learns the form without a table. `application_id` distinguishes our files from others.

use sqlx::{Connection as _, SqliteConnection};

use super::error::{Fault, Trouble};

/// Each migrates the form whose number is its index to the next one. Never edited once released.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001_initial.sql")];

/// "Drft": what `file` and SQLite show as the kind of our databases.
pub(super) const APPLICATION_ID: u32 = 0x4472_6674;

/// "DrWs": databases from before the present numbering of forms, which no code reads.
pub(super) const OUTDATED_ID: u32 = 0x4472_5773;

/// The form that this program reads and writes.
#[expect(clippy::cast_possible_wrap, reason = "a handful")]
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Brings the database to the present form, or refuses one that is not ours or too new.
///
/// Takes the write lock first, also if there is nothing to migrate, so that a database that cannot be written is found now.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let form = form(&mut transaction).await?;
    for (at, sql) in (0_i64..).zip(MIGRATIONS).skip_while(|(at, _)| *at < form) {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        let version = format!("PRAGMA user_version = {}; PRAGMA application_id = {APPLICATION_ID}", at + 1);
        sqlx::raw_sql(sqlx::AssertSqlSafe(version)).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// For a reader: fails unless the database has the present form. `Absent` if the owner has not created it yet.
pub(super) async fn expect_present(connection: &mut SqliteConnection) -> Result<(), Fault> {
    match form(connection).await? {
        KNOWN => Ok(()),
        0 => Err(Trouble::Absent.into()),
        found => Err(Trouble::Older { found, known: KNOWN }.into()),
    }
}

/// Fails unless the database is a store of this form or an older one.
pub(super) async fn expect_ours(connection: &mut SqliteConnection) -> Result<(), Fault> {
    match form(connection).await? {
        0 => Err(Trouble::Absent.into()),
        _ => Ok(()),
    }
}

/// The number of the form; 0 for an empty database.
async fn form(connection: &mut SqliteConnection) -> Result<i64, Fault> {
    let application: u32 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let things: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await?;
    match (application, found) {
        (APPLICATION_ID, 1..=KNOWN) => Ok(found),
        (APPLICATION_ID, _) => Err(Trouble::Newer { found, known: KNOWN }.into()),
        (OUTDATED_ID, _) => Err(Trouble::Outdated.into()),
        (0, 0) if things == 0 => Ok(0),
        _ => Err(Trouble::Foreign.into()),
    }
}
