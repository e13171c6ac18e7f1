//! Driftwise audits the e-commerce sessions of OrderWise against a baseline and tells people when one drifts.
//!
//! In reading order: what decides, then what it talks to, then what drives it, then what people touch.

pub mod domain;

pub mod clock;
pub mod config;
pub mod secret;

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
