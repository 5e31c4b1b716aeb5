"""What happened meanwhile: a run that ended early, faults made on purpose, and evictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from valkeyctl.bench.arm import Node
from valkeyctl.bench.figures.conclusion import Sentence, figure
from valkeyctl.bench.figures.outcomes import Rows, free, latencies, outcomes
from valkeyctl.bench.samples import Samples, StageResult
from valkeyctl.units import format_duration, format_size

_FAULTS = {
    "kill": "was killed",
    "hang": "stood still",
    "partition": "could not be reached",
    "failover": "failed over",
    "restart": "was restarted",
}


def incidents(samples: Samples) -> tuple[Sentence, ...]:
    """Return what was not played or not seen, what faults did, and which servers evicted."""
    return (
        *_shortened(samples.facts),
        *_faults(samples),
        *_evictions(samples.facts),
    )


def _shortened(facts: Mapping[str, Node]) -> Iterator[Sentence]:
    if text := facts.get("shortened"):
        yield Sentence("warning", str(text))


def _faults(samples: Samples) -> Iterator[Sentence]:
    names = [arm.name for arm in samples.plan.arms]
    for one in _mappings(samples.facts.get("disturbances")):
        name, number, begin = one.get("arm"), one.get("round"), one.get("at_s")
        if name not in names or not isinstance(begin, float):
            continue
        arm = names.index(str(name))
        stage = next((s for s in samples.stages if (s.arm, s.round) == (arm, number)), None)
        if stage is None:
            continue
        undone = one.get("undone_s")
        end = undone if isinstance(undone, float) else stage.end
        fault = _FAULTS.get(str(one.get("kind")), "had a fault")
        yield Sentence("result", _felt(samples, stage, fault, begin, min(end, stage.end)))


def _felt(samples: Samples, stage: StageResult, fault: str, begin: float, end: float) -> str:
    """Return what the clients of one block felt of the fault that lasted from *begin* to *end*."""
    arm = samples.plan.arms[stage.arm]
    rows = samples.rows
    rows = rows[(rows["arm"] == stage.arm) & (rows["round"] == stage.round)]
    due = rows["intended"]
    before, meanwhile = rows[due < begin], rows[(due >= begin) & (due < end)]
    after = rows[due >= end]
    text = (
        f"The cache's server {fault} in round {stage.round + 1} of arm {arm.name}, for "
        f"{format_duration(round(end - begin, 1))}"
    )
    if not len(meanwhile):
        return f"{text}; no request was due meanwhile."
    wrong = int((meanwhile["error"] != 0).sum())
    said = "each had a right answer" if not wrong else f"{wrong:,} had no right answer"
    text += f": of {len(meanwhile):,} requests that were due meanwhile {said}"
    parts = [f"the slowest took {_slowest(meanwhile)}" + _bracketed("before", _slowest(before))]
    if not arm.bypasses and (share := _share(meanwhile)):
        parts.append(
            f"{share} came from the cache"
            + _bracketed("before", _share(before))
            + _bracketed("after", _share(after))
        )
    return f"{text}, {' and '.join(parts)}.".replace(") (", ", ")


def _slowest(rows: Rows) -> str:
    times = latencies(rows[rows["error"] == 0])
    return f"{figure(float(np.max(times)))} ms" if len(times) else ""


def _share(rows: Rows) -> str:
    right = rows[rows["error"] == 0]
    if not len(right) or not outcomes(right).told:
        return ""
    return f"{float(free(right).mean()) * 100:.0f} %"


def _bracketed(when: str, text: str) -> str:
    return f" ({when} it {text})" if text else ""


def _evictions(facts: Mapping[str, Node]) -> Iterator[Sentence]:
    for one in _mappings(facts.get("servers")):
        changes, after, arms = one.get("delta"), one.get("after"), one.get("arms")
        evicted = changes.get("evicted_keys") if isinstance(changes, dict) else None
        if not isinstance(evicted, int) or not evicted or not isinstance(arms, list):
            continue
        most = after.get("maxmemory_bytes") if isinstance(after, dict) else None
        room = f" of {format_size(most)}" if isinstance(most, int) and most else ""
        settings = one.get("settings")
        policy = settings.get("maxmemory-policy") if isinstance(settings, dict) else None
        by = f", by {policy}" if policy else ""
        names = _listed([str(arm) for arm in arms])
        yield Sentence(
            "result",
            f"The memory{room} of the server of {names} was full: it evicted {evicted:,} "
            f"entries{by}, the cold start's included.",
        )


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"arm {names[0]}"
    return f"arms {', '.join(names[:-1])} and {names[-1]}"


def _mappings(node: Node) -> Iterator[Mapping[str, Node]]:
    for one in node if isinstance(node, list) else []:
        if isinstance(one, dict):
            yield one
