//! The store over real files: what one process records, the next one loads, whatever happened in between.

mod files;
mod history;
mod notify;
mod outbox;
mod owner;
mod resend;
mod size;
mod state;
mod turns;
mod world;
