"""What the micro benchmark makes of its slices: intervals, verdicts, tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.micro.medians import Median, median_of
from benchmarks.micro.peers import OURS, PEERS
from benchmarks.micro.rounds import Timed
from benchmarks.micro.rows import ROWS, Target
from benchmarks.micro.standings import standings, verdict
from benchmarks.micro.tables import WIDTH, Table, short
from benchmarks.micro.timing import Slice, calibrate, measure

_PIN = re.compile(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+]*")


def sliced(us: float) -> Slice:
    """Return a slice of which every figure but the throughput is *us*."""
    return Slice(count=10, failed=0, per_s=1e6 / us, cpu_us=us, p50_us=us, p99_us=us)


def timed(ratio: float, rounds: int = 6) -> Timed:
    """Return a row in which the yardstick drifts, and valkeyctl always takes *ratio* of it."""
    return Timed(
        ROWS[0],
        first=[sliced(100.0 * (1 + number)) for number in range(rounds)],
        last=[sliced(100.0 * (1 + number)) for number in range(rounds)],
        arms={
            "valkeyctl": [sliced(ratio * 100 * (1 + number)) for number in range(rounds)],
            "peer": [sliced(200.0 * (1 + number)) for number in range(rounds)],
        },
        ours=["valkeyctl"],
        rivals=["peer"],
    )


@pytest.mark.parametrize(
    ("count", "ci95"),
    [(1, None), (5, None), (6, (1, 6)), (9, (2, 8)), (25, (8, 18)), (40, (14, 27))],
)
def test_the_interval_of_a_median_has_the_bounds_of_the_binomial_table(
    count: int, ci95: tuple[float, float] | None
) -> None:
    """The order statistics are those that tables of the sign test give for 95 %."""
    found = median_of([float(number) for number in range(count, 0, -1)])

    assert found.ci95 == ci95
    assert found.value == (count + 1) / 2


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (Median(1.05, (1.0, 1.09)), "PASS"),
        (Median(1.05, (1.0, 1.2)), "PASS?"),
        (Median(1.15, (1.0, 1.2)), "MISS?"),
        (Median(1.2, (1.15, 1.3)), "MISS"),
        (Median(1.0, None), "PASS?"),
    ],
)
def test_a_verdict_is_sure_only_when_the_whole_interval_agrees(ratio: Median, word: str) -> None:
    """A question mark stands where the interval allows the other answer."""
    assert verdict(Target("valkeyctl", 1.1), ratio) == word


def test_ratios_are_taken_within_each_round() -> None:
    """A machine that becomes six times slower during the run does not change a ratio."""
    table = standings(timed(1.05))[0]

    line = next(row for row in table.rows if row[0] == "valkeyctl")
    assert line[2:] == ("1.05", "1.05 - 1.05", "PASS")
    assert "valkeyctl is ahead of the best peer, peer: 0.53x (0.53 - 0.53)." in table.notes


def test_a_behind_is_said_when_a_peer_is_faster() -> None:
    """The comparison with the best peer works in both directions, and for throughput."""
    slower = timed(3.0)

    assert any("behind the best peer" in note for note in standings(slower)[0].notes)
    slower.row = next(row for row in ROWS if row.name == "hit-50")
    assert any("behind the best peer" in note for note in standings(slower)[0].notes)


def test_a_table_fits_a_terminal() -> None:
    """Notes are wrapped; the page has as many cells in each line."""
    table = Table("title", ("", "us"), [("a", "1.0"), ("longer", "10.0")], ["word " * 40])

    assert max(map(len, table.text().splitlines())) <= WIDTH
    assert "| longer | 10.0 |" in table.markdown().splitlines()


def test_numbers_keep_three_digits() -> None:
    """Neither a fast nor a slow time loses what tells it from others."""
    assert [short(number) for number in (0.214, 21.46, 214.6, 9314.7)] == [
        *("0.21", "21.5", "215", "9,315"),
    ]


def test_every_peer_is_pinned_by_versions_alone() -> None:
    """No address and no range: the same packages wherever they come from."""
    for peer in PEERS.values():
        assert (peer.pins is None) == (peer.name == OURS)
        if peer.pins is not None:
            lines = Path(peer.pins).read_text().splitlines()
            assert lines
            assert [line for line in lines if not _PIN.fullmatch(line)] == []


async def test_a_slice_counts_what_failed() -> None:
    """An answer of None is a failure, however fast it came."""

    async def work(number: int) -> object:
        return None if number % 2 else number

    alone = await measure(work, callers=1, span=10, batch=1, count=100)
    crowd = await measure(work, callers=50, span=10, batch=1, count=1000)

    assert (alone.count, alone.failed) == (100, 50)
    assert (crowd.count, crowd.failed) == (1000, 500)
    assert crowd.p50_us is None


async def test_a_slice_lasts_as_long_as_was_asked_for() -> None:
    """Calibrating ends for work that takes next to no time."""

    async def work(number: int) -> object:
        return number

    count = await calibrate(work, callers=1, span=10, seconds=0.05)

    assert count > 100
