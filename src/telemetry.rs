//! Logging to standard error: for people on a terminal, as JSON lines elsewhere.
//!
//! A thread writes the lines from a bounded queue. A log that cannot be written loses lines, which are counted, and blocks
//! nothing. See [`queue`] and [`writer`].
//!
//! Outside text cannot break a line, colour it or reverse its direction: JSON and logfmt escape control characters, and the form
//! for people makes them visible.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::domain::reading::visible;

mod logfmt;
mod queue;
#[cfg(feature = "otel")]
pub mod traces;
mod writer;

use queue::{CAPACITY, Queue};
pub use writer::{Cut, write_whole};

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere
    #[default]
    Auto,
    #[value(alias = "text")]
    Human,
    Logfmt,
    Json,
}

/// The least severe level in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Libraries that log addresses and bodies; limited to warnings unless `RUST_LOG` names them.
const QUIET: &str = "hyper=warn,reqwest=warn,rustls=warn,lettre=warn,sqlx=warn,tokio_cron_scheduler=warn";

/// The one log of the process.
static LOG: OnceLock<Arc<Queue>> = OnceLock::new();

/// Writes the rest of the log when it is dropped.
pub struct Log {
    grace_period: Option<Duration>,
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(queue) = LOG.get() {
            queue.finish(self.grace_period);
        }
    }
}

