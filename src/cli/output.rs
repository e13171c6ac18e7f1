//! The output of commands: results to standard output, words for the person who typed them to standard error.
//!
//! A reader that is gone, as with `| head`, ends a command quietly with the exit code of its result: the reader has all that it
//! wanted. Any other failure to write the output, as to a full disk, is exit code 4. Words for standard error that cannot be
//! written change nothing.

use std::io::{ErrorKind, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Exit, report};
pub(super) use crate::telemetry::say;
use crate::telemetry::write_whole;

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
}

/// A time to the millisecond, for scripts.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Writes the result of a command.
#[expect(clippy::disallowed_methods, reason = "the one place that writes to it")]
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match write_whole(&mut std::io::stdout().lock(), text.as_bytes()) {
        Err(cut) if cut.cause.kind() != ErrorKind::BrokenPipe => Err(unwritten(cut.cause)),
        _ => Ok(()),
    }
}

/// Writes the answer of the command-line parser instead of a command's: help, the version, or a usage error.
#[expect(clippy::disallowed_methods, reason = "the one place that writes to it")]
pub(super) fn clap(answer: &clap::Error) -> Exit {
    let written = answer.print().and_then(|()| std::io::stdout().flush());
    match written {
        _ if answer.use_stderr() => Exit::Usage,
        Err(e) if e.kind() != ErrorKind::BrokenPipe => report(&unwritten(e)),
        _ => Exit::Fine,
    }
}

fn unwritten(cause: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(cause).context("cannot write to standard output")
}
