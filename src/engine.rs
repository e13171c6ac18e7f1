//! Audits, alerting and delivery, each as a cycle that a loop or a test calls.
//!
//! Properties: state and events of one audit are committed together or not at all, and so are the notification log and the
//! outbox; a notification is recorded as sent after it was accepted, never before; audits of a source never overlap. `assembly`
//! connects the parts; the loops of `app` only wait.

pub mod alerting;
pub mod assembly;
pub mod audit;
pub mod bells;
pub mod current;
pub mod dispatcher;
mod journal;
pub mod mailbox;
#[cfg(feature = "otel")]
mod outcomes;
pub mod polls;
pub mod published;
pub mod rate_limiter;
pub mod source_task;
pub mod wait;

#[cfg(test)]
mod tests;
