"""SQL of limits, budgets and alerts. Amounts of money are decimals, written as text. Parameters are always bound.

`fired` has a row for each threshold that was reached in a window: its key is what makes an alert be sent once. `data`
is the alert as JSON, `pending` a JSON list of the ways on which it has yet to be sent.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS rate_limits (
    project                   TEXT NOT NULL,
    model                     TEXT NOT NULL,
    max_requests_per_1_minute INTEGER,
    max_tokens_per_1_minute   INTEGER,
    max_requests_per_1_day    INTEGER,
    max_tokens_per_1_day      INTEGER,
    created_at                REAL NOT NULL,
    PRIMARY KEY (project, model)
);
CREATE TABLE IF NOT EXISTS budgets (
    id           TEXT PRIMARY KEY,
    organization TEXT NOT NULL,
    scope        TEXT NOT NULL,
    owner        TEXT NOT NULL,
    period       TEXT NOT NULL,
    amount       TEXT NOT NULL,
    hard         INTEGER NOT NULL,
    thresholds   TEXT NOT NULL,
    created_at   REAL NOT NULL,
    UNIQUE (scope, owner, period)
);
CREATE TABLE IF NOT EXISTS spend_alerts (
    id             TEXT PRIMARY KEY,
    organization   TEXT NOT NULL,
    scope          TEXT NOT NULL,
    owner          TEXT NOT NULL,
    amount         TEXT NOT NULL,
    recipients     TEXT NOT NULL,
    subject_prefix TEXT,
    created_at     REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS fired (
    organization TEXT NOT NULL,
    budget       TEXT NOT NULL,
    starts       INTEGER NOT NULL,
    threshold    TEXT NOT NULL,
    amount       TEXT NOT NULL,
    id           TEXT NOT NULL UNIQUE,
    at           REAL NOT NULL,
    data         BLOB NOT NULL,
    pending      TEXT NOT NULL,
    PRIMARY KEY (organization, budget, starts, threshold, amount)
);
CREATE INDEX IF NOT EXISTS fired_at ON fired (at);
"""

RATE_LIMITS = """
SELECT project, model, max_requests_per_1_minute, max_tokens_per_1_minute, max_requests_per_1_day,
    max_tokens_per_1_day, created_at
FROM rate_limits ORDER BY created_at, model
"""

PUT_RATE_LIMIT = """
INSERT OR REPLACE INTO rate_limits (project, model, max_requests_per_1_minute, max_tokens_per_1_minute,
    max_requests_per_1_day, max_tokens_per_1_day, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

DROP_RATE_LIMIT = "DELETE FROM rate_limits WHERE project = ? AND model = ?"

BUDGETS = """
SELECT id, organization, scope, owner, period, amount, hard, thresholds, created_at FROM budgets ORDER BY created_at, id
"""

PUT_BUDGET = """
INSERT OR REPLACE INTO budgets (id, organization, scope, owner, period, amount, hard, thresholds, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

DROP_BUDGET = "DELETE FROM budgets WHERE id = ?"

SPEND_ALERTS = """
SELECT id, organization, scope, owner, amount, recipients, subject_prefix, created_at
FROM spend_alerts ORDER BY created_at, id
"""

PUT_SPEND_ALERT = """
INSERT OR REPLACE INTO spend_alerts (id, organization, scope, owner, amount, recipients, subject_prefix, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

DROP_SPEND_ALERT = "DELETE FROM spend_alerts WHERE id = ?"

FIRE = """
INSERT OR IGNORE INTO fired (organization, budget, starts, threshold, amount, id, at, data, pending)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

PENDING = "SELECT pending FROM fired WHERE id = ?"

SENT = "UPDATE fired SET pending = ? WHERE id = ?"

FIRED = "SELECT data, pending FROM fired WHERE at >= ? ORDER BY at, id"
