"""What a target means, and what is remembered of it."""

from edge.delivery.places import Home, Places
from edge.policy.rules import RFC9111, SiteRules


def test_what_players_tell_makes_no_place_of_its_own_and_pushes_none_out() -> None:
    for rules in (SiteRules(), RFC9111):
        places = Places([rules], {0: Home(b"k" * 16)}, remembered=4)
        asked = [b"/other%d" % number for number in range(3)] + [b"/a.ts?x=1"]
        for target in asked:  # what is asked for again is remembered
            places.find(b"h", target)
        *others, place = [places.find(b"h", target) for target in asked]
        for number in range(50):
            assert places.find(b"h", b"/a.ts?CMCD=bl%%3D%d&x=1" % number) is place
            assert places.find(b"h", b"/a.ts?x=1&CMCD=bl%%3D%d" % number) is place
        assert (place.key, place.target) == (b"default/a.ts?x=1", b"/a.ts?x=1")
        assert all(places.find(b"h", b"/other%d" % number) is other for number, other in enumerate(others))


def test_a_path_that_only_looks_like_a_telling_is_a_place_of_its_own() -> None:
    places = Places([SiteRules()], {0: Home(b"k" * 16)})
    assert places.find(b"h", b"/CMCD=1/a.ts").path == b"/CMCD=1/a.ts"
    assert places.find(b"h", b"/a.ts?xCMCD=1").target == b"/a.ts?xCMCD=1"


def test_with_one_volume_more_or_less_only_its_share_is_found_elsewhere() -> None:
    """Also of what is remembered."""
    homes = {number: Home(b"%d" % number * 16, weight) for number, weight in enumerate((1e12, 1e12, 2e12))}
    both = {number: homes[number] for number in (0, 1)}
    asked = [b"/%d.ts" % number for number in range(400)]
    places = Places([SiteRules()], both)
    before = [places.find(b"h", target) for target in asked]
    places.settle(homes)
    three = [places.find(b"h", target) for target in asked]
    moved = [number for number in range(len(asked)) if three[number].name != before[number].name]
    assert {three[number].volume for number in moved} == {2}
    assert 2 not in {place.volume for number, place in enumerate(three) if number not in moved}
    assert 0.4 < len(moved) / len(asked) < 0.6, "it has half of the room"
    places.settle(both)
    again = [places.find(b"h", target) for target in asked]
    assert [(place.volume, place.name) for place in again] == [(place.volume, place.name) for place in before]
    renumbered = Places([SiteRules()], {5: homes[1], 7: homes[0]})
    assert [renumbered.find(b"h", target).name for target in asked] == [place.name for place in before]
