//! Commands that the contract names and that are not built yet: they are refused with that reason.

use clap::{Args, Subcommand};

use super::{Exit, say};

#[derive(Debug, Subcommand)]
pub(super) enum Unbuilt {
    /// Not available yet
    #[command(hide = true)]
    Policy(Anything),
    /// Not available yet
    #[command(hide = true)]
    Accept(Anything),
    /// Not available yet
    #[command(hide = true)]
    Waive(Anything),
    /// Not available yet
    #[command(hide = true)]
    Silence(Anything),
    /// Not available yet
    #[command(hide = true)]
    Ack(Anything),
    /// Not available yet
    #[command(hide = true)]
    Init(Anything),
    /// Not available yet
    #[command(hide = true)]
    Columns(Anything),
    /// Not available yet
    #[command(hide = true)]
    Adopt(Anything),
    /// Not available yet
    #[command(hide = true)]
    Report(Anything),
}

/// Any arguments of such a command.
#[derive(Debug, Args)]
pub(super) struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

pub(super) fn run(command: &Unbuilt) -> Exit {
    refuse(match command {
        Unbuilt::Policy(_) => "policy",
        Unbuilt::Accept(_) => "accept",
        Unbuilt::Waive(_) => "waive",
        Unbuilt::Silence(_) => "silence",
        Unbuilt::Ack(_) => "ack",
        Unbuilt::Init(_) => "init",
        Unbuilt::Columns(_) => "columns",
        Unbuilt::Adopt(_) => "adopt",
        Unbuilt::Report(_) => "report",
    })
}

fn refuse(command: &str) -> Exit {
    say(&format!("driftwise: `{command}` is not available yet"));
    Exit::Usage
}
