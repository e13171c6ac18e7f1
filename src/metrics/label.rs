//! Label values that belong to no other module. Each enum lists its values and their labels.

/// A part of an audit that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditPhase {
    Fetch,
    Evaluate,
    Record,
}

impl AuditPhase {
    pub const ALL: [Self; 3] = [Self::Fetch, Self::Evaluate, Self::Record];

    pub fn label(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Evaluate => "evaluate",
            Self::Record => "record",
        }
    }
}

/// Why an audit was later than its schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Late {
    /// The previous audit was under way.
    Busy,
    /// The daemon did not run.
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
