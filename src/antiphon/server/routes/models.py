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
    models = await call.engine.catalog.models()
    for model in models:
        if model.id == name:
            await call.answer(encode(model))
            return
    listed = ", ".join(model.id for model in models)
    message = f"The model '{name[:100]}' is not listed. Listed models: {listed}."
    raise NotFound(message, param="model", code="model_not_found")
