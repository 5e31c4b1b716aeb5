"""``valkeyctl keys expire``: keys without expiry, found and fixed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes, confirm
from valkeyctl.cli.keys.impact import ImpactOption
from valkeyctl.cli.keys.selected import say_assumed
from valkeyctl.cli.output import say, show, stderr_console
from valkeyctl.cli.progress import progress
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.pace import Impact, Pace
from valkeyctl.units import format_size, parse_duration, several

if TYPE_CHECKING:
    from collections.abc import Callable

    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.removal.expire import ExpireReport

app = new_app()


@app.command(cls=Command)
def expire(
    ctx: typer.Context,
    namespace: Annotated[
        str | None, typer.Argument(metavar="NAMESPACE", help="Only this namespace.")
    ] = None,
    ttl: Annotated[
        str | None,
        typer.Option("--ttl", metavar="TIME", help="Such as 1h; default: the profile's policy."),
    ] = None,
    impact: ImpactOption = Impact.NORMAL,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Find keys without expiry, and give them one.

    About the TTL of their namespace, give or take a tenth. Status 1 when some are left.
    """
    from valkeyctl.ops.keyspace.removal.expire import find_endless, give_expiry

    endpoint, name = target.endpoint(ctx), target.app_name(ctx)
    say_assumed(ctx, name)
    lives = _ttls(ctx, ttl)
    pace = Pace.of(impact)
    with progress(ctx, "looking") as report:
        found = find_endless(
            endpoint,
            name,
            namespace,
            pace=pace,
            progress=lambda share, keys: report(share, f"{keys:,} keys without expiry"),
        )
    fixable = sum(one.keys for one in found.namespaces if lives(one.namespace) is not None)
    if fixable and not dry_run:
        if not yes:
            _print_report(stderr_console(), found=found)
        confirm(f"giving {several(fixable, 'key')} of {name} an expiry", yes=yes)
        with progress(ctx, "fixing") as report:
            found = give_expiry(
                endpoint,
                found,
                lives,
                namespace,
                pace=pace,
                progress=lambda share, keys: report(share, f"{keys:,} keys", done=keys),
            )
    names = [one.namespace for one in found.namespaces]
    show(
        ctx,
        found,
        human=partial(_print_report, found=found),
        status="warn" if found.left else "ok",
        names=names,
    )
    if found.found > fixable:
        without = [one.namespace for one in found.namespaces if lives(one.namespace) is None]
        shown = ", ".join(space or "(no namespace)" for space in without)
        say(ctx, f"no policy says how long keys of {shown} live; give --ttl")
    raise typer.Exit(1 if found.left else 0)


def _ttls(ctx: typer.Context, ttl: str | None) -> Callable[[str], float | None]:
    """Return what gives the seconds for a namespace: the option, else the profile's policies."""
    if ttl is not None:
        try:
            seconds = parse_duration(ttl)
        except ValueError as error:
            raise UsageError(f"--ttl: {error}") from error
        if not seconds > 0:
            raise UsageError("--ttl must be above zero", hint="To delete keys: keys flush")
        return lambda _: seconds
    policies = target.profile(ctx).namespaces
    return lambda name: policies[name].ttl if name in policies else None


def _print_report(console: Console, *, found: ExpireReport) -> None:
    """Print a line per namespace, and some of its keys."""
    for one in found.namespaces:
        types = ", ".join(f"{kind} {count:,}" for kind, count in one.types.items())
        fixed = found.fixed.get(one.namespace)
        became = "" if fixed is None else f"; {fixed:,} given an expiry"
        name = one.namespace or "(no namespace)"
        console.print(
            f"{name}: {several(one.keys, 'key')} without expiry, "
            f"{format_size(one.memory_bytes)} ({types}){became}"
        )
        if fixed is None:
            for key in one.sample:
                console.print(f"  {key}")
    if not found.found:
        console.print(f"every key of {found.app} expires")
