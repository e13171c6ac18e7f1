//! Removes the data of one session or one address: `purge`.
//!
//! Properties:
//! - The count and the removal use the same conditions, so a dry run prints the rows that a removal would remove.
//! - All of it is one transaction. `VACUUM` writes the file from its rows afterwards: a deletion alone leaves old text in pages.
//! - The present state stays as the source returned it: the next poll would bring the address back, and a changed value would
//!   look like drift. [`Purged::present`] counts it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row as _, Sqlite, SqliteConnection};

use super::Store;
use super::error::{Fault, Operation, StoreError, Trouble};
use super::outbox::folded;
use crate::domain::address::Address;
use crate::domain::session::SessionKey;

/// The session or address whose data is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurgeScope {
    Session(SessionKey),
    Address(Address),
}

/// The result of a purge, or of its dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Removed rows, by kind.
    pub removed: Vec<(&'static str, u64)>,
    /// Rows in which [`MASK`] replaces the address.
    pub masked: Vec<(&'static str, u64)>,
    /// Rows of the present state that hold the address; they stay.
    pub present: u64,
    /// Notifications that also name other sessions and wait for delivery; they stay.
    pub waiting: u64,
    /// The session counts as audited until the daemon takes up its removal.
    pub audited: bool,
}

impl Purged {
    /// Whether the store has no data of the scope.
    pub fn is_empty(&self) -> bool {
        let rows = self.removed.iter().chain(&self.masked).map(|(_, rows)| rows).sum::<u64>();
        rows == 0 && self.present == 0 && self.waiting == 0 && !self.audited
    }
}

/// Stands for a removed address; itself an address, so that every document stays readable.
pub const MASK: &str = "removed@address.invalid";

/// Rows of a table and their condition: `?1` source, `?2` id and `?3` `SOURCE/ID` of the session.
const OF_SESSION: [(&str, &str, &str); 6] = [
    ("events", "events", "source = ?1 AND session = ?2"),
    ("values", "observations", "source = ?1 AND session = ?2"),
    (
        "notification log entries",
        "notification_log",
        "incident IN (SELECT id FROM incidents WHERE source = ?1 AND session = ?2)",
    ),
    ("incidents", "incidents", "source = ?1 AND session = ?2"),
    ("announcements", "announcements", "source = ?1 AND doc ->> 'session' = ?2"),
    (
        "notifications",
        "outbox",
        "EXISTS (SELECT 1 FROM json_each(sessions) WHERE value = ?3)
            AND (finished_at IS NOT NULL OR json_array_length(sessions) = 1)",
    ),
];

const WAITING: &str = "SELECT count(*) FROM outbox WHERE EXISTS (SELECT 1 FROM json_each(sessions) WHERE value = ?3)
    AND finished_at IS NULL AND json_array_length(sessions) > 1";

const AUDITED: &str = "SELECT count(*) FROM sessions WHERE source = ?1 AND id = ?2";

/// The same for an address: `?1`, in lower case.
const OF_ADDRESS: [(&str, &str, &str); 2] = [
    ("notifications", "outbox", "recipient_folded = ?1"),
    ("notification log entries", "notification_log", "recipient_folded = ?1"),
];

/// Past rows that may hold an address: the kind, the table, its key, its columns with text, and the condition.
const TEXTS: [(&str, &str, &str, &[&str], &str); 4] = [
    ("events", "events", "id", &["doc"], "true"),
    ("values", "observations", "id", &["raw_values"], "until IS NOT NULL"),
    ("incidents", "incidents", "rowid", &["doc"], "ended_at IS NOT NULL"),
    ("notifications", "outbox", "id", &["subject", "reason", "last_error"], "recipient_folded <> ?1"),
];

const PRESENT: &str = "SELECT (SELECT count(*) FROM observations WHERE until IS NULL AND instr(lower(raw_values), ?1))
    + (SELECT count(*) FROM incidents WHERE ended_at IS NULL AND instr(lower(doc), ?1))
    + (SELECT count(*) FROM sessions WHERE instr(lower(record || pinned), ?1))";

impl Store {
    /// Counts the rows that [`Self::purge`] would remove.
    pub async fn purgeable(&self, scope: &PurgeScope) -> Result<Purged, StoreError> {
        let count = async {
            let mut transaction = self.readers.begin().await?;
            let purged = Purge { on: &mut transaction, apply: false }.run(scope).await?;
            transaction.rollback().await?;
            Ok(purged)
        };
        count.await.map_err(self.error(Operation::Purge))
    }

    /// Removes the data of `scope`.
    pub async fn purge(&self, scope: &PurgeScope) -> Result<Purged, StoreError> {
        self.try_purge(scope).await.map_err(self.error(Operation::Purge))
    }

    async fn try_purge(&self, scope: &PurgeScope) -> Result<Purged, Fault> {
        let mut transaction = self.writing().await?;
        let purged = Purge { on: &mut transaction, apply: true }.run(scope).await?;
        sqlx::query(super::retention::SHAPES).execute(&mut *transaction).await?;
        transaction.commit().await?;
        let writer = &self.owned.as_ref().ok_or(Trouble::ReadOnly)?.writer;
        sqlx::query("VACUUM").execute(writer).await?;
        Ok(purged)
    }
}

/// A purge in a transaction; without `apply`, only its count.
struct Purge<'a> {
    on: &'a mut SqliteConnection,
    apply: bool,
}

