"""What all drills do alike on the command line: plan, ask, run, print, exit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.confirm import confirm
from valkeyctl.cli.drill.layout import print_plan, print_report
from valkeyctl.cli.drill.options import seconds
from valkeyctl.cli.output import library_logs, say, show, stderr_console
from valkeyctl.errors import GateFailedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valkeyctl.ops.drill import Drill, DrillPlan, DrillReport


@dataclass(frozen=True)
class Wishes:
    """What the user asked of a drill.

    Attributes:
        node: Unit to hit; empty for a primary.
        hold: How long the fault lasts; None for the usual.
        timeout: When to give up.
        rate: Calls a second of each probe.
        confirm: Replicas that confirm a write.
        gates: Bounds that the report must keep.
        dry_run: Whether to say only what would be done.
        yes: Whether it was agreed to beforehand.
    """

    node: str
    hold: str | None
    timeout: str
    rate: float
    confirm: int
    gates: Sequence[str]
    dry_run: bool
    yes: bool


def conduct(ctx: typer.Context, drill: Drill, wishes: Wishes) -> None:
    """Plan *drill*, ask, run it, print what clients felt, and exit with its status."""
    from valkeyctl.ops.drill import LoadPlan, plan_drill, run_drill, take_aim
    from valkeyctl.ops.drill.gate import Gate

    library_logs(ctx)
    gates = [Gate.parse(text) for text in wishes.gates]
    for gate in gates:
        gate.check(confirms=wishes.confirm > 0)
    hold = None if wishes.hold is None else seconds("--for", wishes.hold)
    profile, state = target.deployment(ctx), target.state(ctx)
    aim = take_aim(drill, profile, state, node=wishes.node)
    plan = plan_drill(
        drill,
        aim,
        hold=hold,
        timeout=seconds("--timeout", wishes.timeout),
        load=LoadPlan(rate=wishes.rate, confirm=wishes.confirm),
    )
    if wishes.dry_run:
        show(ctx, plan, human=partial(print_plan, plan=plan), names=[plan.node])
        return
    _require_yes(plan, yes=wishes.yes)
    report = run_drill(plan, aim, state, profile, progress=partial(say, ctx))
    show(
        ctx,
        report,
        human=partial(print_report, report=report),
        status=report.status,
        names=[report.node],
    )
    if broken := [text for gate in gates if (text := gate.broken(report))]:
        say(ctx, "; ".join(broken))
    raise typer.Exit(_status(report, broken=bool(broken)))


def _require_yes(plan: DrillPlan, *, yes: bool) -> None:
    """Return when the drill is agreed to.

    Raises:
        RefusedError: It is not; or nobody can be asked; or it is about production, where
            an answer given in haste is not enough.
    """
    if yes:
        return
    if plan.production:
        raise RefusedError(
            f"{plan.name} is labelled as production: drill {plan.drill} needs --yes",
            hint="Look first with --dry-run; then add --yes",
        )
    print_plan(stderr_console(), plan)
    confirm(f"drill {plan.drill} of {plan.node}", yes=False)


def _status(report: DrillReport, *, broken: bool) -> int:
    if report.status == "fail":
        return 1
    return GateFailedError.exit_code if broken else 0
