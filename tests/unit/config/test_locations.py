"""locations.toml: what is rendered from it, and what is refused."""

import json
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.config.inventory import files
from edge.config.load import ConfigErrors, load_settings, load_text
from edge.config.locations import load_fleet
from edge.origin.group import MemberRole

SHIPPED = Path(__file__).parents[3] / "config/locations.toml"
SMALL = """
origins = ["http://origin.example:9000"]
[[location]]
name = "west"
city = "Москва"
ix = "MSK-IX"
provider = "p"
role = "shield"
link_gbps = 25
timezone = "Europe/Moscow"
disk = []
node = [{ name = "s1", address = "10.0.0.1" }]
[[location]]
name = "east"
city = "Чита"
ix = "MSK-IX"
provider = "p"
parents = ["west"]
siblings = true
link_gbps = 0.5
timezone = "Asia/Chita"
disk = [{ path = "/d1", size = "1TB" }, { path = "/d2", size = "2TB" }]
node = [{ name = "e1", address = "e1.example" }, { name = "e2", address = "10.0.1.2" }]
"""


def rendered(directory: Path, text: str = SMALL, rest: str = "") -> dict[str, str]:
    path = directory / "locations.toml"
    path.write_text(text)
    return dict(files(load_fleet(path), rest))


def test_targets_have_the_labels_that_rules_and_dashboards_ask_for(tmp_path: Path) -> None:
    west, *east = json.loads(rendered(tmp_path)["targets/edge.json"])
    assert west == {
        "targets": ["10.0.0.1:9180"],
        "labels": {
            "location": "west", "node": "s1", "role": "shield", "city": "Москва", "ix": "MSK-IX", "provider": "p",
        },
    }  # fmt: skip
    assert [group["targets"] for group in east] == [["e1.example:9180"], ["10.0.1.2:9180"]]
    assert {group["labels"]["role"] for group in east} == {"edge"}


def test_an_edge_asks_the_shields_of_its_parents_and_its_siblings_and_no_origin(tmp_path: Path) -> None:
    made = rendered(tmp_path)
    settings = load_text(made["nodes/e2.toml"], tmp_path / "e2.toml")
    assert [(upstream.url, upstream.role) for upstream in settings.upstreams] == [
        ("http://e1.example:8080", MemberRole.SIBLING),
        ("http://10.0.1.2:8080", MemberRole.SIBLING),
        ("http://10.0.0.1:8080", MemberRole.SHIELD),
    ]
    assert settings.server.url == "http://10.0.1.2:8080"
    assert settings.server.listen == ("[::]:80", "[::]:8080")
    assert settings.server.link_capacity == 62_500_000
    assert [(volume.path, volume.size) for volume in settings.volumes] == [("/d1", 10**12), ("/d2", 2 * 10**12)]


def test_who_has_no_parents_asks_the_origins_and_a_shield_has_no_port_for_players(tmp_path: Path) -> None:
    settings = load_text(rendered(tmp_path)["nodes/s1.toml"], tmp_path / "s1.toml")
    assert [(upstream.url, upstream.role) for upstream in settings.upstreams] == [
        ("http://origin.example:9000", MemberRole.ORIGIN)
    ]
    assert settings.server.listen == ("[::]:8080",)


def test_sites_with_an_upstream_of_their_own_find_its_members_on_every_node(tmp_path: Path) -> None:
    common = '[[site]]\nname = "series"\nupstream = "series"\n'
    made = rendered(tmp_path, 'groups.series = ["https://s3.example/series"]\n' + SMALL, common)
    found = {}
    for name in ("s1", "e2"):
        settings = load_text(made[f"nodes/{name}.toml"], tmp_path / name)
        found[name] = [(one.group, one.url) for one in settings.upstreams if one.role is not MemberRole.SIBLING]
        assert settings.groups == ("origin", "series")
    assert found == {
        "s1": [("origin", "http://origin.example:9000"), ("series", "https://s3.example/series")],
        "e2": [("origin", "http://10.0.0.1:8080"), ("series", "http://10.0.0.1:8080")],
    }


def test_the_inventory_has_a_group_for_each_role_and_location(tmp_path: Path) -> None:
    children = json.loads(rendered(tmp_path)["inventory.json"])["all"]["children"]
    assert list(children) == ["shields", "edges", "location_west", "location_east"]
    assert list(children["edges"]["hosts"]) == ["e1", "e2"]
    assert children["edges"]["hosts"]["e1"]["edge_timezone"] == "Asia/Chita"
    assert children["edges"]["hosts"]["e1"]["ansible_host"] == "e1.example"


def test_what_nodes_have_in_common_stands_in_each_configuration(tmp_path: Path) -> None:
    made = rendered(tmp_path, rest='[[site]]\nname = "films"\nhosts = ["films.example"]\n')
    for name in ("s1", "e1", "e2"):
        assert [site.name for site in load_text(made[f"nodes/{name}.toml"], tmp_path / name).site] == ["films"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('parents = ["west"]', 'parents = ["north"]', "its parent 'north' is no location of shields"),
        ('parents = ["west"]', 'parents = ["east"]', "its parent 'east' is no location of shields"),
        ('role = "shield"\n', 'role = "shield"\nparents = ["west"]\n', "west is among the parents of its own"),
        ('name = "e2"', 'name = "s1"', "there are two nodes 's1'"),
        ('address = "10.0.1.2"', 'address = "10.0.0.1"', "there are two nodes at the address '10.0.0.1'"),
        ('name = "east"', 'name = "west"', "there are two locations 'west'"),
        ("Asia/Chita", "Asia/Atlantis", "write a name of the time zone database"),
        ('timezone = "Asia/Chita"\n', 'timezone = "Asia/Chita"\nshelf = 3\n', "shelf"),
        ("link_gbps = 0.5", "link_gbps = 0", "link_gbps"),
        ("origins =", 'groups.origin = ["http://o"]\norigins =', "those of group origin stand in origins"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SMALL
    with pytest.raises(ConfigErrors, match=said):
        rendered(tmp_path, SMALL.replace(old, new))


def test_the_shipped_example_renders_configurations_that_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["locations", "render", str(SHIPPED), "--out", str(tmp_path)]) == 0
    assert "9 locations, 13 nodes" in capsys.readouterr().out
    names = {path.stem for path in (tmp_path / "nodes").glob("*.toml")}
    assert len(names) == 13
    for name in names:
        assert load_settings(tmp_path / f"nodes/{name}.toml").server.node == name
    assert not list(tmp_path.rglob(".*"))


def test_check_writes_nothing_and_a_common_part_that_clashes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["locations", "check", str(SHIPPED), "--out", str(out)]) == 0
    assert not out.exists()
    (tmp_path / "common.toml").write_text('[server]\nnode = "x"\n')
    common = str(tmp_path / "common.toml")
    assert main(["locations", "render", str(SHIPPED), "--out", str(out), "--common", common]) == 1
    assert "shield-msk1.toml" in capsys.readouterr().err
    assert not out.exists()
    assert main(["locations", "render", str(tmp_path / "none.toml")]) == 1
