//! `man [COMMAND]`: the manual page of the program, or of one of its commands, as roff.

use clap::{Args, CommandFactory as _};
use clap_mangen::Man;

use super::{Cli, Exit, UsageError, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The command, such as `check` or `notifications test` [default: the program]
    command: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut command = Cli::command();
    // Options of the program are passed down to the commands, which get their full names.
    command.build();
    for name in &arguments.command {
        let unknown = || UsageError(format!("there is no command {:?}", arguments.command.join(" ")));
        let found = command.find_subcommand(name).filter(|found| !found.is_hide_set()).ok_or_else(unknown)?;
        command = found.clone();
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    print(&String::from_utf8(page)?)?;
    Ok(Exit::Fine)
}
