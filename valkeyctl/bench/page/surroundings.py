"""What a reader needs to judge the figures: how they were made, on what, of what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from valkeyctl.bench.arm import Node
from valkeyctl.bench.page.words import count
from valkeyctl.bench.statistics.steady import TEST
from valkeyctl.units import format_duration, format_size

if TYPE_CHECKING:
    from valkeyctl.bench.report import Report

_BYTES = "_bytes"
_NAMES = {"cpu_s": "seconds of processor"}


@dataclass(frozen=True)
class ServerTable:
    """What a server said of itself before and after: rows of (field, before, after, change)."""

    title: str
    rows: tuple[tuple[str, str, str, str], ...]
    settings: str


def method(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what a reader needs to know of how the figures came about."""
    plan, traffic = report.plan, report.traffic
    if plan.trace is not None:
        span = format_duration(traffic.span or 0)
        yield (
            "Traffic",
            f"{plan.trace.name}, replayed {plan.speedup:g} times as fast as recorded: "
            f"{count(traffic.requests)} requests in {span} for each arm",
        )
    else:
        scenario = plan.scenario
        keys = f": {scenario.keys.count:,} keys, {scenario.keys.popularity}"
        yield "Traffic", scenario.about + (keys if plan.locustfile is None else "")
    if plan.load_model == "closed":
        yield "Load", f"closed loop, {plan.who}"
    elif plan.rate is not None:
        yield "Load", f"open loop, {plan.rate:g} arrivals per second ({plan.arrivals})"
    else:
        yield "Load", "open loop, at the recorded arrivals"
    yield "Origin", str(report.facts.get("origin", ""))
    if plan.speedup != 1 and "simulated" in str(report.facts.get("origin", "")):
        yield (
            "Simulated times",
            f"divided by {plan.speedup:g}: the stand-in answers that many times faster than the "
            "model it stands for, so the gateway's own time weighs more than it would",
        )
    yield (
        "Rounds",
        f"{report.rounds}, and {len(report.phases.cold)} before them of the cold start: each plays "
        "the next block of the same stream in every arm, in alternating order; an arm keeps its "
        "cache over its rounds",
    )
    yield "Seed", str(plan.seed)
    yield (
        "Samples",
        f"{report.samples:,} kept, warm-up included; latency from the intended start to the "
        "whole answer, percentiles by nearest rank",
    )
    yield (
        "Intervals",
        "95 %, by resampling whole rounds in pairs; verdict 'same' when all of it lies within "
        "5 % of no difference",
    )
    yield "Hit ratio", "(hits + collapsed + stale) / right answers"
    if report.phases.how:
        yield "Steady state", f"{report.phases.how}; the test is {TEST}"
    lateness = [arm for arm in report.arms if arm.lateness_ms is not None]
    busy = [arm for arm in report.arms if arm.sender.utilisation is not None]
    if lateness or busy:
        said = [f"{arm.name} {arm.lateness_ms:.2f} ms late at p99" for arm in lateness]
        said += [
            f"{arm.name} {(arm.sender.utilisation or 0) * 100:.0f} % of a core" for arm in busy
        ]
        yield "Load generator", ", ".join(said)


def surroundings(facts: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    """Yield the machine, the versions, the command line, and what was measured."""
    environment = facts.get("environment")
    known = environment if isinstance(environment, dict) else {}
    yield "Command", str(known.get("command", ""))
    yield "Started", str(facts.get("started", ""))
    yield "Ended", str(facts.get("ended", ""))
    memory = known.get("memory_bytes", 0)
    yield (
        "Machine",
        f"{known.get('cpu', '')}, {known.get('cpu_count', '')} CPUs, "
        f"{format_size(memory if isinstance(memory, int) else 0)}, {known.get('platform', '')}",
    )
    yield from _machine(known)
    versions = known.get("versions")
    if isinstance(versions, dict):
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield "Versions", f"Python {known.get('python', '')}, {listed}"
    for name, key in (("Target", "target"), ("Cache", "cache")):
        if facts.get(key):
            yield name, str(facts[key])
    yield from _gateways(facts.get("gateways"))
    server = facts.get("server")
    if isinstance(server, dict) and server:
        yield "Server settings", _settings(server)


def _machine(known: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    """Yield how busy the machine was, besides the run and by it."""
    governor = known.get("cpu_governor")
    if governor:
        yield "Frequency governor", str(governor)
    before, after = known.get("load_average"), known.get("load_average_after")
    if isinstance(before, list):
        text = " ".join(str(value) for value in before)
        if isinstance(after, list):
            text += " before, " + " ".join(str(value) for value in after) + " after"
        yield "Load average", text
    busy, steal = known.get("cpu_busy_share"), known.get("cpu_steal_share")
    if isinstance(busy, float):
        text = f"{busy * 100:.1f} % busy"
        if isinstance(steal, float):
            text += f", {steal * 100:.1f} % taken by the hypervisor for others"
        yield "Processors", text


def servers(facts: Mapping[str, Node]) -> Iterator[ServerTable]:
    """Yield what each cache server counted while the run lasted."""
    found = facts.get("servers")
    for one in found if isinstance(found, list) else []:
        if not isinstance(one, dict):
            continue
        before, after, delta = (_mapping(one.get(name)) for name in ("before", "after", "delta"))
        arms = one.get("arms")
        names = ", ".join(str(arm) for arm in arms) if isinstance(arms, list) else ""
        kind = "throwaway server" if one.get("throwaway") else "server"
        settings = _mapping(one.get("settings"))
        yield ServerTable(
            f"{kind} {one.get('address', '')} of {names}",
            tuple(
                (
                    _NAMES.get(name, name.removesuffix(_BYTES).replace("_", " ")),
                    _amount(name, before.get(name)),
                    _amount(name, after.get(name)),
                    _amount(name, delta.get(name)),
                )
                for name in dict.fromkeys((*before, *after))
                if name != "started_at"
            ),
            _settings(settings),
        )


def _settings(settings: Mapping[str, Node]) -> str:
    """Return a server's settings for a person: sizes in their units, and what is off as such."""
    return ", ".join(f"{name} {_setting(name, value)}" for name, value in settings.items())


def _setting(name: str, value: Node) -> str:
    text = str(value)
    if name == "maxmemory" and text.isdecimal():
        return format_size(int(text)) if int(text) else "without a limit"
    return text or "off"


def _mapping(node: Node) -> Mapping[str, Node]:
    return node if isinstance(node, dict) else {}


def _amount(name: str, value: Node) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-" if value is None else str(value)
    if name.endswith(_BYTES) and value >= 0:
        return format_size(int(value))
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _gateways(gateways: Node) -> Iterator[tuple[str, str]]:
    for gateway in gateways if isinstance(gateways, list) else []:
        if isinstance(gateway, dict):
            arms = gateway.get("arms")
            names = ", ".join(str(arm) for arm in arms) if isinstance(arms, list) else ""
            kind = str(gateway.get("application", "gateway")).capitalize()
            yield f"{kind} of {names}", str(gateway.get("options", ""))
