"""The reference configuration, rendered from the schema: every section, key, default and meaning.

Lines of prose begin with `# `, what may be switched on by taking the mark away with `#` alone.
"""

from dataclasses import asdict
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.config.explain import model_in
from edge.config.origins import GroupSection, OriginSection, UpstreamSection
from edge.config.schema import (
    FleetSection,
    ListenerSection,
    OperatorSection,
    ScrubSection,
    ServerSection,
    Settings,
    TlsSection,
    TraceSection,
    VolumeSection,
)
from edge.config.sites import KindSection, LiveSection, RuleSection, RulesSection, SiteSection
from edge.config.units import parse_duration, parse_size, write_duration, write_size
from edge.policy.rules import DEFAULTS, SiteRules

INTRO: Final = """\
# Reference configuration of the edge: every key with its default. A key behind a mark (#key = ...) is
# optional: its value is an example, or the default within a section that is not there by itself.
# Sizes: 10GB is decimal, 512MiB binary. Durations: 250ms, 5s, 10m, 2h, 14d. Paths are relative to the
# directory in which the server is started. Flags of `edge serve` win over this file.
# This file is rendered from the schema: `edge check-config --reference`.
"""
USUAL: Final = SiteRules()
EXAMPLES: Final[dict[tuple[type[BaseModel], str], object]] = {
    (ServerSection, "congestion_control"): "bbr",
    (GroupSection, "name"): "films",
    (UpstreamSection, "group"): "films",
    (SiteSection, "upstream"): "films",
    (UpstreamSection, "notsent_lowat"): 131072,
    (UpstreamSection, "max_pacing_rate"): 10**8,
    (ListenerSection, "listen"): "[::]:8080",
    (ListenerSection, "notsent_lowat"): 131072,
    (ListenerSection, "max_pacing_rate"): 10**8,
    (UpstreamSection, "verify"): False,
    (TlsSection, "cert"): "/etc/edge/cert.pem",
    (TlsSection, "key"): "/etc/edge/key.pem",
    (SiteSection, "name"): "films",
    (OperatorSection, "name"): "purger",
    (OperatorSection, "token_file"): "/etc/edge/purger.token",
    (TraceSection, "endpoint"): "http://127.0.0.1:4318/v1/traces",
    (FleetSection, "redis"): "redis://redis.example:6379/0",
    (FleetSection, "key_file"): "/etc/edge/fleet.key",
    (FleetSection, "password_file"): "/etc/edge/redis.password",
    (ScrubSection, "window"): "02:00-08:00",
    (VolumeSection, "path"): "/mnt/disk1/edge",
    (VolumeSection, "size"): 8 * 10**12,
}
ORIGIN_EXAMPLES: Final[dict[str, object]] = {
    "congestion_control": "bbr",
    "receive_buffer": 16 * 2**20,
    "send_buffer": 16 * 2**20,
    "url": "http://origin.example:8080",
    "host": "films.example",
    "server_name": "origin.example",
    "ca_file": "/etc/edge/origin-ca.pem",
    "client_cert": "/etc/edge/client.pem",
    "client_key": "/etc/edge/client.key",
    "index_dir": "/var/lib/edge",
    "keys_file": "/etc/edge/edges.keys",
    "probe": "/healthz",
    "s3_region": "eu-central-1",
    "s3_credentials": "/etc/edge/s3.credentials",
    "client_ca": "/etc/edge/edges-ca.pem",
}


def render() -> str:
    """The text of `config/edge.toml`."""
    parts = [INTRO]
    for name, field in Settings.model_fields.items():
        model = model_in(field.annotation)
        assert model is not None
        if isinstance(field.default, tuple):
            parts.append(_heading(model) + f"#[[{name}]]\n" + _keys(model, optional=True))
        else:
            parts.append(_heading(model) + f"[{name}]\n" + _keys(model, optional=False))
    parts.append(_heading(RuleSection) + '#[[site.rule]]\n#path = "/live/**"\n#negative_ttl = "1s"\n')
    parts.append(_heading(LiveSection) + "#[site.live]\n" + _keys(LiveSection, optional=True))
    parts.append(_heading(KindSection) + _meanings(KindSection) + "\n".join(_kinds()) + "\n")
    return "\n".join(parts)


def _heading(model: type[BaseModel]) -> str:
    lines = (line.strip() for line in (model.__doc__ or "").strip().splitlines())
    return "".join(f"# {line}\n" for line in lines if line)


def _keys(model: type[BaseModel], *, optional: bool) -> str:
    lines = []
    for name in sorted(model.model_fields, key=lambda name: name not in model.__annotations__):  # its own ones first
        field = model.model_fields[name]
        if model_in(field.annotation) is not None:
            continue
        unset = field.is_required() or field.default in (None, "")
        value = _example(model, name) if unset or (model, name) in EXAMPLES else field.default
        lines.append(f"# {field.description}")
        lines.append(f"{'#' if unset or optional else ''}{name} = {_value(field, value)}")
    return "\n".join(lines) + "\n"


def _example(model: type[BaseModel], name: str) -> object:
    """What stands for a key that has no default: of rules, what profile `video` has."""
    if (model, name) in EXAMPLES:
        return EXAMPLES[model, name]
    if issubclass(model, RulesSection):
        return getattr(USUAL, name)
    return ORIGIN_EXAMPLES.get(name) or OriginSection.model_fields[name].default


def _meanings(model: type[BaseModel]) -> str:
    return "".join(f"# {name}: {field.description}\n" for name, field in model.model_fields.items())


def _kinds() -> list[str]:
    lines = []
    for kind, defaults in DEFAULTS.items():
        lines.append(f"#[site.kinds.{kind}]")
        lines += [f'#{name} = "{write_duration(seconds)}"' for name, seconds in asdict(defaults).items()]
    return lines


def _marks(annotation: Any) -> list[Any]:
    """What is noted at the types within a type: `Seconds | None` has its parser there."""
    inner = [mark for part in getattr(annotation, "__args__", ()) for mark in _marks(part)]
    return [*getattr(annotation, "__metadata__", ()), *inner]


def _value(field: FieldInfo, value: Any) -> str:
    parsers = {getattr(mark, "func", None) for mark in (*field.metadata, *_marks(field.annotation))}
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return "[" + ", ".join(_value(field, item) for item in value) + "]"
        case str():
            return "'" + value + "'" if '"' in value or "\\" in value else f'"{value}"'
        case int() if parse_size in parsers:
            return f'"{write_size(value)}"' if value >= 1024 else str(value)
        case int() | float() if parse_duration in parsers:
            return f'"{write_duration(value)}"'
        case _:
            return str(value)
