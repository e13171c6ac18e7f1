//! Logs: to standard error, for people on a terminal and as JSON lines elsewhere.
//!
//! What comes from outside cannot break a line, colour it or turn it around: JSON escapes it, and for people the marks are
//! made visible.

use std::fmt;
use std::io::IsTerminal as _;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::domain::reading::visible;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Human,
    Json,
}

/// How much is written.
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

/// Libraries that speak of addresses and bodies, held to warnings unless `RUST_LOG` names them.
const QUIET: &str = "hyper=warn,reqwest=warn,rustls=warn,lettre=warn,sqlx=warn,tokio_cron_scheduler=warn";

/// Starts logging. An explicit level beats `RUST_LOG`; `default` holds without either.
pub fn start(format: LogFormat, level: Option<LogLevel>, rust_log: Option<&str>, default: LogLevel) {
    let filter = filter(level, rust_log, default);
    let human = match format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start, as in tests, leaves the first one in place.
    let _ = if human {
        let fields = debug_fn(harmless).delimited(" ");
        builder.with_ansi(std::io::stderr().is_terminal()).fmt_fields(fields).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

/// Writes one field of a line for people.
fn harmless(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(out, "{}=", field.name())?;
    }
    format!("{value:?}").chars().map(visible).try_for_each(|c| out.write_char(c))
}

fn filter(level: Option<LogLevel>, rust_log: Option<&str>, default: LogLevel) -> EnvFilter {
    let wanted = match (level, rust_log) {
        (Some(level), _) => level.label(),
        (None, Some(given)) if !given.trim().is_empty() => given,
        _ => default.label(),
    };
    // What comes later counts, so that whoever names a library hears it, and `trace` alone names none.
    EnvFilter::builder().parse_lossy(format!("{QUIET},{wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        let said = |level, rust_log| filter(level, rust_log, LogLevel::Info).to_string();
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
    }
}
