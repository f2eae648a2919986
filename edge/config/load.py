"""Reading a configuration: file, flags over it, every error with line, field, value and hint."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from edge.config.schema import Settings
from edge.errors import ConfigError
from edge.origin.settings import Address

_TABLE: Final = re.compile(r"^\s*\[\[?\s*([A-Za-z0-9_.\-]+)\s*\]?\]")
_KEY: Final = re.compile(r"^\s*([A-Za-z0-9_\-]+)\s*(?:\.[A-Za-z0-9_.\-]+)?\s*=")


class ConfigErrors(Exception):
    """Everything that is wrong, not just the first."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


def load_settings(path: Path | None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a file with flags (section -> key -> value) over it; ConfigErrors with all that is wrong."""
    text = ""
    if path is not None:
        try:
            text = path.read_text()
        except OSError as error:
            raise ConfigErrors([ConfigError("--config", str(path), f"cannot be read: {error.strerror}")]) from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        number = int(line[1]) if line else None
        raise ConfigErrors([ConfigError(str(path), "...", f"not TOML: {error}", number)]) from error
    for section, values in (flags or {}).items():
        table = raw.get(section)
        if isinstance(table, dict) and isinstance(values, Mapping):
            table.update(values)
        else:
            raw[section] = values
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise ConfigErrors([_explain(problem, text) for problem in error.errors()]) from error
    try:
        if settings.origin.url:
            Address.of(settings.origin.url)
    except ConfigError as error:
        line_number = _line_of(text, ("origin", "url"))
        raise ConfigErrors([ConfigError(error.field, error.value, error.hint, line_number)]) from error
    return settings


def require_origin(settings: Settings) -> None:
    """A server needs an origin: said here, since a file may be checked without one."""
    if not settings.origin.url:
        hint = "say where misses are fetched: --origin URL, or url in section [origin]"
        raise ConfigErrors([ConfigError("origin.url", "", hint)])


def _explain(problem: Any, text: str) -> ConfigError:
    location = tuple(part for part in problem["loc"])
    hint = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        hint = _did_you_mean(location)
    elif problem["type"] == "missing":
        hint = "is needed"
    value = "" if problem["type"] == "missing" else problem.get("input", "")
    return ConfigError(_dotted(location), value, hint, _line_of(text, location))


def _dotted(location: tuple[Any, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _did_you_mean(location: tuple[Any, ...]) -> str:
    model: Any = Settings
    for part in location[:-1]:
        if isinstance(part, int) or not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        field = model.model_fields.get(str(part))
        model = _model_in(field.annotation) if field is not None else None
    known = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    close = difflib.get_close_matches(str(location[-1]), known, 1)
    return f"unknown; did you mean {close[0]}?" if close else f"unknown; there are: {', '.join(known)}"


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def _line_of(text: str, location: tuple[Any, ...]) -> int | None:
    """The line on which a key stands; of its table where the key itself is missing."""
    names = [str(part) for part in location if not isinstance(part, int)]
    nth = next((part for part in location if isinstance(part, int)), 0)
    if not names:
        return None
    table, seen, best = "", -1, None
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TABLE.match(line):
            table = match[1]
            if table == names[0]:
                seen += 1
                if seen == nth:
                    best = number
            continue
        key = _KEY.match(line)
        if key is None:
            continue
        here = [*table.split("."), key[1]] if table else [key[1]]
        if here == names[: len(here)] and (here[0] != names[0] or max(seen, 0) == nth):
            return number
    return best
