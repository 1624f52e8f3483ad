"""What rehearsal answers: who it is, what it can do with words, and what it declines."""

from __future__ import annotations

import pytest

from antiphon.models.rehearsal.arithmetic import worked_out
from tests.models.rehearsal_stage import Json, answered, output, text

pytestmark = pytest.mark.anyio


async def test_its_first_words_to_a_newcomer_say_what_it_is() -> None:
    assert (await text("Hello")).startswith("I am rehearsal, the model built into Antiphon: I have no weights")


async def test_it_introduces_itself_only_once_in_a_conversation() -> None:
    conversation = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "My boat leaks."},
    ]
    assert "I am rehearsal" not in await text({"input": conversation})


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("What is 17 * 23?", "17 * 23 = 391"),
        ("what's 2 plus 3 times 4", "2 + 3 * 4 = 14"),
        ("Count to five", "1, 2, 3, 4, 5"),
        ("Count down from 3 to 1", "3, 2, 1"),
        ("How many r's are in strawberry?", "The letter “r” is in “strawberry” 3 times."),
        ("How many words are in 'to be or not to be'?", "I count 6 words in “to be or not to be”."),
        ("Spell cat", "C-A-T"),
        ("Please reverse 'hello world'", "dlrow olleh"),
        ("uppercase: hello", "HELLO"),
        ("Sort these: pear, apple and fig", "apple, fig, pear"),
        ("List these: a, b and c", "- a\n- b\n- c"),
        ("What day is it today?", "I do not know the date or the time: I read no clock."),
        ("what's today's date?", "I do not know the date or the time: I read no clock."),
    ],
)
async def test_it_works_on_the_words_of_a_message(message: str, answer: str) -> None:
    assert (await text(message)).endswith(f"\n\n{answer}")


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("Repeat after me: I am here", "I am here"),
        ("Say 'ok'", "ok"),
        ("Say exactly: ready", "ready"),
        ("repeat hello three times", "hello\nhello\nhello"),
    ],
)
async def test_what_it_is_to_repeat_is_its_whole_answer(message: str, answer: str) -> None:
    assert await text(message) == answer


async def test_it_lists_as_many_things_as_are_asked_for() -> None:
    lines = (await text("List seven ideas for a garden")).splitlines()
    assert [line[:2] for line in lines if line[:1].isdigit()] == ["1.", "2.", "3.", "4.", "5.", "6.", "7."]


async def test_it_summarises_by_taking_out_sentences() -> None:
    story = "The harbour was full. Boats lay in the harbour all night. A dog barked. The harbour master slept."
    answer = await text(f"Summarise: {story}")
    summary = answer.partition("In short: ")[2]
    assert summary in story
    assert "harbour" in summary


async def test_it_writes_as_many_paragraphs_as_are_asked_for_and_in_markdown() -> None:
    answer = await text("Write 4 paragraphs about old clocks in markdown")
    assert answer.count("\n## ") == 4
    assert "old clocks" in answer


async def test_it_quotes_what_a_message_is_about() -> None:
    assert "You wrote about “My boat leaks”." in await text("My boat leaks. It does so since May.")


async def test_verbosity_decides_how_much_it_says() -> None:
    lengths = [
        len(await text({"input": "My boat leaks.", "text": {"verbosity": verbosity}}))
        for verbosity in ("low", "medium", "high")
    ]
    assert lengths == sorted(set(lengths))


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ("Who are you?", "I can call the functions that fit a message; "),
        ("help", "Point a real model at this server when you need knowledge."),
        ("Thanks a lot", "You are welcome."),
        ("What did I say first?", "You have said nothing before this message."),
        ("What did you say?", "I have said nothing before."),
        ("Write some code", "```python\ndef rehearse("),
        ("Write a JavaScript function", "```javascript\n"),
        ("Boats as a table", "| word | number |\n|---|---|\n| "),
        ("Summarise: one thing only", "In short: one thing only"),
        ("Summarise everything", "There is nothing to summarise yet."),
        ("What is 3 +* 4?", "You wrote about"),
    ],
)
async def test_it_answers_in_kind(message: str, part: str) -> None:
    assert part in await text(message)


CONVERSATION = [
    {"role": "user", "content": "My name is Ada Byron. My favourite colour is sea green, always."},
    {"role": "assistant", "content": "Noted."},
    {"role": "user", "content": "Remember the anchor."},
    {"role": "assistant", "content": "I shall."},
]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What did I say first?", "“My name is Ada Byron."),
        ("What did I say before?", "“Remember the anchor.”"),
        ("What have I said?", "2. “Remember the anchor.”"),
        ("What was my first question?", "“My name is Ada Byron."),
        ("What did you say?", "I said: “I shall.”"),
        ("What is my name?", "your name is Ada Byron."),
        ("What is my favourite colour?", "your favourite colour is sea green."),
        ("What is my shoe size?", "You have not told me your shoe size."),
    ],
)
async def test_it_recalls_what_was_said(question: str, answer: str) -> None:
    assert answer in await text({"input": [*CONVERSATION, {"role": "user", "content": question}]})


