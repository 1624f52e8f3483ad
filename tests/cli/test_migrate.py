"""`antiphon migrate`: every place that is to change is found with its line, and nothing else is."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest

from antiphon.cli.migration import read, tables
from antiphon.wire.spellings import ALIASES

PAGE = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()

BEFORE = """\
from openai import OpenAI

client = OpenAI()
completion = client.chat.completions.create(
    model="gpt-5",
    messages=[{"role": "user", "content": "Hi."}],
    max_tokens=100,
)
print(completion.choices[0].message.content)
print(completion.usage.prompt_tokens)
"""

AFTER = """\
from openai import OpenAI

client = OpenAI()
response = client.responses.create(
    model="gpt-5",
    input=[{"role": "user", "content": "Hi."}],
    max_output_tokens=100,
    store=False,
)
print(response.output_text)
print(response.usage.input_tokens)
"""


def found(source: str) -> list[tuple[int, str, str]]:
    """Line, kind and what was found."""
    return [(each.line, each.kind, each.found) for each in read(textwrap.dedent(source))]


def changes(source: str) -> list[str]:
    return [each.change for each in read(textwrap.dedent(source))]


def test_each_line_of_a_plain_program_is_told():
    assert found(BEFORE) == [
        (4, "call", "chat.completions.create"),
        (4, "parameter", "no store"),
        (6, "parameter", "messages="),
        (7, "parameter", "max_tokens="),
        (9, "result", "choices[…].message.content"),
        (10, "result", "usage.prompt_tokens"),
    ]


def test_in_a_program_that_was_changed_there_is_nothing_more():
    assert found(AFTER) == []


@pytest.mark.parametrize("method", [*tables.CALLS, *tables.STORED])
def test_every_method_is_known_behind_any_client(method: str):
    for client in ("client", "self.client", "openai", "OpenAI()", "client.with_options(timeout=3)", "client.beta"):
        told = found(f"{client}.chat.completions.{method}(**asked)")
        assert (1, "call", f"chat.completions.{method}") in told


@pytest.mark.parametrize("name", tables.PARAMETERS)
def test_every_parameter_is_told_also_where_it_was_given_to_responses(name: str):
    for call in ("chat.completions.create", "responses.create", "responses.stream"):
        assert (2, "parameter", f"{name}=") in found(f"client.{call}(\n    {name}=1)")


def test_what_is_stored_by_default_is_told_unless_the_call_says():
    assert (1, "parameter", "no store") in found("c.chat.completions.create(model='m')")
    assert (1, "parameter", "no store") not in found("c.chat.completions.create(store=True)")
    assert (1, "parameter", "no store") not in found("c.chat.completions.create(**options)")


@pytest.mark.parametrize("path", tables.RESULTS)
def test_every_way_to_read_an_answer_is_told_once(path: str):
    chain = ".".join(filter(None, ["completion.choices[0]", path]))
    (told,) = read(chain)
    assert (told.kind, told.change) == ("result", tables.RESULTS[path])


def test_answers_that_are_read_as_json_are_told():
    assert found('body["choices"][0]["message"]["content"]') == [(1, "result", "choices[…].message.content")]


def test_a_chain_that_goes_on_is_told_as_far_as_it_is_known():
    assert found("c.choices[0].message.content.strip().upper()") == [(1, "result", "choices[…].message.content")]


def test_a_chain_over_several_lines_is_told_where_it_ends():
    assert found("(completion\n    .choices[0]\n    .message.content)")[0][0] == 3


@pytest.mark.parametrize(("name", "other"), tables.USAGE.items())
def test_figures_have_other_names(name: str, other: str):
    assert changes(f"completion.usage.{name}") == [f"usage.{other}"]


def test_messages_parts_and_tools_are_told_where_they_stand():
    told = found(
        """\
        messages = [
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "input_audio", "input_audio": audio},
                {"type": "file", "file": file},
            ]},
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "42"},
            {"role": "function", "name": "add", "content": "42"},
        ]
        tools = [
            {"type": "function", "function": {"name": "add"}},
            {"type": "custom", "custom": {"name": "sql"}},
        ]
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}
        format = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
        """
    )
    assert [(line, kind) for line, kind, _ in told] == [
        *((line, "message") for line in (3, 4, 5, 6, 8, 9, 10)),
        *((line, "tool") for line in (13, 14, 16, 17)),
    ]


@pytest.mark.parametrize(("old", "new"), ALIASES.items())
def test_spellings_that_were_never_sent_are_told(old: str, new: str):
    (told,) = read(f"handlers = {{{old!r}: handle}}")
    assert (told.kind, told.found, told.change) == ("event", old, new)


@pytest.mark.parametrize(("kind", "field"), tables.EVENT_FIELDS)
def test_fields_that_an_event_does_not_have_are_told(kind: str, field: str):
    source = f"if event.type == {kind!r}:\n    print(event.{field})\nelif event.type == 'x':\n    print(event.{field})"
    (told,) = read(source)
    assert (told.line, told.change) == (2, tables.EVENT_FIELDS[kind, field])


def test_an_async_for_over_what_was_not_awaited_is_told():
    program = """\
        async def main():
            stream = {}client.responses.create(model="m", input="Hi.", stream=True)
            async for event in stream:
                print(event)
        """
    assert [(line, kind) for line, kind, _ in found(program.format(""))] == [(3, "await")]
    assert found(program.format("await ")) == []


def test_other_words_of_older_texts_are_told():
    assert changes("os.environ.get('OPENAI_PROJECT_KEY')") == [tables.TEXTS["OPENAI_PROJECT_KEY"]]
    assert changes("post('https://api.openai.com/v1/chat/completions')") == [tables.ENDPOINT]
    assert changes("from openai.types.chat import ChatCompletion") == [tables.TYPES]
    assert changes("openai.ChatCompletion.create(messages=[])") == [tables.MODULE_CALLS, "input=…"]


@pytest.mark.parametrize(
    "source",
    [
        "self.choices[0]()\nmenu.choice[0].message",
        "ballot.choices = []",
        "config.usage.total",
        "{'type': 'text', 'text': 'Hi.'}",
        "{'role': 'user', 'content': 'Hi.'}",
        "chat.create(messages=[])",
        "'Chat Completions live at /chat/completions as before'",
        "if event.type == 'response.failed':\n    print(event.response.error)",
        "{**other, 'role': role}",
        "response.output_text",
    ],
)
def test_what_is_something_else_is_left_alone(source: str):
    assert [each for each in found(source) if each[2] != "choices[…]"] == []


# The command


def test_the_command_tells_places_and_ends_with_1(antiphon, tmp_path: Path):
    (tmp_path / "app.py").write_text(BEFORE)
    done = antiphon("migrate", "app.py")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert lines[2] == "app.py:6:5: messages= → input=…"
    assert "6 places to change, in 5 lines" in done.stderr


def test_a_program_with_nothing_to_change_ends_with_0(antiphon, tmp_path: Path):
    (tmp_path / "app.py").write_text(AFTER)
    done = antiphon("migrate", "app.py")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "nothing to change" in done.stderr


def test_json_has_each_place(antiphon, tmp_path: Path):
    (tmp_path / "app.py").write_text(BEFORE)
    done = antiphon("migrate", "--json", "app.py")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told[2] == {
        "file": "app.py",
        "line": 6,
        "column": 5,
        "kind": "parameter",
        "found": "messages=",
        "change": "input=…",
    }


def test_folders_are_read_but_not_what_others_put_there(antiphon, tmp_path: Path):
    for path in ("src/a.py", "src/b/c.py", "src/.venv/d.py", "src/lib/site-packages/e.py", "src/notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(BEFORE)
    told = json.loads(antiphon("migrate", "--json", "src").stdout)
    assert {each["file"] for each in told} == {"src/a.py", "src/b/c.py"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"def (", "line 1 is no Python"),
        (b"\x00", "is no Python"),
        (b"'\xff'", "no Python"),
        (b"# coding: none\n", "no Python"),
        (b"(" * 5000, "no Python"),
    ],
)
def test_a_file_that_is_no_python_is_named_and_the_others_are_read(
    antiphon, tmp_path: Path, content: bytes, reason: str
):
    (tmp_path / "bad.py").write_bytes(content)
    (tmp_path / "app.py").write_text(BEFORE)
    done = antiphon("migrate", "bad.py", "app.py", "missing.py")
    assert done.exit_code == 2
    assert "app.py:6:5" in done.stdout
    assert "bad.py: " in done.stderr
    assert reason in done.stderr
    assert "missing.py: cannot be read" in done.stderr
    assert "2 not read" in done.stderr


def test_the_encoding_that_a_file_names_is_its_encoding(antiphon, tmp_path: Path):
    (tmp_path / "app.py").write_bytes(f"# coding: latin-1\nx = 'Größe'\n{BEFORE}".encode("latin-1"))
    assert "app.py:8:5: messages=" in antiphon("migrate", "app.py").stdout


# The page


@pytest.mark.parametrize(
    "name",
    [
        *tables.CALLS,
        *tables.STORED,
        *tables.PARAMETERS,
        *tables.USAGE,
        *tables.PARTS,
        *tables.MESSAGES,
        *tables.TEXTS,
        *ALIASES,
        *ALIASES.values(),
        *(kind for kind, _ in tables.FLAT),
        *(f"event.{field}" for _, field in tables.EVENT_FIELDS),
        *(path.rpartition(".")[2] for path in tables.RESULTS if path),
    ],
)
def test_the_page_has_a_word_for_everything_that_is_found(name: str):
    told = " ".join(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)))
    assert re.search(rf"(?<![\w]){re.escape(name)}(?!\w)", told)
