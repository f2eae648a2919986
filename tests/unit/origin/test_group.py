"""Which member of an upstream is asked for an object, and who comes after it."""

from collections import Counter

import pytest

from edge.clock import FakeClock
from edge.origin.breaker import FAILURES, OPEN_FIRST, START_SECONDS
from edge.origin.client import OriginClient
from edge.origin.group import Group, Member, MemberRole, Own, Selection
from edge.origin.settings import Address, OriginSettings

NAMES = [b"object %d" % number for number in range(4000)]


def member(clock: FakeClock, host: str, **more: object) -> Member:
    return Member(OriginClient(OriginSettings(f"http://{host}.example"), clock), **more)  # type: ignore[arg-type]


def hosts(group: Group, name: bytes = b"a") -> list[str]:
    return [client.pool.address.host.partition(".")[0] for client in group.order(name)]


def shares(group: Group) -> Counter[str]:
    return Counter(hosts(group, name)[0] for name in NAMES)


def fail(group: Group, host: str) -> None:
    for each in group.members:
        if each.client.pool.address.host.startswith(host):
            for _ in range(FAILURES):
                each.client.breaker.failed()


async def test_by_rendezvous_each_object_has_a_member_of_its_own_in_proportion_to_the_weights() -> None:
    clock = FakeClock()
    group = Group([member(clock, "a"), member(clock, "b"), member(clock, "c", weight=2.0)])
    found = shares(group)
    assert found["c"] == pytest.approx(len(NAMES) / 2, rel=0.1)
    assert found["a"] == pytest.approx(len(NAMES) / 4, rel=0.15)


async def test_when_a_member_goes_only_its_objects_move() -> None:
    clock = FakeClock()
    group = Group([member(clock, host) for host in "abcd"])
    before = {name: hosts(group, name)[0] for name in NAMES}
    fail(group, "b")
    after = {name: hosts(group, name)[0] for name in NAMES}
    moved = [name for name in NAMES if before[name] != after[name]]
    assert all(before[name] == "b" for name in moved)
    assert len(moved) <= len(NAMES) * (1 / 4 + 0.05)
    assert all(hosts(group, name)[-1] == "b" for name in moved)


async def test_the_order_of_names_in_the_file_changes_nothing() -> None:
    clock = FakeClock()
    one, other = (Group([member(clock, host) for host in order]) for order in ("abc", "cab"))
    assert all(hosts(one, name) == hosts(other, name) for name in NAMES[:200])


async def test_shields_come_before_origins() -> None:
    clock = FakeClock()
    shield = {"role": MemberRole.SHIELD}
    group = Group([member(clock, "o"), member(clock, "s", **shield), member(clock, "t", **shield)])
    assert {tuple(hosts(group, name)) for name in NAMES} == {("s", "t", "o"), ("t", "s", "o")}
    fail(group, "s")
    assert hosts(group) == ["t", "o", "s"]
    fail(group, "t")
    assert hosts(group)[0] == "o"


async def test_primary_and_backup_keep_their_order() -> None:
    clock = FakeClock()
    group = Group([member(clock, "b"), member(clock, "a")], Selection.PRIMARY_BACKUP)
    assert shares(group) == {"b": len(NAMES)}
    fail(group, "b")
    assert shares(group) == {"a": len(NAMES)}


async def test_the_nearest_is_asked_first_and_one_that_nobody_knows_is_tried() -> None:
    clock = FakeClock()
    group = Group([member(clock, "a"), member(clock, "b"), member(clock, "c")], Selection.LEAST_LATENCY)
    group.members[0].client.pool.path.connected(0.2)
    group.members[2].client.pool.path.connected(0.1)
    assert hosts(group) == ["b", "c", "a"]


async def test_by_least_latency_a_change_is_followed_within_tens_of_requests_and_one_that_is_back_is_found() -> None:
    """Handshakes said nothing of a member whose answers are slow; the fastest of 96 counted."""
    clock = FakeClock()
    group = Group([member(clock, "a"), member(clock, "b")], Selection.LEAST_LATENCY)
    seconds = {"a": 0.02, "b": 0.08}
    for each in group.members:
        each.client.pool.path.connected(0.001)

    def play(requests: int) -> list[str]:
        asked = []
        for _ in range(requests):
            first = group.order(b"k")[0]
            first.latency.asked()
            host = first.pool.address.host[0]
            asked.append(host)
            clock.advance(seconds[host])
            first.latency.answered(seconds[host])
        return asked

    play(50)
    assert set(play(100)) == {"a"}
    seconds["a"] = 1.0
    assert "b" in play(10)
    settled = play(200)  # 16 s: it is tried again now and then
    assert settled.count("b") >= 190
    seconds["a"] = 0.02
    play(1500)  # at most two minutes
    assert play(100).count("a") >= 95


