//! The program: parse, run the command, exit with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    driftwise::cli::main()
}
