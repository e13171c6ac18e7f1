//! A folder that takes one `.eml` file a message.
//!
//! A file is complete when it appears: it is written under a name that begins with a dot, flushed, and then renamed. Both names
//! come from the message's date and id, so a repeat replaces the same file, and the repeat after a kill overwrites the unfinished
//! one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::timeout;
use uuid::Uuid;

use super::refusal::transient;
use crate::notify::{Obstacle, Outbound, SendError};

/// Longest part of a Message-ID in a file name, in bytes; file systems stop at 255.
const LONGEST_ID: usize = 120;

/// Longest wait for a folder, which may be on a network.
const GRACE: Duration = Duration::from_mins(1);

pub(super) async fn put(folder: &Path, outbound: &Outbound) -> Result<(), SendError> {
    let (place, name, raw) = (folder.to_owned(), file_name(outbound), outbound.raw.clone());
    on_disk(folder, move || write(&place, &name, &raw)).await
}

/// Checks that a file can be written there.
pub(super) async fn probe(folder: &Path) -> Result<(), SendError> {
    let place = folder.to_owned();
    on_disk(folder, move || {
        let name = format!(".driftwise-probe-{}", std::process::id());
        write(&place, &name, b"")?;
        fs::remove_file(place.join(name))
    })
    .await
}

async fn on_disk(folder: &Path, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), SendError> {
    let failed = |obstacle, why: String| {
        let reason = format!("the mail folder {} cannot be written to: {why}", folder.display());
        transient(obstacle, reason)
    };
    match timeout(GRACE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done.map_err(|error| failed(Obstacle::Deferred, error.to_string())),
        Ok(Err(panicked)) => Err(failed(Obstacle::Deferred, panicked.to_string())),
        Err(_) => Err(failed(Obstacle::Timeout, format!("no answer within {} s", GRACE.as_secs()))),
    }
}

fn write(folder: &Path, name: &str, raw: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!(".{name}.part"));
    let written = flushed(&unfinished, raw).and_then(|()| fs::rename(&unfinished, folder.join(name)));
    if written.is_err() {
        // Readers never saw the file, and a failure to remove it adds nothing to the error.
        let _ = fs::remove_file(&unfinished);
        return written;
    }
    File::open(folder)?.sync_all()
}

fn flushed(path: &PathBuf, raw: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(raw)?;
    file.sync_all()
}

/// `20261123T090500Z-ID.eml`.
fn file_name(outbound: &Outbound) -> String {
    let id = outbound.message_id.trim_matches(['<', '>', ' ']);
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._@-".contains(c) { c } else { '_' };
    let mut shown = id.chars().take(LONGEST_ID).map(plain).collect::<String>();
    if shown != id {
        // Two ids must not become the same by replacing or cutting.
        shown.push('-');
        shown.push_str(&Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).simple().to_string());
    }
    match date(&outbound.raw) {
        Some(at) => format!("{}-{shown}.eml", at.format("%Y%m%dT%H%M%SZ")),
        None => format!("{shown}.eml"),
    }
}

/// The `Date` header of a composed message.
fn date(raw: &[u8]) -> Option<DateTime<Utc>> {
    let text = String::from_utf8_lossy(raw);
    let headers = text.lines().take_while(|line| !line.is_empty());
    let date = headers.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("date"))?.1;
    DateTime::parse_from_rfc2822(date.trim()).ok().map(|at| at.with_timezone(&Utc))
}
