"""``valkeyctl bench``: latency with and without the cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, Group
from valkeyctl.cli.output import detail, say, show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import (
    GateFailedError,
    InconclusiveError,
    InterruptedRunError,
    UsageError,
)
from valkeyctl.units import parse_duration

if TYPE_CHECKING:
    from valkeyctl.bench.gate import Gate
    from valkeyctl.bench.generator import Progress
    from valkeyctl.bench.plan import Plan
    from valkeyctl.bench.report import Report
    from valkeyctl.bench.run import Target

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def seconds(text: str | None) -> float | None:
    """Return a duration given on the command line, in seconds.

    Raises:
        UsageError: It is no duration.
    """
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


@app.callback(cls=Group, invoke_without_command=True)
def bench(
    ctx: typer.Context,
    scenario: Annotated[
        str | None, typer.Option("--scenario", metavar="NAME|FILE", help="What is asked.")
    ] = None,
    application: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="URL",
            help="Base URL of your application; the scenario's path is added.",
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="NAME=PART",
            help="What is compared: NAME=header:K:V, env:K=V or url:URL; repeat.",
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Recorded requests to replay.")
    ] = None,
    speedup: Annotated[
        float | None, typer.Option("--speedup", help="Replay so many times faster.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Open loop: arrivals per second.")
    ] = None,
    users: Annotated[
        int | None, typer.Option("--users", help="Closed loop: users who wait for answers.")
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--duration", help="Length of the run, such as 30s; a trace is played whole."),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", help="Blocks, each played in every arm.")
    ] = None,
    requests: Annotated[
        int | None, typer.Option("--requests", help="Requests of each arm, instead of --duration.")
    ] = None,
    warmup: Annotated[
        str | None, typer.Option("--warmup", help="Load that is thrown away first, such as 2s.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same requests.")] = None,
    upstream: Annotated[
        str, typer.Option("--upstream", help="Origin behind the gateway: URL or simulated.")
    ] = "simulated",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the report goes; default: our own files."),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option("--gate", metavar="EXPR", help="Fail unless it holds: 'p99_speedup>=5'."),
    ] = None,
) -> None:
    """Measure latency with and without the cache.

    Plays the same requests in two arms, block by block and in alternating order, and
    says how many times quicker each percentile is, with a 95 % interval. A gate ends
    with status 8 when the interval misses the bound, and 9 when it straddles it.
    """
    if ctx.invoked_subcommand is not None:
        return
    from valkeyctl.bench.run import Target, check_extras

    check_extras()
    from valkeyctl.bench.gate import Gate
    from valkeyctl.bench.plan import Plan, parse_arm
    from valkeyctl.gateway.settings import GatewaySettings
    from valkeyctl.ops.serverfacts import server_facts

    # An upstream that the gateway would refuse is refused before anything starts.
    GatewaySettings(upstream=upstream)
    if users is not None and (rate is not None or trace is not None):
        raise UsageError(
            "an open loop has no users", hint="Leave out --users, or --rate and --trace"
        )
    gates = [Gate.parse(text) for text in gate or ()]
    defaults = target.bench_defaults(ctx)
    traced = trace is not None
    plan = Plan.of(
        scenario=scenario or defaults.scenario,
        arms=[parse_arm(text) for text in arm or ()],
        trace=trace,
        speedup=speedup,
        rate=rate,
        users=defaults.users if users is None else users,
        duration=seconds(duration) if duration or traced else defaults.duration,
        rounds=defaults.rounds if rounds is None else rounds,
        requests=requests,
        warmup=seconds(warmup),
        seed=defaults.seed if seed is None else seed,
    )
    for one in gates:
        one.check(plan)
    cache = None if application else target.endpoint(ctx)
    goal = Target(
        cache=cache,
        url=application,
        upstream=upstream,
        server=server_facts(cache) if cache else {},
        forget=target.forgetter(cache) if cache else None,
    )
    folder = out or target.new_report(ctx, plan.scenario.name)
    with progress(ctx, "bench") as bar:
        found = measure(plan, goal, folder, partial(follow, bar))
    # A run that fails raises; one that ends early with a report was stopped.
    conclude(ctx, found, gates, interrupted=bool(found.incomplete))


def follow(bar: Callable[[float, str], None], step: Progress) -> None:
    """Show one step of a run on a progress bar."""
    share = step.done / step.total if step.total else 0.0
    failed = f", {step.failed} failed" if step.failed else ""
    where = f"{step.arm} {step.round}/{step.rounds}" if step.round else step.phase
    bar(share, f"{where}, {step.done:,} answers{failed}")


def measure(plan: Plan, goal: Target, folder: Path, progress: Callable[[Progress], None]) -> Report:
    """Run *plan* and write its report into *folder*."""
    from valkeyctl.bench.report import report
    from valkeyctl.bench.run import run

    found = report(run(plan, goal, out=folder, progress=progress))
    found.write()
    return found


def conclude(
    ctx: typer.Context, found: Report, gates: list[Gate], *, interrupted: bool = False
) -> None:
    """Print a report, then end with the gates' status, or that of an interruption."""
    from valkeyctl.cli.verdicts import print_report

    verdicts = [gate.judge(found) for gate in gates]
    outcomes = {verdict.outcome for verdict in verdicts}
    good = not found.incomplete and outcomes <= {"passed"}
    data = {**found.to_json(), "gates": verdicts}
    # The result is printed whatever the gates say: one envelope, and the status beside it.
    show(ctx, data, human=partial(print_report, found=found), status="ok" if good else "fail")
    for verdict in verdicts:
        say(ctx, f"gate {verdict.text}")
    if found.incomplete:
        say(ctx, f"incomplete: {found.incomplete}")
    if interrupted:
        raise typer.Exit(InterruptedRunError.exit_code)
    if "failed" in outcomes:
        raise typer.Exit(GateFailedError.exit_code)
    if "inconclusive" in outcomes:
        raise typer.Exit(InconclusiveError.exit_code)


@app.command(cls=Command)
def report(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a finished run.")],
    gate: Annotated[
        list[str] | None, typer.Option("--gate", metavar="EXPR", help="Judge it again.")
    ] = None,
) -> None:
    """Render the report of a finished run again."""
    from valkeyctl.bench.gate import Gate
    from valkeyctl.bench.report import report as render
    from valkeyctl.bench.samples import load_samples

    gates = [Gate.parse(text) for text in gate or ()]
    detail(ctx, f"reading {folder}")
    found = render(load_samples(folder))
    found.write()
    conclude(ctx, found, gates)


@app.command(cls=Command)
def compare(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(metavar="A", help="Folder of a finished run.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Folder of another.")],
) -> None:
    """Compare two finished runs.

    They are no pairs, so this is weaker than two arms of one run.
    """
    from valkeyctl.bench.compare import compare as weigh
    from valkeyctl.bench.samples import load_samples
    from valkeyctl.cli.verdicts import print_comparison

    found = weigh(load_samples(first), load_samples(second))

    show(ctx, found.to_json(), human=partial(print_comparison, found=found))
