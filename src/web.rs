//! What people and machines ask over HTTP.
