"""The reference configuration is the schema's, complete, and right."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from edge.config.explain import model_in
from edge.config.load import load_settings
from edge.config.reference import render
from edge.config.schema import LogSection, Settings
from edge.observe.lines import LogFormat
from edge.observe.privacy import Anonymise
from edge.store.eviction import Policy
from edge.words import Kind

CONFIG = Path(__file__).parents[3] / "config"


def switched_on() -> str:
    """The reference with every optional key taken."""
    return re.sub(r"^#(?! )", "", render(), flags=re.MULTILINE)


def test_the_file_in_the_repository_is_what_the_schema_renders() -> None:
    assert (CONFIG / "edge.toml").read_text() == render()


def test_as_it_stands_it_sets_nothing_but_defaults() -> None:
    assert Settings.model_validate(tomllib.loads(render())) == Settings()


def test_with_every_key_taken_it_is_still_valid() -> None:
    settings = Settings.model_validate(tomllib.loads(switched_on()))
    assert settings.tls[0].cert == "/etc/edge/cert.pem"
    assert set(settings.site[0].kinds) == set(Kind)


def fields(model: type[BaseModel]) -> set[str]:
    found = set(model.model_fields)
    for field in model.model_fields.values():
        inner = model_in(field.annotation)
        if inner is not None:
            found |= fields(inner)
    return found


def test_every_field_is_in_it_with_its_meaning() -> None:
    text = render()
    for name in fields(Settings):
        assert re.search(rf"^#?(\[*(site\.)?{name}[\].]|{name} = )", text, re.MULTILINE), name
    for line in re.findall(r"^#?([a-z_]+ = .*)$", text, re.MULTILINE):
        assert "PydanticUndefined" not in line


@pytest.mark.parametrize("path", sorted(CONFIG.glob("examples/*.toml")), ids=lambda path: path.name)
def test_the_examples_are_valid_and_name_an_origin(path: Path) -> None:
    assert load_settings(path).upstreams[0].url.startswith("http")


def test_the_choices_are_those_of_the_rooms_below() -> None:
    def choices(model: type[BaseModel], name: str) -> set[str]:
        annotation = model.model_fields[name].annotation
        return set(annotation.__args__)  # type: ignore[union-attr]

    assert choices(LogSection, "anonymise") == {word.value for word in Anonymise}
    assert choices(LogSection, "format") == {word.value for word in LogFormat}
    cache = model_in(Settings.model_fields["cache"].annotation)
    assert cache is not None
    assert choices(cache, "policy") == {word.value for word in Policy}


def test_settings_survive_the_way_to_another_process() -> None:
    settings = Settings.model_validate(tomllib.loads(switched_on()))
    assert Settings.from_json(settings.to_json()) == settings
