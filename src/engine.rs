//! What drives an audit and a delivery: each a cycle that can be called from a test.

pub mod board;
