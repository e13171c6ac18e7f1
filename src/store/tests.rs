//! The store over real files: what one process records, the next one loads, whatever happened in between.

mod copies;
mod files;
mod history;
mod notify;
mod outbox;
mod owner;
mod purge;
mod resend;
mod size;
mod state;
mod turns;
mod world;
