"""What the command line hands to a load run: the cache, and callables of `ops` and `runtime`."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.options import options
from valkeyctl.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from valkeyctl.bench.plan import Plan
    from valkeyctl.bench.services.target import Fault, Target
    from valkeyctl.endpoint import Endpoint


def goal(
    ctx: typer.Context,
    plan: Plan,
    *,
    url: str | None = None,
    upstream: str = "simulated",
    yes: bool = False,
    dry_run: bool = False,
) -> Target:
    """Return what the load of *plan* goes to.

    Args:
        ctx: The command's context, with the server or the profile.
        plan: What is played. Where its arms have servers of their own, or URLs, no cache
            is asked for.
        url: Base URL of an application of the user's; None starts ours.
        upstream: Origin of the gateways.
        yes: Whether disturbing production is meant.
        dry_run: Whether nothing shall be asked of the cache.

    Raises:
        UsageError: The server's URL, or *url*, is none.
        MissingError: The deployment has users, and their passwords are not here.
        UnreachableError, AuthError, TlsError: The cache does not answer us.
    """
    from valkeyctl.bench.services.applications import needs_cache
    from valkeyctl.bench.services.target import Target
    from valkeyctl.ops.drill.throwaway import start_for_run
    from valkeyctl.ops.serverfacts import server_info

    cache = target.endpoint(ctx) if needs_cache(plan, url) else None
    return Target(
        cache=cache,
        url=url,
        upstream=upstream,
        server=_facts(ctx, cache) if cache and not dry_run else {},
        forget=target.forgetter(cache) if cache else None,
        serve=start_for_run,
        disturb=_disturb(ctx, plan, caches=cache is not None, yes=yes),
        server_info=server_info,
    )


def _facts(ctx: typer.Context, cache: Endpoint) -> Mapping[str, str]:
    """Return what the cache is.

    Raises:
        UnreachableError, AuthError, TlsError: It does not answer us.
    """
    from valkeyctl.ops.serverfacts import server_facts

    try:
        return server_facts(cache)
    except UnreachableError as error:
        if target.given_url(ctx):
            raise
        # Whoever begins with this command has nothing deployed yet.
        raise UnreachableError(
            f"there is no cache to measure: {error}",
            hint=f"Deploy it first: valkeyctl deploy -p {shlex.quote(target.profile_name(ctx))}",
        ) from error


def _disturb(
    ctx: typer.Context, plan: Plan, *, caches: bool, yes: bool
) -> Callable[[str], Fault] | None:
    """Return what makes a fault of the profile's deployment ready; None where it may not.

    A server that is merely reached is no deployment of ours. And which deployment an
    application of the user's caches on, nobody knows unless it was named.
    """
    if plan.scenario.during is None or target.given_url(ctx):
        return None
    if not caches and not options(ctx).profile:
        return None
    from valkeyctl.ops.drill.disturbance import ready_fault

    return partial(ready_fault, profile=target.profile(ctx), state=target.state(ctx), yes=yes)
