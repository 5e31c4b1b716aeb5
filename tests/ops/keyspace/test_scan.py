"""The walk over a keyspace: complete, without repetitions, bounded, and honest about progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import free_port, start_server
from tests.ops.keyspace.scripted import bulk, page, scripted_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, UnreachableError, UsageError
from valkeyctl.ops.keyspace.scan import Batch, Pace, Walker, escape_glob, visited_fraction

SHARED_SERVER = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def fill(wire: Wire, count: int, prefix: str = "app:ns:") -> set[bytes]:
    """Write *count* small keys and return their names."""
    wire.pipeline(("SET", f"{prefix}{number}", "v") for number in range(count))
    return {f"{prefix}{number}".encode() for number in range(count)}


def walked(endpoint: Endpoint, match: bytes | None = None) -> Counter[bytes]:
    """Return how often a walk gives each key."""
    with Walker(endpoint) as walker:
        return Counter(key for batch in walker.walk(match=match) for key in batch.keys)


def test_a_walk_gives_each_of_100k_keys_once(endpoint: Endpoint, wire: Wire) -> None:
    """Nothing is missed and nothing given twice in a keyspace that holds still."""
    expected = fill(wire, 100_000)

    given_keys = walked(endpoint)

    assert given_keys.keys() == expected
    assert given_keys.total() == 100_000


def test_a_walk_over_nothing_gives_no_key(endpoint: Endpoint) -> None:
    """An empty server is visited whole at once."""
    with Walker(endpoint) as walker:
        batches = list(walker.walk())

    assert [(batch.keys, batch.visited) for batch in batches] == [([], 1.0)]


def test_a_table_that_shrinks_repeats_no_key(endpoint: Endpoint, wire: Wire) -> None:
    """Deleting nine tenths in mid-walk shrinks the server's table; counts stay right."""
    fill(wire, 20_000)
    survivors = {f"app:ns:{number}".encode() for number in range(0, 20_000, 10)}
    doomed = [f"app:ns:{number}" for number in range(20_000) if number % 10]
    seen: Counter[bytes] = Counter()

    with Walker(endpoint) as walker:
        for batch in walker.walk(pace=Pace(largest=100)):
            seen.update(batch.keys)
            if doomed and batch.visited > 0.4:
                wire.pipeline(("DEL", key) for key in doomed)
                doomed = []

    assert survivors <= seen.keys()
    assert max(seen.values()) == 1


@pytest.mark.parametrize("way", ["walk", "survey"])
@pytest.mark.parametrize(("kept", "at"), [(50, 0.5), (20, 0.25), (100, 0.75)])
def test_halves_of_a_table_that_shrinks_do_not_overlap(
    steady_server: Endpoint, way: str, kept: int, at: float
) -> None:
    """Where few keys are left, a page of the first half would reach far into the second."""
    with Wire(steady_server) as wire:
        wire.call("FLUSHALL")
        fill(wire, 20_000)
        doomed = [f"app:ns:{number}" for number in range(20_000) if number % kept]
        seen: Counter[bytes] = Counter()

        with Walker(steady_server, parts=2) as walker:
            pace = Pace(target=1.0, largest=1_000)
            steps = walker.walk(pace=pace) if way == "walk" else walker.survey(pace=pace)
            for step in steps:
                seen.update(step.keys)
                if doomed and step.visited > at:
                    wire.pipeline(("DEL", key) for key in doomed)
                    doomed = []

    assert {f"app:ns:{number}".encode() for number in range(0, 20_000, kept)} <= seen.keys()
    assert max(seen.values()) == 1


@SHARED_SERVER
@given(
    names=st.sets(st.integers(0, 10**9), min_size=1, max_size=300),
    largest=st.integers(2, 40),
    match=st.sampled_from([None, b"*7*"]),
)
def test_two_halves_are_the_whole(
    endpoint: Endpoint, names: set[int], largest: int, match: bytes | None
) -> None:
    """Of any table, in pages of any size, filtered or not: every key once, progress to 1."""
    keys = {str(name).encode() for name in names}
    with Wire(endpoint) as wire:
        wire.call("FLUSHALL")
        wire.pipeline(("SET", key, "v") for key in keys)

    with Walker(endpoint, parts=2) as walker:
        batches = list(walker.walk(match=match, pace=Pace(largest=largest)))
        pages = list(walker.survey(match=match, pace=Pace(largest=largest)))

    expected = sorted(key for key in keys if match is None or b"7" in key)
    assert sorted(key for batch in batches for key in batch.keys) == expected
    assert sorted(key for page_ in pages for key in page_.keys) == expected
    assert batches[-1].visited == pages[-1].visited == 1


