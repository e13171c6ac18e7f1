-- Which process owns the store; no row where it was closed in order. See src/store/owner.rs.
CREATE TABLE owner (
    id TEXT NOT NULL,
    -- Of the kernel that keeps its locks, where that is known.
    boot TEXT,
    process INTEGER NOT NULL,
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    renewed INTEGER NOT NULL
);
