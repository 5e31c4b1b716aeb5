"""A run as a reader sees it: figures, comparisons, and what may be concluded."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

from valkeyctl.bench.arm import Node
from valkeyctl.bench.figures.arms import ArmFigures, measure
from valkeyctl.bench.figures.comparison import Comparison, compare_arms
from valkeyctl.bench.figures.conclusion import Circumstances, Sentence, conclude, figure
from valkeyctl.bench.figures.document import (
    arm_document,
    comparison_document,
    floor_document,
)
from valkeyctl.bench.figures.floor import Floor, floors
from valkeyctl.bench.figures.headline import headline
from valkeyctl.bench.figures.incidents import incidents
from valkeyctl.bench.figures.phases import Phases, phases_of
from valkeyctl.bench.figures.sender import refusal
from valkeyctl.bench.figures.shape import ReportDocument
from valkeyctl.bench.figures.standin import stand_in
from valkeyctl.bench.figures.timeline import began
from valkeyctl.bench.figures.unbroken import overloads, unbroken
from valkeyctl.bench.measuredrun import unfinished_errors
from valkeyctl.bench.page.words import count, interval_words
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import Samples, load_samples
from valkeyctl.bench.statistics.intervals import Bootstrap
from valkeyctl.bench.traffic.stream import Traffic
from valkeyctl.errors import FolderError, NotFoundError

__all__ = ["Report", "count", "interval_words", "load", "report"]

HTML_FILE = "report.html"
JSON_FILE = "report.json"
MARKDOWN_FILE = "report.md"

load = load_samples


@dataclass(frozen=True)
class Report:
    """What a run shows.

    Attributes:
        folder: Of the run; `write` puts the report there.
        plan: What was asked for.
        traffic: What was known of the stream beforehand.
        rounds: How many rounds the figures are of: the steady ones that every arm finished.
        incomplete: Why the run ended early; empty when it did not.
        refused: Why the figures are the load generator's own; empty when they are not.
            Every verdict is ``inconclusive`` then.
        arms: Figures of each arm, in the plan's order.
        comparisons: Of each other arm with the baseline.
        overloaded: Arms that could not keep up with their schedule; see `figures.unbroken`.
        floors: What arms that were played twice say of the noise.
        phases: Which rounds were the cold start.
        headline: What is bought, in one sentence; empty where nothing may be claimed.
        conclusion: In words, most important first.
        facts: Origin, gateways, server settings, environment, times.
        samples: How many were recorded, warm-up included.
        began: When the first round began, on the samples' clock.
        source: What it was made of.
    """

    folder: Path
    plan: Plan
    traffic: Traffic
    rounds: int
    incomplete: str
    refused: str
    arms: tuple[ArmFigures, ...]
    comparisons: tuple[Comparison, ...]
    overloaded: frozenset[str]
    floors: tuple[Floor, ...]
    phases: Phases
    headline: str
    conclusion: tuple[Sentence, ...]
    facts: Mapping[str, Node] = field(repr=False)
    samples: int
    began: float
    source: Samples = field(repr=False, compare=False)

    @property
    def html_path(self) -> Path:
        """Where `write` puts the page."""
        return self.folder / HTML_FILE

    @property
    def json_path(self) -> Path:
        """Where `write` puts the figures."""
        return self.folder / JSON_FILE

    @property
    def markdown_path(self) -> Path:
        """Where `write` puts the text for a pull request."""
        return self.folder / MARKDOWN_FILE

    @property
    def clean(self) -> bool:
        """Whether anything may be claimed: no error, and not refused."""
        wrong = any(arm.wrong for arm in self.arms) or unfinished_errors(self.source)
        return not self.refused and not wrong

    def arm(self, name: str) -> ArmFigures:
        """Return the figures of the arm called *name*; a KeyError when there is none."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    def to_json(self) -> dict[str, Node]:
        """Return the data of the ``bench`` envelope; what ``report.json`` holds."""
        document: ReportDocument = {
            "scenario": self.plan.scenario.name,
            "load_model": self.plan.load_model,
            "incomplete": bool(self.incomplete),
            "incomplete_reason": self.incomplete or None,
            "refused": self.refused or None,
            "report_html": str(self.html_path),
            "report_json": str(self.json_path),
            "report_markdown": str(self.markdown_path),
            "headline": self.headline or None,
            "conclusion": [{"kind": one.kind, "text": one.text} for one in self.conclusion],
            "arms": [arm_document(arm) for arm in self.arms],
            "comparisons": [comparison_document(one) for one in self.comparisons],
            "noise_floor": [floor_document(one) for one in self.floors],
            "steady_state": {
                "found": self.phases.found,
                "cold_rounds": list(self.phases.cold),
                "rounds": list(self.phases.steady),
                "how": self.phases.how,
            },
            "rounds": self.rounds,
            "samples": self.samples,
            "seed": self.plan.seed,
            "plan": cast("dict[str, object]", self.plan.to_json()),
            "traffic": asdict(self.traffic),
        }
        return {**cast("dict[str, Node]", document), **self.facts}

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
        """Write ``report.json``, ``report.html`` and ``report.md`` into the run's folder.

        ``latency.hlog``, the latencies for other tools, is written beside them.

        Raises:
            FolderError: They cannot be written.
        """
        from valkeyctl.bench.export import write_histograms
        from valkeyctl.bench.page.html import render  # jinja2 is slow to import
        from valkeyctl.bench.page.markdown import summary

        texts = {
            self.json_path: json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n",
            self.html_path: render(self),
            self.markdown_path: summary(self),
        }
        for path, text in texts.items():
            # Whole or not at all: a program must not read the half that a full disk took.
            scratch = path.with_name(f"{path.name}.new")
            try:
                scratch.write_text(text, encoding="utf-8")
                scratch.replace(path)
            except OSError as error:
                with contextlib.suppress(OSError):
                    scratch.unlink(missing_ok=True)
                raise FolderError(
                    f"{self.folder}: the report cannot be written: {error.strerror or error}",
                    hint="The samples are kept. Make room, or make it writable, then: "
                    f"valkeyctl bench report {self.folder}",
                ) from error
        write_histograms(self.source)


