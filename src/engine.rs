//! What drives an audit and a delivery: each a cycle that a loop calls, and a test too.
//!
//! Properties: state, events and messages of one audit are committed together or not at all; a message is recorded as sent
//! after it was accepted, never before; audits of a source never overlap. The loops in `lifecycle`-run tasks only wait.

pub mod audit;
pub mod dispatcher;
pub mod inbox;
mod journal;
pub mod polls;
pub mod published;
pub mod rate_limiter;
pub mod wait;

#[cfg(test)]
mod tests;
