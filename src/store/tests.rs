//! The store over real files: what is recorded is there again, whoever opens it and whatever happened in between.

mod copies;
mod files;
mod history;
mod notify;
mod outbox;
mod owner;
mod purge;
mod size;
mod state;
mod turns;
mod world;
