"""Whether this machine has room for the processes that a run would start."""

from __future__ import annotations

import os

from valkeyctl.bench.plan import Plan
from valkeyctl.errors import UsageError

# More than one a core is for tests: each is a Python with Locust in it, of some 80 MB.
_A_CORE = 4
_FEWEST = 8


def check_room(plan: Plan) -> None:
    """Prove that this machine can run the workers of *plan* that are its own.

    Raises:
        UsageError: They are so many that they would take its memory and send no more for it.
    """
    cores = os.cpu_count() or 1
    most = max(_FEWEST, _A_CORE * cores)
    if plan.workers > most:
        raise UsageError(
            f"{plan.workers} workers are too many for the {cores} cores of this machine; "
            f"{most} are the most",
            hint="Give no more --workers than there are cores to spare, and others with --master",
        )
