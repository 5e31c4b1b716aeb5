"""What headers ask of a cache."""

from __future__ import annotations

import pytest

from valkeyctl.fastapi.directives import directives_of, lifetime_of, matches, names_of, wish_of


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ({}, "use"),
        ({"x-valkeyctl-cache": "on"}, "use"),
        ({"x-valkeyctl-cache": " OFF "}, "off"),
        ({"x-valkeyctl-cache": "of"}, "use"),
        ({"cache-control": "no-store"}, "off"),
        ({"cache-control": "no-cache, No-Store"}, "off"),
        ({"cache-control": "no-cache"}, "refresh"),
        ({"cache-control": 'max-age="0"'}, "refresh"),
        ({"cache-control": "max-age=60"}, "use"),
        ({"cache-control": "x-no-store, no-storefront"}, "use"),
        ({"cache-control": ",, ="}, "use"),
    ],
)
def test_what_a_request_wants(headers: dict[str, str], wish: str) -> None:
    """Nothing but the known words means anything."""
    assert wish_of(headers) == wish


def test_of_a_directive_that_is_there_twice_the_first_counts() -> None:
    """As RFC 9111 allows; the stricter one would be the other choice."""
    assert directives_of("max-age=1, MAX-AGE=2, public") == {"max-age": "1", "public": ""}


@pytest.mark.parametrize(
    ("control", "expires", "seconds"),
    [
        (None, None, None),
        ("public", None, None),
        ("max-age=60", None, 60),
        ("max-age=60, s-maxage=5", None, 5),
        ("max-age=-1", None, 0),
        ("max-age", None, 0),
        ("max-age=٣", None, 0),
        (None, "Thu, 01 Jan 1970 00:16:50 GMT", 10),
        (None, "Thu, 01 Jan 1970 00:16:30 GMT", 0),
        (None, "0", 0),
        ("max-age=7", "0", 7),
    ],
)
def test_the_lifetime_that_an_origin_gives(
    control: str | None, expires: str | None, seconds: float | None
) -> None:
    """A shared cache's own word first, then max-age, then Expires; nonsense is stale."""
    assert lifetime_of(control, expires, now=1000.0) == seconds


def test_header_names_are_compared_without_case() -> None:
    """In one Vary header or in several."""
    assert names_of(["Accept, accept-Language", "", " Origin ,"]) == {
        "accept",
        "accept-language",
        "origin",
    }


@pytest.mark.parametrize(
    ("given", "etag", "same"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"b" , W/"a"', '"a"', True),
        (" * ", '"a"', True),
        ('"b"', '"a"', False),
        ('"x,a"', '"a"', False),
        ('"a', '"a"', False),
        ("a", '"a"', False),
        ("", '"a"', False),
    ],
)
def test_a_client_has_what_its_list_names(given: str, etag: str, same: bool) -> None:
    """By weak comparison, and tags may have commas inside."""
    assert matches(given, etag) is same
