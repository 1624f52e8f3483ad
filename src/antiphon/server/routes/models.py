"""GET /v1/models: what requests may name."""

from __future__ import annotations

from antiphon.server.call import Call
from antiphon.wire.errors import NotFound
from antiphon.wire.response import ModelList, ModelObject
from antiphon.wire.struct import encode


async def list_models(call: Call) -> None:
    """GET /v1/models"""
    await call.answer(encode(ModelList(data=await _models(call))))


async def retrieve_model(call: Call) -> None:
    """GET /v1/models/{model}"""
    name = call.path["model"]
    models = await _models(call)
    for model in models:
        if model.id == name:
            await call.answer(encode(model))
            return
    listed = ", ".join(model.id for model in models)
    message = f"The model '{name[:100]}' is not listed. Listed models: {listed}."
    raise NotFound(message, param="model", code="model_not_found")


async def _models(call: Call) -> list[ModelObject]:
    """What requests for responses may name, then what requests for embeddings may; of the caller's project only."""
    models = list(await call.engine.catalog.models())
    known = {model.id for model in models}
    created = max((model.created for model in models), default=0)
    names = [name for name in call.engine.embeddings.names() if name not in known]
    models += [ModelObject(id=name, created=created, owned_by="embeddings") for name in names]
    return [model for model in models if call.accounts.allows_model(call.project, model.id)]
