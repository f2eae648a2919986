"""Names that an origin gives to groups of objects."""

from edge.policy.tags import ALL_MOST, TAG_MOST, surrogate_tags, tag_name


def test_both_fields_are_read_with_blanks_and_commas() -> None:
    fields = [(b"Surrogate-Key", b"a b,c"), (b"X", b"no"), (b"CACHE-TAG", b"d, a"), (b"cache-tag", b"e")]
    assert surrogate_tags(fields) == (b"a", b"b", b"c", b"d", b"e")


def test_an_answer_without_tags_has_none() -> None:
    assert surrogate_tags([(b"X", b"a")]) == ()


def test_a_long_tag_is_known_by_its_digest() -> None:
    long = b"t" * (TAG_MOST + 1)
    assert tag_name(b"t" * TAG_MOST) == b"t" * TAG_MOST
    assert tag_name(long) != tag_name(long + b"t")
    assert surrogate_tags([(b"Cache-Tag", long)]) == (tag_name(long),)
    assert len(tag_name(long)) <= TAG_MOST


def test_more_tags_than_a_record_holds_are_refused() -> None:
    each = 9  # bytes of a tag, with one more for where it ends
    fits = b" ".join(b"%08d" % number for number in range(ALL_MOST // each))
    assert surrogate_tags([(b"Surrogate-Key", fits)]) is not None
    assert surrogate_tags([(b"Surrogate-Key", fits + b" more-and-more")]) is None
