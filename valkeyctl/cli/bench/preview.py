"""``bench --dry-run``: what a run would do; nothing is started and nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli.output import show
from valkeyctl.units import format_duration

if TYPE_CHECKING:
    from valkeyctl.bench.arm import Node
    from valkeyctl.bench.gate import Gate
    from valkeyctl.bench.plan import Plan
    from valkeyctl.bench.run import Target
    from valkeyctl.bench.traffic.stream import Traffic
    from valkeyctl.cli.console import Console

_NAME = 11
_STARTED = {"gateway": "a gateway", "sample": "a sample application"}


def preview(
    ctx: typer.Context, plan: Plan, goal: Target, folder: Path, gates: Sequence[Gate]
) -> None:
    """Print what a run of *plan* would do.

    Raises:
        UsageError: The trace, or an arm, cannot be used; as the run itself would say.
        FolderError: The trace cannot be read.
    """
    from valkeyctl.bench.arm import mask_url
    from valkeyctl.bench.services.applications import assign
    from valkeyctl.bench.traffic.stream import survey

    traffic = survey(plan)
    starts = [
        {
            "what": one.kind,
            "arms": [plan.arms[index].name for index in one.arms],
            "cache": one.cache,
        }
        for one in assign(plan, goal, "dry-run")
    ]
    length = seconds_of(plan, traffic)
    data = {
        "plan": plan.to_json(),
        "traffic": traffic,
        "starts": starts,
        "cache": None if goal.cache is None or not starts else str(goal.cache),
        "target": None if goal.url is None else mask_url(goal.url),
        "origin": goal.origin(plan),
        "seconds": length,
        "out": str(folder),
        "gates": [gate.expression for gate in gates],
    }
    show(ctx, data, human=partial(_print, rows=list(_rows(plan, goal, data, length))))


def seconds_of(plan: Plan, traffic: Traffic) -> float | None:
    """Return how long the rounds and the warm-up take together; None where nobody can know."""
    if traffic.span is not None:
        return traffic.span * len(plan.arms) + plan.warmup
    if plan.requests is None:
        return plan.duration + plan.warmup
    if plan.rate is not None:
        return plan.requests / plan.rate * len(plan.arms) + plan.warmup
    return None


def _rows(
    plan: Plan, goal: Target, data: dict[str, object], length: float | None
) -> Iterator[tuple[str, str]]:
    scenario = plan.scenario
    yield "scenario", f"{scenario.name}: {scenario.about}" if scenario.about else scenario.name
    if plan.trace is not None:
        yield "trace", f"{plan.trace}, {plan.speedup:g} times as fast as recorded"
    if plan.locustfile is not None:
        yield "locustfile", str(plan.locustfile)
    yield "load", _load(plan)
    for arm in plan.arms:
        note = ", the baseline" if arm.name == plan.baseline else ""
        yield "arm", f"{arm.name}{note}{_parts(arm.to_json())}"
    yield "rounds", f"{plan.rounds}, each played in every arm"
    yield "length", "not known beforehand" if length is None else f"about {_about(length)}"
    starts = data["starts"]
    for one in starts if isinstance(starts, list) else []:
        server = ", on a server of its own" if one["cache"] == "throwaway" else ""
        yield "starts", f"{_STARTED[one['what']]} for {', '.join(one['arms'])}{server}"
    if data["cache"]:
        yield "cache", str(data["cache"])
    if data["target"]:
        yield "target", str(data["target"])
    if plan.remote_workers:
        yield "workers", f"{plan.workers} here, {plan.remote_workers} from elsewhere"
    elif plan.workers > 1:
        yield "workers", f"{plan.workers}, on this machine"
    if plan.scenario.during is not None:
        yield "fault", f"{plan.scenario.during.kind}, on purpose, in the middle round of each arm"
    yield "origin", goal.origin(plan)
    gates = data["gates"]
    for gate in gates if isinstance(gates, list) else []:
        yield "gate", str(gate)
    yield "report", str(data["out"])


def _load(plan: Plan) -> str:
    if plan.load_model == "closed":
        return f"closed loop, {plan.who}"
    if plan.rate is not None:
        return f"open loop, {plan.rate:g} arrivals per second ({plan.arrivals})"
    return "open loop, at the recorded arrivals"


def _about(length: float) -> str:
    return format_duration(float(round(length)) if length >= 10 else round(length, 1))


def _parts(arm: Mapping[str, Node]) -> str:  # as `Arm.to_json` masks it
    parts = [f"url {arm['url']}"] if arm["url"] else []
    for kind, name in (("headers", "header"), ("env", "variable"), ("server", "server")):
        pairs = arm[kind]
        listed = pairs if isinstance(pairs, list) else []
        parts += [f"{name} {pair[0]}={pair[1]}" for pair in listed if isinstance(pair, list)]
    return f": {', '.join(parts)}" if parts else ""


def _print(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    for name, text in rows:
        console.print(
            fill(
                text,
                console.width,
                initial_indent=f"{name:<{_NAME}}",
                subsequent_indent=" " * _NAME,
                break_on_hyphens=False,
            )
        )
    console.print("nothing was started, and nothing was sent")
