-- How long somebody was there to deliver, in nanoseconds, up to `at`; see src/store/outbox.rs.
CREATE TABLE delivery (
    watched INTEGER NOT NULL,
    at INTEGER NOT NULL
);
INSERT INTO delivery (watched, at) VALUES (0, 0);

-- What `watched` was when the message was recorded.
ALTER TABLE outbox ADD COLUMN watched_from INTEGER NOT NULL DEFAULT 0;
