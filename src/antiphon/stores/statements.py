"""The schema and every statement of the SQLite store, where they can be read. Parameters are always bound.

`responses.key` is the small number that logs hang on; `id` is what clients know. A response's log is its `stretches`
in the order of `first`, then what the `segments` hold of it; segments are only read at the start after a crash.
"""

from antiphon.stores import chat_statements

SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    key         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    project     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    status      TEXT NOT NULL,
    background  INTEGER NOT NULL,
    model       TEXT NOT NULL,
    previous    TEXT,
    request     BLOB NOT NULL,
    input       BLOB NOT NULL,
    response    BLOB,
    gated       TEXT NOT NULL DEFAULT '',
    attempts    INTEGER NOT NULL DEFAULT 0,
    fence       INTEGER NOT NULL DEFAULT 0,
    owner       TEXT,
    until       REAL
);
CREATE INDEX IF NOT EXISTS unfinished ON responses (status) WHERE response IS NULL;
CREATE TABLE IF NOT EXISTS stretches (
    response    INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    data        BLOB NOT NULL,
    PRIMARY KEY (response, first)
);
CREATE TABLE IF NOT EXISTS facts (
    response    INTEGER NOT NULL,
    after       INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    data        BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS facts_of ON facts (response);
CREATE TABLE IF NOT EXISTS items (
    id          TEXT NOT NULL,
    response    INTEGER NOT NULL,
    PRIMARY KEY (id, response)
);
CREATE INDEX IF NOT EXISTS items_of ON items (response);
CREATE TABLE IF NOT EXISTS segments (
    number      INTEGER PRIMARY KEY,
    spans       BLOB NOT NULL,
    data        BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS cached (
    project     TEXT NOT NULL,
    key         BLOB NOT NULL,
    data        BLOB NOT NULL,
    size        INTEGER NOT NULL,
    until       REAL NOT NULL,
    used        REAL NOT NULL,
    UNIQUE (project, key)
);
CREATE INDEX IF NOT EXISTS cached_by_use ON cached (project, used, size);
CREATE INDEX IF NOT EXISTS cached_until ON cached (until);
CREATE TABLE IF NOT EXISTS revisions (
    name        TEXT PRIMARY KEY,
    number      INTEGER NOT NULL
);
INSERT OR IGNORE INTO revisions (name, number) VALUES ('accounts', 0);
CREATE TABLE IF NOT EXISTS organizations (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    created_at   REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS projects (
    id           TEXT PRIMARY KEY,
    organization TEXT NOT NULL,
    name         TEXT NOT NULL,
    created_at   REAL NOT NULL,
    archived_at  REAL,
    models       TEXT NOT NULL,
    tools        TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS users (
    id           TEXT PRIMARY KEY,
    organization TEXT NOT NULL,
    email        TEXT NOT NULL,
    name         TEXT,
    role         TEXT NOT NULL,
    added_at     REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS members (
    project      TEXT NOT NULL,
    "user"       TEXT NOT NULL,
    role         TEXT NOT NULL,
    added_at     REAL NOT NULL,
    PRIMARY KEY (project, "user")
);
CREATE TABLE IF NOT EXISTS service_accounts (
    id           TEXT PRIMARY KEY,
    project      TEXT NOT NULL,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    created_at   REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS api_keys (
    id           TEXT PRIMARY KEY,
    organization TEXT NOT NULL,
    project      TEXT,
    owner        TEXT NOT NULL,
    name         TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    redacted     TEXT NOT NULL,
    scopes       TEXT,
    created_at   REAL NOT NULL,
    expires_at   REAL,
    revoked_at   REAL,
    used_at      REAL
);
CREATE TABLE IF NOT EXISTS audit_log (
    number       INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    organization TEXT NOT NULL,
    project      TEXT,
    type         TEXT NOT NULL,
    at           REAL NOT NULL,
    key          TEXT,
    actor        TEXT,
    email        TEXT,
    resource     TEXT NOT NULL,
    entry        BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_log_of ON audit_log (organization, number);
"""

SCHEMA += chat_statements.SCHEMA

PRAGMAS = {
    "normal": "PRAGMA synchronous = NORMAL",
    "full": "PRAGMA synchronous = FULL",
}

CHECKPOINT = "PRAGMA wal_autocheckpoint = 4000"

VERSION = 4
"""`PRAGMA user_version` of this schema. An older one lacks tables, which a start adds; no table has changed so far."""

SET_VERSION = "PRAGMA user_version = 4"

BEGIN = """
INSERT INTO responses (key, id, project, created_at, status, background, model, previous, request, input)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

END = """
UPDATE responses SET status = ?, response = ?, gated = ?, owner = NULL, until = NULL WHERE key = ?
"""

NOTE_FACT = "INSERT INTO facts (response, after, kind, data) VALUES (?, ?, ?, ?)"

NOTE_ITEM = "INSERT OR IGNORE INTO items (id, response) VALUES (?, ?)"

FENCE = "SELECT fence FROM responses WHERE key = ?"

ADD_STRETCH = "INSERT OR REPLACE INTO stretches (response, first, data) VALUES (?, ?, ?)"

ADD_SEGMENT = "INSERT INTO segments (number, spans, data) VALUES (?, ?, ?)"

DROP_SEGMENTS = "DELETE FROM segments WHERE number < ?"

ALL_SEGMENTS = "SELECT number, spans, data FROM segments ORDER BY number"

RUNNING = "SELECT key FROM responses WHERE response IS NULL"

LAST_STRETCH = "SELECT first, data FROM stretches WHERE response = ? ORDER BY first DESC LIMIT 1"

NEXT_KEY = "SELECT coalesce(max(key), 0) + 1 FROM responses"

FIND = """
SELECT key, id, project, created_at, status, background, model, previous, request, input,
    response, gated, attempts, fence
FROM responses WHERE id = ? AND project = ?
"""

CHAIN = """
WITH RECURSIVE chain (id, depth) AS (
    VALUES (?1, 0)
    UNION ALL
    SELECT responses.previous, depth + 1 FROM chain JOIN responses ON responses.id = chain.id
    WHERE responses.project = ?2 AND responses.previous IS NOT NULL
)
SELECT key, id, project, created_at, status, background, model, previous, request, input,
    response, gated, attempts, fence FROM chain JOIN responses USING (id) WHERE project = ?2 ORDER BY depth DESC
"""

OWNER_OF = """
SELECT responses.id FROM items JOIN responses ON responses.key = items.response
WHERE items.id = ? AND responses.project = ? ORDER BY responses.key DESC LIMIT 1
"""

READ = """
SELECT first, data FROM stretches WHERE response = ? AND first <= ? ORDER BY first DESC LIMIT 1
"""

EXISTS = "SELECT key FROM responses WHERE id = ? AND project = ?"

DELETE = (
    "DELETE FROM responses WHERE key = ?",
    "DELETE FROM stretches WHERE response = ?",
    "DELETE FROM facts WHERE response = ?",
    "DELETE FROM items WHERE response = ?",
    *chat_statements.DELETE,
)

UNFINISHED = """
SELECT key, id, project, created_at, status, background, model, previous, request, input,
    response, gated, attempts, fence FROM responses
WHERE response IS NULL AND (until IS NULL OR until < ?) ORDER BY key
"""

LEASE = """
UPDATE responses SET owner = ?, until = ?, fence = fence + 1, attempts = attempts + 1
WHERE key = ? AND response IS NULL AND (owner IS NULL OR until < ?)
RETURNING fence
"""

RENEW = "UPDATE responses SET until = ? WHERE key = ? AND owner = ? RETURNING key"

RELEASE = "UPDATE responses SET owner = NULL, until = NULL, attempts = attempts - 1 WHERE owner = ?"

RELEASE_ALL = "UPDATE responses SET owner = NULL, until = NULL WHERE owner IS NOT NULL"

# The response cache. `size` is the length of `data`, in an index of its own so that limits need not read the data.

CACHED = "SELECT data, used FROM cached WHERE project = ? AND key = ? AND until > ?"

USE_CACHED = "UPDATE cached SET used = ? WHERE project = ? AND key = ?"

PUT_CACHED = "INSERT OR REPLACE INTO cached (project, key, data, size, until, used) VALUES (?, ?, ?, ?, ?, ?)"

REMOVE_CACHED = "DELETE FROM cached WHERE project = ? AND key = ?"

DROP_EXPIRED = "DELETE FROM cached WHERE until <= ?"

DROP_LEAST_USED = """
DELETE FROM cached WHERE rowid IN (
    SELECT rowid FROM (
        SELECT rowid, sum(size) OVER (PARTITION BY project ORDER BY used DESC, rowid DESC) AS held FROM cached
    ) WHERE held > ?
)
"""

# Accounts. A revision counts the changes: whoever decided on an older one must look again.

REVISION = "SELECT number FROM revisions WHERE name = 'accounts'"

NEXT_REVISION = "UPDATE revisions SET number = number + 1 WHERE name = 'accounts' AND number = ?"

ORGANIZATIONS = "SELECT id, name, created_at FROM organizations ORDER BY created_at, id"

PROJECTS = "SELECT id, organization, name, created_at, archived_at, models, tools FROM projects ORDER BY created_at, id"

USERS = "SELECT id, organization, email, name, role, added_at FROM users ORDER BY added_at, id"

MEMBERS = 'SELECT project, "user", role, added_at FROM members ORDER BY added_at, "user"'

SERVICE_ACCOUNTS = "SELECT id, project, name, role, created_at FROM service_accounts ORDER BY created_at, id"

KEYS = """
SELECT id, organization, project, owner, name, hash, redacted, scopes, created_at, expires_at, revoked_at, used_at
FROM api_keys WHERE revoked_at IS NULL ORDER BY created_at, id
"""

ANY_KEY = "SELECT 1 FROM api_keys LIMIT 1"

PUT_ORGANIZATION = """
INSERT INTO organizations (id, name, created_at) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name
"""

PUT_PROJECT = """
INSERT INTO projects (id, organization, name, created_at, archived_at, models, tools) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, archived_at = excluded.archived_at, models = excluded.models, tools = excluded.tools
"""

PUT_USER = """
INSERT INTO users (id, organization, email, name, role, added_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET email = excluded.email, name = excluded.name, role = excluded.role
"""

PUT_MEMBER = """
INSERT INTO members (project, "user", role, added_at) VALUES (?, ?, ?, ?)
ON CONFLICT (project, "user") DO UPDATE SET role = excluded.role
"""

PUT_SERVICE_ACCOUNT = """
INSERT INTO service_accounts (id, project, name, role, created_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role
"""

PUT_KEY = """
INSERT INTO api_keys
    (id, organization, project, owner, name, hash, redacted, scopes, created_at, expires_at, revoked_at, used_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, scopes = excluded.scopes, expires_at = excluded.expires_at, revoked_at = excluded.revoked_at
"""

DROP_USER = "DELETE FROM users WHERE id = ?"

DROP_MEMBER = 'DELETE FROM members WHERE project = ? AND "user" = ?'

DROP_SERVICE_ACCOUNT = "DELETE FROM service_accounts WHERE id = ?"

USE_KEY = "UPDATE api_keys SET used_at = ?1 WHERE id = ?2 AND (used_at IS NULL OR used_at < ?1)"

PUT_LOGGED = """
INSERT INTO audit_log (id, organization, project, type, at, key, actor, email, resource, entry)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

LOGGED_NUMBER = "SELECT number FROM audit_log WHERE organization = ? AND id = ?"

LOGGED = """
SELECT id, organization, project, type, at, key, actor, email, resource, entry FROM audit_log
WHERE organization = :organization AND number > :low AND number < :high AND at >= :since AND at < :until
    AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
    AND (:actors IS NULL OR key IN (SELECT value FROM json_each(:actors))
        OR actor IN (SELECT value FROM json_each(:actors)))
    AND (:emails IS NULL OR email IN (SELECT value FROM json_each(:emails)))
    AND (:projects IS NULL OR project IN (SELECT value FROM json_each(:projects)))
    AND (:resources IS NULL OR resource IN (SELECT value FROM json_each(:resources)))
ORDER BY number * :direction LIMIT :limit
"""
