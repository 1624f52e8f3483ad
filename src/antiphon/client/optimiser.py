"""Optimiser: asks the same in fewer tokens, and says what it saved. Only what is sent changes, and no text is ever cut.

    client = AsyncClient(AsyncOpenAI(), optimiser=True)
    client = AsyncClient(AsyncOpenAI(), optimiser={"context_window": 128_000})

* `context_window`: where the context does not fit, its oldest exchanges are left out, whole, until it does. A call is
  never parted from its output; what the system says, and the last thing that the user said, always stay.
* `deduplicate`: an attachment that is in the context already is named, not sent again.
* `stable_prefix`: tools are sent in one order, so that the server finds the same beginning in its cache of prompts.

The rules are those of the server (`antiphon.policy.trim`). What was done is told to observers as `Optimised`, and
added up in `saved`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from antiphon.client import options
from antiphon.client.asked import items_of, request_of
from antiphon.client.call import Ask, Call, Flow
from antiphon.client.errors import OptionError
from antiphon.client.records import Optimised
from antiphon.policy.trim import Fitted, deduplicate, fit, in_stable_order, may_exceed
from antiphon.tokens import PATTERNS, count, encoding_for, estimate
from antiphon.wire.items import Item
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import encode

__all__ = ["Optimiser"]

_LEAST: Final = 64


class Optimiser:
    """Asks in fewer tokens. Implements `antiphon.client.call.Layer`; several clients may share one.

    `context_window`: tokens, or a mapping of models to tokens; without one nothing is left out. `encoding`: the
    tokenizer; by default that of the model. Raises OptionError.
    """

    def __init__(
        self,
        *,
        context_window: int | Mapping[str, int] | None = None,
        deduplicate: bool = True,
        stable_prefix: bool = True,
        encoding: str | None = None,
    ) -> None:
        self._windows = _windows(context_window)
        self._deduplicates = options.flag("optimiser.deduplicate", deduplicate)
        self._orders = options.flag("optimiser.stable_prefix", stable_prefix)
        self._encoding = None if encoding is None else options.one_of("optimiser.encoding", encoding, PATTERNS)
        self.saved = 0
        """Input tokens that did not have to be sent so far."""

    def __call__(self, call: Call, ask: Ask) -> Flow:
        """Ask for less, where there is less to ask."""
        request = request_of(call.params)
        if request is None:
            return ask(call)
        if self._orders:
            self._order(call, request)
        window = self._windows.get(call.model, self._windows.get("*"))
        room = None if window is None else _room(request, window)
        items = items_of(request)
        if room is not None and may_exceed(items, room):
            return self._fitted(call, ask, items, room)
        self._lighten(call, items, Fitted(items, 0, 0))
        return ask(call)

    async def _fitted(self, call: Call, ask: Ask, items: list[Item], room: int) -> Flow:
        """Ask with a context that fits. To count its tokens may take a while, and is done beside the loop."""
        tokenizer = partial(count, encoding=self._encoding or encoding_for(call.model))
        asked = {"items": items, "limit": room, "count": tokenizer, "deduplicated": self._deduplicates}
        self._lighten(call, items, await call.io.invoke(fit, asked))
        async for event in ask(call):
            yield event

    def _order(self, call: Call, request: CreateResponse) -> None:
        """Put the tools in order, each as it was given."""
        given = call.params.get("tools")
        if not isinstance(given, list) or len(given) != len(request.tools):
            return
        ordered = in_stable_order(request.tools)
        places = {id(tool): place for place, tool in enumerate(request.tools)}
        call.params["tools"] = [given[places[id(tool)]] for tool in ordered]

    def _lighten(self, call: Call, items: Sequence[Item], fitted: Fitted) -> None:
        """Send what fits, and each attachment once."""
        kept, left_out, saved = deduplicate(fitted.items) if self._deduplicates else (fitted.items, 0, 0)
        if not (fitted.dropped or left_out):
            return
        given = call.params["input"]  # a list: of a text there is nothing to leave out
        as_given = {id(item): each for item, each in zip(items, given, strict=True)}
        call.params["input"] = [as_given.get(id(item)) or msgspec.json.decode(encode(item)) for item in kept]
        saved += fitted.saved
        self.saved += saved
        told = Optimised(
            number=call.number,
            model=call.model,
            tokens_saved=saved,
            dropped=fitted.dropped,
            deduplicated=left_out,
        )
        call.tell(told)


def _room(request: CreateResponse, window: int) -> int:
    """The tokens that are left for the items: an eighth of the window, or what is asked for, is for the answer."""
    answer = min(request.max_output_tokens or window // 8, window // 2)
    told = len((request.instructions or "").encode()) + (len(encode(request.tools)) if request.tools else 0)
    return max(0, window - answer - estimate(told))


def _windows(given: Any) -> dict[str, int]:
    """The context windows by model; that of all others under `*`."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(m): options.count(f"optimiser.context_window[{m!r}]", size, _LEAST) for m, size in given.items()}
    if isinstance(given, bool) or not isinstance(given, int):
        raise OptionError("optimiser.context_window", f"takes tokens, or tokens by model, not {given!r}")
    return {"*": options.count("optimiser.context_window", given, _LEAST)}
