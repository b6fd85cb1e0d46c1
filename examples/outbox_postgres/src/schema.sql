-- The outbox's table. Columns as in docs/outbox.md, in Postgres's own types; what is behind `body` is the outbox's own.
CREATE TABLE IF NOT EXISTS winddown_outbox (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         uuid NOT NULL DEFAULT gen_random_uuid(),
    topic      text NOT NULL,
    tag        text,
    key        text,
    ordered    boolean NOT NULL DEFAULT false,
    properties jsonb,
    delay_ms   bigint CHECK (delay_ms >= 0),
    body       bytea NOT NULL,
    created    timestamptz NOT NULL DEFAULT clock_timestamp(),
    state      text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead', 'damaged')),
    due        timestamptz NOT NULL DEFAULT '-infinity',
    claim      bigint,
    attempts   integer NOT NULL DEFAULT 0,
    failing_ms bigint NOT NULL DEFAULT 0,
    error      text,
    CHECK (NOT ordered OR key IS NOT NULL)
);
-- What a claim looks through: pending rows by age, and the older ones of the same ordered key.
CREATE INDEX IF NOT EXISTS winddown_outbox_pending ON winddown_outbox (seq, due) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS winddown_outbox_keys ON winddown_outbox (topic, key, seq) WHERE state = 'pending' AND ordered;
CREATE INDEX IF NOT EXISTS winddown_outbox_ids ON winddown_outbox (id);
