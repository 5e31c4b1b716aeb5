"""The text for a pull request."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import DEFAULT_ARMS, Arm
from valkeyctl.bench.page.markdown import summary
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report, report

FAST = [[1.0 + 0.01 * n] * 40 for n in range(6)]
SLOW = [[9.0 + 0.01 * n] * 40 for n in range(6)]
HITS = [lambda index: "hit" if index % 2 else "miss", lambda _: "bypass"]


def plain() -> Report:
    return report(made_up(Plan.of(rounds=6), [FAST, SLOW], outcomes=HITS))


def test_it_says_what_was_found() -> None:
    """Verdicts in words, and the figures of each arm."""
    text = summary(plain())

    assert text.startswith("## Benchmark: llm-chat\n")
    assert re.search(r"- By median latency, arm cached is 8\.8\d? times as fast as arm unc", text)
    assert "| cached | 240 | 0 | 50.00 % | 120 |" in text
    assert "| cached | uncached | median latency | 8.8" in text
    assert "Closed loop: each of 16 users" not in text


def test_bad_news_comes_first() -> None:
    """In bold."""
    samples = made_up(Plan.of(rounds=6), [FAST, SLOW], failed=lambda arm, _: arm == 0)

    lines = summary(report(samples)).splitlines()

    assert next(line for line in lines if line.startswith("-")).startswith("- **Error:** 240 of")


def test_nothing_of_it_is_markup_from_outside() -> None:
    """An error text that holds HTML, links and tables is text."""
    samples = made_up(Plan.of(rounds=6), [FAST, SLOW], failed=lambda _arm, index: index == 0)
    evil = "<img src=x onerror=alert(1)> [a](http://x) | b | `c`\n# d"

    text = summary(report(replace(samples, errors=(evil,))))

    assert "\\<img src=x" in text
    assert "\n# d" not in text
    assert "\\[a\\](http://x) \\| b \\| \\`c\\`" in text


@pytest.mark.parametrize("count", [1, 3, 12, 40])
def test_it_stays_under_sixty_lines(count: int) -> None:
    """However many arms there are."""
    arms = tuple(Arm(f"arm-{n}", env=(("N", str(n)),)) for n in range(count))
    says = [HITS[0]] * count

    text = summary(
        report(made_up(replace(Plan.of(rounds=6), arms=arms), [FAST] * count, outcomes=says))
    )

    assert len(text.splitlines()) < 60
    assert "| arm-0 | 240 | 0 | 50.00 % | 120 |" in text
    for row in text.splitlines():
        assert not row.startswith("|") or row.endswith("|")


def test_the_pair_of_the_baseline_does_not_hide_the_result() -> None:
    """Three arms, one of them the baseline's second self."""
    arms = (*DEFAULT_ARMS, DEFAULT_ARMS[1].again())
    samples = made_up(
        replace(Plan.of(rounds=6), arms=arms), [FAST, SLOW, SLOW], outcomes=[*HITS, HITS[1]]
    )

    assert "| cached | uncached | median latency |" in summary(report(samples))
