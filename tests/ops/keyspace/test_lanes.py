"""A lane gives what is its own, once, wherever a page of SCAN ends."""

from __future__ import annotations

import pytest

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.cursors import DONE
from valkeyctl.ops.keyspace.lanes import Lane, Node, Recent, new_lanes
from valkeyctl.ops.keyspace.pace import Pace


def lanes(parts: int = 2) -> list[Lane]:
    """Return the lanes of one server, that nobody talks to."""
    endpoint = Endpoint()
    return new_lanes([Node(endpoint, Wire(endpoint))], parts, Pace())


def asked(lane: Lane, count: int) -> Lane:
    """Return *lane*, with a step under way that asks for so many keys."""
    lane.count = count
    lane.sent(0.0)
    return lane


def test_what_was_given_lately_is_left_out() -> None:
    """In one page, from the last one, and from as many keys ago as half of the limit."""
    recent = Recent(8)

    assert recent.unseen([b"a", b"b", b"a"]) == [b"a", b"b"]
    assert recent.unseen([b"c", b"d", b"b"]) == [b"c", b"d"]
    assert recent.unseen([b"e", b"f"]) == [b"e", b"f"]
    assert recent.unseen([b"d", b"g", b"c"]) == [b"g"]


def test_what_was_given_long_ago_is_forgotten() -> None:
    """Memory is bounded: SCAN repeats only what it gave shortly before."""
    recent = Recent(4)
    for number in range(10):
        recent.unseen([b"%d" % number])

    assert recent.unseen([b"0", b"9"]) == [b"0"]


def test_a_page_that_repeats_nothing_is_the_same_list() -> None:
    """Nothing is copied for the usual case."""
    keys = [b"a", b"b"]

    assert Recent(8).unseen(keys) is keys


def test_the_lanes_of_a_server_remember_together() -> None:
    """A table that has become tiny is seen whole by both; other servers have other keys."""
    one, other = lanes()
    endpoint = Endpoint()
    nodes = [Node(endpoint, Wire(endpoint), number) for number in range(2)]
    here, there = new_lanes(nodes, 1, Pace())

    assert other.advance(0, [b"a", b"b"]) == [b"a", b"b"]
    assert asked(one, 1).advance(0, [b"a", b"c"]) == [b"c"]
    assert here.advance(0, [b"a"]) == there.advance(0, [b"a"]) == [b"a"]


@pytest.mark.parametrize("answered", [0b11, 0b101, 0])
def test_a_page_beyond_the_half_is_asked_again_with_fewer_keys(answered: int) -> None:
    """It does not say which of its keys are whose, so none of them is given, or remembered."""
    lane = asked(lanes()[0], 100)

    assert lane.advance(answered, [b"a"]) is None
    assert (lane.cursor, lane.asks) == (0, 50)
    assert asked(lane, 100).advance(answered, [b"a"]) is None
    assert lane.asks == 25
    assert asked(lane, 100).advance(0b10, [b"a"]) == [b"a"]
    assert (lane.cursor, lane.asks) == (0b10, 25)


def test_a_page_that_ends_at_the_half_ends_the_lane() -> None:
    """To the bucket: all its keys are its own."""
    lane = asked(lanes()[0], 100)

    assert lane.advance(1, [b"a"]) == [b"a"]
    assert lane.cursor == DONE


def test_keys_beyond_the_half_are_the_other_lanes() -> None:
    """Asked for one key, SCAN gives those of one bucket: the one before where it stopped."""
    lane, other = lanes()

    assert asked(lane, 1).advance(0b101, [b"a"]) == []
    assert lane.cursor == DONE
    assert other.advance(0, [b"a"]) == [b"a"]


@pytest.mark.parametrize(("parts", "number"), [(1, 0), (2, 1)])
def test_every_other_page_is_taken_as_it_is(parts: int, number: int) -> None:
    """The second half ends with the table, and so does a table that is not divided."""
    lane = asked(lanes(parts)[number], 100)

    assert lane.advance(0b11, [b"a"]) == [b"a"]
    assert lane.cursor == 0b11
    assert lane.advance(0, [b"b"]) == [b"b"]
    assert (lane.cursor, lane.asks) == (DONE, 100)
