"""Two finished runs side by side, arm by arm: what has changed since then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from valkeyctl.bench.arms import measure
from valkeyctl.bench.comparison import Comparison
from valkeyctl.bench.conclusion import METRIC_NAMES, figure
from valkeyctl.bench.report import interval_words
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.scenario import Node
from valkeyctl.bench.statistics import METRICS, Bootstrap, judge
from valkeyctl.errors import NotFoundError, UsageError

CAVEAT = (
    "These are two runs at two times: whatever changed on the machine between them is part of "
    "the difference, and no interval knows of it. Only arms of one run, played in turns, show "
    "what a setting does."
)
# What makes two runs different experiments, whatever was changed in between.
_DECISIVE = ("load_model", "users", "rate", "trace", "speedup", "seed", "requests")


@dataclass(frozen=True)
class RunComparison:
    """How the arms of one run stand to those of the same name in another.

    Attributes:
        first: Folder of the run that is compared with.
        second: Folder of the run that is judged.
        comparisons: Arm by arm; ``baseline`` and ``candidate`` are both the arm's name,
            and a ratio above 1 says that the second run is better.
        differences: What the two runs did not have in common, for a person.
        caveat: What no interval of such a comparison covers.
    """

    first: str
    second: str
    comparisons: tuple[Comparison, ...]
    differences: tuple[str, ...]
    caveat: str = CAVEAT

    def to_json(self) -> dict[str, Node]:
        """Return the data of the ``bench.compare`` envelope."""
        return {
            "first": self.first,
            "second": self.second,
            "comparisons": [
                {
                    "arm": one.candidate,
                    "metric": one.metric,
                    "ratio": one.ratio,
                    "ci95": None if one.ci95 is None else list(one.ci95),
                    "verdict": one.verdict,
                }
                for one in self.comparisons
            ],
            "differences": list(self.differences),
            "caveat": self.caveat,
        }

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Return the table for a terminal: a row of headings, then one for each figure."""
        head = ("arm", "metric", "times better", "95 % interval", "verdict")
        return (
            head,
            *(
                (
                    one.candidate,
                    METRIC_NAMES[one.metric],
                    figure(one.ratio),
                    interval_words(one.ci95),
                    one.verdict,
                )
                for one in self.comparisons
            ),
        )


def compare(first: Samples, second: Samples) -> RunComparison:
    """Return how *second* stands to *first*, for every arm that both have.

    Rounds of different runs are no pairs, so each run is resampled by itself and the
    intervals are wider than those between arms of one run.

    Raises:
        NotFoundError: A run has no complete round.
        UsageError: The runs have no arm in common, or one is open and one closed loop.
    """
    for samples in (first, second):
        if not samples.complete_rounds():
            raise NotFoundError(
                f"{samples.folder}: no round was finished in every arm, so nothing can be compared"
            )
    if first.plan.load_model != second.plan.load_model:
        raise UsageError(
            "one run is an open loop and the other a closed one; their latencies mean "
            "different things",
            hint="Repeat one of them with the other's load",
        )
    samplers = (
        Bootstrap(len(first.complete_rounds()), first.plan.seed),
        # Seeds must differ: equal runs of equal seeds would be resampled alike, as pairs.
        Bootstrap(len(second.complete_rounds()), second.plan.seed + 1),
    )
    before = {one.arm.name: one for one in measure(first, samplers[0])}
    after = {one.arm.name: one for one in measure(second, samplers[1])}
    common = [name for name in before if name in after]
    if not common:
        raise UsageError(
            f"the runs have no arm in common: {', '.join(before)} against {', '.join(after)}",
            hint="Name the arms alike with --arm",
        )
    metrics = [m for m in METRICS if first.plan.load_model == "closed" or m != "throughput"]
    found = []
    for name in common:
        old, new = before[name], after[name]
        if not (len(old.series.pooled) and len(new.series.pooled)):
            continue
        clean = not (old.arm.errors or new.arm.errors)
        for metric in metrics:
            ratio = samplers[0].unpaired_ratio(old.series, new.series, samplers[1], metric)
            fewest = min(sampler.rounds for sampler in samplers)
            verdict = judge(ratio, fewest) if clean else "inconclusive"
            found.append(Comparison(name, name, metric, ratio.value, ratio.ci95, verdict))
    return RunComparison(
        str(first.folder), str(second.folder), tuple(found), tuple(_differences(first, second))
    )


def _differences(first: Samples, second: Samples) -> Iterator[str]:
    plans = (first.plan.to_json(), second.plan.to_json())
    for key in _DECISIVE:
        if plans[0][key] != plans[1][key]:
            yield f"{key}: {plans[0][key]} against {plans[1][key]}"
    if first.plan.scenario != second.plan.scenario:
        yield f"scenario: {first.plan.scenario.name} against {second.plan.scenario.name}, changed"
    old, new = _environment(first), _environment(second)
    for key in ("cpu", "cpu_count", "platform", "python"):
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key)} against {new.get(key)}"
    versions = (old.get("versions"), new.get("versions"))
    if isinstance(versions[0], dict) and isinstance(versions[1], dict):
        for name in sorted({*versions[0], *versions[1]}):
            if versions[0].get(name) != versions[1].get(name):
                yield f"{name}: {versions[0].get(name)} against {versions[1].get(name)}"
    servers = (first.facts.get("server"), second.facts.get("server"))
    if servers[0] != servers[1]:
        yield "settings of the cache's server"
    for samples in (first, second):
        if samples.incomplete:
            yield f"{samples.folder} is incomplete"


def _environment(samples: Samples) -> Mapping[str, Node]:
    found = samples.facts.get("environment")
    return found if isinstance(found, dict) else {}
