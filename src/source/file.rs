//! The adapter for a file: a grid exported from OrderWise as CSV or JSON. Each poll reads the file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::http::size;
use super::{Failure, FetchError, Fetched, Source, json, shortage};
use crate::domain::observation::{Digest, RawSnapshot};
use crate::secret::Redactor;

mod grid;

/// A file, as configured.
#[derive(Debug, Clone)]
pub struct FileOptions {
    pub path: PathBuf,
    /// The age from which the file is refused, so that a forgotten export does not count as the present state.
    pub max_age: Option<Duration>,
    /// For the whole poll: reads from a share whose server is gone never return.
    pub timeout: Duration,
    /// In bytes.
    pub max_body: u64,
}

/// A file that is neither CSV nor JSON by its name.
#[derive(Debug, thiserror::Error)]
#[error("the file {path} must end in .csv or .json{hint}")]
pub struct UnknownForm {
    path: PathBuf,
    hint: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum FileFormat {
    Csv,
    Json,
}

/// Reads the sessions of a file.
#[derive(Debug)]
pub struct FileSource {
    options: FileOptions,
    form: FileFormat,
    /// Held by the thread that reads. No second read starts beside one that never ends.
    reading: Arc<Semaphore>,
}

impl FileSource {
    pub fn new(options: FileOptions) -> Result<Self, UnknownForm> {
        let extension = options.path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let form = match extension.as_deref() {
            Some("csv") => FileFormat::Csv,
            Some("json") => FileFormat::Json,
            other => {
                let hint = if other == Some("xlsx") { "; .xlsx is not available yet" } else { "" };
                return Err(UnknownForm { path: options.path, hint });
            }
        };
        Ok(Self { options, form, reading: Arc::new(Semaphore::new(1)) })
    }

    async fn poll(&self, now: DateTime<Utc>, known: Option<Digest>) -> Result<Fetched, FetchError> {
        let (options, form) = (self.options.clone(), self.form);
        let read = move || {
            let body = bounded(&options, now)?;
            Fetched::of(&body, known, |body| read(body, form, options.max_body))
        };
        in_time(self.options.timeout, &self.reading, read).await
    }
}

/// Runs `read` on a thread that may block, for at most `timeout`.
async fn in_time<T: Send + 'static>(
    timeout: Duration,
    reading: &Arc<Semaphore>,
    read: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    let outcome = async {
        let turn = Arc::clone(reading).acquire_owned().await;
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read()
        });
        read.await.unwrap_or_else(|_| Err(FetchError::new(Failure::Malformed, "reading the file failed unexpectedly")))
    };
    tokio::time::timeout(timeout, outcome).await.unwrap_or_else(|_| {
        let reason = format!("reading the file took longer than {}", words(timeout));
        Err(FetchError::new(Failure::Timeout, reason))
    })
}

impl Source for FileSource {
    fn fetch(&self, now: DateTime<Utc>) -> BoxFuture<'_, Result<RawSnapshot, FetchError>> {
        Box::pin(async move { Ok(self.poll(now, None).await?.raw.unwrap_or_default()) })
    }

    fn fetch_unless(&self, now: DateTime<Utc>, known: Option<Digest>) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        Box::pin(self.poll(now, known))
    }
}

fn read(body: &[u8], form: FileFormat, max_body: u64) -> Result<RawSnapshot, FetchError> {
    let text = grid::decode(body)?;
    match form {
        FileFormat::Csv => grid::read(&text, max_body),
        FileFormat::Json => json::read_within(text.as_bytes(), max_body, &Redactor::default()),
    }
}

/// Reads a grid in the form of CSV, as spreadsheets write it, that may not be longer than it is.
pub fn csv(body: &[u8]) -> Result<RawSnapshot, FetchError> {
    read(body, FileFormat::Csv, body.len() as u64)
}

/// The bytes of the file, unless it is not a regular file, too old or too large.
fn bounded(options: &FileOptions, now: DateTime<Utc>) -> Result<Vec<u8>, FetchError> {
    let FileOptions { path, max_age, max_body, .. } = options;
    let failed = |error: io::Error| unreadable(path, &error);
    // Checked before opening, because opening a pipe blocks until its other end opens.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(FetchError::new(Failure::Refused, format!("{} is not a regular file", path.display())));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if let Some(max_age) = max_age {
        check_age(metadata.modified().map_err(failed)?, *max_age, now)?;
    }
    // The present size, so that the buffer moves only if the file grows meanwhile.
    let expected = metadata.len().min(*max_body).saturating_add(1);
    let mut body = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    file.take(max_body.saturating_add(1)).read_to_end(&mut body).map_err(failed)?;
    if body.len() as u64 > *max_body {
        return Err(FetchError::new(Failure::TooLarge, format!("the file is larger than {}", size(*max_body))));
    }
    Ok(body)
}

fn check_age(modified: SystemTime, max_age: Duration, now: DateTime<Utc>) -> Result<(), FetchError> {
    // A file from the future (a wrong clock) is not old.
    let age = SystemTime::from(now).duration_since(modified).unwrap_or_default();
    if age <= max_age {
        return Ok(());
    }
    let reason = format!("the file is {} old; at most {} is allowed", words(age), words(max_age));
    Err(FetchError::new(Failure::Refused, reason))
}

/// An age in its two largest units, as durations are written in the configuration.
fn words(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown = units.iter().skip_while(|(n, _)| *n == 0).take(2).filter(|(n, _)| *n > 0);
    let shown = shown.map(|(n, unit)| format!("{n}{unit}")).collect::<Vec<_>>().join(" ");
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

fn unreadable(path: &Path, error: &io::Error) -> FetchError {
    if let Some(shortage) = shortage::of(error) {
        return shortage;
    }
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => FetchError::new(Failure::NotFound, format!("there is no file {path}")),
        io::ErrorKind::PermissionDenied => {
            FetchError::new(Failure::Forbidden, format!("no permission to read the file {path}"))
        }
        _ => FetchError::new(Failure::Refused, format!("cannot read the file {path} ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The read blocks until the test ends it, as on a share whose server is gone.
    #[tokio::test]
    async fn a_read_that_never_ends_times_out_and_no_second_one_starts_beside_it() {
        let reading = Arc::new(Semaphore::new(1));
        let (let_go, gone) = std::sync::mpsc::channel::<()>();
        let stuck = move || {
            let _ = gone.recv();
            Ok(())
        };
        let soon = Duration::from_millis(20);
        let error = in_time(soon, &reading, stuck).await.unwrap_err();
        assert_eq!((error.failure, error.reason.as_str()), (Failure::Timeout, "reading the file took longer than 0s"));
        let error = in_time(soon, &reading, || -> Result<(), _> { panic!("read beside the first") }).await.unwrap_err();
        assert_eq!(error.failure, Failure::Timeout);
        drop(let_go);
        in_time(Duration::from_mins(1), &reading, || Ok(())).await.unwrap();
    }
}
