"""Pages of keys: the same by script and by commands, whatever happens to the keys meanwhile."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError
from valkeyctl.ops.keyspace.pages import Page, asked_page
from valkeyctl.ops.keyspace.scan import Pace, Walker


def rows(pages: list[Page]) -> dict[bytes, tuple[int, bool, bytes]]:
    """Return memory, whether it expires, and type by key; each key is given once."""
    found: dict[bytes, tuple[int, bool, bytes]] = {}
    for page in pages:
        assert len(page.keys) == len(page.memory) == len(page.pttl)
        for place, key in enumerate(page.keys):
            assert key not in found
            kind = page.odd.get(place, b"string")
            found[key] = (page.memory[place], page.pttl[place] >= 0, kind)
    return found


def surveyed(
    endpoint: Endpoint, match: bytes | None = None
) -> dict[bytes, tuple[int, bool, bytes]]:
    """Return what a survey gives."""
    with Walker(endpoint) as walker:
        return rows(list(walker.survey(match=match)))


def fill(wire: Wire) -> None:
    """Write keys of every type, in turn, some with a life."""
    for number in range(400):
        wire.pipeline(
            [
                ("SET", f"s:{number}", "v" * (number % 90)),
                ("SET", f"e:{number}", "v", "EX", 1000),
                ("HSET", f"h:{number}", "f", "v"),
                ("RPUSH", f"l:{number}", "v"),
                ("SADD", f"u:{number}", "v"),
                ("ZADD", f"z:{number}", 1, "v"),
                ("XADD", f"x:{number}", "*", "f", "v"),
            ]
        )


def test_a_survey_tells_memory_life_and_type_of_every_key(endpoint: Endpoint, wire: Wire) -> None:
    """What the single commands say, column by column."""
    fill(wire)

    found = surveyed(endpoint)

    assert len(found) == 7 * 400
    kinds = Counter(kind for _, _, kind in found.values())
    assert kinds == {
        b"string": 800,
        **dict.fromkeys([b"hash", b"list", b"set", b"zset", b"stream"], 400),
    }
    for key in (b"s:89", b"e:7", b"h:1", b"x:3"):
        assert found[key][0] == wire.call("MEMORY", "USAGE", key)
        assert found[key][1] == (key[:1] == b"e")


def test_a_user_without_scripts_gets_the_same_pages(endpoint: Endpoint, wire: Wire) -> None:
    """Slower, by three commands for each key."""
    fill(wire)
    user = ("on", ">secret", "~*", "+@all", "-@scripting")
    wire.call("ACL", "SETUSER", "plain", *user)
    plain = Endpoint(endpoint.host, endpoint.port, username="plain", password="secret")
    try:
        assert surveyed(plain) == surveyed(endpoint)
    finally:
        wire.call("ACL", "DELUSER", "plain")


def test_a_user_who_may_not_ask_is_told(endpoint: Endpoint, wire: Wire) -> None:
    """The sentence names the command that the ACL lacks, script or not."""
    wire.call("SET", "k", "v")
    wire.call("ACL", "SETUSER", "blind", "on", ">secret", "~*", "+@all", "-memory|usage")
    blind = Endpoint(endpoint.host, endpoint.port, username="blind", password="secret")
    try:
        with pytest.raises(AuthError, match="memory"):
            surveyed(blind)
    finally:
        wire.call("ACL", "DELUSER", "blind")


def test_a_survey_under_a_match_gives_the_matching_keys(endpoint: Endpoint, wire: Wire) -> None:
    """The server filters, so that little travels."""
    fill(wire)

    assert len(surveyed(endpoint, b"h:*")) == 400


def test_halves_of_a_large_table_meet_without_a_gap(endpoint: Endpoint, wire: Wire) -> None:
    """Two lanes, and each key once."""
    wire.pipeline(("SET", f"k:{number}", "v") for number in range(60_000))

    with Walker(endpoint) as walker:
        assert len(walker.lanes) == 2
        walked = [key for batch in walker.walk() for key in batch.keys]
        found = rows(list(walker.survey()))

    assert len(walked) == len(set(walked)) == len(found) == 60_000


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(size=st.integers(0, 300), largest=st.integers(10, 400))
def test_halves_of_any_table_meet(endpoint: Endpoint, size: int, largest: int) -> None:
    """Also of one with fewer buckets than a page has keys."""
    with Wire(endpoint) as wire:
        wire.call("FLUSHALL")
        wire.pipeline(("SET", f"k:{number}", "v") for number in range(size))

    with Walker(endpoint, parts=2) as walker:
        walked = [key for batch in walker.walk(pace=Pace(largest=largest)) for key in batch.keys]

    assert Counter(walked) == Counter(f"k:{number}".encode() for number in range(size))


def test_a_walk_goes_on_where_another_stopped(endpoint: Endpoint, wire: Wire) -> None:
    """Both together give every key; what was on its way is given again."""
    wire.pipeline(("SET", f"k:{number}", "v") for number in range(30_000))
    with Walker(endpoint) as walker:
        cursors = list(range(len(walker.lanes)))
        first: set[bytes] = set()
        for batch in walker.walk():
            first.update(batch.keys)
            cursors[batch.lane] = batch.cursor
            if batch.visited > 0.5:
                break

    with Walker(endpoint, parts=2) as walker:
        rest = {key for batch in walker.walk(start=cursors) for key in batch.keys}

    assert len(first | rest) == 30_000
    assert len(rest) < 20_000


def test_a_key_that_goes_between_the_questions_is_left_out() -> None:
    """It has no memory, or no life, or no type any more."""
    answers = [None, -2, b"none", 50, -2, b"none", 50, -1, b"none", 60, 5, b"hash"]

    page = asked_page([b"a", b"b", b"c", b"d"], answers, 1.0, 0.0)

    assert (page.keys, page.memory, page.pttl, page.odd) == ([b"d"], [60], [5], {0: b"hash"})
