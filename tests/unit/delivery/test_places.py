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
