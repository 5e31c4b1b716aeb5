"""The one sentence that whoever decides about a cache reads first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import DEFAULT_ARMS, Arm
from valkeyctl.bench.figures.headline import time_text
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples

PLAN = Plan.of(rounds=6)
HITS: list[Callable[[int], str]] = [
    lambda index: "hit" if index % 2 else "miss",
    lambda _: "bypass",
]


def level(milliseconds: float) -> list[list[float]]:
    return [[milliseconds * (1 + 0.002 * (number % 3))] * 40 for number in range(6)]


def run(cached: float, uncached: float, *, plan: Plan = PLAN) -> Samples:
    return made_up(plan, [level(cached), level(uncached)], outcomes=HITS)


@pytest.mark.parametrize(
    ("cached", "said"),
    [
        (2.0, "On average an answer takes 2.00 ms with the cache and 9.02 ms without it: 4.50 "),
        (18.0, "On average an answer takes 18.0 ms with the cache and 9.02 ms without it: 2.00 "),
        (9.0, "On average an answer takes 9.02 ms with the cache and 9.02 ms without it: the sam"),
    ],
)
def test_it_says_what_the_cache_buys(cached: float, said: str) -> None:
    """By the mean, which hits and misses both weigh in, and by what the origin is spared."""
    text = report(run(cached, 9.0)).headline

    assert text.startswith(said)
    assert "; the origin gets 50.0 % fewer calls" in text


def test_what_may_be_chance_is_called_so() -> None:
    """No times as fast where the interval holds none."""
    noisy = [[9.0 * (0.6 + 0.3 * ((number * 7) % 5))] * 40 for number in range(6)]
    text = report(made_up(PLAN, [noisy, level(9.0)], outcomes=HITS)).headline

    assert "which may be chance, as no difference could be shown" in text
    assert "times as" not in text


def test_the_median_speaks_where_only_the_mean_may_be_chance() -> None:
    """One answer in ten is slow in every other round, of one arm and then of the other."""

    def tailed(milliseconds: float, odd: int) -> list[list[float]]:
        slow = [milliseconds * (100 if n % 2 == odd else 1) for n in range(6)]
        return [[milliseconds] * 36 + [one] * 4 for one in slow]

    text = report(made_up(PLAN, [tailed(2.0, 0), tailed(9.0, 1)], outcomes=HITS)).headline

    assert text.startswith("Half of the answers take at most 2.00 ms with the cache and 9.00 ms")
    assert "4.50 times as fast" in text


def test_it_is_silent_where_nothing_may_be_claimed() -> None:
    """After wrong answers, with too few rounds, and with a single arm."""
    failed = made_up(PLAN, [level(1), level(9)], failed=lambda arm, at: (arm, at) == (0, 0))
    few = made_up(Plan.of(rounds=2), [level(1)[:2], level(9)[:2]])
    alone = made_up(replace(PLAN, arms=(Arm("a"),)), [level(1)])

    assert [report(one).headline for one in (failed, few, alone)] == ["", "", ""]
    assert report(failed).to_json()["headline"] is None


def test_an_incomplete_run_speaks_of_its_part() -> None:
    """What was not played may have been otherwise."""
    text = report(replace(run(1.0, 9.0), incomplete=True, interrupted="Ctrl-C")).headline

    assert text.startswith("In the part that was measured: on average an answer takes")


def test_arms_without_a_bypass_are_called_by_their_names() -> None:
    """Two builds are no cache and its absence; a baseline played twice is not told of."""
    old, new = (Arm(name, url=f"http://127.0.0.1/{name}") for name in ("old", "new"))
    arms = (old, new, old.again())
    text = report(
        made_up(
            replace(PLAN, arms=arms),
            [level(9), level(3), level(9)],
            outcomes=[lambda _: "miss"] * 3,
        )
    ).headline

    assert text.startswith("On average an answer takes 3.01 ms in arm new and 9.02 ms in arm old")
    assert "again" not in text


@pytest.mark.parametrize("first", [0, 1])
def test_answers_tell_which_arm_has_no_cache(first: int) -> None:
    """An application's own bypass header says nothing to us, and its X-Cache does."""
    arms = (Arm("on"), Arm("off", headers=(("X-No-Cache", "1"),)))
    ordered = arms if not first else arms[::-1]
    levels, says = [level(2), level(9)], HITS
    samples = made_up(
        replace(PLAN, arms=ordered),
        levels if not first else levels[::-1],
        outcomes=says if not first else says[::-1],
    )
    text = report(samples).headline

    assert text.startswith("On average an answer takes 2.00 ms with the cache and 9.02 ms without")
    assert "4.50 times as fast" in text


def test_a_cache_that_all_answers_passed_by_was_not_measured() -> None:
    """Such as streams, which the gateway does not keep."""
    shown = report(made_up(PLAN, [level(9), level(9)], outcomes=[lambda _: "bypass"] * 2))

    assert shown.headline.startswith("What the cache buys was not measured")
    assert shown.conclusion[0].kind == "warning"
    assert "X-Cache: bypass" in shown.conclusion[0].text


def test_a_hastened_origin_is_told_of_and_warned_of_where_the_cache_lost() -> None:
    """What the cache takes itself weighs more beside it."""
    plan = Plan.of(rounds=6, speedup=20)

    def sentence(cached: float) -> str:
        found = report(run(cached, 9.0, plan=plan)).conclusion
        return next(one.kind for one in found if "20 times faster" in one.text)

    assert (sentence(2.0), sentence(18.0)) == ("note", "warning")
    assert report(run(2.0, 9.0, plan=plan)).headline.endswith("fewer calls.")
    assert report(run(18.0, 9.0, plan=plan)).headline.endswith("; but read the warnings first.")


def test_several_arms_stand_in_one_sentence() -> None:
    """Of more than four, the ends."""
    arms = (*DEFAULT_ARMS, Arm("long", env=(("TTL", "1h"),)))
    few = made_up(replace(PLAN, arms=arms), [level(3), level(9), level(1)], outcomes=[*HITS] * 2)
    many = made_up(
        replace(PLAN, arms=tuple(Arm(f"a{n}", env=(("N", str(n)),)) for n in range(6))),
        [level(10 - n) for n in range(6)],
        outcomes=[lambda _: "miss"] * 6,
    )

    assert report(few).headline == (
        "On average an answer takes 9.02 ms without the cache, 3.01 ms in arm cached (3.00 times "
        "as fast) and 1.00 ms in arm long (9.00 times as fast)."
    )
    text = report(many).headline
    assert "of 5 others the quickest is 5.01 ms in arm a5 (2.00 times as fast)" in text
    assert "the slowest 9.02 ms in arm a1 (1.11 times as fast)" in text


def test_times_are_said_with_a_unit_that_fits() -> None:
    """Seconds from ten of them on."""
    assert [time_text(value) for value in (0.25, 412.4, 9999.0, 12_345.0)] == [
        *("0.250 ms", "412 ms", "9,999 ms", "12.3 s"),
    ]
