//! View models: status, wording, times and links of sessions, sources and incidents, for all that people and scripts read.
//!
//! Pages, commands, JSON, mail and metrics format what is here and decide nothing of it again. A view keeps values; words are
//! made where a formatter asks for them.

pub mod checked;
pub mod credential;
pub mod delivery;
pub mod event;
pub mod finding;
pub mod incident;
pub mod reason;
pub mod session;
pub mod source;
pub mod times;
pub mod words;
