"""The report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from valkeyctl.bench import plots
from valkeyctl.bench.arms import ArmFigures
from valkeyctl.bench.conclusion import METRIC_NAMES, figure
from valkeyctl.bench.report import Report, count, interval_words
from valkeyctl.bench.scenario import Node
from valkeyctl.units import format_duration, format_size


def render(report: Report) -> str:
    """Return the page; every value from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("valkeyctl.bench"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=figure, count=count, interval=interval_words)
    page = environment.get_template("report.html.j2")
    return page.render(
        report=report,
        plan=report.plan,
        arms=report.arms,
        metrics=METRIC_NAMES,
        several=len({one.candidate for one in report.comparisons}) > 1,
        plots=_plots(report),
        method=tuple(_method(report)),
        surroundings=tuple(_surroundings(report)),
    )


def _plots(report: Report) -> dict[str, Markup]:
    latencies = [plots.Line(arm.name, arm.curve) for arm in report.arms]
    medians = [
        plots.Line(
            arm.name,
            [(n, value) for n, value in enumerate(arm.medians_ms, start=1) if value is not None],
        )
        for arm in report.arms
    ]
    names = [arm.name for arm in report.arms]
    several = len(report.arms) > 2
    whiskers = [
        plots.Whisker(
            f"{one.candidate}: {one.metric}" if several else METRIC_NAMES[one.metric],
            one.ratio,
            one.ci95,
            names.index(one.candidate),
        )
        for one in report.comparisons
    ]
    drawn = {
        "latency": plots.latency_by_share(latencies, "latency"),
        "outcomes": plots.outcomes([_bar(arm) for arm in report.arms], "outcomes"),
        "medians": plots.medians_by_round(medians, "medians"),
    }
    if whiskers:
        drawn["intervals"] = plots.intervals(whiskers, "intervals")
    # Our own SVG, in which every name is escaped already.
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704


def _bar(arm: ArmFigures) -> plots.Bar:
    known = (arm.hits or 0) + (arm.misses or 0) + (arm.collapsed or 0) + (arm.bypassed or 0)
    return plots.Bar(
        arm.name,
        (
            ("hit", "hits", arm.hits or 0),
            ("collapsed", "collapsed", arm.collapsed or 0),
            ("miss", "misses", arm.misses or 0),
            ("bypass", "past the cache", arm.bypassed or 0),
            ("unknown", "unknown", arm.requests - arm.errors - known),
            ("fault", "errors", arm.errors),
        ),
    )


def _method(report: Report) -> Iterator[tuple[str, str]]:
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
        yield (
            "Traffic",
            f"{scenario.about}: {scenario.prompts:,} prompts, exponent {scenario.exponent:g}",
        )
    if plan.load_model == "closed":
        yield "Load", f"closed loop, {plan.users} users"
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
        f"{report.rounds} of {plan.rounds}: each plays the next block of the same stream in "
        "every arm, in alternating order; an arm keeps its cache over its rounds",
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
    yield "Hit ratio", "(hits + collapsed) / right answers"


def _surroundings(report: Report) -> Iterator[tuple[str, str]]:
    facts = report.facts
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
        yield "Server settings", ", ".join(f"{name} {value}" for name, value in server.items())


def _gateways(gateways: Node) -> Iterator[tuple[str, str]]:
    for gateway in gateways if isinstance(gateways, list) else []:
        if isinstance(gateway, dict):
            arms = gateway.get("arms")
            names = ", ".join(str(arm) for arm in arms) if isinstance(arms, list) else ""
            yield f"Gateway of {names}", str(gateway.get("options", ""))
