//! View models: status, wording, times and links of sessions, sources and incidents, for everything that people and scripts read.
//!
//! Pages, commands, JSON, mail and metrics format these views and decide nothing again. A view keeps values; it makes the words
//! when a formatter asks for them.

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
