"""The statements of stored chat completions. Values are always bound; nothing is ever put into a statement.

A completion is a row beside the response that it is: same key, gone with it. Its metadata stand once whole, as they are
read, and once pair by pair, as they are looked for.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS chats (
    response    INTEGER PRIMARY KEY,
    project     TEXT NOT NULL,
    metadata    BLOB NOT NULL,
    request     BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS chats_of ON chats (project, response);
CREATE TABLE IF NOT EXISTS chat_metadata (
    chat        INTEGER NOT NULL,
    name        TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (chat, name)
);
CREATE INDEX IF NOT EXISTS chat_metadata_by_pair ON chat_metadata (name, value, chat);
"""

KEEP = "INSERT INTO chats (response, project, metadata, request) VALUES (?, ?, ?, ?)"

ADD_PAIR = "INSERT INTO chat_metadata (chat, name, value) VALUES (?, ?, ?)"

FIND = """
SELECT chats.response, responses.response, chats.metadata, chats.request
FROM chats JOIN responses ON responses.key = chats.response
WHERE responses.id = ? AND chats.project = ? AND responses.status IN ('completed', 'incomplete')
"""

# A page: PAGE, OF_MODEL and HAS_PAIR as often as they are needed, and one of the orders.

PAGE = """
SELECT chats.response, responses.response, chats.metadata, chats.request
FROM chats JOIN responses ON responses.key = chats.response
WHERE chats.project = ? AND responses.status IN ('completed', 'incomplete')
"""

OF_MODEL = " AND responses.model = ?"

HAS_PAIR = " AND chats.response IN (SELECT chat FROM chat_metadata WHERE name = ? AND value = ?)"

OLDEST_FIRST = " AND chats.response > ? ORDER BY chats.response LIMIT ?"

NEWEST_FIRST = " AND chats.response < ? ORDER BY chats.response DESC LIMIT ?"

DESCRIBE = "UPDATE chats SET metadata = ? WHERE response = ?"

DROP_PAIRS = "DELETE FROM chat_metadata WHERE chat = ?"

DELETE = ("DELETE FROM chats WHERE response = ?", DROP_PAIRS)
"""Run with the key of the response that is deleted."""
