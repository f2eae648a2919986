"""What a keeper makes of an upstream as operators have said it: its members, and how one of them is chosen."""

from pathlib import Path
from typing import Any

from edge.clock import FakeClock
from edge.config.schema import Settings
from edge.origin.group import Group, MemberRole
from edge.origin.resolve import TtlResolver
from edge.origin.sigv4 import S3Signer
from edge.origin.telling import PassSigner
from edge.runtime.keeper import group_of

KEYS = [b"films/%d" % number for number in range(200)]


def made(members: list[dict[str, Any]], name: str = "origin", **more: Any) -> Group:
    return group_of(Settings.model_validate({"upstream": members, **more}), name, FakeClock())


def hosts(group: Group, key: bytes) -> list[str]:
    return [client.pool.address.host.partition(".")[0] for client in group.order(key)]


def firsts(group: Group) -> list[str]:
    return [hosts(group, key)[0] for key in KEYS]


def member(host: str, **more: Any) -> dict[str, Any]:
    return {"url": f"http://{host}.example", **more}


async def test_members_have_their_role_and_their_weight() -> None:
    group = made([member("a", weight=9.0), member("b"), member("s", role="shield")])
    assert [(one.role, one.weight) for one in group.members] == [
        (MemberRole.ORIGIN, 9.0),
        (MemberRole.ORIGIN, 1.0),
        (MemberRole.SHIELD, 1.0),
    ]
    assert set(firsts(group)) == {"s"}


async def test_each_selection_is_taken_up() -> None:
    two = [member("a"), member("b")]
    assert set(firsts(made(two))) == {"a", "b"}
    assert set(firsts(made(two, origin={"selection": "primary-backup"}))) == {"a"}
    nearest = made(two, origin={"selection": "least-latency"})
    for one, seconds in zip(nearest.members, (0.2, 0.1), strict=True):
        one.client.pool.path.connected(seconds)
    assert set(firsts(nearest)) == {"b"}


async def test_origins_are_asked_beside_shields_only_where_that_is_allowed() -> None:
    members = [member("s", role="shield"), member("o")]
    assert hosts(made(members), b"a") == ["s", "o"]
    assert hosts(made(members, origin={"fallback": False}), b"a") == ["s"]
    films = [{**one, "group": "films"} for one in members]
    assert hosts(made(films, "films", group=[{"name": "films", "fallback": False}]), b"a") == ["s"]


async def test_we_are_one_of_our_siblings() -> None:
    members = [member("a", role="sibling"), member("b", role="sibling"), member("o")]
    group = made(members, server={"url": "http://a.example"})
    assert set(firsts(group)) == {"b", "o"}  # what is ours comes from above


async def test_names_are_resolved_for_as_long_as_their_servers_say() -> None:
    group = made([member("a"), member("b")])
    for one in group.members:
        assert isinstance(one.client.pool.dialer._names._resolver, TtlResolver)


async def test_who_is_shown_what(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[default]\naws_access_key_id = A\naws_secret_access_key = s\n")
    bucket = member("bucket", s3_region="r", s3_credentials=str(credentials))
    group = made([member("s", role="shield"), bucket, member("o")])
    assert [type(one.client._signer) for one in group.members] == [PassSigner, S3Signer, type(None)]
