"""What the admin API says of a body that it refuses: the field, what was given, what it should be."""

import pytest
from pydantic import ValidationError

from edge.control.api import _told
from edge.control.asks import Ask, PurgeAsk, WarmAsk


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (WarmAsk, '{"urls": ["http://a/b"], "mbit": -3}', "mbit = -3: Input should be greater than or equal to 0"),
        (
            WarmAsk,
            '{"urls": ["http://a/b"], "parallel": 99}',
            "parallel = 99: Input should be less than or equal to 16",
        ),
        (PurgeAsk, '{"url": "http://a/b", "dry_rum": true}', "dry_rum = True: Extra inputs are not permitted"),
        (PurgeAsk, '{"url": ["http://a/b"]}', "url: Input should be a valid string"),
        (PurgeAsk, "{}", "give exactly one of url, urls, prefix, tag, site, title, everything"),
        (PurgeAsk, '{"tag": ""}', "tag = '': String should have at least 1 character"),
    ],
)
def test_a_wrong_field_is_told_with_its_value(kind: type[Ask], body: str, told: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        kind.model_validate_json(body)
    assert [_told(error) for error in wrong.value.errors(include_url=False)] == [told]
