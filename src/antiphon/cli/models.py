"""`antiphon models`: what requests may name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from antiphon.cli.options import BaseUrlOption, ConfigOption, JsonOption, KeyOption, api_of, composed, reported
from antiphon.cli.terminal import note, out, plain, table

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.cli.api import Api

Rows = list[dict[str, Any]]


def models(
    *, base_url: BaseUrlOption = None, api_key: KeyOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List the models that requests may name.

    Those of the running server; where none runs, those of the configuration.

    \b
    antiphon models
    antiphon models --json
    antiphon models --config antiphon.toml
    """
    import msgspec

    rows, source = _rows(base_url, api_key, config)
    if json:
        out(msgspec.json.format(msgspec.json.encode({"source": source, "data": rows}), indent=2).decode())
        return
    note(f"from {source}")
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "object"))
    cells = [tuple(str(row.get(column, "")) for column in columns) for row in rows]
    out(plain(table([tuple(column.upper() for column in columns), *cells])))


def _rows(base_url: str | None, api_key: str | None, config: Path | None) -> tuple[Rows, str]:
    """The models, and where they are from."""
    if config is not None:
        return written(config)
    api = api_of(base_url, api_key)
    rows = served(api, required=base_url is not None)
    return written(None) if rows is None else (rows, api.address.base_url)


def served(api: Api, *, required: bool) -> Rows | None:
    """The models of a running server; None if there is none and it is not required."""
    from antiphon.cli.api import NoServer

    with reported():
        try:
            return [{"id": model.id, "owned_by": model.owned_by} for model in api.models()]
        except NoServer:
            if required:
                raise
            return None


def written(config: Path | None) -> tuple[Rows, str]:
    """The models of the configuration, or what is found without one; and where they are from."""
    from antiphon.config.settings import UpstreamSettings

    settings, _, catalog = composed(config)
    rows: Rows = []
    for name, model in catalog.settings.items():
        row = {"id": name, "backend": model.backend}
        if isinstance(model, UpstreamSettings):
            row |= {"model": model.model or name, "base_url": model.base_url}
        rows.append(row)
    return rows, str(settings.source) if settings.source else "what was found: there is no configuration file"