def report(samples: Samples) -> Report:
    """Return what *samples* show; the same samples always give the same report.

    Raises:
        NotFoundError: No round was finished in every arm, so there is nothing to show.
    """
    plan = samples.plan
    if not samples.complete_rounds():
        raise NotFoundError(
            f"{samples.folder}: no round was finished in every arm, so there is nothing to report",
            hint="Run it again with a shorter --duration or a higher --speedup",
        )
    phases = phases_of(samples)
    bootstrap = Bootstrap(len(phases.steady), plan.seed)
    measured = measure(samples, bootstrap, phases)
    arms = tuple(one.arm for one in measured)
    comparisons = compare_arms(measured, plan.baseline, plan.load_model, bootstrap)
    refused = next(
        (why for arm in arms if (why := refusal(arm.name, arm.sender, arm.latency_ms))), ""
    )
    unfinished = unfinished_errors(samples)
    if refused or unfinished:
        # Of a late generator the intervals are its own; and who began to fail is not judged
        # by what came before.
        comparisons = tuple(replace(one, verdict="inconclusive") for one in comparisons)
    noise = floors(plan, measured, bootstrap)
    overloaded = overloads(samples)
    incomplete = _why_incomplete(samples)
    happened = Circumstances(
        rounds=len(phases.steady),
        phases=phases,
        incomplete=incomplete,
        refused=refused,
        unfinished=unfinished,
        stand_in=stand_in(_hastened(samples), comparisons),
        miscounted=_miscounted(samples),
        incidents=(*incidents(samples), *unbroken(samples, overloaded)),
    )
    said = conclude(plan, samples.traffic, arms, comparisons, noise, happened)
    return Report(
        folder=samples.folder,
        plan=plan,
        traffic=samples.traffic,
        rounds=len(phases.steady),
        incomplete=incomplete,
        refused=refused,
        arms=arms,
        comparisons=comparisons,
        overloaded=frozenset(overloaded),
        floors=noise,
        phases=phases,
        headline=_headline(plan, arms, comparisons, said, happened),
        conclusion=said,
        facts=samples.facts,
        samples=len(samples.rows),
        began=began(samples),
        source=samples,
    )


def _headline(
    plan: Plan,
    arms: Sequence[ArmFigures],
    comparisons: Sequence[Comparison],
    said: Sequence[Sentence],
    happened: Circumstances,
) -> str:
    kinds = {one.kind for one in said}
    if "error" in kinds:
        return ""
    text = headline(
        plan, arms, comparisons, rounds=happened.rounds, incomplete=bool(happened.incomplete)
    )
    if text and "warning" in kinds:
        return f"{text.removesuffix('.')}; but read the warnings first."
    return text


def _why_incomplete(samples: Samples) -> str:
    if not samples.incomplete:
        return ""
    failure = samples.facts.get("failure")
    if samples.interrupted:
        return f"stopped by {samples.interrupted}"
    return str(failure) if failure else "it was killed"


def _hastened(samples: Samples) -> float:
    """Return how many times faster a stand-in answered than what it stands for; 1 without one."""
    simulated = str(samples.facts.get("origin", "")).startswith("simulated")
    return samples.plan.speedup if simulated else 1.0


def _miscounted(samples: Samples) -> int:
    locust = samples.facts.get("locust")
    counted = locust.get("requests") if isinstance(locust, dict) else None
    # Locust gives its total only at the end of a run that it finished.
    return counted - len(samples.rows) if isinstance(counted, int) and counted else 0


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
