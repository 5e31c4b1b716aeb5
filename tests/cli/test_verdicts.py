"""A report on a terminal of 80 columns."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import DEFAULT_ARMS, Arm
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples
from valkeyctl.cli.console import Console
from valkeyctl.cli.verdicts import print_report

FAST = [[1.0 + 0.01 * n] * 40 for n in range(6)]
SLOW = [[9.0 + 0.01 * n] * 40 for n in range(6)]
HITS = [lambda index: "hit" if index % 2 else "miss", lambda _: "bypass"]


class Narrow(Console):
    """A terminal of 80 columns."""

    @property
    def width(self) -> int:
        return 80


def shown(samples: Samples) -> list[str]:
    stream = io.StringIO()
    print_report(Narrow(stream), report(samples))
    return stream.getvalue().splitlines()


def many(count: int) -> Samples:
    arms = (
        *DEFAULT_ARMS,
        *(
            Arm(f"a-name-of-forty-letters-that-differs-at-{n}", env=(("N", str(n)),))
            for n in range(8)
        ),
    )[:count]
    times = [FAST, SLOW, *([FAST] * 8)][:count]
    plan = replace(Plan.of(rounds=6), arms=arms)
    return made_up(plan, times, outcomes=[HITS[0], HITS[1], *([HITS[0]] * 8)][:count])


@pytest.mark.parametrize("count", [1, 2, 4, 5, 10])
def test_no_line_is_wider_than_the_terminal(count: int) -> None:
    """However many arms there are; the path of the report is as long as it is."""
    lines = shown(many(count))

    assert [line for line in lines if len(line) > 80 and not line.startswith("report")] == []
    assert sum(line.startswith("requests ") for line in lines) == -(-count // 4)


def test_two_arms_are_compared_beside_their_figures() -> None:
    """One row a figure."""
    row = next(line for line in shown(many(2)) if line.startswith("p50 ms"))

    assert row.split()[:4] == ["p50", "ms", "1.02", "9.02"]
    assert row.endswith("better")


def test_long_names_are_told_apart_by_their_ends() -> None:
    """Their middle is left out."""
    lines = shown(many(5))

    assert any("a-name…s-at-0" in line and "a-name…s-at-1" in line for line in lines)


def test_streams_have_rows_only_where_there_are_any() -> None:
    """Nobody reads a column of dashes."""
    plain = many(2)
    streaming = many(2)
    streaming.rows["first"] = streaming.rows["intended"] + 0.0005
    streaming.rows["events"], streaming.rows["output"] = 5, 20

    assert not any(line.startswith(("ttft", "token", "stale")) for line in shown(plain))
    rows = [line.split("  ")[0] for line in shown(streaming)]
    assert {"ttft p50 ms", "ttft p99 ms", "token gap ms", "tokens/s"} <= set(rows)


def test_bad_news_is_marked() -> None:
    """In words, as there may be no colour."""
    samples = made_up(Plan.of(rounds=6), [FAST, SLOW], failed=lambda arm, _: arm == 0)

    assert shown(samples)[1].startswith("  ERROR 240 of 240 requests of arm cached")
