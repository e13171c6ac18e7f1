//! The commands: their arguments, their output and their exit codes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Environment as _, NeededSecrets, Problems, ProcessEnvironment};
use crate::domain::session::SessionKey;
use crate::release;
#[cfg(feature = "otel")]
use crate::telemetry::traces::Traces;
use crate::telemetry::{self, LogFormat, LogLevel};

mod backup;
mod check;
mod completions;
mod daemon;
mod doctor;
mod healthcheck;
mod history;
mod junit;
mod man;
mod notifications;
mod output;
mod purge;
mod run;
mod schema;
mod sessions;
mod simulate;
mod status;
mod table;
mod unbuilt;
mod validate;
mod verdicts;

use output::{print, say};

/// Audits e-commerce sessions of OrderWise against a baseline and sends mail when one drifts.
#[derive(Debug, Parser)]
#[command(name = "driftwise", version = release::TEXT.as_str(), max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
struct Shared {
    /// The configuration file [default: `DRIFTWISE_CONFIG`, ./driftwise.yaml or /etc/driftwise/driftwise.yaml]
    #[arg(short, long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// The form of the log on standard error
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    /// The lowest level that is logged; overrides `RUST_LOG`
    #[arg(long, global = true, value_enum)]
    log_level: Option<LogLevel>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon, which audits on schedule, notifies, and serves pages and metrics
    Run(run::Arguments),
    /// Poll once and print what is not as it should be
    Check(check::Arguments),
    /// Read the configuration and print every problem in it
    Validate(validate::Arguments),
    /// List the sessions of a source and which of them are audited
    Sessions(sessions::Arguments),
    /// Print the last verdict on each session, its age, and whether a daemon is running
    Status(status::Arguments),
    /// Print past events, oldest first
    History(history::Arguments),
    /// List notifications, explain one, or send a test
    #[command(subcommand)]
    Notifications(notifications::Notifications),
    /// Check everything that the daemon needs, and print what to do
    Doctor(doctor::Arguments),
    /// Copy the store to a file, even while the daemon runs
    Backup(backup::BackupArguments),
    /// Replace the store with a copy
    Restore(backup::RestoreArguments),
    /// Remove the data of a removed session or of an address from the store
    Purge(purge::Arguments),
    /// Serve a stand-in OrderWise API for trials and tests
    Simulate(simulate::Arguments),
    /// Ask the running daemon whether it is ready
    Healthcheck(healthcheck::Arguments),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Print the completion script for a shell
    Completions(completions::Arguments),
    /// Print the manual page of the program or of a command
    Man(man::Arguments),
    #[command(flatten)]
    Unbuilt(unbuilt::Unbuilt),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// All is as it should be.
    Fine = 0,
    Drift = 1,
    /// Usage or configuration.
    Usage = 2,
    /// No drift, but something could not be verified, reached or found.
    Unverified = 3,
    /// Any other failure.
    Failure = 4,
}

/// How long the log's reader may take for the last lines of a daemon: together with the drain of the tasks and the closing of the
/// store less than the ten seconds that a service manager gives. A command waits for its reader without a limit, as any other
/// does.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Reads the command line, runs the command and returns its exit code.
pub fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(answer) => output::clap(&answer),
    };
    ExitCode::from(exit as u8)
}

