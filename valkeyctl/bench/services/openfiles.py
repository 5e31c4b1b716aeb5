"""Open files: a connection is one, in the load generator and in what the load goes to."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

from valkeyctl.bench.plan import Plan
from valkeyctl.errors import ToolError

# Logs, libraries, pipes, and an application's own connections to its cache and origin.
_BESIDE = 200


@contextlib.contextmanager
def enough_files(plan: Plan, applications: int) -> Iterator[None]:
    """Let this process, and those that it starts meanwhile, open the files that *plan* needs.

    The limit that the system allows anyway is taken up, and put back afterwards.

    Args:
        plan: Its users, or its requests in flight, decide.
        applications: How many addresses the load goes to; connections to each are kept.

    Raises:
        ToolError: The system does not allow so many, and every user needs a connection. An
            open loop's bound is seldom reached; it may begin with less.
    """
    closed = plan.load_model == "closed"
    wanted = (plan.users if closed else plan.max_in_flight) * max(1, applications) + _BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        yield
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        if closed:
            raise ToolError(
                f"{plan.users:,} users need {wanted:,} open files, and {hard:,} are allowed here",
                hint=f"Raise the limit (ulimit -n {wanted}), or give fewer --users",
            )
        wanted = hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a second limit, which it tells nobody
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
