"""The schema and every statement of the ledger. Amounts of money are decimals, written as text. Parameters are bound.

`usd` is no function of SQL: it adds such texts without a loss. Where a database has exact numbers, it is `sum`.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger (
    number             INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    request_id         TEXT NOT NULL,
    at                 REAL NOT NULL,
    organization       TEXT NOT NULL,
    project            TEXT NOT NULL,
    key_id             TEXT NOT NULL,
    owner              TEXT NOT NULL,
    operation          TEXT NOT NULL,
    asked              TEXT NOT NULL,
    model              TEXT NOT NULL,
    upstream           TEXT NOT NULL,
    upstream_model     TEXT NOT NULL,
    outcome            TEXT NOT NULL,
    error              TEXT,
    background         INTEGER NOT NULL,
    stored             INTEGER NOT NULL,
    streamed           INTEGER NOT NULL,
    called             INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    cost               TEXT,
    saved              TEXT,
    saved_tokens       INTEGER NOT NULL,
    cache              TEXT NOT NULL,
    fence              INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS ledger_at ON ledger (at);
CREATE INDEX IF NOT EXISTS ledger_running ON ledger (number) WHERE outcome = 'running';
CREATE TABLE IF NOT EXISTS charges (
    work               INTEGER NOT NULL,
    place              INTEGER NOT NULL,
    upstream           TEXT NOT NULL,
    model              TEXT NOT NULL,
    outcome            TEXT NOT NULL,
    code               TEXT,
    input_tokens       INTEGER NOT NULL,
    cached_tokens      INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    is_estimated       INTEGER NOT NULL,
    is_hedge           INTEGER NOT NULL,
    judges             INTEGER NOT NULL,
    cost               TEXT,
    PRIMARY KEY (work, place)
);
"""

PUT = """
INSERT INTO ledger (id, request_id, at, organization, project, key_id, owner, operation, asked, model, upstream,
    upstream_model, outcome, error, background, stored, streamed, called, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost, saved, saved_tokens, cache, fence)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    model = excluded.model, upstream = excluded.upstream, upstream_model = excluded.upstream_model,
    outcome = excluded.outcome, error = excluded.error, called = excluded.called,
    input_tokens = excluded.input_tokens, cached_tokens = excluded.cached_tokens,
    cache_write_tokens = excluded.cache_write_tokens, output_tokens = excluded.output_tokens,
    reasoning_tokens = excluded.reasoning_tokens, cost = excluded.cost, saved = excluded.saved,
    saved_tokens = excluded.saved_tokens, cache = excluded.cache, fence = excluded.fence
WHERE ledger.outcome = 'running' OR excluded.outcome <> 'running'
RETURNING number
"""

DROP_CHARGES = "DELETE FROM charges WHERE work = ?"

ADD_CHARGE = """
INSERT INTO charges (work, place, upstream, model, outcome, code, input_tokens, cached_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, is_estimated, is_hedge, judges, cost)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

RUNNING = """
SELECT number, id, request_id, at, organization, project, key_id, owner, operation, asked, model, upstream,
    upstream_model, outcome, error, background, stored, streamed, called, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost, saved, saved_tokens, cache, fence
FROM ledger WHERE outcome = 'running' ORDER BY number
"""

FIND = """
SELECT number, id, request_id, at, organization, project, key_id, owner, operation, asked, model, upstream,
    upstream_model, outcome, error, background, stored, streamed, called, input_tokens, cached_tokens,
    cache_write_tokens, output_tokens, reasoning_tokens, cost, saved, saved_tokens, cache, fence
FROM ledger WHERE id = ?
"""

CHARGES = """
SELECT upstream, model, outcome, code, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
    reasoning_tokens, is_estimated, is_hedge, judges, cost
FROM charges WHERE work = ? ORDER BY place
"""

USAGE = """
SELECT CAST(at AS INTEGER) / :width * :width,
    CASE WHEN :by_project THEN project END, CASE WHEN :by_owner THEN owner END,
    CASE WHEN :by_key_id THEN key_id END, CASE WHEN :by_model THEN model END, NULL,
    count(*), sum(called), sum(outcome = 'failed'),
    sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    usd(cost), sum(cost IS NULL), usd(saved), sum(saved_tokens)
FROM ledger
WHERE ledger.organization = :organization AND at >= :since AND at < :until AND ledger.outcome <> 'running'
    AND (:operations IS NULL OR operation IN (SELECT value FROM json_each(:operations)))
    AND (:projects IS NULL OR project IN (SELECT value FROM json_each(:projects)))
    AND (:owners IS NULL OR owner IN (SELECT value FROM json_each(:owners)))
    AND (:keys IS NULL OR key_id IN (SELECT value FROM json_each(:keys)))
    AND (:models IS NULL OR ledger.model IN (SELECT value FROM json_each(:models)))
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""

USAGE_BY_LINE_ITEM = """
SELECT CAST(at AS INTEGER) / :width * :width,
    CASE WHEN :by_project THEN project END, CASE WHEN :by_owner THEN owner END,
    CASE WHEN :by_key_id THEN key_id END, CASE WHEN :by_model THEN ledger.model END,
    CASE WHEN :by_line_item THEN charges.model END,
    count(*), count(*), sum(charges.outcome = 'failed'),
    sum(charges.input_tokens), sum(charges.cached_tokens), sum(charges.cache_write_tokens),
    sum(charges.output_tokens), sum(charges.reasoning_tokens),
    usd(charges.cost), sum(charges.cost IS NULL), NULL, 0
FROM ledger JOIN charges ON charges.work = ledger.number
WHERE ledger.organization = :organization AND at >= :since AND at < :until AND ledger.outcome <> 'running'
    AND (:operations IS NULL OR operation IN (SELECT value FROM json_each(:operations)))
    AND (:projects IS NULL OR project IN (SELECT value FROM json_each(:projects)))
    AND (:owners IS NULL OR owner IN (SELECT value FROM json_each(:owners)))
    AND (:keys IS NULL OR key_id IN (SELECT value FROM json_each(:keys)))
    AND (:models IS NULL OR ledger.model IN (SELECT value FROM json_each(:models)))
    AND (:line_items IS NULL OR charges.model IN (SELECT value FROM json_each(:line_items)))
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
"""

SPENT = """
SELECT organization, project, key_id, usd(cost) FROM ledger
WHERE at >= ? AND outcome <> 'running' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
