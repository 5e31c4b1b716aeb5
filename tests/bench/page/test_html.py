"""What the page shows of a run, without a browser."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from tests.bench.conftest import made_up
from valkeyctl.bench.page.html import render
from valkeyctl.bench.plan import Plan, Prices
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples

LEVELS = [[[1.0] * 80] * 5, [[9.0] * 80] * 5]
HITS = [lambda index: ("miss", "hit", "stale")[index % 3], lambda _: "bypass"]


def apart(samples: Samples, pause: float) -> Samples:
    """Return *samples* with so many seconds between an arm's rounds."""
    shift = samples.rows["round"] * pause
    rows = samples.rows.copy()
    for name in ("intended", "start", "end"):
        rows[name] += shift
    stages = tuple(
        replace(one, begin=one.begin + one.round * pause, end=one.end + one.round * pause)
        for one in samples.stages
    )
    return replace(samples, rows=rows, stages=stages)


def plot(page: str, name: str) -> str:
    (found,) = re.findall(rf'<svg[^>]*aria-labelledby="{name}-title.*?</svg>', page, re.DOTALL)
    return str(found)


def test_the_answer_comes_first() -> None:
    """Above the verdicts, in one sentence."""
    shown = report(made_up(Plan.of(rounds=5), LEVELS, outcomes=HITS))
    page = render(shown)

    assert shown.headline
    assert page.index(shown.headline) < page.index("Conclusion")
    assert "<h1>What the cache buys: llm-chat" in page


def test_lines_have_holes_where_an_arm_had_not_its_turn() -> None:
    """A line through them would show what nobody has measured; short turns stay joined."""
    samples = made_up(Plan.of(rounds=5), LEVELS, outcomes=HITS)

    def pieces(pause: float) -> int:
        page = render(report(apart(samples, pause)))
        (line,) = re.findall(r'class="line s0" d="(M[^"]*L[^"]*)"', plot(page, "throughput-time"))
        return str(line).count("M")

    assert (pieces(0.0), pieces(10.0)) == (1, 5)


def test_stale_answers_are_called_so() -> None:
    """And nothing of them is unknown."""
    bars = plot(render(report(made_up(Plan.of(rounds=5), LEVELS, outcomes=HITS))), "outcomes")

    assert "133 hits, 133 stale, 134 misses" in re.sub(r"\s+", " ", bars)
    assert "unknown" not in bars


def test_a_large_sum_has_no_exponent() -> None:
    """Nobody reads 1.2e+04."""
    samples = made_up(Plan.of(rounds=5, prices=Prices(3.0, 15.0)), LEVELS, outcomes=HITS)
    samples.rows["input"] = np.uint32(2**31)
    shown = report(samples)

    for text in (render(shown), " ".join(one.text for one in shown.conclusion)):
        assert re.search(r"1,[0-9]{3},[0-9]{3}\.[0-9]{2} USD", text)
        assert "e+0" not in text
