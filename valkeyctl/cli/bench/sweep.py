"""``valkeyctl bench sweep``: the same load at several values of one thing."""

from __future__ import annotations

from collections.abc import Callable
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
from valkeyctl.cli.bench.wishes import Wishes
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.grid import print_grid
from valkeyctl.cli.options import options
from valkeyctl.cli.output import say, show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from valkeyctl.bench.load.generator import Progress
    from valkeyctl.bench.plan import Plan
    from valkeyctl.bench.report import Report
    from valkeyctl.bench.sweep.field import Step
    from valkeyctl.bench.sweep.sweep import Sweep
    from valkeyctl.bench.sweep.sweepreport import Bend
    from valkeyctl.cli.console import Console

app = new_app()
_WORDS = 80
_LENGTH = "40s"
_SHORT_ROUNDS = 5
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
        int, typer.Option("--passes", help="Runs of each value; memory takes one for all.")
    ] = 2,
    name: Annotated[
        str, typer.Option("--name", help="Which of the scenario's sizes a sweep of size sets.")
    ] = "",
    p99: Annotated[
        str | None,
        typer.Option("--p99", metavar="TIME", help="What p99 may be at the highest good rate."),
    ] = None,
    gain: Annotated[
        float,
        typer.Option("--gain", help="Points of hit ratio that a doubling must gain."),
    ] = 1.0,
    out: option.Out = None,
) -> None:
    """Measure at several values of one thing, and find where it bends.

    memory and ttl are arms of one run, each on a server of its own; size, rate and users
    take short runs, upwards and downwards. Servers are thrown away afterwards, unless you
    name one.
    """
    from valkeyctl.bench.run import check_extras

    check_extras()
    from valkeyctl.bench.sweep.field import parse_values, steps
    from valkeyctl.bench.sweep.sweep import sweep as play_all
    from valkeyctl.bench.sweep.sweepreport import bends, write
    from valkeyctl.gateway.settings import GatewaySettings

    GatewaySettings(upstream=upstream)
    wanted = parse_values(field.value, values)
    _check(field, arm, users, rate, passes, gain, p99)
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
    planned = steps(field.value, wanted, plan, url=application, passes=passes, placeholder=name)
    at = goal(ctx, planned[0].plan, url=application, upstream=upstream)

    def play(step: Step, into: Path, follow: Callable[[Progress], None]) -> Report:
        return measure(step.plan, replace(at, ttl=step.ttl), into, follow)

    folder = (out or target.new_report(ctx, f"sweep-{field.value}")).absolute()
    with progress(ctx, "sweep") as bar:
        found = play_all(field.value, wanted, planned, play, folder=folder, progress=bar)
    limit = seconds(p99, "--p99")
    knees = bends(found, p99=None if limit is None else 1000 * limit, gain=gain / 100)
    write(found, knees)
    _conclude(ctx, found, knees)


def _rounds(field: Field, said: int | None) -> int | None:
    """Return the rounds of a run: of a short one as few as intervals can rest on."""
    if said is not None or field in {Field.MEMORY, Field.TTL}:
        return said
    return _SHORT_ROUNDS


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
    passes: int,
    gain: float,
    p99: str | None,
) -> None:
    """Prove that the options can be meant together.

    Raises:
        UsageError: They cannot.
    """
    if users is not None and rate is not None:
        raise UsageError("an open loop has no users", hint="Leave out --users or --rate")
    for swept, given, name in (
        (Field.USERS, users is not None or rate is not None, "--users and --rate"),
        (Field.RATE, users is not None or rate is not None, "--users and --rate"),
        (Field.MEMORY, bool(arm), "--arm"),
    ):
        if field is swept and given:
            raise UsageError(f"a sweep of {field.value} sets that itself", hint=f"Leave out {name}")
    if p99 is not None and field is not Field.RATE:
        raise UsageError("--p99 is of a sweep of rates", hint="Leave it out")
    if not 1 <= passes <= 10:
        raise UsageError(f"passes is {passes}", hint="Give 1 to 10")
    if not 0 < gain < 100:
        raise UsageError(f"gain is {gain}", hint="Give points above 0 and below 100")


def _conclude(ctx: typer.Context, found: Sweep, knees: list[Bend]) -> None:
    from valkeyctl.bench.sweep.sweepreport import document

    wrong = any(one.errors for one in found.cells)
    show(
        ctx,
        document(found, knees),
        human=partial(_print, found=found, knees=knees),
        status="fail" if found.incomplete or wrong else "ok",
    )
    if found.incomplete:
        say(ctx, f"incomplete: {found.incomplete}")
    if found.interrupted:
        raise typer.Exit(InterruptedRunError.exit_code)
    if found.incomplete or wrong:
        raise typer.Exit(1)


def _print(console: Console, *, found: Sweep, knees: list[Bend]) -> None:
    from valkeyctl.bench.sweep.sweepreport import HTML_FILE, conclusion, head, rows

    width = min(console.width, _WORDS)
    for sentence in conclusion(found, knees):
        console.print(fill(sentence.text, width, initial_indent="  ", subsequent_indent="  "))
    console.print()
    print_grid(console, head(found), rows(found, knees))
    console.print()
    console.print(f"report  {found.folder / HTML_FILE}")
