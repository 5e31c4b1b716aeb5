"""What a report says, in figures and in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import Arm, Node
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report, report
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.traffic.stream import Traffic
from valkeyctl.errors import FolderError, NotFoundError

PLAN = Plan.of(rounds=6)
FAST = [[1.0, 1.1, 1.2, 1.0 + 0.01 * r] * 10 for r in range(6)]
SLOW = [[9.0, 9.9, 9.5, 9.0 + 0.05 * r] * 10 for r in range(6)]
LATENCY_KEYS = {"n", "p50", "p90", "p95", "p99", "p999", "max"}
ARM_KEYS = {
    *("name", "requests", "errors", "hits", "misses", "collapsed", "hit_ratio"),
    *("origin_calls", "throughput_rps", "latency_ms", "ttft_ms"),
}


def hits(share: int) -> list[Callable[[int], str]]:
    """Every *share*-th request hits, the one after it is collapsed."""

    def cached(index: int) -> str:
        return {0: "hit", 1: "collapsed"}.get(index % share, "miss")

    return [cached, lambda _: "bypass"]


def words(shown: Report, kind: str = "") -> str:
    return " ".join(one.text for one in shown.conclusion if not kind or one.kind == kind)


def test_the_json_keeps_its_contract() -> None:
    """Programs outside read these keys."""
    data = report(made_up(PLAN, [FAST, SLOW], outcomes=hits(4))).to_json()

    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {"scenario", "load_model", "incomplete", "report_html", "report_json"} <= data.keys()
    assert {"seed", "environment", "origin", "conclusion"} <= data.keys()
    arms, comparisons = data["arms"], data["comparisons"]
    assert isinstance(arms, list)
    assert isinstance(comparisons, list)
    for arm in arms:
        assert isinstance(arm, dict)
        assert arm.keys() >= ARM_KEYS
        assert isinstance(arm["latency_ms"], dict)
        assert arm["latency_ms"].keys() >= LATENCY_KEYS
    for one in comparisons:
        assert isinstance(one, dict)
        assert one.keys() == {
            *("baseline", "candidate", "metric", "ratio", "ci95", "verdict"),
            *("detectable", "words", "blocks"),
        }
        assert (one["baseline"], one["candidate"]) == ("uncached", "cached")


def test_figures_are_counted_from_the_samples() -> None:
    """240 requests an arm; a quarter hits and a quarter is collapsed."""
    shown = report(made_up(PLAN, [FAST, SLOW], outcomes=hits(4)))

    cached, uncached = shown.arms
    assert (cached.requests, cached.hits, cached.collapsed, cached.misses) == (240, 60, 60, 120)
    assert (cached.hit_ratio, cached.origin_calls) == (0.5, 120)
    assert (uncached.hits, uncached.bypassed, uncached.origin_calls) == (0, 240, 240)
    assert cached.latency_ms is not None
    assert cached.latency_ms.n == 240
    assert cached.latency_ms.p50 == pytest.approx(1.05)
    assert cached.latency_ms.max == pytest.approx(1.2)
    p50 = next(one for one in shown.comparisons if one.metric == "p50")
    assert uncached.latency_ms is not None
    assert p50.ratio == pytest.approx(uncached.latency_ms.p50 / cached.latency_ms.p50)
    assert p50.verdict == "better"


def test_a_cache_that_buys_almost_nothing_is_said_to() -> None:
    """The first sentence of the result, with the count and the share."""
    outcomes = [lambda index: "hit" if index == 7 else "miss", lambda _: "bypass"]
    traffic = Traffic(240, 239, 1.0, has_identity=True)
    shown = report(made_up(PLAN, [SLOW, SLOW], outcomes=outcomes, traffic=traffic))

    assert shown.conclusion[0].text == (
        "1 of 240 requests of arm cached (0.42 %) could be answered from the cache: "
        "on this traffic caching buys almost nothing."
    )
    assert "same within 5 %" in words(shown)


def test_errors_come_first_and_no_speedup_is_claimed() -> None:
    """However fast the failures were."""
    shown = report(
        made_up(
            PLAN, [FAST, SLOW], outcomes=hits(4), failed=lambda arm, index: (arm, index) == (0, 3)
        )
    )

    assert shown.conclusion[0].kind == "error"
    assert shown.conclusion[0].text.startswith("1 of 240 requests of arm cached")
    assert "times as fast" not in words(shown)
    assert {one.verdict for one in shown.comparisons} == {"inconclusive"}
    assert shown.arm("cached").latency_ms is not None
    assert shown.arm("cached").latency_ms.n == 239  # type: ignore[union-attr]


def test_an_error_of_the_baseline_claims_nothing_either() -> None:
    """It may have been slow for being broken."""
    shown = report(made_up(PLAN, [FAST, SLOW], failed=lambda arm, index: arm == 1 and not index))

    assert {one.verdict for one in shown.comparisons} == {"inconclusive"}


def test_an_error_of_the_cold_start_is_said_and_claims_nothing() -> None:
    """The figures are of other rounds, and the application is as wrong."""
    fast = [[9.0 if n < 3 else 1.0 + n % 3 * 0.01] * 20 for n in range(20)]
    shown = report(
        made_up(
            Plan.of(rounds=20),
            [fast, [[9.0] * 20] * 20],
            failed=lambda arm, index: (arm, index) == (0, 5),
        )
    )

    assert shown.phases.cold
    cached = shown.arm("cached")
    assert (cached.errors, cached.wrong, cached.sent) == (0, 1, 400)
    assert shown.conclusion[0].text.startswith(
        "1 of 400 requests of arm cached had no right answer in its cold start (the first: HTTP"
    )
    assert {one.verdict for one in shown.comparisons} == {"inconclusive"}
    assert not shown.clean
    assert "times as fast" not in words(shown)


def test_errors_of_an_unfinished_round_are_said_and_claim_nothing() -> None:
    """Who stops a run that began to fail gets no speed-up from the rounds before."""
    whole = made_up(
        PLAN,
        [FAST, SLOW],
        outcomes=hits(4),
        failed=lambda arm, index: arm == 1 and index >= 210,
        incomplete=True,
        interrupted="Ctrl-C",
    )

    shown = report(replace(whole, stages=whole.stages[:-1]))

    assert shown.conclusion[0].kind == "error"
    assert shown.conclusion[0].text.startswith("30 requests of rounds that were not finished")
    assert {one.verdict for one in shown.comparisons} == {"inconclusive"}
    assert not shown.clean
    assert "times as fast" not in words(shown)


def test_errors_of_the_warm_up_are_thrown_away_with_it() -> None:
    """They are no part of what was measured, nor of a round that was not finished."""
    samples = made_up(PLAN, [FAST, SLOW], outcomes=hits(4))
    thrown = samples.rows[:3].copy()
    thrown["round"], thrown["error"] = -1, 1

    shown = report(replace(samples, rows=np.concatenate([thrown, samples.rows])))

    assert shown.clean
    assert "better" in {one.verdict for one in shown.comparisons}


def test_the_share_from_the_cache_is_of_right_answers() -> None:
    """Of 240 requests 40 failed; the count beside the ratio is what it is of."""
    shown = report(
        made_up(
            PLAN,
            [FAST, SLOW],
            outcomes=hits(4),
            failed=lambda arm, index: arm == 0 and index >= 200,
        )
    )

    assert "100 of 200 right answers of arm cached (50.00 %)" in words(shown)


def test_what_got_worse_is_said() -> None:
    """A report that only flatters is worth nothing."""
    shown = report(made_up(PLAN, [SLOW, FAST], outcomes=hits(4)))

    assert "By median latency, arm uncached is 8.81 times as fast as arm cached" in words(
        shown, "result"
    )
    assert "caching buys" not in words(shown)


def test_a_tail_that_got_worse_is_said_beside_a_better_median() -> None:
    """p99.9 is no headline, and is told all the same when it is the bad news."""
    slow = [[latency * 9 for latency in block] * 25 for block in FAST]
    fast = [[*(block * 25)[:-3], *[900.0 + number] * 3] for number, block in enumerate(FAST)]
    shown = report(made_up(PLAN, [fast, slow], outcomes=hits(4)))

    assert "By median latency, arm cached is 8.59 times as fast" in words(shown)
    assert "By p99.9 latency, arm uncached is" in words(shown)


def test_few_rounds_conclude_nothing() -> None:
    """Four rounds are too few, however large the difference."""
    shown = report(made_up(replace(PLAN, rounds=4), [FAST[:4], SLOW[:4]], outcomes=hits(4)))

    assert "4 rounds are too few" in words(shown, "warning")
    assert {one.verdict for one in shown.comparisons} == {"inconclusive"}
    assert "times as fast" not in words(shown)


def test_an_open_loop_claims_no_throughput() -> None:
    """There throughput follows what was offered."""
    shown = report(made_up(Plan.of(rate=50.0, rounds=6), [FAST, SLOW], outcomes=hits(4)))

    assert "throughput" not in {one.metric for one in shown.comparisons}
    assert "no speed-up of it is claimed" in words(shown, "note")
    assert shown.to_json()["load_model"] == "open"


def test_traffic_without_identity_has_no_hit_ratio() -> None:
    """The Azure traces: sizes and arrivals only."""
    traffic = Traffic(240, 240, 1.0, has_identity=False)
    plan = Plan.of(trace=Path("azure.csv"), rounds=6)
    shown = report(made_up(plan, [FAST, SLOW], traffic=traffic))

    assert shown.arm("cached").hit_ratio is None
    assert "no hit ratio can come from it" in words(shown, "warning")


def test_a_target_that_does_not_say_has_unknown_outcomes() -> None:
    """Unknown is null, not zero."""
    shown = report(made_up(PLAN, [FAST, SLOW], outcomes=[lambda _: "none"] * 2))

    cached = shown.arm("cached")
    assert (cached.hits, cached.misses, cached.collapsed, cached.hit_ratio) == (None,) * 4


def test_an_unfinished_round_does_not_count() -> None:
    """Only rounds that every arm played to the end, and the reason is said."""
    whole = made_up(PLAN, [FAST, SLOW], outcomes=hits(4), incomplete=True, interrupted="Ctrl-C")
    cut = replace(whole, stages=whole.stages[:-1])

    shown = report(cut)

    assert shown.rounds == 5
    assert {arm.requests for arm in shown.arms} == {200}
    assert "stopped by Ctrl-C" in words(shown, "warning")
    assert shown.to_json()["incomplete"] is True


def test_without_a_whole_round_there_is_no_report() -> None:
    """One sentence, no empty tables."""
    whole = made_up(PLAN, [FAST, SLOW])

    with pytest.raises(NotFoundError, match="no round was finished"):
        report(replace(whole, stages=whole.stages[:1]))


def test_an_overloaded_target_is_said() -> None:
    """What waited in the client is part of the latencies, so a reader must know."""
    samples = made_up(Plan.of(rate=50.0, rounds=6), [FAST, SLOW], outcomes=hits(4))
    samples.rows["queued"][:30] = 1

    assert "30 of 240 requests waited in the client" in words(report(samples), "warning")


def test_books_that_do_not_agree_are_said() -> None:
    """Locust's total is a second count of the same requests."""
    samples = made_up(PLAN, [FAST, SLOW], outcomes=hits(4))
    odd: dict[str, Node] = {**samples.facts, "locust": {"requests": 483, "failures": 0}}

    assert "Locust counted 3 requests more" in words(report(replace(samples, facts=odd)))
    assert "Locust" not in words(report(samples))


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))


