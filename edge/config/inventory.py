"""What follows from `locations.toml`: Prometheus' targets, Ansible's inventory, and each node's configuration. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from edge.config.locations import EDGE, SHIELD, Fleet, LocationSection, NodeSection
from edge.config.units import write_size
from edge.words import ORIGIN

NOTE = "# Rendered by `edge locations render`: change locations.toml instead.\n"


def targets(fleet: Fleet) -> str:
    """A file for Prometheus' file_sd: one group a location and node, with the labels that the rules ask for."""
    groups = [
        {
            "targets": [f"{node.address}:{fleet.admin_port}"],
            "labels": {
                "location": location.name,
                "node": node.name,
                "role": location.role,
                "city": location.city,
                "ix": location.ix,
                "provider": location.provider,
            },
        }
        for location, node in _nodes(fleet)
    ]
    return _json(groups)


def inventory(fleet: Fleet) -> str:
    """Ansible's inventory, as JSON (which is YAML): groups `shields` and `edges`, shields first; one a location."""
    hosts: dict[str, dict[str, Any]] = {SHIELD: {}, EDGE: {}}
    places: dict[str, Any] = {}
    for location, node in _nodes(fleet):
        hosts[location.role][node.name] = {
            "ansible_host": node.address,
            "edge_location": location.name,
            "edge_timezone": location.timezone,
            "edge_config_file": f"nodes/{node.name}.toml",
            "edge_volumes": [disk.path for disk in location.disk],
        }
        places.setdefault(f"location_{_identifier(location.name)}", {"hosts": {}})["hosts"][node.name] = {}
    groups = {f"{role}s": {"hosts": found} for role, found in hosts.items()}
    return _json({"all": {"children": groups | places}})


def configuration(fleet: Fleet, location: LocationSection, node: NodeSection, rest: str = "") -> str:
    """A node's edge.toml; `rest` = what all nodes have in common, without the sections that are rendered here."""
    return NOTE + "\n".join(_lines(fleet, location, node)) + "\n" + (f"\n{rest}" if rest else "")


def _lines(fleet: Fleet, location: LocationSection, node: NodeSection) -> Iterator[str]:
    asked = location.role == SHIELD or location.siblings
    ports = dict.fromkeys(
        ([fleet.players_port] if location.role == EDGE else []) + ([fleet.shields_port] if asked else [])
    )
    yield "[server]"
    yield f"node = {_text(node.name)}"
    yield f"listen = [{', '.join(_text(f'[::]:{port}') for port in ports)}]"
    yield f"link_capacity = {location.link_capacity}"
    siblings = location.node if location.siblings and len(location.node) > 1 else ()
    if siblings:
        yield f"url = {_text(_url(fleet, node))}"
    for disk in location.disk:
        yield f'\n[[volume]]\npath = {_text(disk.path)}\nsize = "{write_size(disk.size)}"'
    shields = fleet.shields_of(location)
    for group, origins in ((ORIGIN, fleet.origins), *fleet.groups.items()):
        for sibling in siblings:
            yield _upstream(_url(fleet, sibling), "sibling", group)
        for shield in shields:
            yield _upstream(_url(fleet, shield), SHIELD, group)
        for origin in origins if not shields else ():
            yield _upstream(origin, "origin", group)


def _upstream(url: str, role: str, group: str) -> str:
    named = "" if group == ORIGIN else f"\ngroup = {_text(group)}"
    return f'\n[[upstream]]\nurl = {_text(url)}\nrole = "{role}"{named}'


def files(fleet: Fleet, rest: str = "") -> Mapping[str, str]:
    """Every file, by its path below the output's directory."""
    made = {"targets/edge.json": targets(fleet), "inventory.json": inventory(fleet)}
    for location, node in _nodes(fleet):
        made[f"nodes/{node.name}.toml"] = configuration(fleet, location, node, rest)
    return made


def _nodes(fleet: Fleet) -> Iterator[tuple[LocationSection, NodeSection]]:
    for location in fleet.location:
        for node in location.node:
            yield location, node


def _url(fleet: Fleet, node: NodeSection) -> str:
    return f"http://{node.address}:{fleet.shields_port}"


def _identifier(name: str) -> str:
    """Ansible's groups are Python identifiers."""
    return "".join(char if char.isalnum() else "_" for char in name)


def _text(value: str) -> str:
    """JSON's strings are TOML's, too: RFC 8259 section 7 escapes what TOML's basic strings do."""
    return json.dumps(value, ensure_ascii=False)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
