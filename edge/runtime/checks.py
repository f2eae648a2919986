"""What can be known before anything starts, beyond the configuration's own text: do the files in it serve?"""

from importlib.util import find_spec
from pathlib import Path

from edge.access.keys import read_keys
from edge.clock import SystemClock
from edge.config.schema import Settings
from edge.errors import ConfigError, why
from edge.origin.dial import tls_context
from edge.origin.settings import OriginSettings
from edge.origin.sigv4 import S3Settings
from edge.runtime import convert
from edge.server.tls import make_server_context


def wrong_files(settings: Settings) -> list[ConfigError]:
    """Load certificates and keys once, so that a wrong one is said at once.

    Each child loads them again for itself: a private key is never handed from process to process.
    """
    errors = []
    if settings.tls:
        try:
            client_ca = settings.admission.client_ca
            make_server_context(convert.server_settings(settings).tls, Path(client_ca) if client_ca else None)
        except ConfigError as wrong:
            errors.append(wrong)
    errors += _wrong_upstream_tls(settings)
    for section, said in (("origin", settings.origin.keys_file), ("admission", settings.admission.keys_file)):
        try:
            if said:
                read_keys(Path(said))
        except ConfigError as wrong:
            errors.append(ConfigError(f"{section}.{wrong.field}", wrong.value, wrong.hint))
    tried: set[S3Settings | None] = {None}
    for member in convert.members(settings):
        try:
            if member.s3 not in tried:
                convert.signer(member, None, SystemClock())
        except ConfigError as wrong:
            own = any(wrong.value == getattr(said, wrong.field) for said in settings.upstream)
            section = "upstream" if own else "origin"
            errors.append(ConfigError(f"{section}.{wrong.field}", wrong.value, wrong.hint))
        tried.add(member.s3)
    try:
        convert.operators(settings)
    except ConfigError as wrong:
        errors.append(wrong)
    errors += _missing_packages(settings)
    try:
        if settings.fleet.redis:
            convert.fleet_secrets(settings)
    except ConfigError as wrong:
        errors.append(wrong)
    return errors


def _wrong_upstream_tls(settings: Settings) -> list[ConfigError]:
    """Each file is tried once: what members have from [origin] is said of [origin]."""
    errors, tried = list[ConfigError](), set[OriginSettings]()
    said = [("origin", convert.origin_settings(settings))]
    said += [("upstream", member.origin) for member in convert.members(settings)]
    for section, one in said:
        authority = OriginSettings("", ca_file=one.ca_file)
        pair = OriginSettings("", client_cert=one.client_cert, client_key=one.client_key)
        if authority not in tried:
            errors += _unusable(f"{section}.ca_file", one.ca_file, authority)
        if pair not in tried:
            errors += _unusable(f"{section}.client_cert", one.client_cert, pair)
        tried |= {authority, pair}
    return errors


def _unusable(field: str, value: str | None, settings: OriginSettings) -> list[ConfigError]:
    try:
        tls_context(settings)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return [ConfigError(field, value, f"cannot be used: {why(error)}")]
    return []


def _missing_packages(settings: Settings) -> list[ConfigError]:
    """What optional parts need beyond the program's own packages."""
    needs = (
        ("fleet.redis", settings.fleet.redis, "redis", "fleet"),
        ("trace.endpoint", settings.trace.endpoint, "opentelemetry.sdk", "otel"),
        ("trace.endpoint", settings.trace.endpoint, "opentelemetry.exporter.otlp.proto.http", "otel"),
    )
    return [
        ConfigError(field, value, f"needs the package {package}: install video-edge[{extra}]")
        for field, value, package, extra in needs
        if value and not _there(package)
    ]


def _there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a package that it lies in
        return False