/// Starts logging. An explicit level takes precedence over `RUST_LOG`; `default` applies without either. At the end the reader
/// of the log has `grace_period` to take the rest, or no limit.
///
/// # Errors
/// If the system gives no thread or no descriptor.
pub fn start(
    format: LogFormat,
    level: Option<LogLevel>,
    rust_log: Option<&str>,
    default: LogLevel,
    grace_period: Option<Duration>,
    #[cfg(feature = "otel")] spans: Option<traces::Spans>,
) -> io::Result<Log> {
    let terminal = stderr_is_terminal();
    let format = match format {
        LogFormat::Auto if terminal => LogFormat::Human,
        LogFormat::Auto => LogFormat::Json,
        chosen => chosen,
    };
    let report = match format {
        LogFormat::Human => human_report,
        LogFormat::Logfmt => logfmt::report,
        LogFormat::Auto | LogFormat::Json => json_report,
    };
    let queue = Arc::new(Queue::new(CAPACITY));
    write_from(Arc::clone(&queue), report)?;
    let _ = LOG.set(Arc::clone(&queue));
    let (filter, ignored) = filter(level, rust_log, default);
    let lines = move || Lines(Arc::clone(&queue));
    // The library would write an error of logging to standard error, past the queue.
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_target(false).log_internal_errors(false);
    let layer = match format {
        LogFormat::Human => layer.with_ansi(terminal).fmt_fields(debug_fn(harmless).delimited(" ")).boxed(),
        LogFormat::Logfmt => layer.event_format(logfmt::Logfmt).boxed(),
        LogFormat::Auto | LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry();
    #[cfg(not(feature = "otel"))]
    let subscriber = subscriber.with(layer).with(filter);
    // The log and the traces each have a filter of their own.
    #[cfg(feature = "otel")]
    let subscriber =
        subscriber.with(vec![layer.with_filter(filter).boxed()].into_iter().chain(spans).collect::<Vec<_>>());
    // A second start, as in tests, leaves the first one in place.
    let _ = subscriber.try_init();
    for directive in ignored {
        tracing::warn!(directive, "ignored a RUST_LOG directive that cannot be parsed");
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(Log { grace_period })
}

/// Writes a line to standard error for the person who typed a command. A full queue does not drop it.
pub fn say(text: &str) {
    let line = format!("{text}\n");
    match LOG.get() {
        Some(queue) => queue.insist(line.as_bytes()),
        // A failure to write here cannot be reported anywhere.
        None => drop(stderr().and_then(|mut out| write_whole(&mut out, line.as_bytes()).map_err(|cut| cut.cause))),
    }
}

/// The number of log lines lost since the last call.
pub fn take_dropped() -> u64 {
    LOG.get().map_or(0, |queue| queue.take_dropped())
}

/// Standard error, by a descriptor without the lock of the standard library: a thread that blocks in a write must not block
/// the others.
#[expect(clippy::disallowed_methods, reason = "the one place that writes to it")]
fn stderr() -> io::Result<File> {
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

#[expect(clippy::disallowed_methods, reason = "the one place that writes to it")]
fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Starts the thread that writes the queued lines. It ends with the process.
fn write_from(queue: Arc<Queue>, notice: fn(u64) -> String) -> io::Result<()> {
    let mut writer = writer::Writer::new(stderr()?, notice);
    let work = move || {
        loop {
            let lost = writer.write(&queue.next());
            queue.count_dropped(lost);
        }
    };
    std::thread::Builder::new().name(String::from("log")).spawn(work).map(drop)
}

/// Queues the lines of the subscriber, one for each write.
struct Lines(Arc<Queue>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.offer(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs a panic like any other error. The report of the standard library would wait for the reader of the log.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, reason = panic.payload_as_str().unwrap_or_default(), "a part of the program panicked");
}

fn json_report(lines: u64) -> String {
    format!("{{\"timestamp\":\"{}\",\"level\":\"WARN\",\"message\":\"{LOST}\",\"lines\":{lines}}}\n", timestamp())
}

fn human_report(lines: u64) -> String {
    format!("{}  WARN {LOST} lines={lines}\n", timestamp())
}

/// The message that reports lost lines.
const LOST: &str = "log lines were lost because the log could not be written";

/// The time as the subscriber writes it.
fn timestamp() -> String {
    let mut text = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Writes one field of a line for people.
fn harmless(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(out, "{}=", field.name())?;
    }
    format!("{value:?}").chars().map(visible).try_for_each(|c| out.write_char(c))
}

/// The filter, and the directives that cannot be read.
fn filter(level: Option<LogLevel>, rust_log: Option<&str>, default: LogLevel) -> (EnvFilter, Vec<String>) {
    let wanted = match (level, rust_log) {
        (Some(level), _) => level.label(),
        (None, Some(given)) if !given.trim().is_empty() => given,
        _ => default.label(),
    };
    // Later directives take precedence, so that a directive for a library counts; `trace` alone names none.
    let directives = QUIET.split(',').chain(wanted.split(',').map(str::trim)).filter(|text| !text.is_empty());
    // A line of the log does not name the spans that it is in.
    #[cfg(feature = "otel")]
    let directives = directives.chain(["otel=off"]);
    let (sound, ignored) = directives.partition::<Vec<_>, _>(|text| text.parse::<Directive>().is_ok());
    // The library would report directives that it cannot parse on standard error, so it gets only valid ones.
    let filter = EnvFilter::builder().parse_lossy(sound.join(","));
    (filter, ignored.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        let said = |level, rust_log| filter(level, rust_log, LogLevel::Info).0.to_string();
        for (level, rust_log, ours) in [
            (None, None, "info"),
            (None, Some(" "), "info"),
            (None, Some("trace"), "trace"),
            (Some(LogLevel::Debug), Some("trace"), "debug"),
        ] {
            let said = said(level, rust_log);
            let said = said.split(',').collect::<Vec<_>>();
            for directive in QUIET.split(',').chain([ours]) {
                assert!(said.contains(&directive), "{directive}: {said:?}");
            }
        }
        let named = said(None, Some("warn,hyper=trace"));
        assert!(named.contains("hyper=trace") && !named.contains("hyper=warn"), "{named}");
        let (filter, ignored) = filter(None, Some("loud, sqlx=quiet,warn"), LogLevel::Info);
        assert_eq!(ignored, ["sqlx=quiet"]);
        assert!(filter.to_string().split(',').any(|directive| directive == "warn"), "{filter}");
    }
}