impl Purge<'_> {
    async fn run(mut self, scope: &PurgeScope) -> Result<Purged, Fault> {
        let mut purged = Purged::default();
        match scope {
            PurgeScope::Session(key) => {
                let session = key.to_string();
                let bound = [key.source.as_str(), key.id.as_str(), &session];
                purged.waiting = self.count(WAITING, &bound).await?;
                purged.audited = self.count(AUDITED, &bound).await? > 0;
                for (what, table, condition) in OF_SESSION {
                    purged.removed.push((what, self.remove(table, condition, &bound).await?));
                }
            }
            PurgeScope::Address(address) => {
                let address = folded(address);
                purged.present = self.count(PRESENT, &[&address]).await?;
                for (what, table, condition) in OF_ADDRESS {
                    purged.removed.push((what, self.remove(table, condition, &[&address]).await?));
                }
                for (what, table, key, columns, condition) in TEXTS {
                    purged.masked.push((what, self.mask(table, key, columns, condition, &address).await?));
                }
                purged.masked.push(("bodies of sent notifications", self.bodies(&address).await?));
            }
        }
        Ok(purged)
    }

    async fn count(&mut self, sql: &'static str, bound: &[&str]) -> Result<u64, Fault> {
        let count: i64 = bind(sqlx::query(sql), bound).fetch_one(&mut *self.on).await?.try_get(0)?;
        Ok(count.unsigned_abs())
    }

    async fn remove(&mut self, table: &str, condition: &str, bound: &[&str]) -> Result<u64, Fault> {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE {condition}"));
        let count: i64 = bind(sqlx::query(count), bound).fetch_one(&mut *self.on).await?.try_get(0)?;
        if self.apply {
            let remove = sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE {condition}"));
            bind(sqlx::query(remove), bound).execute(&mut *self.on).await?;
        }
        Ok(count.unsigned_abs())
    }

    /// Masks the address in columns of the rows that have it; returns the number of these rows.
    async fn mask(
        &mut self,
        table: &str,
        key: &str,
        columns: &[&str],
        condition: &str,
        address: &str,
    ) -> Result<u64, Fault> {
        let has = columns.iter().map(|column| format!("instr(lower({column}), ?1)")).collect::<Vec<_>>().join(" OR ");
        let select = format!("SELECT {key}, {} FROM {table} WHERE {condition} AND ({has})", columns.join(", "));
        let rows = sqlx::query(sqlx::AssertSqlSafe(select)).bind(address).fetch_all(&mut *self.on).await?;
        let mut masked = 0;
        for row in rows {
            let texts = (1..=columns.len()).map(|at| row.try_get::<Option<String>, _>(at));
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            let new = texts.iter().map(|text| text.as_deref().map(|text| without(text, address))).collect::<Vec<_>>();
            if new == texts {
                continue; // It holds a longer address.
            }
            masked += 1;
            if self.apply {
                let set = columns.iter().map(|column| format!("{column} = ?")).collect::<Vec<_>>().join(", ");
                let update = format!("UPDATE {table} SET {set} WHERE {key} = ?");
                let mut query = sqlx::query(sqlx::AssertSqlSafe(update));
                for text in new {
                    query = query.bind(text);
                }
                query.bind(row.try_get::<i64, _>(0)?).execute(&mut *self.on).await?;
            }
        }
        Ok(masked)
    }

    /// Removes the bodies of finished notifications to others that hold the address. No command reads these bodies.
    async fn bodies(&mut self, address: &str) -> Result<u64, Fault> {
        const IDS: &str = "SELECT id FROM outbox WHERE finished_at IS NOT NULL AND recipient_folded <> ?1";
        let ids: Vec<i64> = sqlx::query_scalar(IDS).bind(address).fetch_all(&mut *self.on).await?;
        let mut removed = 0;
        for id in ids {
            let raw = sqlx::query_scalar("SELECT raw FROM outbox WHERE id = ?1").bind(id);
            let raw: Vec<u8> = raw.fetch_one(&mut *self.on).await?;
            let text = decoded(&raw);
            if without(&text, address) == text {
                continue;
            }
            removed += 1;
            if self.apply {
                sqlx::query("UPDATE outbox SET raw = x'' WHERE id = ?1").bind(id).execute(&mut *self.on).await?;
            }
        }
        Ok(removed)
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: Query<'q>, bound: &[&str]) -> Query<'q> {
    bound.iter().fold(query, |query, text| query.bind((*text).to_owned()))
}

/// `text` with [`MASK`] in the place of `address`, which is in lower case. A longer address that contains it stays.
fn without(text: &str, address: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in lower.match_indices(address) {
        let end = at + address.len();
        let before = text[..at].chars().next_back();
        let mut after = text[end..].chars();
        let goes_on = match after.next() {
            Some('.') => after.next().is_some_and(char::is_alphanumeric),
            next => next.is_some_and(|c| c.is_alphanumeric() || c == '-'),
        };
        let begins_before = before.is_some_and(|c| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c));
        if at < done || goes_on || begins_before {
            continue;
        }
        masked.push_str(&text[done..at]);
        masked.push_str(MASK);
        done = end;
    }
    masked.push_str(&text[done..]);
    masked
}