async def test_it_names_what_is_attached_and_does_not_claim_to_have_looked() -> None:
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="},
        {"type": "input_file", "filename": "tides.pdf", "file_url": "https://example.com/tides.pdf"},
    ]
    answer = await text({"input": [{"role": "user", "content": content}]})
    assert "an image (image/png, 8 bytes), a file “tides.pdf” (at https://example.com/tides.pdf)" in answer
    assert "I cannot look into images or files" in answer


async def test_it_tells_what_a_function_returned() -> None:
    answer = await text(answered("Weather in Paris?", '{"sky": "clear", "degrees": 21}'))
    assert '`get_weather` ({"city":"Paris"}) answered: sky clear, degrees 21.' in answer


@pytest.mark.parametrize(
    ("call", "output", "answer"),
    [
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "sum", "input": "1+1"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "2"},
            "`sum` (1+1) answered: 2.",
        ),
        (
            {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls", "pwd"]}},
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [{"stdout": "a.txt\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
            },
            "`shell` (ls; pwd) answered: a.txt",
        ),
        (
            {
                "type": "local_shell_call",
                "id": "l",
                "call_id": "c",
                "status": "completed",
                "action": {"type": "exec", "command": ["ls", "-l"], "env": {}},
            },
            {"type": "local_shell_call_output", "id": "c", "call_id": "c", "output": "a.txt"},
            "`local_shell` (ls -l) answered: a.txt",
        ),
        (
            {
                "type": "apply_patch_call",
                "call_id": "c",
                "status": "completed",
                "operation": {"type": "delete_file", "path": "a"},
            },
            {"type": "apply_patch_call_output", "call_id": "c", "status": "failed"},
            "`apply_patch` answered: failed",
        ),
        (
            {"type": "computer_call", "id": "x", "call_id": "c", "pending_safety_checks": [], "status": "completed"},
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "file_id": "file_1"},
            },
            "`computer` answered: a screenshot",
        ),
        (
            {"type": "mcp_approval_request", "id": "m", "server_label": "s", "name": "n", "arguments": "{}"},
            {"type": "mcp_approval_response", "approval_request_id": "m", "approve": False},
            "`mcp_approval_response` answered: not approved",
        ),
        (
            {"type": "tool_search_call", "arguments": {"query": "mail"}},
            {"type": "tool_search_output", "tools": [{"type": "function", "name": "send"}]},
            "`tool_search` answered: send",
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "[1, 2]"}]},
            "`f` answered: [1,2].",
        ),
    ],
    ids=lambda item: item["type"] if isinstance(item, dict) else "",
)
async def test_it_tells_what_every_kind_of_tool_returned(call: Json, output: Json, answer: str) -> None:
    assert answer in await text({"input": [{"role": "user", "content": "Go."}, call, output]})


async def test_items_of_a_kind_that_it_does_not_know_are_passed_over() -> None:
    novel = {"type": "novel_item", "id": "n_1", "words": "unheard of"}
    answer = await text({"input": [{"role": "user", "content": "My boat leaks."}, novel]})
    assert "You wrote about “My boat leaks”." in answer


async def test_it_quotes_passages_and_cites_each_where_it_ends() -> None:
    found = {
        "type": "file_search_call",
        "id": "fs_1",
        "status": "completed",
        "queries": ["tides"],
        "results": [
            {"file_id": "file_1", "filename": "sea.md", "score": 0.9, "text": "Tides come twice a day."},
            {"file_id": "file_2", "filename": "moon.md", "score": 0.8, "text": "The moon pulls."},
        ],
    }
    items = await output({"input": [{"role": "user", "content": "What about tides?"}, found]})
    part = items[0]["content"][0]
    assert "> Tides come twice a day. — sea.md" in part["text"]
    first, second = part["annotations"]
    assert (first["type"], first["file_id"], first["filename"]) == ("file_citation", "file_1", "sea.md")
    assert part["text"][: first["index"]].endswith("sea.md")
    assert part["text"][: second["index"]].endswith("moon.md")


async def test_a_message_without_words_is_answered() -> None:
    assert "There is no message to answer." in await text("")


async def test_a_hashtag_that_looks_like_a_directive_is_remarked_upon() -> None:
    assert "`#falt` is no directive of mine; you may have meant `#fault`." in await text("#falt 429")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("what is (2 + 3) * 4?", "(2 + 3) * 4 = 20"),
        ("15% of 80 =", "15 / 100 * 80 = 12"),
        ("calculate 2 ^ 10", "2 ^ 10 = 1024"),
        ("10 / 4", "10 / 4 = 2.5"),
        ("what is 1 / 3", "1 / 3 = 0.333333333333"),
        ("what is 1,000 * 3?", "1000 * 3 = 3000"),
        ("what is -3 - -4?", "-3 - -4 = 1"),
        ("what is 7 / 0?", "7 / 0 has no result: it divides by zero."),
        ("what is 9 ^ 99999?", None),
        ("what is 9 ^ 99 * 9 ^ 99?", None),
        ("what is (1 + 2?", None),
        ("what is 1 + 2) * 3", None),
        ("what happened on 2026-11-20?", None),
        ("what is 42?", None),
        ("I ate 3 + 4 apples", None),
        ("what is " + "(" * 200 + "1+1", None),
    ],
)
async def test_sums_are_worked_out_exactly_or_not_at_all(message: str, told: str | None) -> None:
    assert worked_out(message) == told
