"""The reference configuration, rendered from the schema: every section, key, default and meaning."""

from typing import Any

from pydantic import BaseModel

from edge.config.schema import KindSection, Section, Settings, SiteSection, TlsSection

INTRO = """\
# Reference configuration of the edge: every key with its default. What is commented out has no default or is optional.
# Sizes: 10GB is decimal, 512MiB binary. Durations: 250ms, 5s, 10m, 2h, 14d. Flags of `edge serve` win over this file.
# This file is rendered from the schema: `edge check-config --reference`.
"""
EXAMPLES = {
    "url": "http://origin.example:8080",
    "host": "films.example",
    "ca_file": "/etc/ssl/certs/origin-ca.pem",
    "index_dir": "/var/lib/edge",
    "cert": "/etc/edge/cert.pem",
    "key": "/etc/edge/key.pem",
    "name": "films",
}


def render() -> str:
    """The text of `config/edge.toml`."""
    parts = [INTRO]
    settings = Settings()
    for name in ("server", "admin", "cache", "origin", "log"):
        section: Section = getattr(settings, name)
        parts.append(f"# {(section.__doc__ or '').strip()}\n[{name}]\n{_keys(type(section))}")
    for name, model in (("tls", TlsSection), ("site", SiteSection)):
        body = "\n".join(f"# {line}" if line else "" for line in _keys(model).splitlines())
        parts.append(f"# {(model.__doc__ or '').strip()}\n# [[{name}]]\n{body}\n")
    body = "\n".join(f"# {line}" for line in _keys(KindSection).splitlines())
    parts.append(f"# {(KindSection.__doc__ or '').strip()}\n# [site.kinds.segment]\n{body}\n")
    return "\n".join(parts)


def _keys(model: type[BaseModel]) -> str:
    lines = []
    for name, field in model.model_fields.items():
        if name == "kinds":
            continue
        missing = field.is_required() or field.default in (None, "")
        value = EXAMPLES.get(name, "14d") if missing else field.default
        mark = "# " if missing and model not in (TlsSection, SiteSection, KindSection) else ""
        lines.append(f"# {field.description}\n{mark}{name} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return "[" + ", ".join(_value(item) for item in value) + "]"
        case str():
            return f'"{value}"'
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)
