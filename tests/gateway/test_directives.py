"""How a caller steers the cache, and with whom it shares."""

from __future__ import annotations

import pytest

from valkeyctl.gateway import directives
from valkeyctl.gateway.failures import RequestFailure
from valkeyctl.gateway.scope import PUBLIC, scope_of


@pytest.mark.parametrize(
    ("headers", "mode"),
    [
        ({}, "use"),
        ({"cache-control": "max-age=60"}, "use"),
        ({"cache-control": "no-cache"}, "refresh"),
        ({"cache-control": "max-age=0"}, "refresh"),
        ({"cache-control": "No-Store"}, "off"),
        ({"cache-control": "no-cache, no-store"}, "off"),
        ({"x-valkeyctl-cache": "off"}, "off"),
        ({"x-valkeyctl-cache": " OFF "}, "off"),
        ({"x-valkeyctl-cache": "on"}, "use"),
        ({"x-valkeyctl-cache": "on", "cache-control": "no-cache"}, "refresh"),
        ({"x-valkeyctl-cache": "off", "cache-control": "no-cache"}, "off"),
    ],
)
def test_request_headers_choose_how_the_cache_is_used(headers: dict[str, str], mode: str) -> None:
    """The stricter of the two headers counts."""
    assert directives.read_mode(headers) == mode


def test_a_switch_with_a_typo_is_refused() -> None:
    """Otherwise the uncached arm of a benchmark would measure the cache."""
    with pytest.raises(RequestFailure):
        directives.read_mode({"x-valkeyctl-cache": "of"})


def test_answer_headers_are_those_of_rfc_9211() -> None:
    """Whole seconds, one member, the reason for going on to the origin."""
    assert directives.hit(age=1.9, ttl=58.7)["cache-status"] == "valkeyctl; hit; ttl=58"
    assert directives.hit(age=1.9, ttl=58.7)["age"] == "1"
    assert directives.collapsed()["cache-status"] == "valkeyctl; fwd=uri-miss; collapsed"
    assert (
        directives.miss(refresh=False, stored=True)["cache-status"]
        == "valkeyctl; fwd=uri-miss; stored"
    )
    assert directives.miss(refresh=True, stored=False)["cache-status"] == "valkeyctl; fwd=request"
    assert directives.bypass()["cache-status"] == "valkeyctl; fwd=bypass"


def test_what_tells_callers_apart_gives_them_scopes_of_their_own() -> None:
    """Each credential header, each variant and each user; and nobody is public."""
    headers = [
        {},
        {"authorization": "Bearer a"},
        {"authorization": "Bearer b"},
        {"api-key": "a"},
        {"x-api-key": "a"},
        {"authorization": "Bearer a", "openai-organization": "o"},
        {"authorization": "Bearer a", "openai-project": "o"},
    ]
    scopes = [scope_of(each) for each in headers]
    scopes += [scope_of({}, user="a"), scope_of({"authorization": "Bearer a"}, user="a")]
    # A user who knows how scopes are made must not be able to write another one's.
    scopes += [scope_of({}, user="a\nauthorization Bearer a")]

    assert len(set(scopes)) == len(scopes)
    assert scopes[0] == PUBLIC
    assert not any("Bearer" in scope for scope in scopes)


def test_other_headers_do_not_split_a_scope() -> None:
    """A user agent or a request id decides nothing about the answer."""
    assert scope_of({"user-agent": "x", "x-request-id": "y"}) == PUBLIC
