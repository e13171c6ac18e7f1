//! The decisions, as pure functions: they take values and `now`, and return values. No clock, no I/O, no logging.
//!
//! In reading order: what is named (`name`, `address`, `setting`, `session`), what is known of OrderWise (`catalogue`), what a
//! source sends (`observation`, `snapshot`, `reading`), what it should send (`policy`, `expectation`, `plan`), the comparison
//! (`evaluate`), its changes over time (`incident`, `source_change`, `announcement`, `event`, `state`, `reconcile`, `settled`),
//! who is notified (`alerting`, `notification`, `delivery`), when to poll (`schedule`, `timetable`, `retry`, `backoff`), how old
//! history may be deleted (`retention`), and which credentials end (`credential`).

pub mod address;
pub mod alerting;
pub mod announcement;
pub mod backoff;
pub mod catalogue;
pub mod credential;
pub mod delivery;
pub mod evaluate;
pub mod event;
pub mod expectation;
pub mod incident;
pub mod name;
pub mod notification;
pub mod observation;
pub mod plan;
pub mod policy;
pub mod reading;
pub mod reconcile;
pub mod retention;
pub mod retry;
pub mod schedule;
pub mod session;
pub mod setting;
pub mod settled;
pub mod snapshot;
pub mod source_change;
pub mod state;
pub mod timetable;
pub mod weaker;

#[cfg(test)]
pub(crate) mod world;