/// The text of a mail as its reader sees it, near enough to search for an address: lines of quoted-printable are joined, and
/// parts in Base64 are decoded.
fn decoded(raw: &[u8]) -> String {
    let raw = String::from_utf8_lossy(raw);
    let mut text = raw.replace("=\r\n", "").replace("=3D", "=");
    for part in raw.split("\r\n--").filter(|part| part.contains("Content-Transfer-Encoding: base64")) {
        let body = part.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let body = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect::<Vec<_>>();
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&STANDARD.decode(body).unwrap_or_default()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_masked_in_any_case_and_a_longer_one_stays() {
        let table = [
            ("to J.Doe@Acme.example.", "to removed@address.invalid."),
            ("[\"j.doe@acme.example\",\"x\"]", "[\"removed@address.invalid\",\"x\"]"),
            ("<j.doe@acme.example>j.doe@acme.example", "<removed@address.invalid>removed@address.invalid"),
            ("mj.doe@acme.example", "mj.doe@acme.example"),
            ("j.doe@acme.example.org", "j.doe@acme.example.org"),
            ("j.doe@acme.example-shop.org", "j.doe@acme.example-shop.org"),
            ("é j.doe@acme.example é", "é removed@address.invalid é"),
        ];
        for (text, expected) in table {
            assert_eq!(without(text, "j.doe@acme.example"), expected);
        }
    }

    #[test]
    fn an_address_is_found_in_folded_and_encoded_bodies() {
        let encoded = STANDARD.encode("für j.doe@acme.example");
        let folded = "Content-Transfer-Encoding: quoted-printable\r\n\r\nfor j.doe@ac=\r\nme.example\r\n";
        let base64 = format!(
            "x\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n{}\r\n--b--",
            &encoded[..9],
            &encoded[9..]
        );
        for raw in [folded, &base64] {
            assert!(decoded(raw.as_bytes()).contains("j.doe@acme.example"), "{raw}");
        }
    }
}