def test_what_scan_repeats_is_given_once() -> None:
    """A key that SCAN gives again, in one page or a later one, is left out."""
    pages = [page(2, "a", "b", "a"), page(1, "b", "c"), page(3), page(0, "c", "d", "a")]

    with scripted_server({b"SCAN": pages}) as endpoint, Walker(endpoint) as walker:
        batches = [batch.keys for batch in walker.walk()]

    assert batches == [[b"a", b"b"], [b"c"], [], [b"d"]]


def test_a_table_that_grows_repeats_no_key(endpoint: Endpoint, wire: Wire) -> None:
    """Keys written during a walk neither hide nor repeat those that were there."""
    before = fill(wire, 5_000)
    seen: Counter[bytes] = Counter()
    late = 0

    with Walker(endpoint) as walker:
        for batch in walker.walk(pace=Pace(largest=100)):
            seen.update(batch.keys)
            if late < 40_000:
                wire.pipeline(("SET", f"late:{late + number}", "v") for number in range(2_000))
                late += 2_000

    assert before <= seen.keys()
    assert max(seen.values()) == 1


@SHARED_SERVER
@given(names=st.sets(st.binary(min_size=1, max_size=20), max_size=40))
def test_any_bytes_are_a_key(endpoint: Endpoint, names: set[bytes]) -> None:
    """Newlines, NULs, escapes and what is not UTF-8 come back as they were written."""
    with Wire(endpoint) as wire:
        wire.call("FLUSHALL")
        wire.pipeline(("SET", name, "v") for name in names)

    given_keys = walked(endpoint)

    assert given_keys == Counter(names)


@SHARED_SERVER
@given(literal=st.text("ab*?[]\\^-\n", min_size=1, max_size=6).map(str.encode))
def test_an_escaped_glob_matches_its_literal_alone(endpoint: Endpoint, literal: bytes) -> None:
    """The server reads no character of an escaped prefix as a wildcard."""
    others = {b"a", b"aa", b"ab", b"b", b"*", b"a*", b"[ab]", b"\\a", b"^a", b"?"} - {literal}
    with Wire(endpoint) as wire:
        wire.call("FLUSHALL")
        wire.pipeline(("SET", name, "v") for name in {literal, *others})

    assert set(walked(endpoint, escape_glob(literal))) == {literal}


def test_follow_commands_are_answered_with_their_keys(endpoint: Endpoint, wire: Wire) -> None:
    """What travels with a batch is answered in the order of its keys, to the last batch."""
    wire.pipeline(("SET", f"k{number}", number) for number in range(3_000))

    with Walker(endpoint) as walker:
        pairs = [
            (key, answer)
            for batch in walker.walk(follow=lambda keys: [("GET", key) for key in keys])
            for key, answer in zip(batch.keys, batch.answers, strict=True)
        ]

    assert len(pairs) == 3_000
    assert all(key[1:] == answer for key, answer in pairs)


def test_a_batch_costs_one_command_write(endpoint: Endpoint, wire: Wire) -> None:
    """A walk sends as many SCANs as it gives batches: the next rides with the last work."""
    fill(wire, 10_000)
    wire.call("CONFIG", "RESETSTAT")

    with Walker(endpoint) as walker:
        batches = list(walker.walk(pace=Pace(target=1.0, largest=1_000)))

    calls = wire.info("commandstats")["cmdstat_scan"]
    assert f"calls={len(batches)}," in calls
    assert len(batches) < 40


def test_progress_is_the_true_fraction(endpoint: Endpoint, wire: Wire) -> None:
    """At each step the fraction visited is within one percent of the keys given."""
    fill(wire, 50_000)
    given_keys = 0
    errors = []

    with Walker(endpoint) as walker:
        for batch in walker.walk():
            given_keys += len(batch.keys)
            errors.append(abs(batch.visited - given_keys / 50_000))

    assert max(errors) < 0.01
    assert errors[-1] == 0


@pytest.mark.parametrize(
    ("cursor", "fraction"), [(0b1, 1 / 2), (0b10, 1 / 4), (0b11, 3 / 4), (0b111, 7 / 8)]
)
def test_a_cursor_is_a_reversed_binary_fraction(cursor: int, fraction: float) -> None:
    """The bits of a cursor read backwards are the share of the table."""
    assert visited_fraction(cursor) == fraction


def test_a_cluster_cursor_counts_slots(tmp_path: Path) -> None:
    """A Cluster node that holds all slots is walked whole, with progress by slot."""
    process, endpoint = start_server(
        tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())
    )
    try:
        with Wire(endpoint) as wire:
            wire.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in cast("bytes", wire.call("CLUSTER", "INFO")):
                pass  # the node takes a moment to see that it holds all slots
            expected = fill(wire, 20_000)
            with Walker(endpoint) as walker:
                batches = list(walker.walk())
        given_keys = 0
        for batch in batches:
            given_keys += len(batch.keys)
            assert abs(batch.visited - given_keys / 20_000) < 0.02
        assert {key for batch in batches for key in batch.keys} == expected
    finally:
        process.kill()
        process.wait()


