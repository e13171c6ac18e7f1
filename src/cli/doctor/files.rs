//! Checks of secret files. The configuration was read with them, so they are readable; this checks who else may read them.

use std::os::unix::fs::MetadataExt as _;

use super::Check;
use crate::config::Config;

/// Others: read, write or execute.
const OTHERS: u32 = 0o007;

pub(super) fn secrets(config: &Config) -> Vec<Check> {
    let check = |(what, path): (String, std::path::PathBuf)| {
        let shown = path.display();
        let check = match std::fs::metadata(&path).map(|metadata| metadata.mode() & 0o777) {
            Ok(mode) if mode & OTHERS != 0 => Check::warning(
                "secret",
                format!("{shown} is open to every user (mode {mode:04o})"),
                format!("chmod o= {shown}"),
            ),
            Ok(mode) => Check::ok("secret", format!("{shown} (mode {mode:04o})")),
            Err(error) => {
                Check::problem("secret", format!("{shown}: {error}"), "put the file there, readable by the daemon")
            }
        };
        check.of(&what)
    };
    config.secret_files().into_iter().map(check).collect()
}
