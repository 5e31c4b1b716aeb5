"""A run as a reader sees it: figures, comparisons, and what may be concluded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from valkeyctl.bench.arms import ArmFigures, Spread, measure
from valkeyctl.bench.comparison import Comparison, compare_arms
from valkeyctl.bench.conclusion import Sentence, conclude, figure
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import Samples, load_samples
from valkeyctl.bench.scenario import Node
from valkeyctl.bench.statistics import Bootstrap
from valkeyctl.bench.traffic import Traffic
from valkeyctl.errors import FolderError, NotFoundError

__all__ = ["Report", "load", "report"]

HTML_FILE = "report.html"
JSON_FILE = "report.json"

load = load_samples


@dataclass(frozen=True)
class Report:
    """What a run shows.

    Attributes:
        folder: Of the run; `write` puts the report there.
        plan: What was asked for.
        traffic: What was known of the stream beforehand.
        rounds: How many rounds every arm finished; all figures are of these.
        incomplete: Why the run ended early; empty when it did not.
        arms: Figures of each arm, in the plan's order.
        comparisons: Of each other arm with the baseline.
        conclusion: In words, most important first.
        facts: Origin, gateways, server settings, environment, times.
        samples: How many were recorded, warm-up included.
    """

    folder: Path
    plan: Plan
    traffic: Traffic
    rounds: int
    incomplete: str
    arms: tuple[ArmFigures, ...]
    comparisons: tuple[Comparison, ...]
    conclusion: tuple[Sentence, ...]
    facts: Mapping[str, Node] = field(repr=False)
    samples: int

    @property
    def html_path(self) -> Path:
        """Where `write` puts the page."""
        return self.folder / HTML_FILE

    @property
    def json_path(self) -> Path:
        """Where `write` puts the figures."""
        return self.folder / JSON_FILE

    def arm(self, name: str) -> ArmFigures:
        """Return the figures of the arm called *name*; a KeyError when there is none."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    def to_json(self) -> dict[str, Node]:
        """Return the data of the ``bench`` envelope; what ``report.json`` holds."""
        return {
            "scenario": self.plan.scenario.name,
            "load_model": self.plan.load_model,
            "incomplete": bool(self.incomplete),
            "incomplete_reason": self.incomplete or None,
            "report_html": str(self.html_path),
            "report_json": str(self.json_path),
            "conclusion": [{"kind": one.kind, "text": one.text} for one in self.conclusion],
            "arms": [_arm(arm) for arm in self.arms],
            "comparisons": [
                {
                    "baseline": one.baseline,
                    "candidate": one.candidate,
                    "metric": one.metric,
                    "ratio": one.ratio,
                    "ci95": _interval(one.ci95),
                    "verdict": one.verdict,
                }
                for one in self.comparisons
            ],
            "rounds": self.rounds,
            "samples": self.samples,
            "seed": self.plan.seed,
            "plan": self.plan.to_json(),
            "traffic": asdict(self.traffic),
            **self.facts,
        }

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Return the main table for a terminal: a row of headings, then one for each arm."""
        head = ("arm", "requests", "errors", "hits", "collapsed", "misses", "hit ratio")
        times = (
            "origin calls",
            "req/s",
            "p50 ms",
            "p90 ms",
            "p95 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
        )
        return ((*head, *times), *(_row(arm) for arm in self.arms))

    def speedups(self) -> tuple[tuple[str, ...], ...]:
        """Return the comparisons for a terminal: a row of headings, then one for each."""
        head = ("candidate", "baseline", "metric", "times better", "95 % interval", "verdict")
        return (head, *(_comparison(one) for one in self.comparisons))

    def write(self) -> None:
        """Write ``report.json`` and ``report.html`` into the run's folder.

        Raises:
            FolderError: They cannot be written.
        """
        from valkeyctl.bench.html import render  # jinja2 is slow to import

        page = render(self)
        try:
            self.json_path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
            self.html_path.write_text(page, encoding="utf-8")
        except OSError as error:
            raise FolderError(
                f"{self.folder}: the report cannot be written: {error.strerror or error}",
                hint="The samples are kept: valkeyctl bench report DIR makes it again",
            ) from error


def report(samples: Samples) -> Report:
    """Return what *samples* show; the same samples always give the same report.

    Raises:
        NotFoundError: No round was finished in every arm, so there is nothing to show.
    """
    rounds = len(samples.complete_rounds())
    if not rounds:
        raise NotFoundError(
            f"{samples.folder}: no round was finished in every arm, so there is nothing to report",
            hint="Run it again with a shorter --duration or a higher --speedup",
        )
    bootstrap = Bootstrap(rounds, samples.plan.seed)
    measured = measure(samples, bootstrap)
    arms = tuple(one.arm for one in measured)
    comparisons = compare_arms(measured, samples.plan.baseline, samples.plan.load_model, bootstrap)
    incomplete = _why_incomplete(samples)
    return Report(
        folder=samples.folder,
        plan=samples.plan,
        traffic=samples.traffic,
        rounds=rounds,
        incomplete=incomplete,
        arms=arms,
        comparisons=comparisons,
        conclusion=conclude(
            samples.plan,
            samples.traffic,
            arms,
            comparisons,
            rounds=rounds,
            incomplete=incomplete,
            miscounted=_miscounted(samples),
        ),
        facts=samples.facts,
        samples=len(samples.rows),
    )


def _why_incomplete(samples: Samples) -> str:
    if not samples.incomplete:
        return ""
    failure = samples.facts.get("failure")
    if samples.interrupted:
        return f"stopped by {samples.interrupted}"
    return str(failure) if failure else "it was killed"


def _miscounted(samples: Samples) -> int:
    locust = samples.facts.get("locust")
    counted = locust.get("requests") if isinstance(locust, dict) else None
    # Locust gives its total only at the end of a run that it finished.
    return counted - len(samples.rows) if isinstance(counted, int) and counted else 0


def _arm(arm: ArmFigures) -> dict[str, Node]:
    return {
        "name": arm.name,
        "requests": arm.requests,
        "errors": arm.errors,
        "first_error": arm.first_error or None,
        "hits": arm.hits,
        "misses": arm.misses,
        "collapsed": arm.collapsed,
        "bypassed": arm.bypassed,
        "hit_ratio": arm.hit_ratio,
        "origin_calls": arm.origin_calls,
        "throughput_rps": arm.throughput_rps,
        "latency_ms": _spread(arm.latency_ms),
        "ttft_ms": _spread(arm.ttft_ms) if arm.ttft_ms else None,
        "client_lateness_p99_ms": arm.lateness_ms,
        "held_back": arm.held_back,
        "round_medians_ms": list(arm.medians_ms),
        "ci95": {name: _interval(one.ci95) for name, one in arm.estimates.items()},
    }


def _spread(spread: Spread | None) -> dict[str, Node]:
    if spread is None:
        nothing: dict[str, Node] = dict.fromkeys(
            ("mean", "p50", "p90", "p95", "p99", "p999", "max")
        )
        return {"n": 0, **nothing}
    return asdict(spread)


def _interval(ci95: tuple[float, float] | None) -> list[Node] | None:
    return None if ci95 is None else list(ci95)


def _row(arm: ArmFigures) -> tuple[str, ...]:
    spread = arm.latency_ms
    times: Sequence[float] = ()
    if spread is not None:
        times = (spread.p50, spread.p90, spread.p95, spread.p99, spread.p999, spread.max)
    return (
        arm.name,
        *(count(number) for number in (arm.requests, arm.errors, arm.hits)),
        *(count(number) for number in (arm.collapsed, arm.misses)),
        "-" if arm.hit_ratio is None else f"{arm.hit_ratio * 100:.2f} %",
        count(arm.origin_calls),
        figure(arm.throughput_rps),
        *(figure(time) for time in times),
        *("-" for _ in range(6 - len(times))),
    )


def _comparison(one: Comparison) -> tuple[str, ...]:
    return (
        one.candidate,
        one.baseline,
        one.metric,
        figure(one.ratio),
        interval_words(one.ci95),
        one.verdict,
    )


def count(number: int | None) -> str:
    """Return *number* with thousands apart; a dash when it is not known."""
    return "-" if number is None else f"{number:,}"


def interval_words(ci95: tuple[float, float] | None) -> str:
    """Return the bounds for a person; a dash when there are none."""
    return "-" if ci95 is None else f"{figure(ci95[0])} to {figure(ci95[1])}"
