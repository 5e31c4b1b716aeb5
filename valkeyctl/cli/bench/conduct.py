"""One load run from the command line: plan, run, conclude."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.bench.goal import goal
from valkeyctl.cli.bench.outcome import Papers, conclude, reporting, write_text
from valkeyctl.cli.bench.wishes import Wishes
from valkeyctl.cli.output import say
from valkeyctl.cli.progress import Report as Bar
from valkeyctl.cli.progress import progress
from valkeyctl.errors import FolderError, InterruptedRunError, ValkeyctlError
from valkeyctl.units import format_size, several

if TYPE_CHECKING:
    from valkeyctl.bench.gate import Gate
    from valkeyctl.bench.load.generator import Progress
    from valkeyctl.bench.plan import Plan
    from valkeyctl.bench.report import Report
    from valkeyctl.bench.run import Target

_LARGE = 4 * 2**20  # bytes of a trace that take a second to read


def conduct(ctx: typer.Context, wishes: Wishes) -> None:
    """Play what was asked for, print and write what it shows, and exit with its status."""
    from valkeyctl.bench.run import check_extras

    check_extras()
    from valkeyctl.bench.gate import Gate
    from valkeyctl.bench.runfile import RUN_FILE
    from valkeyctl.gateway.settings import GatewaySettings

    # An upstream that the gateway would refuse is refused before anything starts.
    GatewaySettings(upstream=wishes.upstream)
    gates = [Gate.parse(text) for text in wishes.gates]
    papers = Papers(wishes.junit, wishes.markdown, wishes.csv)
    papers.check(ctx, out=wishes.out)
    plan = wishes.plan(target.bench_defaults(ctx))
    for gate in gates:
        gate.check(plan)
    _check_locustfile(ctx, plan)
    _check_trace(ctx, plan)
    where = replace(
        goal(
            ctx,
            plan,
            url=wishes.application,
            upstream=wishes.upstream,
            yes=wishes.yes,
            dry_run=wishes.dry_run,
        ),
        master=wishes.master_address(),
        token=token_urlsafe(24) if wishes.master else "",
    )
    folder = wishes.out or target.new_report(ctx, plan.scenario.name)
    if wishes.dry_run:
        from valkeyctl.cli.bench.preview import preview

        preview(ctx, plan, where, folder, gates)
        return
    with _written_down(ctx, papers, gates):
        _check_counters(gates, plan, where)
        # Some seconds pass before the load begins and a bar shows anything.
        say(ctx, f"bench: {_outline(plan)}")
        earlier = ", in place of the run that is there" if (folder / RUN_FILE).exists() else ""
        say(ctx, f"into   {folder}{earlier}")
        _invite(plan, where)
        with progress(ctx, "bench") as bar, _kept(ctx, folder):
            found = measure(plan, where, folder, partial(follow, bar))
    # A run that fails raises; one that ends early with a report was stopped.
    conclude(ctx, found, gates, papers, interrupted=bool(found.incomplete))


def _check_locustfile(ctx: typer.Context, plan: Plan) -> None:
    """Say what a run cannot do with the user's locustfile.

    Raises:
        UsageError: It cannot be used at all.
    """
    if plan.locustfile is None:
        return
    from valkeyctl.bench.load.checking import inspect

    for sentence in inspect(plan.locustfile).limits():
        say(ctx, f"note: {sentence}")


def _invite(plan: Plan, where: Target) -> None:
    """Say how workers elsewhere join; also with --quiet, as nobody could without it."""
    if where.master is None:
        return
    host, port = where.master
    sys.stderr.write(
        f"workers: {plan.remote_workers} to join with\n"
        f"  valkeyctl bench worker --master-host {host} --master-port {port}\n"
        f"token (of this run alone): {where.token}\n"
    )
    sys.stderr.flush()


def _check_trace(ctx: typer.Context, plan: Plan) -> None:
    """Say that a trace is read, where that takes so long that one would wonder.

    Raises:
        FolderError: It is not there; said before any server is asked.
    """
    try:
        size = plan.trace.stat().st_size if plan.trace is not None else 0
    except OSError as error:
        raise FolderError(
            f"{plan.trace}: cannot be read: {error.strerror or error}",
            hint="Check the path of the trace",
        ) from error
    if size >= _LARGE:
        say(ctx, f"reading {format_size(size)} of {plan.trace}")


def _outline(plan: Plan) -> str:
    """Return what is played, in a few words."""
    others = [arm.name for arm in plan.arms if arm.name != plan.baseline]
    against = f" against {plan.baseline}" if others else ""
    arms = f"{'arms' if len(others) > 1 else 'arm'} {', '.join(others) or plan.baseline}{against}"
    # A slow target gets fewer, and longer ones.
    most = "up to " if plan.fewer_rounds else ""
    return f"{plan.scenario.name}, {most}{several(plan.rounds, 'round')}, {arms}"


def follow(bar: Bar, step: Progress) -> None:
    """Show one step of a run on a progress bar."""
    failed = f", {step.failed:,} failed" if step.failed else ""
    if not step.total or not step.round:
        # Nobody knows yet how many answers there will be.
        bar(None, f"{step.phase} {step.arm}".rstrip() + failed)
        return
    where = f"{step.arm} {step.round}/{step.rounds}"
    bar(min(1.0, step.done / step.total), f"{where}, {step.done:,} answers{failed}")


def measure(
    plan: Plan, where: Target, folder: Path, progress: Callable[[Progress], None]
) -> Report:
    """Run *plan* and write its report into *folder*.

    Raises:
        InterruptedRunError: Stopped before anything was measured, or while the report of
            what was measured was made.
        ValkeyctlError: As `bench.run.run` and `bench.report.report` say.
    """
    from valkeyctl.bench.report import report
    from valkeyctl.bench.run import run

    samples = run(plan, where, out=folder, progress=progress)
    with reporting(folder):
        found = report(samples)
        found.write()
    return found


def _check_counters(gates: Sequence[Gate], plan: Plan, where: Target) -> None:
    """Prove that each application counts what a gate is about.

    Raises:
        UsageError: One answers, and does not.
    """
    from valkeyctl.bench.services.counters import check_counters

    for gate in gates:
        if gate.counts_origin_calls:
            check_counters(gate.expression, plan, where)


@contextmanager
def _written_down(ctx: typer.Context, papers: Papers, gates: Sequence[Gate]) -> Iterator[None]:
    """Write the JUnit file of a run that ends without a report, and let it end."""
    from valkeyctl.cli.bench.junit import RUN_SUITE, failed_junit

    begin = time.monotonic()
    try:
        yield
    except (ValkeyctlError, KeyboardInterrupt) as error:
        failure = (
            InterruptedRunError("interrupted") if isinstance(error, KeyboardInterrupt) else error
        )
        if papers.junit is not None:
            passed = time.monotonic() - begin
            try:
                # Where it lies in --out, the run may have failed before it made that.
                papers.junit.absolute().parent.mkdir(parents=True, exist_ok=True)
                write_text(papers.junit, failed_junit(RUN_SUITE, gates, failure, passed))
            except (FolderError, OSError) as unwritten:
                say(ctx, str(unwritten))  # what ended the run matters more
        raise


@contextmanager
def _kept(ctx: typer.Context, folder: Path) -> Iterator[None]:
    """Say where the samples of a run are that failed after it had measured some."""
    from valkeyctl.bench.load.record import STAGES_FILE

    try:
        yield
    except ValkeyctlError as error:
        stages = folder / STAGES_FILE
        if not isinstance(error, InterruptedRunError) and stages.exists() and stages.stat().st_size:
            say(ctx, f"what was measured until then: valkeyctl bench report {folder}")
        raise
