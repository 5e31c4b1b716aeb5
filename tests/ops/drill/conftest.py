"""Deployments to break, and drills that take no longer than they must."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from valkeyctl.ops.drill import DrillReport, LoadPlan, plan_drill, run_drill, take_aim
from valkeyctl.ops.drill.plan import Drill
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile

Progress = Callable[[str], None]


def quiet(_: str) -> None:
    """Say nothing."""


def drilled(
    drill: Drill,
    profile: Profile,
    state: StateFolder,
    *,
    node: str = "",
    hold: float | None = None,
    confirm: int = 0,
    timeout: float = 40.0,
    progress: Progress = quiet,
) -> DrillReport:
    """Run *drill* with little load around it."""
    aim = take_aim(drill, profile, state, node=node)
    load = LoadPlan(rate=100, confirm=confirm, before=0.4, after=0.2)
    plan = plan_drill(drill, aim, hold=hold, timeout=timeout, load=load)
    return run_drill(plan, aim, state, profile, progress=progress)


@pytest.fixture(autouse=True)
def quiet_library() -> None:
    """Keep the log of the caching library, which tells of every outage, out of the way."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
