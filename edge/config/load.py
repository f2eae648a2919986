"""Reading a configuration: a file, flags over it, and every error with line, field, value and hint."""

import re
import tomllib
from collections.abc import Mapping, Set
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from edge.config.explain import Location, dotted, hint, location_of, shown
from edge.config.lines import line_of, lines_of
from edge.config.schema import Settings
from edge.errors import ConfigError

FILE_MOST: Final = 4 * 2**20  # bytes; thousands of sites take less
Model = TypeVar("Model", bound=BaseModel)
_TOML_PLACE: Final = re.compile(r" \(at line (\d+), column \d+\)")


class ConfigErrors(Exception):
    """Everything that is wrong, not just the first; `path` is the file in which the lines count."""

    def __init__(self, errors: list[ConfigError], path: Path | None = None) -> None:
        said = [f"{path}: {error}" if path is not None and error.line else str(error) for error in errors]
        super().__init__("\n".join(said))
        self.errors = errors
        self.path = path


def load_settings(
    path: Path | None,
    flags: Mapping[str, Any] | None = None,
    flag_names: Mapping[tuple[str, str], str] | None = None,
) -> Settings:
    """Settings of a file with flags (section -> key -> value) over it; ConfigErrors with all that is wrong.

    `flag_names` tells which flag sets (section, key), for messages about values that are not from the file.
    """
    text = _read(path) if path is not None else ""
    raw = _parse(path, text)
    flagged = _put_over(raw, flags or {})
    return _validated(Settings, raw, path, text, flagged, flag_names or {})


def load_text(text: str, path: Path) -> Settings:
    """Settings of a file that is yet to be written; ConfigErrors as of `load_settings`."""
    return _validated(Settings, _parse(path, text), path, text)


def load_document(path: Path, model: type[Model]) -> Model:
    """Another TOML file of ours; ConfigErrors as of `load_settings`."""
    text = _read(path)
    return _validated(model, _parse(path, text), path, text)


def _validated(
    model: type[Model],
    raw: dict[str, Any],
    path: Path | None,
    text: str,
    flagged: Set[Location] = frozenset(),
    names: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = lines_of(text)
        problems = error.errors(include_url=False)
        raise ConfigErrors([_told(problem, flagged, names, lines) for problem in problems], path) from error


def require_origin(settings: Settings) -> None:
    """A server needs an origin where sites go to it: said here, since a file may be checked without one."""
    if not set(settings.groups_asked) <= set(settings.groups):
        hint = "say where misses are fetched: --origin URL, url in section [origin], or [[upstream]]"
        raise ConfigErrors([ConfigError("origin.url", "", hint)])


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MOST + 1)
        if len(raw) > FILE_MOST:
            raise ConfigErrors([ConfigError("file", str(path), "is larger than 4 MiB: not a configuration")])
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        wrong = ConfigError("file", str(path), "is not UTF-8 text", line)
        raise ConfigErrors([wrong], path) from error
    except OSError as error:
        wrong = ConfigError("file", str(path), f"cannot be read: {error.strerror}")
        raise ConfigErrors([wrong]) from error


def _parse(path: Path | None, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        # Without a place it is the text's end that came too early.
        line = int(place[1]) if place else text.count("\n") + 1
        written = text.splitlines()[line - 1].strip() if line <= len(text.splitlines()) else ""
        reason = _TOML_PLACE.sub("", str(error)).removesuffix(" (at end of document)")
        raise ConfigErrors([ConfigError("TOML", written[:80], reason, line)], path) from error


def _put_over(raw: dict[str, Any], flags: Mapping[str, Any]) -> set[Location]:
    """Put the flags' values into `raw`; the locations that now hold a flag's value.

    A section of the file that is no table stays as it is, so that its own error is told.
    """
    flagged: set[Location] = set()
    for section, values in flags.items():
        if not isinstance(values, Mapping):
            raw[section] = values  # a list of tables is replaced as a whole
            flagged.add((section,))
            continue
        table = raw.setdefault(section, {})
        if isinstance(table, dict):
            table.update(values)
            flagged.update((section, key) for key in values)
    return flagged


def with_lines(errors: list[ConfigError], path: Path | None) -> ConfigErrors:
    """Errors that were found later, with the line in which the file, if there is one, has that field and value."""
    text = _read(path) if path is not None else ""
    lines, raw = lines_of(text), _parse(path, text)
    told = []
    for error in errors:
        found = [line for place, line in lines.items() if _says(raw, place, error)]
        told.append(ConfigError(error.field, error.value, error.hint, found[0] if found else None))
    return ConfigErrors(told, path)


def _says(raw: Any, place: Location, error: ConfigError) -> bool:
    if ".".join(part for part in place if isinstance(part, str)) != error.field:
        return False
    for part in place:
        raw = raw[part]
    return bool(raw == error.value)


def _told(
    problem: Any, flagged: Set[Location], names: Mapping[tuple[str, str], str], lines: dict[Location, int]
) -> ConfigError:
    location = location_of(problem)
    said = hint(problem)
    if location[:1] in flagged or location[:2] in flagged:
        words = [part for part in location if isinstance(part, str)]
        name = names.get((words[0], words[1])) if len(words) > 1 else None
        line, said = None, f"{said} ({name})" if name else said
    else:
        line = line_of(lines, location)
    return ConfigError(dotted(location), shown(problem), said, line)
