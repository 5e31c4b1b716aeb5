"""Faults on purpose, under load, with a report of what clients felt."""

from __future__ import annotations

from valkeyctl.ops.drill.plan import Aim, Drill, DrillPlan, LoadPlan, plan_drill, take_aim
from valkeyctl.ops.drill.report import DrillReport
from valkeyctl.ops.drill.run import run_drill
from valkeyctl.ops.drill.undo import Undone, undo

__all__ = [
    "Aim",
    "Drill",
    "DrillPlan",
    "DrillReport",
    "LoadPlan",
    "Undone",
    "plan_drill",
    "run_drill",
    "take_aim",
    "undo",
]
