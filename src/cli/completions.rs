//! `completions SHELL`: the script with which a shell completes commands and options.

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut available(), "driftwise", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(Exit::Fine)
}

/// The program without the commands that are not built yet, which a shell would offer even if they are hidden.
fn available() -> Command {
    let whole = Cli::command();
    let visible = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let about = whole.get_about().cloned().unwrap_or_default();
    Command::new("driftwise")
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments())
        .subcommands(visible)
}
