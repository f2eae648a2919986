"""The compose stack: by its schema, and what its files name is there. No engine runs it here."""

import re
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose, PyOptions

from edge.config.load import load_settings

DIRECTORY = Path(__file__).parents[3] / "deploy/compose"
TEXT = (DIRECTORY / "compose.yaml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]


def merged(text: str) -> PyCompose:
    options = PyOptions()
    options.apply_merge = True
    return options.from_yaml(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))  # as compose fills in defaults


def test_the_stack_is_what_the_compose_specification_allows() -> None:
    stack = merged(TEXT)
    stack.validate()
    assert set(stack.service_names()) == {
        "origin", "shield", "edge-1", "edge-2", "redis", "prometheus", "grafana",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("read_only: true", "read_only: perhaps", "perhaps"),
        ("stop_grace_period: 45s", "stop_grace_period: soon", "duration"),
        ("depends_on: [prometheus]", "depends: [prometheus]", "extension key"),
        ('ports: ["8081:8080"]', 'ports: ["8081:http"]', "port"),
    ],
)
def test_what_it_does_not_allow_is_found(right: str, wrong: str, said: str) -> None:
    assert right in TEXT
    with pytest.raises(ValueError, match=said):
        merged(TEXT.replace(right, wrong)).validate()


def test_every_file_that_is_mounted_is_there_and_every_configuration_loads() -> None:
    mounts = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", ())]
    sources = [DIRECTORY / source for source, *_ in mounts if source.startswith(".")]
    assert len(sources) >= 9
    assert all(source.exists() for source in sources)
    named = {source for source, *_ in mounts if not source.startswith(".")}
    assert named == set(yaml.safe_load(TEXT)["volumes"])
    for name, upstream in (("shield", "http://origin:9000"), ("edge-1", "http://shield:8080")):
        settings = load_settings(DIRECTORY / f"{name}.toml")
        assert [known.url for known in settings.upstreams] == [upstream]
        assert settings.server.node == name
        assert settings.cache.dir == "/var/cache/edge"
    nodes = {load_settings(path).server.node for path in DIRECTORY.glob("*.toml")}
    assert nodes == {"shield", "edge-1", "edge-2"}
    assert all(f"node: {node}" in (DIRECTORY / "../prometheus/prometheus.yml").read_text() for node in nodes)


def test_edges_run_without_privileges_on_a_read_only_root_and_every_image_can_come_from_a_mirror() -> None:
    for name in ("shield", "edge-1", "edge-2"):
        service = SERVICES[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["init"]
    images = re.findall(r"image: (.*)", TEXT) + re.findall(r"REGISTRY: (.*)", TEXT)
    assert len(images) == 4
    assert all(image.startswith("${REGISTRY") for image in images)