async def test_when_all_are_away_the_first_is_asked_all_the_same() -> None:
    clock = FakeClock()
    group = Group([member(clock, "a"), member(clock, "b")], Selection.PRIMARY_BACKUP)
    fail(group, "a")
    fail(group, "b")
    assert hosts(group) == ["a", "b"]


async def test_one_request_at_a_time_tries_a_member_that_may_be_back_and_its_objects_come_back_slowly() -> None:
    clock = FakeClock()
    group = Group([member(clock, host) for host in "ab"])
    before = shares(group)
    fail(group, "b")
    breaker = group.members[1].client.breaker
    clock.advance(OPEN_FIRST)
    assert shares(group)["b"] == 0
    breaker.checked(well=True)
    assert shares(group) == before, "to ask for the order takes no trial"
    trial = breaker.take_trial()
    assert shares(group)["b"] == 0
    breaker.give_back(trial)
    assert shares(group) == before
    breaker.succeeded()
    assert 0 < shares(group)["b"] < before["b"] / 2
    clock.advance(START_SECONDS)
    assert shares(group) == before


async def test_of_one_member_nothing_is_asked_but_that() -> None:
    group = Group.of(member(FakeClock(), "a").client)
    fail(group, "a")
    assert hosts(group) == ["a"]


async def test_without_fallback_no_origin_is_asked_beside_shields() -> None:
    clock = FakeClock()
    shield = member(clock, "s", role=MemberRole.SHIELD)
    group = Group([member(clock, "o"), shield], fallback=False)
    fail(group, "s")
    assert hosts(group) == ["s"]
    assert hosts(Group([member(clock, "o"), member(clock, "p")], fallback=False))[1:]


async def test_a_sibling_that_may_be_back_owns_its_objects_again_but_for_the_time_of_a_trial() -> None:
    clock = FakeClock()
    group = sibling(clock, "a")
    before = {name: hosts(group, name) for name in NAMES}
    fail(group, "b")
    breaker = next(each for each in group.members if each.identity == b"b.example").client.breaker
    clock.advance(OPEN_FIRST)
    breaker.checked(well=True)
    assert {name: hosts(group, name) for name in NAMES} == before
    breaker.take_trial()
    assert all(hosts(group, name)[0] != "b" for name in NAMES)


def sibling(clock: FakeClock, name: str, everybody: str = "abc", **more: object) -> Group:
    """The group of one server of three, before a shield."""
    siblings = [member(clock, other, role=MemberRole.SIBLING) for other in everybody if other != name]
    shield = member(clock, "s", role=MemberRole.SHIELD)
    return Group([*siblings, shield], own=Own(f"{name}.example".encode()), **more)  # type: ignore[arg-type]


async def test_siblings_agree_who_keeps_an_object_and_each_has_its_share() -> None:
    clock = FakeClock()
    groups = {name: sibling(clock, name) for name in "abc"}
    found: Counter[str] = Counter()
    for name in NAMES:
        owners = {host: hosts(group, name)[0] for host, group in groups.items()}
        (own,) = [host for host, first in owners.items() if first == "s"]  # the owner itself goes on to the shield
        assert all(first == own for host, first in owners.items() if host != own)
        found[own] += 1
    assert all(found[host] == pytest.approx(len(NAMES) / 3, rel=0.1) for host in "abc")


async def test_a_sibling_that_is_away_owns_nothing_and_only_its_objects_move() -> None:
    clock = FakeClock()
    group = sibling(clock, "a")
    before = {name: hosts(group, name) for name in NAMES}
    fail(group, "b")
    after = {name: hosts(group, name) for name in NAMES}
    assert all(before[name][0] == "b" for name in NAMES if before[name] != after[name])
    assert all("b" not in order for order in after.values())
    assert {order[-1] for order in after.values()} == {"s"}


async def test_who_is_asked_by_a_sibling_asks_no_other() -> None:
    group = sibling(FakeClock(), "a")
    assert all([c.pool.address.host for c in group.order(name, siblings=False)] == ["s.example"] for name in NAMES[:99])


async def test_two_buckets_at_one_endpoint_are_two_members() -> None:
    """They had one name, and with it one place among the members and one series in the metrics."""
    clock = FakeClock()
    made = [OriginClient(OriginSettings(f"https://s3.example/{name}"), clock) for name in ("films", "series")]
    group = Group([Member(client) for client in made])
    first = Counter(group.order(name)[0].settings.url[-5:] for name in NAMES)
    assert first["films"] == pytest.approx(len(NAMES) / 2, rel=0.1)
    assert [client.member for client in made] == ["s3.example:443/films", "s3.example:443/series"]


def test_what_a_member_is_called_when_objects_are_shared_out_is_short_and_does_not_change() -> None:
    long = "p" * 70
    assert Address.of("http://a.example:80").identity == b"a.example"
    found = {Address.of(f"http://a.example/{long}{end}").identity for end in "12"}
    assert len(found) == 2
    assert all(len(identity) <= 64 for identity in found)
