"""Functions as tools: a Python function with type hints becomes a strict tool, and a call of the tool one of it.

    def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
        \"""The weather in a city.

        Args:
            city: the name, in English
        \"""

The schema is pydantic's, made strict by the SDK. A strict tool has to be given every argument: one with a default may
be null, which stands for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, get_type_hints

import openai
import pydantic
from pydantic_core import to_json

from antiphon.client.errors import OptionError

__all__ = ["Function", "ToolError"]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_SECTION: Final = re.compile(r"^\s*(args|arguments|parameters):\s*$", re.IGNORECASE)
_ARGUMENT: Final = re.compile(r"^\s+\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.+)$")


class ToolError(Exception):
    """Raised by a function, it is told to the model, which may try again. All else that a function raises ends the
    run."""


class Function:
    """A function that a model may call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Raises OptionError for a function that cannot be a strict tool."""
        if not callable(function):
            raise OptionError("functions", f"takes functions, not {type(function).__name__}")
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)
        self.is_coroutine = inspect.iscoroutinefunction(function)
        self._option = f"functions.{self.name}"
        if not _NAME.fullmatch(self.name):
            raise OptionError(self._option, "a tool's name has letters, digits, _ and -, at most 128")
        self._defaults: dict[str, Any] = {}
        self._model = self._model_of(inspect.getdoc(function) or "")
        self.tool = self._tool_of(inspect.getdoc(function) or "")

    def _model_of(self, doc: str) -> type[pydantic.BaseModel]:
        """The arguments as a pydantic model."""
        told, hints = _arguments(doc), self._hints()
        fields: dict[str, Any] = {}
        for name, parameter in inspect.signature(self.function).parameters.items():
            hint = self._hint(parameter, hints)
            if parameter.default is not inspect.Parameter.empty:
                self._defaults[name] = parameter.default
                hint = hint | None
            fields[name] = Annotated[hint, pydantic.Field(description=told[name])] if name in told else hint
        try:
            config = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=False)
            return pydantic.create_model(self.name, __config__=config, **fields)
        except pydantic.errors.PydanticUserError as error:
            raise OptionError(self._option, str(error).partition("\n")[0]) from None

    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self.function, include_extras=True)
        except (NameError, TypeError) as error:
            raise OptionError(self._option, f"its type hints cannot be read: {error}") from None

    def _hint(self, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise OptionError(
                f"{self._option}.{parameter.name}", "a tool's arguments have names, and are a fixed number"
            )
        if parameter.name not in hints:
            raise OptionError(f"{self._option}.{parameter.name}", "has no type hint")
        return hints[parameter.name]

    def _tool_of(self, doc: str) -> dict[str, Any]:
        """The tool as it is sent."""
        try:
            made = openai.pydantic_function_tool(self._model, name=self.name)["function"]
        except (pydantic.errors.PydanticUserError, TypeError, ValueError) as error:
            raise OptionError(self._option, str(error).partition("\n")[0]) from None
        parameters = dict(made.get("parameters", {}))
        if unknown := _unknown_place(parameters):
            reason = "a strict tool has to say what it takes: use a TypedDict, a dataclass or a pydantic model"
            raise OptionError(f"{self._option}.{unknown}", reason)
        tool = {"type": "function", "name": self.name, "parameters": parameters, "strict": True}
        return tool | ({"description": text} if (text := _summary(doc)) else {})

    def arguments(self, sent: str) -> dict[str, Any]:
        """The arguments of a call, as Python values. Raises ToolError for what does not fit the schema."""
        try:
            values = self._model.model_validate_json(sent or "{}")
        except pydantic.ValidationError as error:
            problems = [f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in error.errors()]
            raise ToolError("; ".join(problems)) from None
        given = {name: getattr(values, name) for name in type(values).model_fields}
        is_default = {name for name, value in given.items() if value is None and name in self._defaults}
        return {name: self._defaults[name] if name in is_default else value for name, value in given.items()}


def output_of(value: Any) -> str:
    """What a function gave, as the model gets it: text as it is, all else as JSON. Raises what pydantic does."""
    if isinstance(value, str):
        return value
    return to_json(value, serialize_unknown=False).decode()


def _unknown_place(parameters: Mapping[str, Any]) -> str:
    """The path of a value whose shape a schema does not fix: of any type, or an object of any keys; "" if none."""
    places = [("", parameters), *((name, each) for name, each in parameters.get("$defs", {}).items())]
    return next((found for place, schema in places if (found := _unknown_in(schema, place)) is not None), "")


_SAYS_WHAT: Final = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "type"})


def _unknown_in(schema: Mapping[str, Any], place: str) -> str | None:
    if not schema.keys() & _SAYS_WHAT:
        return place
    if schema.get("type") == "object" and ("properties" not in schema or schema.get("additionalProperties")):
        return place
    inner = [(f"{place}.{name}".lstrip("."), each) for name, each in schema.get("properties", {}).items()]
    inner += [(place, each) for key in ("anyOf", "allOf", "prefixItems") for each in schema.get(key, ())]
    if schema.get("type") == "array" and "prefixItems" not in schema:
        inner.append((place, schema.get("items") or {}))
    return next((found for name, each in inner if (found := _unknown_in(each, name)) is not None), None)


# Docstrings


def _summary(doc: str) -> str:
    """What a docstring says before it comes to the arguments."""
    lines = doc.splitlines()
    end = next((at for at, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    return "\n".join(lines[:end]).strip()


def _arguments(doc: str) -> dict[str, str]:
    """What it says of each argument."""
    lines = doc.splitlines()
    start = next((at for at, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    found = (_ARGUMENT.match(line) for line in lines[start + 1 :])
    return {match[1]: match[2].strip() for match in found if match}
