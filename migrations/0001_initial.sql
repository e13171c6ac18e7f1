-- Times are INTEGER nanoseconds since 1970 in UTC; documents are JSON; see src/store.rs for the reasons.

CREATE TABLE sources (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE schedules (
    source TEXT NOT NULL REFERENCES sources (name),
    schedule_key TEXT NOT NULL,
    polled_at INTEGER NOT NULL,
    PRIMARY KEY (source, schedule_key)
) WITHOUT ROWID;

-- The sessions that are audited now.
CREATE TABLE sessions (
    source TEXT NOT NULL REFERENCES sources (name),
    id TEXT NOT NULL,
    record TEXT NOT NULL,
    pinned TEXT NOT NULL,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;

-- The names of settings that observations share.
CREATE TABLE shapes (
    id INTEGER PRIMARY KEY,
    settings TEXT NOT NULL UNIQUE
);

-- Run-length: one row for as long as a session stays the same. A session's present is the row without an end.
CREATE TABLE observations (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL REFERENCES sources (name),
    session TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    shape INTEGER NOT NULL REFERENCES shapes (id),
    raw_values TEXT NOT NULL
);
CREATE UNIQUE INDEX observations_now ON observations (source, session) WHERE until IS NULL;
CREATE INDEX observations_history ON observations (source, session, since);
CREATE INDEX observations_ended ON observations (until) WHERE until IS NOT NULL;
CREATE INDEX observations_shape ON observations (shape);

CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL REFERENCES sources (name),
    session TEXT,
    kind TEXT NOT NULL,
    ended_at INTEGER,
    doc TEXT NOT NULL
);
CREATE INDEX incidents_now ON incidents (source, session) WHERE ended_at IS NULL;
CREATE INDEX incidents_ended ON incidents (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE known_ids (
    source TEXT NOT NULL REFERENCES sources (name),
    id TEXT NOT NULL,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;

-- A setting is a JSON string: a column name may hold anything.
CREATE TABLE known_settings (
    source TEXT NOT NULL REFERENCES sources (name),
    setting TEXT NOT NULL,
    PRIMARY KEY (source, setting)
) WITHOUT ROWID;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL REFERENCES sources (name),
    session TEXT,
    at INTEGER NOT NULL,
    doc TEXT NOT NULL
);
CREATE INDEX events_of_session ON events (source, session, at);
CREATE INDEX events_by_time ON events (at);

-- Ids are never used twice: people name messages by them.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    -- In lower case: what the order of delivery goes by.
    recipient_folded TEXT NOT NULL,
    subject TEXT NOT NULL,
    sessions TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'retrying', 'sent', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    attempted_at INTEGER,
    last_error TEXT,
    finished_at INTEGER,
    -- Last, so that what comes before is read without it.
    raw BLOB NOT NULL,
    CHECK ((finished_at IS NULL) = (state IN ('pending', 'retrying')))
);
CREATE INDEX outbox_waiting ON outbox (recipient_folded, id) WHERE finished_at IS NULL;
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX outbox_state ON outbox (state);