def test_a_sentinel_is_refused() -> None:
    """A Sentinel's empty keyspace is never passed off as the cache's."""
    answers = {b"HELLO": [bulk("server", "valkey", "mode", "sentinel")]}

    with (
        scripted_server(answers) as endpoint,
        pytest.raises(UsageError, match="is a Sentinel"),
        Walker(endpoint),
    ):
        pass


def test_an_old_server_without_modes_is_walked() -> None:
    """A server that knows no HELLO is a standalone."""
    answers = {
        b"HELLO": [b"-ERR unknown command 'HELLO'\r\n"],
        b"SCAN": [page(0, "a", "b")],
    }

    with scripted_server(answers) as endpoint:
        assert set(walked(endpoint)) == {b"a", b"b"}


@pytest.mark.parametrize("answer", [b"+OK\r\n", b"*-1\r\n", b"*2\r\n$3\r\nabc\r\n*0\r\n"])
def test_an_answer_that_is_no_page_of_keys_is_refused(answer: bytes) -> None:
    """What does not speak SCAN gives a failure, not an empty keyspace."""
    with (
        scripted_server({b"SCAN": [answer]}) as endpoint,
        pytest.raises(ServerReplyError, match="no page of keys"),
    ):
        walked(endpoint)


def test_a_server_that_goes_away_ends_the_walk_with_one_sentence(tmp_path: Path) -> None:
    """The failure is a typed one that names the server, not a short count."""
    process, endpoint = start_server(tmp_path)
    try:
        with Wire(endpoint) as wire:
            fill(wire, 5_000)
        with Walker(endpoint) as walker:
            batches = walker.walk(pace=Pace(largest=100))
            next(batches)
            process.kill()
            process.wait()
            with pytest.raises(UnreachableError, match=endpoint.address):
                list(batches)
    finally:
        process.kill()
        process.wait()


def test_an_error_reply_to_scan_is_raised(endpoint: Endpoint, wire: Wire) -> None:
    """A server that refuses SCAN gives a failure, never an empty keyspace."""
    fill(wire, 10)
    with Walker(endpoint) as walker, pytest.raises(ServerReplyError, match="syntax error"):
        list(walker.walk(pace=Pace(largest=-1)))


@pytest.mark.parametrize(
    ("count", "spent", "expected"),
    [(400, 0.001, 400), (400, 0.0001, 800), (400, 0.1, 200), (900, 0.0, 1000), (12, 1.0, 10)],
)
def test_the_pace_follows_the_time_that_the_server_took(
    count: int, spent: float, expected: int
) -> None:
    """Twice or half at a time, within its bounds."""
    assert Pace(target=0.001, largest=1000).next_count(count, spent) == expected


class Clock:
    """Moves by a step with each look, and by what is slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now += seconds
        self.slept += seconds


def test_a_duty_of_one_percent_sleeps_99_times_the_work(endpoint: Endpoint, wire: Wire) -> None:
    """The walk sleeps in proportion to the time that the server worked for it."""
    fill(wire, 3_000)
    clock = Clock()

    with Walker(endpoint, clock=clock, sleep=clock.sleep) as walker:
        clock.step = 1.0
        batches = list(walker.walk(pace=Pace(duty=0.01)))

    # The first look is no batch; and looking at the clock is a part of each rest.
    work = 1 + sum(batch.round_trip for batch in batches)
    assert work == 1 + len(batches)
    assert 90 * work <= clock.slept <= 99 * work


def test_a_walk_left_early_costs_no_more_than_what_is_under_way(
    endpoint: Endpoint, wire: Wire
) -> None:
    """Closing a walk after its first batch sends no further SCAN."""
    fill(wire, 20_000)
    wire.call("CONFIG", "RESETSTAT")

    with Walker(endpoint) as walker:
        batches: Iterator[Batch] = walker.walk()
        next(batches)

    assert "calls=3," in wire.info("commandstats")["cmdstat_scan"]


def test_after_a_walk_that_was_left_early_no_answer_is_anothers(
    endpoint: Endpoint, wire: Wire
) -> None:
    """What was on its way would be taken for the answer to the next question."""
    fill(wire, 20_000)

    with Walker(endpoint) as walker:
        for _ in walker.walk():
            break
        with pytest.raises(UnreachableError, match="is closed"):
            walker.wire.call("DBSIZE")
