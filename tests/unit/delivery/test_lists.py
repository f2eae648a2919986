"""Which lists a worker knows, by directory."""

from edge.delivery.lists import LISTS_MOST, TARGET_MOST, Lists


def test_the_latest_lists_of_a_directory_are_known_and_then_those_above_it() -> None:
    lists = Lists()
    for number in range(LISTS_MOST + 2):
        lists.note("a", b"/film/720p/%d.m3u8" % number)
    lists.note("a", b"/film/main.m3u8")
    lists.note("b", b"/film/720p/other.m3u8")
    latest = [b"/film/720p/%d.m3u8" % number for number in range(LISTS_MOST + 1, 1, -1)]
    assert list(lists.near("a", b"/film/720p/1.ts")) == [*latest, b"/film/main.m3u8"]


def test_a_list_with_a_name_of_kilobytes_is_not_remembered() -> None:
    lists = Lists()
    lists.note("a", b"/film/a.m3u8?" + b"x" * TARGET_MOST)
    assert list(lists.near("a", b"/film/1.ts")) == []
