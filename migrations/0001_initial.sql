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

-- A setting is a JSON string, because a column name may contain any character.
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

-- Things to notify once that do not last; deleted when no notification of them is due. That of a credential stays, with an empty
-- document, so that it is not notified again.
CREATE TABLE announcements (
    id TEXT PRIMARY KEY,
    -- NULL if it concerns the program as a whole.
    source TEXT REFERENCES sources (name),
    at INTEGER NOT NULL,
    doc TEXT NOT NULL
) WITHOUT ROWID;

-- Which recipient was notified of which incident over which channel; deleted with the incident.
CREATE TABLE notification_log (
    incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL,
    -- In lower case: addresses are compared without regard to it.
    recipient_folded TEXT NOT NULL,
    ended INTEGER NOT NULL CHECK (ended IN (0, 1)),
    doc TEXT NOT NULL,
    PRIMARY KEY (incident, channel, recipient_folded)
) WITHOUT ROWID;
CREATE INDEX notification_log_not_ended ON notification_log (incident) WHERE ended = 0;

-- Incidents that were held back, once for each reason.
CREATE TABLE suppressions (
    incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (incident, reason)
) WITHOUT ROWID;

-- Ids are never used twice: people name notifications by them.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The stable id, derived from channel, recipient and items; a resend has one of its own.
    notification TEXT NOT NULL UNIQUE,
    message_id TEXT NOT NULL UNIQUE,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    recipient TEXT NOT NULL,
    -- In lower case: the order of delivery compares recipients by it.
    recipient_folded TEXT NOT NULL,
    subject TEXT NOT NULL,
    sessions TEXT NOT NULL,
    -- The incidents, if the whole notification follows up earlier ones: then a later one can replace it.
    follows_up TEXT,
    -- Why it went to its recipient, and which incidents were held back.
    reason TEXT NOT NULL,
    superseded_by TEXT,
    -- The row that an operator asked to send again as this one.
    resend_of INTEGER,
    recorded_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'retrying', 'sent', 'dead', 'superseded')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    -- The lower, the sooner: 0 critical opening, 1 other opening, 2 critical follow-up, 3 other follow-ups and failed attempts.
    urgency INTEGER NOT NULL CHECK (urgency BETWEEN 0 AND 3),
    -- The order among recipients of the same urgency; see src/store/outbox.rs.
    turn_at INTEGER NOT NULL,
    attempted_at INTEGER,
    last_error TEXT,
    finished_at INTEGER,
    -- The value of `delivery.watched` when it was recorded.
    watched_from INTEGER NOT NULL DEFAULT 0,
    -- Last, so that the other columns are read without it.
    raw BLOB NOT NULL,
    CHECK ((finished_at IS NULL) = (state IN ('pending', 'retrying'))),
    CHECK ((superseded_by IS NULL) = (state <> 'superseded') OR state = 'sent')
);
-- Holds every column that the search for the head of each line reads, so that rows behind a head are not read.
CREATE INDEX outbox_waiting ON outbox (channel, recipient_folded, id, urgency, finished_at) WHERE finished_at IS NULL;
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX outbox_state ON outbox (state);
CREATE INDEX outbox_channel ON outbox (channel, state);
CREATE INDEX outbox_dead ON outbox (channel, recipient_folded, id) WHERE state = 'dead';
CREATE INDEX outbox_resends ON outbox (resend_of) WHERE resend_of IS NOT NULL;

-- Addresses that refuse our mail, from the first notification given up until a later one is accepted and its end is notified.
CREATE TABLE undeliverable (
    id TEXT PRIMARY KEY,
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL,
    recipient_folded TEXT NOT NULL,
    -- The first outbox row given up; those lost are the dead ones from it on.
    first INTEGER NOT NULL,
    since INTEGER NOT NULL,
    -- The outbox row that was accepted.
    accepted INTEGER,
    accepted_at INTEGER,
    -- The recipients notified of it, as JSON. Only alerting writes it.
    notified TEXT NOT NULL DEFAULT '[]',
    CHECK ((accepted IS NULL) = (accepted_at IS NULL))
) WITHOUT ROWID;
CREATE UNIQUE INDEX undeliverable_now ON undeliverable (channel, recipient_folded) WHERE accepted IS NULL;

-- How long a dispatcher ran, in nanoseconds, up to `at`; see src/store/outbox.rs.
CREATE TABLE delivery (
    watched INTEGER NOT NULL,
    at INTEGER NOT NULL
);
INSERT INTO delivery (watched, at) VALUES (0, 0);

-- The time up to which retention has seen the clock advance, in nanoseconds; NULL at first. See src/domain/retention.rs.
CREATE TABLE retention (
    seen INTEGER,
    -- The first of these times.
    begun INTEGER
);
INSERT INTO retention (seen, begun) VALUES (NULL, NULL);

-- The process that owns the store; no row if it was closed in order. See src/store/owner.rs.
CREATE TABLE owner (
    id TEXT NOT NULL,
    -- Identifies the kernel that keeps its locks, if known.
    boot TEXT,
    process INTEGER NOT NULL,
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    renewed INTEGER NOT NULL
);
