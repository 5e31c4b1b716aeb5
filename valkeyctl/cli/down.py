"""``valkeyctl down``: stop a server, and remove its data only when told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes, confirm
from valkeyctl.cli.output import say, show
from valkeyctl.errors import InterruptedRunError, ProfileError

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.statefolder import StateFolder
    from valkeyctl.profile import Profile

app = new_app()


def _deployment(ctx: typer.Context, state: StateFolder) -> tuple[str, Profile | None]:
    """Return the name of the deployment, and its profile where that can be used.

    Raises:
        ProfileError: It cannot, and does not tell which deployment is meant either.
        UsageError: A URL was given instead.
    """
    try:
        profile = target.deployment(ctx)
    except ProfileError as error:
        deployed = state.names()
        name = _named(target.profile_name(ctx))
        if name is None or name not in deployed:
            if deployed:
                known = f"deployed are {', '.join(deployed)}"
                error.hint = f"Mend it, or name the deployment: valkeyctl down -p NAME; {known}"
            raise
        say(ctx, f"warning: {name} is taken down as it was deployed last: {error}")
        return name, None
    return profile.name, profile


def _named(chosen: str) -> str | None:
    """Return the deployment that *chosen* means, a profile that cannot be loaded."""
    from valkeyctl.profile import locate, name_in

    try:
        return name_in(locate(chosen))
    except ProfileError:
        return chosen  # no profile is called so (any more)


@app.command(cls=Command)
def down(
    ctx: typer.Context,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the data and the secrets too.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Stop a server; its data stays unless --purge."""
    from valkeyctl.ops.deploy import take_down

    state = target.state(ctx)
    name, profile = _deployment(ctx, state)
    if dry_run:
        planned = {"name": name, "would_stop": True, "would_purge": purge}
        words = f"would stop {name}" + (
            " and remove its data and secrets" if purge else "; its data stays"
        )
        show(ctx, planned, human=lambda console: console.print(words, markup=False), names=[name])
        return
    if purge:
        confirm(f"stopping {name} and removing its data, passwords and CA", yes=yes)
    try:
        removal = take_down(name, state, purge=purge, profile=profile, progress=partial(say, ctx))
    except KeyboardInterrupt as error:
        words = " --purge" if purge else ""
        raise InterruptedRunError(
            f"interrupted; {name} may be stopped in part",
            hint=f"Finish it: valkeyctl down{words} -p {target.profile_name(ctx)}",
        ) from error
    for warning in removal.warnings:
        say(ctx, f"warning: {warning}")

    def human(console: Console) -> None:
        if not removal.found:
            console.print(f"{name}: nothing is deployed under this name", markup=False)
            return
        state_now = "stopped" if removal.stopped else "was not running"
        console.print(f"{name}: {state_now}", markup=False)
        if purge:
            console.print("data and secrets removed" if removal.purged else "there was no data")

    show(ctx, removal, human=human, names=[name])
