"""Directives: where they stand, what each does, and how a malformed one is refused."""

from __future__ import annotations

import itertools

import pytest

from antiphon.models.rehearsal.directives import DIRECTIVES, Script, script_of, separate
from antiphon.turn.deltas import Annotated
from antiphon.wire.errors import APIError, InvalidRequest
from tests.models.rehearsal_stage import answered, output, reason_of, refusal_of, say, text, text_of, tokens_of

pytestmark = pytest.mark.anyio


def script(message: str, *, fresh: bool = True, **metadata: str) -> Script:
    words, lines = separate(message)
    return script_of(words, lines, metadata, fresh=fresh)


async def test_a_directive_is_a_line_and_the_rest_is_the_message() -> None:
    words, lines = separate("Tell me a story.\n  #pace 20ms\n#tokens 5  \nA short one.")
    assert words == "Tell me a story.\nA short one."
    assert lines == [("pace", "20ms"), ("tokens", "5")]


@pytest.mark.parametrize(
    "message",
    ["# Fault 429", "#python is nice", "not at its start #fault 429", "```\n#fault 429\n```", "#faults", "#fault429"],
)
async def test_what_is_no_directive_is_text(message: str) -> None:
    assert separate(message) == (message, [])


async def test_metadata_say_the_same_and_a_line_outweighs_them() -> None:
    assert script("Hi.", rehearsal_tokens="7", rehearsal_pace="2s") == Script(tokens=7, pace=2.0)
    assert script("Hi.\n#tokens 9", rehearsal_tokens="7").tokens == 9


async def test_other_metadata_are_not_read() -> None:
    assert script("Hi.", tokens="7", session="rehearsal_tokens") == Script()


MALFORMED = [
    "#fault",
    "#fault 418",
    "#fault 429 later=2",
    "#fault 429 retry_after=soon",
    "#fault 429 retry_after",
    "#fault cut after=-1",
    "#fault first 503",
    "#fault first 0 503",
    "#fault first 2 418",
    "#fault slow_start",
    "#fault slow_start fast",
    "#pace",
    "#pace fast",
    "#pace 20",
    "#pace 2h",
    "#pace 99999s",
    "#tokens",
    "#tokens 0",
    "#tokens -3",
    "#tokens many",
    "#tokens 1000001",
    "#tokens ²",
    "#reason deeply",
    "#say",
    "#call",
    "#call get!weather",
    '#call get_weather {"city": }',
    "#item",
    "#item web_search",
    "#cite page",
]


@pytest.mark.parametrize("line", MALFORMED)
async def test_a_malformed_directive_is_a_400_that_names_it(line: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await say(f"Hello.\n{line}")
    assert caught.value.param == "input"
    assert caught.value.code == "invalid_directive"
    assert f"Malformed directive '{line}': expected " in caught.value.message


async def test_every_directive_that_can_be_malformed_is_tried() -> None:
    tried = {line.split()[0].removeprefix("#") for line in MALFORMED}
    assert tried == DIRECTIVES.keys() - {"refuse"}


async def test_a_malformed_or_unknown_key_of_the_metadata_is_a_400_that_names_it() -> None:
    for key, value in (("rehearsal_tokens", "many"), ("rehearsal_voice", "loud")):
        with pytest.raises(InvalidRequest) as caught:
            await say({"input": "Hello.", "metadata": {key: value}})
        assert caught.value.param == f"metadata.{key}"


@pytest.mark.parametrize(
    ("message", "status"),
    [("Please rehearse a rate limit", 429), ("rehearse a server error", 500), ("Rehearse an outage!", 503)],
)
async def test_faults_can_be_asked_for_in_plain_words(message: str, status: int) -> None:
    with pytest.raises(APIError) as caught:
        await say(message)
    assert caught.value.status == status


async def test_plain_words_ask_for_a_refusal_for_reasoning_and_for_slowness() -> None:
    assert refusal_of(await say("Please refuse this."))
    assert script("Think step by step.").reason == 0
    assert script("Stream slowly.").pace == 0.1


async def test_say_is_said_word_for_word() -> None:
    assert await text("#say  not { json") == "not { json"


async def test_refuse_gives_a_refusal_and_no_text() -> None:
    said = await say("#refuse I would rather not.")
    assert (refusal_of(said), text_of(said), reason_of(said)) == ("I would rather not.", "", None)


@pytest.mark.parametrize("number", [1, 2, 16, 500])
async def test_tokens_gives_exactly_so_many_deltas_none_like_the_one_before(number: int) -> None:
    tokens = tokens_of(await say(f"#tokens {number}"))
    assert len(tokens) == number
    assert all(one != other for one, other in itertools.pairwise(tokens))


@pytest.mark.parametrize("kind", ["url_citation", "file_citation", "container_file_citation", "file_path"])
async def test_cite_ends_the_answer_with_an_annotation(kind: str) -> None:
    [item] = await output(f"#say Water is wet.\n#cite {kind}")
    part = item["content"][0]
    assert part["text"] == "Water is wet. [source]"
    [annotation] = part["annotations"]
    assert annotation["type"] == kind
    if "start_index" in annotation:
        assert part["text"][annotation["start_index"] : annotation["end_index"]] == "[source]"


async def test_cite_alone_cites_a_page() -> None:
    said = await say("#cite")
    assert [delta.annotation.url for delta in said if isinstance(delta, Annotated)] == ["https://example.com/canned"]


async def test_call_calls_a_tool_by_name_with_these_arguments() -> None:
    [item] = await output('#call look_up {"word": "tide"}')
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", "look_up", '{"word": "tide"}')


async def test_several_calls_are_made_in_their_order() -> None:
    assert [item["name"] for item in await output("#call one\n#call two\n#call crm.three")] == ["one", "two", "three"]


async def test_what_is_played_once_is_not_played_again_when_the_tools_have_answered() -> None:
    for line in ("#call get_weather", "#fault 500", "#item function_call"):
        items = await output(answered(f"Weather?\n{line}", "sunny"))
        assert [item["type"] for item in items] == ["message"]


async def test_how_to_say_it_holds_until_the_next_message() -> None:
    assert len(tokens_of(await say(answered("Weather?\n#tokens 12", "sunny")))) == 12


async def test_reason_comes_first_and_has_as_many_sentences_as_asked_for() -> None:
    thinking, answer = await output("Tell me about tea.\n#reason 3")
    assert (thinking["type"], answer["type"]) == ("reasoning", "message")
    assert thinking["content"][0]["text"].count(".") == 3
    assert thinking["summary"] == []
