//! The closed sets of label values that belong to no other room: each enum knows all of its values and their labels.

/// A part of an audit that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    Fetch,
    Evaluate,
    Record,
}

impl Phase {
    pub const ALL: [Self; 3] = [Self::Fetch, Self::Evaluate, Self::Record];

    pub fn label(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Evaluate => "evaluate",
            Self::Record => "record",
        }
    }
}

/// Why an audit came later than its schedule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Late {
    /// The audit before was still going on.
    Busy,
    /// The daemon was not running.
    Downtime,
}

impl Late {
    pub const ALL: [Self; 2] = [Self::Busy, Self::Downtime];

    pub fn label(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Downtime => "downtime",
        }
    }
}
