"""The plan of a turn: from what was read and what is to be rehearsed to acts, the items that will be said.

A plan is a function of the reading alone. A run that takes over another's makes the same plan, and leaves out what was
said.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from antiphon.models.rehearsal import acts, calls, talk
from antiphon.models.rehearsal.acts import Act, Answer, Ids, Logprobs
from antiphon.models.rehearsal.calls import Unmade
from antiphon.models.rehearsal.canned import play
from antiphon.models.rehearsal.dice import Dice
from antiphon.models.rehearsal.directives import Script
from antiphon.models.rehearsal.offers import Offer, allowed, must_call, offers
from antiphon.models.rehearsal.reading import Reading
from antiphon.models.rehearsal.schema import NOTHING, satisfying
from antiphon.models.rehearsal.words import COMMON, babble
from antiphon.turn.deltas import Delta, Text
from antiphon.wire.content import Logprob, TopLogprob
from antiphon.wire.tools import FormatJsonSchema

_CLIENT_CALLS = frozenset(
    (
        "function_call",
        "custom_tool_call",
        "shell_call",
        "local_shell_call",
        "apply_patch_call",
        "computer_call",
        "mcp_approval_request",
    )
)
"""Items that the client answers: nothing is said after them."""
_REFUSAL = "I will not answer this: the request asked for a rehearsal of a refusal."
_HANDED_OVER = "I gave your code to the code interpreter. I do not run code, so there is no result to tell."
_NO_VALUES = frozenset(("json", "schema"))
_ANY_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"topic": {"type": "string"}, "values": {"type": "array", "items": {"type": "string"}}},
    "required": ["topic", "values"],
}


def plan(reading: Reading, script: Script) -> list[Act]:
    """All that is to be said in a turn, in order."""
    ids = Ids(reading.dice.fork("ids"), reading.call_ids)
    planned: list[Act] = []
    if script.reason is not None or talk.wants_reasoning(reading):
        planned.append(acts.reasoning(*talk.reasoned(reading, script.reason or 0)))
    planned += (act for kind in script.items for act in play(kind, ids))
    if not _ends_the_turn(planned) and not _wants_items_only(reading, script):
        planned += _answer(reading, script, ids)
    return planned


def _wants_items_only(reading: Reading, script: Script) -> bool:
    """Whether the message holds nothing but `#item`, and how it is to be said."""
    what = msgspec.structs.replace(script, fault=None, pace=None, reason=None)
    return bool(script.items) and not reading.message and what == Script(items=script.items)


def _ends_the_turn(planned: list[Act]) -> bool:
    return bool(planned) and planned[-1].kind in _CLIENT_CALLS


def _answer(reading: Reading, script: Script, ids: Ids) -> list[Act]:
    """What is said after items and reasoning: what was asked for by directive before what fits."""
    logprobs = _logprobs(reading)
    if script.refuse is not None:
        return [acts.refusal(script.refuse or _REFUSAL)]
    if script.say is not None:
        return [acts.text(_cited(Answer(script.say), script), logprobs)]
    called = _calls(reading, script, ids)
    if isinstance(called, Unmade):
        return [acts.refusal(called.reason)]
    if _ends_the_turn(called):
        return called
    if script.tokens is not None:
        return [*called, Act("message", _tokens(script.tokens, reading.dice.fork("tokens"), logprobs))]
    return [*called, _formed(reading, script, logprobs, _HANDED_OVER if called else "")]


def _tokens(number: int, dice: Dice, logprobs: Logprobs) -> Iterator[Delta]:
    """Exactly so many deltas."""
    for index, word in enumerate(islice(babble(dice), number)):
        token = word.capitalize() if index == 0 else f" {word}"
        yield Text(token, logprobs=logprobs(token))


def _formed(reading: Reading, script: Script, logprobs: Logprobs, words: str) -> Act:
    """The answer in the form that the request asks for; `words` are what it says, if that is known."""
    if reading.format is None:
        return acts.text(_cited(talk.answer(reading, words), script), logprobs)
    value = _structured(reading)
    if value is NOTHING:
        return acts.refusal("I found no answer that satisfies the JSON schema of this request.")
    return acts.text(Answer(msgspec.json.encode(value).decode()), logprobs)


def _structured(reading: Reading) -> Any:
    schema = reading.format.schema_ if isinstance(reading.format, FormatJsonSchema) else _ANY_OBJECT
    heard = "\n".join((reading.message, *(output.text for output in reading.outputs)))
    return satisfying(schema, heard, reading.dice.fork("schema"), _NO_VALUES)


def _cited(answer: Answer, script: Script) -> Answer:
    for kind in script.cite:
        talk.cite(answer, kind)
    return answer


# Calls


def _calls(reading: Reading, script: Script, ids: Ids) -> list[Act] | Unmade:
    """The calls that are asked for, or that fit; none once the tools have answered."""
    dice = reading.dice.fork("calls")
    if script.calls:
        every = offers(reading.request.tools)
        return _together([calls.asked_for(call, every, reading.message, ids, dice) for call in script.calls])
    chosen = _chosen(reading) if reading.fresh else []
    made = [calls.make(offer, reading.message, ids, dice.fork(offer.name)) for offer in chosen]
    if not must_call(reading.request):
        made = [entry for entry in made if not isinstance(entry, Unmade)]
    return _together(made, one=_one_only(reading))


def _together(made: list[list[Act] | Unmade], *, one: bool = False) -> list[Act] | Unmade:
    """All acts of all calls, those of the client last. A call that could not be made spoils them all."""
    together: list[Act] = []
    for entry in made:
        if isinstance(entry, Unmade):
            return entry
        together += entry
    together.sort(key=lambda act: act.kind in _CLIENT_CALLS)
    return together[:1] if one else together


def _one_only(reading: Reading) -> bool:
    return not reading.request.parallel_tool_calls


def _chosen(reading: Reading) -> list[Offer]:
    """The tools to call."""
    open_to = allowed(reading.request)
    if not open_to:
        return []
    chosen = calls.fitting(open_to, reading.message)
    if not chosen and must_call(reading.request):
        chosen = [calls.best_of(open_to, reading.message)]
    return chosen[:1] if _one_only(reading) else chosen


# Log probabilities


def _logprobs(reading: Reading) -> Logprobs:
    """Invented log probabilities for each token, if the request asks for them."""
    number = reading.request.top_logprobs or 0
    if not number and "message.output_text.logprobs" not in reading.request.include:
        return lambda _: None
    dice = reading.dice.fork("logprobs")
    return lambda token: [_logprob(token, number, dice)]


def _logprob(token: str, number: int, dice: Dice) -> Logprob:
    """The token itself is always the likeliest; the others follow at growing distance."""
    own = -dice.below(400) / 1000
    start = dice.below(len(COMMON))
    others = ((f" {COMMON[start - rank]}", own - rank / 2) for rank in range(1, number))
    likely = [(token, own), *others][:number]
    top = [TopLogprob(token=word, logprob=value, bytes=list(word.encode())) for word, value in likely]
    return Logprob(token=token, logprob=own, bytes=list(token.encode()), top_logprobs=top)
