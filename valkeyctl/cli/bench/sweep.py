"""``valkeyctl bench sweep``: the same load at several values of one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.bench import options as option
from valkeyctl.cli.bench.conduct import measure
from valkeyctl.cli.bench.goal import goal
from valkeyctl.cli.bench.options import seconds
from valkeyctl.cli.bench.outcome import FOUND_SOMETHING
from valkeyctl.cli.bench.wishes import Wishes
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.grid import print_grid
from valkeyctl.cli.options import options
from valkeyctl.cli.output import say, show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import InconclusiveError, InterruptedRunError, UsageError
from valkeyctl.units import format_duration, several

if TYPE_CHECKING:
    from valkeyctl.bench.load.generator import Progress
    from valkeyctl.bench.plan import Plan
    from valkeyctl.bench.report import Report
    from valkeyctl.bench.sweep.bends import Bend
    from valkeyctl.bench.sweep.field import Step
    from valkeyctl.bench.sweep.sweep import Sweep
    from valkeyctl.cli.console import Console

app = new_app()
_WORDS = 80
_LENGTH = "40s"
_SHORT_ROUNDS = 5
# Of a TTL: enough to see the cold start end, and long beside the pauses between them.
_LONGER_ROUNDS = 10
_FEW_VALUES = 4
# Of the throwaway server that serves a sweep of anything but memory.
_SERVER = (("maxmemory", "256mb"), ("maxmemory-policy", "allkeys-lru"))


class Field(StrEnum):
    """What is changed from step to step."""

    MEMORY = "memory"
    TTL = "ttl"
    SIZE = "size"
    RATE = "rate"
    USERS = "users"


@app.command(cls=Command)
def sweep(
    ctx: typer.Context,
    field: Annotated[
        Field, typer.Argument(metavar="FIELD", help="memory, ttl, size, rate or users.")
    ],
    values: Annotated[
        list[str],
        typer.Argument(metavar="VALUE...", help="At least two, ascending: 8Mi 16Mi 32Mi."),
    ],
    scenario: option.Scenario = None,
    application: option.Application = None,
    upstream: option.Upstream = "simulated",
    seed: option.Seed = None,
    arm: option.ArmOption = None,
    users: option.Users = None,
    rate: option.Rate = None,
    duration: Annotated[
        str,
        typer.Option("--duration", metavar="TIME", help="Of all the load of the sweep together."),
    ] = _LENGTH,
    rounds: option.Rounds = None,
    passes: Annotated[
        int | None,
        typer.Option("--passes", help="Runs of each value; default: 2 up to four values, else 1."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="Which of the scenario's sizes a sweep of size sets.")
    ] = "",
    p99: Annotated[
        str | None,
        typer.Option("--p99", metavar="TIME", help="What p99 may be at the highest good rate."),
    ] = None,
    gain: Annotated[
        float | None,
        typer.Option("--gain", help="Points of hit ratio that a doubling must gain; default: 1."),
    ] = None,
    out: option.Out = None,
    dry_run: option.DryRun = False,
) -> None:
    """Measure at several values of one thing, and find where it bends.

    Values of memory are arms of one run, each on a server of its own; all else takes short
    runs, upwards and downwards. Servers are thrown away afterwards, unless you name one.
    """
    from valkeyctl.bench.run import check_extras

    check_extras()
    from valkeyctl.bench.sweep.bends import bends
    from valkeyctl.bench.sweep.field import parse_values, steps
    from valkeyctl.bench.sweep.sweep import sweep as play_all
    from valkeyctl.bench.sweep.sweepreport import write
    from valkeyctl.gateway.settings import GatewaySettings

    GatewaySettings(upstream=upstream)
    wanted = parse_values(field.value, values)
    _check(field, arm, users, rate, passes, gain, p99, name)
    wishes = Wishes(
        scenario=scenario or _usual_scenario(field),
        application=application,
        seed=seed,
        arms=tuple(arm or ()),
        users=users,
        rate=rate,
        duration=duration,
        rounds=_rounds(field, rounds),
    )
    plan = _served(ctx, wishes.plan(target.bench_defaults(ctx)), application)
    if field is Field.USERS:
        plan = replace(plan, rate=None)
    if field is Field.TTL and not arm:
        # Past the cache there is no TTL, and entries would age while that arm plays.
        plan = replace(plan, arms=tuple(one for one in plan.arms if not one.bypasses))
    planned = steps(
        *(field.value, wanted, plan),
        url=application,
        passes=_passes(len(wanted)) if passes is None else passes,
        placeholder=name,
    )
    limit = seconds(p99, "--p99")
    at = goal(ctx, planned[0].plan, url=application, upstream=upstream, dry_run=dry_run)
    folder = (out or target.new_report(ctx, f"sweep-{field.value}")).absolute()
    if dry_run:
        _preview(ctx, field, planned, folder)
        return

    def play(step: Step, into: Path, follow: Callable[[Progress], None]) -> Report:
        return measure(step.plan, replace(at, ttl=step.ttl), into, follow)

    say(ctx, f"sweep: {_outline(field, planned)}")
    say(ctx, f"into   {folder}")
    with progress(ctx, "sweep") as bar:
        found = play_all(field.value, wanted, planned, play, folder=folder, progress=bar)
    knees = bends(found, p99=None if limit is None else 1000 * limit, gain=(gain or 1.0) / 100)
    write(found, knees)
    _conclude(ctx, found, knees)


def _outline(field: Field, planned: Sequence[Step]) -> str:
    """Return what is played, and how long it takes, in a few words."""
    from valkeyctl.bench.sweep import pace

    plan = planned[0].plan
    texts = dict.fromkeys(one.text for step in planned for one in step.values.values())
    length = format_duration(float(round(pace.seconds(planned))))
    arms = "" if field is Field.MEMORY else f", arms {', '.join(arm.name for arm in plan.arms)}"
    return (
        f"{plan.scenario.name}, {field.value} {', '.join(texts)}{arms}; "
        f"{several(len(planned), 'run')}, about {length}"
    )


def _preview(ctx: typer.Context, field: Field, planned: Sequence[Step], folder: Path) -> None:
    """Print what a sweep would do."""
    from valkeyctl.bench.sweep import pace

    data = {
        "field": field.value,
        "scenario": planned[0].plan.scenario.name,
        "seconds": pace.seconds(planned),
        "runs": [
            {
                "name": step.name,
                "values": [one.number for one in step.values.values()],
                "arms": [arm.name for arm in step.plan.arms],
                "seconds": pace.load_seconds(step.plan),
            }
            for step in planned
        ],
        "out": str(folder),
    }

    def human(console: Console) -> None:
        width = min(console.width, _WORDS)
        console.print(fill(_outline(field, planned), width, subsequent_indent="  "))
        for step in planned:
            console.print(f"run     {step.name}, {pace.load_seconds(step.plan):.1f} s of load")
        console.print(f"report  {folder}")
        console.print("nothing was started, and nothing was sent")

    show(ctx, data, human=human)


def _rounds(field: Field, said: int | None) -> int | None:
    """Return the rounds of a run: of a short one as few as intervals can rest on."""
    if said is not None or field is Field.MEMORY:
        return said
    return _LONGER_ROUNDS if field is Field.TTL else _SHORT_ROUNDS


def _passes(values: int) -> int:
    """Return how often each value is played: starts of many runs would outlast their load."""
    return 2 if values <= _FEW_VALUES else 1


def _usual_scenario(field: Field) -> str:
    return "eviction" if field is Field.MEMORY else "api"


def _served(ctx: typer.Context, plan: Plan, application: str | None) -> Plan:
    """Return *plan* with a throwaway server, unless the user named a server or an application."""
    named = target.given_url(ctx) or options(ctx).profile or application
    if named or plan.scenario.server:
        return plan
    return replace(plan, scenario=replace(plan.scenario, server=_SERVER))


def _check(
    field: Field,
    arm: list[str] | None,
    users: int | None,
    rate: float | None,
    passes: int | None,
    gain: float | None,
    p99: str | None,
    name: str,
) -> None:
    """Prove that the options can be meant together.

    Raises:
        UsageError: They cannot.
    """
    if users is not None and rate is not None:
        raise UsageError("an open loop has no users", hint="Leave out --users or --rate")
    for swept, given, theirs in (
        (Field.USERS, users is not None or rate is not None, "--users and --rate"),
        (Field.RATE, users is not None or rate is not None, "--users and --rate"),
        (Field.MEMORY, bool(arm), "--arm"),
    ):
        if field is swept and given:
            raise UsageError(
                f"a sweep of {field.value} sets that itself", hint=f"Leave out {theirs}"
            )
    for fields, given, theirs, of in (
        ({Field.RATE}, p99 is not None, "--p99", "rates"),
        ({Field.SIZE}, bool(name), "--name", "sizes"),
        ({Field.MEMORY, Field.TTL}, gain is not None, "--gain", "memory or TTLs"),
        (set(Field) - {Field.MEMORY}, passes is not None, "--passes", "anything but memory"),
    ):
        if given and field not in fields:
            raise UsageError(f"{theirs} is of a sweep of {of}", hint="Leave it out")
    if passes is not None and not 1 <= passes <= 10:
        raise UsageError(f"passes is {passes}", hint="Give 1 to 10")
    if gain is not None and not 0 < gain < 100:
        raise UsageError(f"gain is {gain}", hint="Give points above 0 and below 100")


def _conclude(ctx: typer.Context, found: Sweep, knees: list[Bend]) -> None:
    """Print what was found, and end with its status."""
    from valkeyctl.bench.sweep.sweepreport import document

    status = _status(found)
    show(
        ctx,
        document(found, knees),
        human=partial(_print, found=found, knees=knees),
        status="fail" if status else "ok",
    )
    for failure in found.failures:
        say(ctx, f"failed: {failure.run}; see {found.folder / failure.run}")
    if found.incomplete:
        say(ctx, f"incomplete: {found.incomplete}")
    if status:
        raise typer.Exit(status)


def _status(found: Sweep) -> int:
    """Return what a sweep ends with: of an interruption, a failure, a refusal, or errors."""
    if found.interrupted:
        return InterruptedRunError.exit_code
    if found.failures:
        return found.failures[0].exit_code
    if found.refused:
        return InconclusiveError.exit_code
    return FOUND_SOMETHING if found.wrong else 0


def _print(console: Console, *, found: Sweep, knees: list[Bend]) -> None:
    from valkeyctl.bench.sweep.sweepreport import HTML_FILE, head, rows
    from valkeyctl.bench.sweep.sweepwords import conclusion

    width = min(console.width, _WORDS)
    for sentence in conclusion(found, knees):
        console.print(_folded(sentence.text, width))
    console.print()
    print_grid(console, head(found), rows(found, knees))
    console.print()
    console.print(f"report  {found.folder / HTML_FILE}")


def _folded(text: str, width: int) -> str:
    # Not at hyphens: an option would become two words.
    return fill(text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
