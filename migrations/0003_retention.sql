-- Up to when retention has seen the clock advance, in nanoseconds; NULL before it first has. See src/domain/retention.rs.
CREATE TABLE retention (
    seen INTEGER
);
-- Of an older store, the latest time that anything in it was recorded at.
INSERT INTO retention (seen) SELECT max(at) FROM (
    SELECT max(at) AS at FROM events
    UNION ALL SELECT max(since) FROM observations
    UNION ALL SELECT max(recorded_at) FROM outbox
    UNION ALL SELECT max(polled_at) FROM schedules
);
