//! Audits and deliveries over a real store: killed between any two steps, with mail down for days, with the clock moved.

mod channels;
mod counts;
mod death;
mod harness;
mod moved_polls;
mod outage;
mod post_office;
mod reloads;
mod time;
mod undeliverable;
