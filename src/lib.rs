//! Driftwise audits the e-commerce sessions of OrderWise against a baseline and notifies people when one drifts.
//!
//! The modules in reading order: decisions, ports and adapters, the engine, then the interface to people.

pub mod domain;

pub mod clock;
pub mod config;
pub mod http;
pub mod release;
pub mod secret;
pub mod spans;

pub mod notify;
pub mod source;
pub mod store;

pub mod view;

pub mod engine;
pub mod lifecycle;
pub mod metrics;
pub mod scheduler;

pub mod app;
pub mod cli;
pub mod simulator;
pub mod telemetry;
pub mod web;
