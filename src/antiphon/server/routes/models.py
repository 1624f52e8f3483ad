"""GET /v1/models: what requests may name."""

from __future__ import annotations

from antiphon.server.call import Call
from antiphon.wire.errors import NotFound
from antiphon.wire.response import ModelList
from antiphon.wire.struct import encode


async def list_models(call: Call) -> None:
    """GET /v1/models"""
    await call.answer(encode(ModelList(data=list(await call.engine.catalog.models()))))


async def retrieve_model(call: Call) -> None:
    """GET /v1/models/{model}"""
    name = call.path["model"]
    for model in await call.engine.catalog.models():
        if model.id == name:
            await call.answer(encode(model))
            return
    raise NotFound(f"The model '{name[:100]}' does not exist.", param="model", code="model_not_found")
