"""The configuration as it may be shown: without its secrets."""

import re
from typing import Any, Final

SECRET: Final = re.compile(r"(^|_)(secret|token|password|key)$")
FILES: Final = re.compile(r"(^|_)(file|key|cert)$")  # names of files are no secrets
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]+@")
MASK: Final = "***"


def masked(said: dict[str, Any]) -> dict[str, Any]:
    """A copy with what is secret replaced, at any depth."""
    return {name: _value(name, value) for name, value in said.items()}


def _value(name: str, value: Any) -> Any:
    match value:
        case dict():
            return masked(value)
        case list():
            return [_value(name, item) for item in value]
        case str() if value and SECRET.search(name) and not value.startswith(("/", ".")):
            return MASK
        case str():
            return _USERINFO.sub(MASK + "@", value)
        case _:
            return value
