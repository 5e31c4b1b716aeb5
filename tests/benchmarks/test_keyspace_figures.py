"""What the benchmark of key operations makes of what it saw."""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import hiredis
import pytest

from benchmarks.keyspace import contents
from benchmarks.keyspace.advance import furthest_off
from benchmarks.keyspace.beside import felt
from benchmarks.keyspace.contents import Size
from benchmarks.keyspace.figures import Bound, Figure, Section
from benchmarks.keyspace.neighbours import Schedule
from benchmarks.keyspace.processes import Processes
from benchmarks.keyspace.resuming import unadmitted
from benchmarks.keyspace.scene import Scene
from benchmarks.keyspace.stage import Stage, Truth
from benchmarks.keyspace.stats import differing, error, half_width, reported
from benchmarks.micro.cores import Cores
from valkeyctl.caching.codec import Envelope
from valkeyctl.errors import StartError

_SIX = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]


@pytest.mark.parametrize(
    ("bound", "values", "word"),
    [
        (Bound(1.6), _SIX, "PASS"),
        (Bound(1.3), _SIX, "PASS?"),
        (Bound(1.2), _SIX, "MISS?"),
        (Bound(0.9), _SIX, "MISS"),
        (Bound(0.9, least=True), _SIX, "PASS"),
        (Bound(1.6, least=True), _SIX, "MISS"),
        (Bound(1.6), [1.0], "PASS?"),
        (Bound(1.5, always=True), _SIX, "PASS"),
        (Bound(1.4, always=True), _SIX, "MISS?"),
        (Bound(0.9, always=True), _SIX, "MISS"),
        (Bound(1.0, least=True, always=True), [0.9, 1.0, 1.1], "MISS?"),
        (Bound(1.0), [], "ABSENT"),
        (None, _SIX, ""),
    ],
)
def test_a_verdict_says_how_sure_it_is(bound: Bound | None, values: list[float], word: str) -> None:
    """The median is judged, or every round; a question mark stands where they disagree."""
    assert Figure("any", "x", bound, list(values)).verdict() == word


def test_a_table_shows_what_is_missing() -> None:
    """A row without a command to measure is shown, with the reason below it."""
    section = Section("title")
    section.figure("there", "s", Bound(2)).add(1.0)
    section.figure("not there", "s", Bound(2))
    section.absent("no command")
    section.absent("no command")

    table = section.table()

    assert table.rows[0] == ("there", "1.00 s", "", "<= 2 s", "PASS?")
    assert table.rows[1] == ("not there", "", "", "<= 2 s", "ABSENT")
    assert table.notes == ["no command"]


def test_a_report_is_held_against_the_truth() -> None:
    """Only namespaces with a twentieth of the bytes count, and one that is missing is all off."""
    truth = {"a:big": Truth(10, 1000), "a:large": Truth(5, 500), "a:tiny": Truth(1, 10)}
    interval = {"memory_bytes": [990, 1210]}
    data = {
        "namespaces": [
            {"name": "a:big", "keys": 10, "memory_bytes": 1100, "ci95": interval},
            {"name": "a:large", "keys": 5, "memory_bytes": 500, "ci95": None},
        ]
    }

    found = reported(data)

    assert half_width(found, truth) == pytest.approx(10.0)
    assert error(found, truth) == pytest.approx(10.0)
    assert differing(found, truth) == 2
    assert half_width({}, truth) == error({}, truth) == 100.0


def test_waits_are_counted_from_when_a_request_was_due() -> None:
    """One slow answer delays those behind it; what they wait for each other is the queue."""
    asked = [(0.0, 0.0, 0.1), (0.01, 0.1, 0.3), (0.02, 0.3, 0.5), (9.0, 9.0, 9.9)]

    found = felt(asked, 0.0, 1.0)

    assert found.count == 3
    assert found.longest == pytest.approx(480)
    assert found.p99 == pytest.approx(480)
    assert found.p50 == pytest.approx(290)
    assert found.queue == pytest.approx(280)
    with pytest.raises(StartError):
        felt(asked, 10.0, 11.0)


def test_progress_is_compared_after_each_step() -> None:
    """The worst step counts, whichever side it is off to."""
    assert furthest_off([(50, 0.5), (25, 0.7), (25, 1.0)], 100) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("deleted", "uncounted", "wrong"),
    [(100, 0, 0), (90, 10, 0), (90, 20, 0), (90, 5, 5), (101, 0, 1), (101, 50, 1)],
)
def test_a_resumed_count_may_be_a_range(deleted: int, uncounted: int, wrong: int) -> None:
    """What a killed process was not told is admitted; only a range without the truth is wrong."""
    assert unadmitted(100, deleted, uncounted) == wrong


def test_the_reference_keyspace_has_as_many_keys_as_it_says() -> None:
    """Each namespace has its share, and all keys are different."""
    size = Size(1003, 10)

    keys = [command[1] for command in contents.reference(size)]

    assert len(set(keys)) == len(keys) == 1003
    assert sum(str(key).startswith("gw:resp:") for key in keys) == size.emptied == 200
    assert str(contents.PROBED, "ascii") in keys


def test_both_files_hold_the_same_entries(tmp_path: Path) -> None:
    """What valkey-cli --pipe stores are the library's own entries of the lines' values."""
    contents.write_records(tmp_path / "lines", 3)
    contents.write_commands(tmp_path / "commands", 3)

    reader = hiredis.Reader()
    reader.feed((tmp_path / "commands").read_bytes())
    _, *commands = [reader.gets() for _ in range(4)]

    values = [Envelope.unpack(command[2]).payload.decode() for command in commands]
    assert values == [contents.value_of(number) for number in range(3)]
    assert {len(value) for value in values} == {contents.VALUE_BYTES}
    lines = (tmp_path / "lines").read_text().splitlines()
    assert [value in line for value, line in zip(values, lines, strict=True)] == [True] * 3


class BusyMachine:
    """A stage whose server is held up as told, in seconds, by one piece of work after another."""

    def __init__(self, *held_up_s: float) -> None:
        self._total = 0.0
        self._coming = [seconds for each in held_up_s for seconds in (0.0, each)]

    def schedule(self) -> Schedule:
        """Return the seconds so far."""
        self._total += self._coming.pop(0)
        return Schedule(self._total, 0.0)


@pytest.mark.parametrize(
    ("held_up_s", "chosen"), [((0.0,), 1), ((9.0, 0.0), 2), ((9e9, 1.0, 9e9), 2)]
)
def test_work_on_a_busy_machine_is_done_again(held_up_s: tuple[float, ...], chosen: int) -> None:
    """At most three times; the least disturbed one counts, and each begins prepared."""
    done: list[str] = []
    scene = Scene(
        cast("Stage", BusyMachine(*held_up_s)),
        Processes("", 0, frozenset(), Path()),
        Cores(),
        Size(),
        rounds=1,
        rng=random.Random(1),
        say=print,
    )

    def work() -> int:
        done.append("done")
        return len(done)

    found = scene.timed(lambda: done.append("prepared"), work)

    assert found == chosen * 2
    assert done == ["prepared", "done"] * len(held_up_s)
    assert len(scene.disturbed) == 1


def test_a_servers_own_threads_are_no_neighbours() -> None:
    """What they ran is taken off; it may have been while the first thread had nothing to do."""
    before = Schedule(waited=1.0, beside=5.0)

    assert Schedule(1.5, 5.25).held_up_since(before) == pytest.approx(0.25)
    assert Schedule(1.5, 7.0).held_up_since(before) == 0.0
