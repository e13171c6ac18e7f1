//! The program: parse, run the command, exit with its code.

use std::process::ExitCode;

use clap::Parser as _;
use driftwise::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
