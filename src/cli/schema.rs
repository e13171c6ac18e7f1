//! `schema`: the JSON Schema of the configuration, for editors.

use super::{Exit, print};
use crate::config;

pub(super) fn run() -> anyhow::Result<Exit> {
    print(&config::schema_text())?;
    Ok(Exit::Fine)
}