def page(samples: Samples, folder: Path) -> str:
    report(replace(samples, folder=folder)).write()
    return (folder / "report.html").read_text()


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """No script, no link, no address to load from."""
    text = page(made_up(PLAN, [FAST, SLOW], outcomes=hits(4)), tmp_path)

    outline = Outline()
    outline.feed(text)
    assert not {"script", "link", "img", "iframe"} & set(outline.tags)
    assert not re.search(r"https?:|url\(|@import", text)


def test_the_page_can_be_read_without_seeing_it(tmp_path: Path) -> None:
    """One heading above all, scopes and captions on tables, words for every plot."""
    outline = Outline()
    outline.feed(page(made_up(PLAN, [FAST, SLOW], outcomes=hits(4)), tmp_path))

    tags = outline.tags
    ids = [at["id"] for _, at in outline.attributes if "id" in at]
    assert tags.count("h1") == 1
    assert tags.count("table") == tags.count("caption")
    assert all("scope" in at for tag, at in outline.attributes if tag == "th")
    assert tags.count("svg") == 6 == tags.count("desc")
    assert len(ids) == len(set(ids))
    for tag, at in outline.attributes:
        if tag == "svg":
            assert at["role"] == "img"
            assert set(str(at["aria-labelledby"]).split()) <= set(ids)


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    """An error text of a target is text, not markup."""
    samples = made_up(
        replace(PLAN, arms=(Arm("a"), Arm("b"))),
        [FAST, SLOW],
        failed=lambda _arm, index: index == 0,
    )

    text = page(replace(samples, errors=("<script>alert(1)</script>",)), tmp_path)

    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_single_arm_and_a_failed_arm_still_make_a_page(tmp_path: Path) -> None:
    """No comparison, no latency, and no crash."""
    alone = page(made_up(replace(PLAN, arms=(Arm("a"),)), [FAST]), tmp_path)
    dead = page(
        made_up(PLAN, [FAST, SLOW], outcomes=hits(4), failed=lambda arm, _: arm == 0), tmp_path
    )

    assert "Comparison with" not in alone
    assert "Comparison with" not in dead
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["arms"][0]["latency_ms"]["n"] == 0
    assert data["arms"][0]["latency_ms"]["p99"] is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The samples are safe, and the hint says how to render them later."""
    shown = report(replace(made_up(PLAN, [FAST, SLOW]), folder=tmp_path / "none"))

    with pytest.raises(FolderError, match="cannot be written"):
        shown.write()


def test_rows_fit_a_terminal_table() -> None:
    """As many cells as headings, in every row."""
    shown = report(made_up(PLAN, [FAST, SLOW], outcomes=hits(4)))

    for table in (shown.rows(), shown.speedups()):
        assert len({len(row) for row in table}) == 1
    assert shown.rows()[1][:7] == ("cached", "240", "0", "60", "60", "120", "50.00 %")