fn run(cli: Cli) -> Exit {
    // The one TLS provider; a second installation, as in tests, changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (level, grace_period) = match cli.command {
        Command::Run(_) | Command::Simulate(_) => (LogLevel::Info, Some(LAST_LINES)),
        _ => (LogLevel::Warn, None),
    };
    let environment = ProcessEnvironment;
    let rust_log = environment.variable("RUST_LOG");
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return report(&e.into()),
    };
    #[cfg(feature = "otel")]
    let traces = match cli.command {
        Command::Run(_) => {
            Traces::start(runtime.handle(), |name| environment.variable(name)).map_err(anyhow::Error::from)
        }
        _ => Ok(None),
    };
    let log = telemetry::start(
        cli.shared.log_format,
        cli.shared.log_level,
        rust_log.as_deref(),
        level,
        grace_period,
        #[cfg(feature = "otel")]
        traces.as_ref().ok().and_then(Option::as_ref).map(Traces::spans),
    );
    let _log = match log.context("cannot start the log") {
        Ok(log) => log,
        Err(e) => return report(&e),
    };
    #[cfg(feature = "otel")]
    if let Err(error) = &traces {
        tracing::error!(error = with_causes(error), "cannot export traces");
    }
    let outcome = runtime.block_on(dispatch(cli));
    #[cfg(feature = "otel")]
    drop(traces);
    // A poll that was given up may still hold a thread; the program does not wait for it.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| report(&error))
}

async fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let shared = cli.shared;
    match cli.command {
        Command::Run(arguments) => run::run(&shared, &arguments).await,
        Command::Check(arguments) => check::run(&shared, arguments).await,
        Command::Validate(arguments) => validate::run(&shared, arguments).await,
        Command::Sessions(arguments) => sessions::run(&shared, arguments).await,
        Command::Status(arguments) => status::run(&shared, arguments).await,
        Command::History(arguments) => history::run(&shared, arguments).await,
        Command::Notifications(command) => notifications::run(&shared, command).await,
        Command::Doctor(arguments) => doctor::run(&shared, arguments).await,
        Command::Backup(arguments) => backup::backup(&shared, arguments).await,
        Command::Restore(arguments) => backup::restore(&shared, arguments).await,
        Command::Purge(arguments) => purge::run(&shared, arguments).await,
        Command::Simulate(arguments) => simulate::run(arguments).await,
        Command::Healthcheck(arguments) => healthcheck::run(&shared, arguments).await,
        Command::Schema => schema::run(),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Unbuilt(command) => Ok(unbuilt::run(&command)),
    }
}

/// Reports the error with its causes, and chooses the exit code.
fn report(error: &anyhow::Error) -> Exit {
    if let Some(problems) = error.downcast_ref::<Problems>() {
        say(&problems.to_string());
        return Exit::Usage;
    }
    if let Some(usage) = error.downcast_ref::<UsageError>() {
        say(&format!("driftwise: {usage}"));
        return Exit::Usage;
    }
    say(&format!("driftwise: {}", with_causes(error)));
    Exit::Failure
}

/// The error and its causes, without a cause whose words are already in the text.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A command was asked for something that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Parses a session named on the command line.
fn session_key(text: &str) -> Result<SessionKey, UsageError> {
    SessionKey::parse(text).ok_or_else(|| {
        UsageError(format!("{text:?} does not name a session; a session is named SOURCE/ID, as in acme-erp/14"))
    })
}

impl Shared {
    /// Reads the configuration with all its secrets; reports every problem at once.
    fn load(&self) -> Result<Config, Problems> {
        self.load_for(&NeededSecrets::ALL)
    }

    /// Reads the configuration for a command that needs these secrets only.
    fn load_for(&self, needed: &NeededSecrets) -> Result<Config, Problems> {
        let environment = ProcessEnvironment;
        let path = Config::find(self.config.as_deref(), &environment)?;
        let now = crate::clock::Clock::now(&crate::clock::SystemClock);
        Config::load_for(needed, &path, &environment, now)
    }

    /// The address of the daemon; the default one without a configuration.
    fn listen(&self) -> SocketAddr {
        let environment = ProcessEnvironment;
        let path = Config::find(self.config.as_deref(), &environment).unwrap_or_default();
        Config::listen(&path, &environment)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    #[test]
    fn an_error_is_reported_with_each_cause_once() {
        let error = anyhow!("no such table").context("database: no such table").context("cannot read the store");
        assert_eq!(super::with_causes(&error), "cannot read the store: database: no such table");
    }
}
