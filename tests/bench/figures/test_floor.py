"""What the same arm played twice says of the noise."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import DEFAULT_ARMS
from valkeyctl.bench.figures.floor import Floor
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report, report

ARMS = (*DEFAULT_ARMS, DEFAULT_ARMS[1].again())
PLAN = replace(Plan.of(rounds=10), arms=ARMS)
SAYS = [lambda index: "hit" if index % 2 else "miss", lambda _: "bypass", lambda _: "bypass"]


def twice(factor: float) -> Report:
    """Return a run whose second play of the baseline was so many times slower."""
    fast = [[1.0 + 0.01 * (n % 3)] * 40 for n in range(10)]
    slow = [[9.0 + 0.02 * (n % 4)] * 40 for n in range(10)]
    again = [[(9.0 + 0.02 * ((n + 1) % 4)) * factor] * 40 for n in range(10)]
    return report(made_up(PLAN, [fast, slow, again], outcomes=SAYS))


def words(found: Report, kind: str) -> str:
    return " ".join(one.text for one in found.conclusion if one.kind == kind)


def test_an_even_machine_shows_no_difference() -> None:
    """And the report says below what size a difference is noise."""
    found = twice(1.0)

    assert {(one.first, one.second) for one in found.floors} == {("uncached", "uncached-again")}
    assert all(one.clean and one.reach < 0.02 for one in found.floors)
    assert "no difference could be shown between them" in words(found, "note")


def test_an_uneven_machine_is_warned_of() -> None:
    """The same arm was a tenth slower the second time."""
    found = twice(1.1)

    assert not any(one.clean for one in found.floors if one.metric == "p50")
    assert "the machine was not even" in words(found, "warning")


def test_the_twin_of_the_baseline_is_no_result() -> None:
    """Nobody wants to read that it is as fast as itself."""
    assert "uncached-again" not in words(twice(1.1), "result")


def test_arms_that_differ_are_no_floor() -> None:
    """Only a second play is."""
    fast, slow = [[1.0] * 9] * 6, [[9.0] * 9] * 6

    assert report(made_up(Plan.of(rounds=6), [fast, slow])).floors == ()


def test_the_reach_of_the_noise_is_the_same_in_both_directions() -> None:
    """Half as fast is as far from no difference as twice as fast."""
    slower = Floor("a", "b", "p50", 0.5, (0.4, 0.8))
    faster = Floor("b", "a", "p50", 2.0, (1.25, 2.5))

    assert slower.reach == faster.reach == 1.5
    assert (slower.clean, faster.clean) == (False, False)
    assert Floor("a", "b", "p50", 0.9, (0.8, 1.1)).clean
