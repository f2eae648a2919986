"""What pydantic finds wrong, in an operator's words: field, value, hint, and the name that was meant."""

import difflib
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel

from edge.config.schema import Settings

Location = tuple[str | int, ...]

SHOWN: Final = 80  # characters of a value in a message: enough to find it again
HINTS: Final = {
    "string_type": 'write text in quotes: "..."',
    "string_too_short": "must not be empty",
    "int_type": "write a whole number, without quotes",
    "int_from_float": "write a whole number",
    "int_parsing": "write a whole number",
    "float_type": "write a number, without quotes",
    "finite_number": "write a number",
    "bool_type": "write true or false, without quotes",
    "tuple_type": 'write a list: ["...", "..."]',
    "missing": "is needed",
}
LIMITS: Final = {
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "greater_than": ("gt", "must be more than {}"),
    "less_than": ("lt", "must be less than {}"),
}


def location_of(problem: Any) -> Location:
    """Where the value stands; what pydantic adds for the keys of a table is left out."""
    return tuple(part for part in problem["loc"] if part != "[key]")


def dotted(location: Location) -> str:
    """`site[0].kinds.segment.ttl`"""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "..."


def shown(problem: Any) -> object:
    """The value, short enough for one line."""
    value = "" if problem["type"] == "missing" else problem.get("input", "")
    if isinstance(value, dict):
        return "{...}" if value else "{}"
    if isinstance(value, str) and len(value) > SHOWN:
        return value[:SHOWN] + "..."
    text = repr(value)
    return value if len(text) <= SHOWN else text[:SHOWN] + "..."


def hint(problem: Any) -> str:
    """What to do about it."""
    kind, location, context = problem["type"], location_of(problem), problem.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(location)
    if kind in ("literal_error", "enum"):
        return _one_of(problem.get("input"), _choices(context))
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return _table_not_value(location, problem.get("input"))
    if kind == "tuple_type" and len(location) == 1:
        return f"there may be several: write [[{location[0]}]]"
    if kind in LIMITS:
        limit, words = LIMITS[kind]
        return words.format(context[limit])
    return HINTS.get(kind) or str(problem["msg"]).removeprefix("Value error, ")


def _choices(context: Any) -> list[str]:
    return [word.strip("'") for word in str(context.get("expected", "")).replace(" or ", ", ").split(", ")]


def _one_of(value: object, choices: list[str]) -> str:
    return f"must be one of: {', '.join(choices)}{_near(value, choices)}"


def _table_not_value(location: Location, value: object) -> str:
    name = ".".join(str(part) for part in location if not isinstance(part, int))
    return f"write [{name}], once" if isinstance(value, list) else f"is a section: write [{name}]"


def _unknown(location: Location) -> str:
    known = _fields_at(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, 1)
    if near:
        return f"unknown; did you mean {near[0]}?"
    elsewhere = _sections_with(str(location[-1]))
    if elsewhere:
        return f"unknown here; it belongs to [{elsewhere}]"
    return f"unknown; there are: {', '.join(known)}"


def _near(value: object, choices: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(value), list(choices), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _fields_at(location: Location) -> list[str]:
    model: type[BaseModel] | None = Settings
    for part in location:
        if not isinstance(part, int) and model is not None and part in model.model_fields:
            model = model_in(model.model_fields[part].annotation)
    return list(model.model_fields) if model is not None else []


def _sections_with(name: str) -> str:
    for section, field in Settings.model_fields.items():
        model = model_in(field.annotation)
        if model is not None and name in model.model_fields:
            return section
    return ""


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field's type is, or holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = model_in(inner)
        if found is not None:
            return found
    return None
