"""``valkeyctl secrets``: the passwords of a deployment; only `url --show-secret` shows one."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes, confirm
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import say, show
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valkeyctl.cli.console import Console
    from valkeyctl.ops.users import Kept

app = new_app("List, change and export the passwords of a deployment.")


@app.command("ls", cls=Command)
def ls(ctx: typer.Context) -> None:
    """List the users, the files of their passwords, and who is logged in."""
    from valkeyctl.ops.users import kept_passwords

    found = kept_passwords(target.deployment(ctx), target.state(ctx))
    human = partial(_print_users, found=found)
    show(ctx, {"users": found}, human=human, names=[one.user for one in found])


@app.command("rotate", cls=Command)
def rotate(
    ctx: typer.Context,
    user: Annotated[
        list[str] | None, typer.Argument(metavar="[USER]...", help="Whose; default: all.")
    ] = None,
    finish: Annotated[bool, typer.Option("--finish", help="Take the old passwords away.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Change passwords without downtime, in two steps.

    First the servers accept a new password beside the old one. When all clients have
    it, --finish takes the old one away; a connection that it opened stays open.
    """
    from valkeyctl.ops import rotation
    from valkeyctl.ops.users import kept_passwords

    profile, state, names = target.deployment(ctx), target.state(ctx), tuple(user or ())
    if finish or dry_run:
        found = rotation.due(profile, state, names, finish=finish)
        what = "finish the rotation of" if finish else "rotate"
        if dry_run:
            _show_plan(ctx, profile.name, found, f"would {what}")
            return
        if found:
            listed = [one for one in kept_passwords(profile, state) if one.user in found]
            confirm(f"taking the old passwords away from {_clients(listed)}", yes=yes)
    act = rotation.finish if finish else rotation.rotate
    done = act(profile, state, names, progress=partial(say, ctx))
    for warning in done.warnings:
        say(ctx, f"warning: {warning}")

    def human(console: Console) -> None:
        _print_users(console, done.users)
        if finish:
            console.print("only the present passwords are valid" if done.users else "nothing to do")
            return
        if not done.told:
            console.print("bring the servers their files: valkeyctl secrets export")
            return
        users = " ".join(one.user for one in done.users)
        console.print("both passwords are valid; give the clients the new one, and then:")
        console.print(f"  valkeyctl secrets rotate {users} --finish -p {target.profile_name(ctx)}")

    status = "warn" if done.warnings else "ok"
    show(ctx, done, human=human, status=status, names=[one.user for one in done.users])  # type: ignore[arg-type]  # both words are statuses


@app.command("export", cls=Command)
def export(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here, with mode 0600.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", metavar="NAME", help="Of this server of a topology.")
    ] = None,
) -> None:
    """Write the secret files of a server as a tar archive, for a volume.

    What it holds: password hashes, and with TLS the certificates and the key. For
    Compose and pod.yaml without `deploy`; passwords that are missing are made.
    """
    from valkeyctl.ops.secretsexport import archive
    from valkeyctl.runtime.files import write_private

    if out is None and (options(ctx).output is not Output.TABLE or sys.stdout.isatty()):
        raise UsageError(
            "the archive is bytes, and secret ones",
            hint="Name a file with --out, or pipe it: | podman volume import NAME-secrets -",
        )
    profile = target.deployment(ctx)
    made = archive(profile, target.state(ctx), unit=unit)
    if out is None:
        sys.stdout.buffer.write(made.data)
        sys.stdout.buffer.flush()
        return
    write_private(out.absolute(), made.data)
    data = {"name": profile.name, "unit": made.unit, "file": out, "files": made.files}

    def human(console: Console) -> None:
        console.print(f"{out}  {', '.join(made.files)}")

    show(ctx, data, human=human, names=[str(out)])


def _print_users(console: Console, found: Sequence[Kept]) -> None:
    for one in found:
        state = "not made yet" if not one.made else "rotating" if one.rotating else "current"
        console.print(f"{one.user:<10}{state:<14}{one.file}  {_use(one)}".rstrip())


def _use(one: Kept) -> str:
    if one.clients is None:
        return ""
    text = f"{one.clients} clients"
    if one.older_clients is not None:
        text += f", {one.older_clients} from before the new password"
    return text


def _clients(found: Sequence[Kept]) -> str:
    """Return the users, with how many of each may still need the old password."""
    return ", ".join(
        f"{one.user} ({one.older_clients} clients connected by it)"
        if one.older_clients
        else one.user
        for one in found
    )


def _show_plan(ctx: typer.Context, name: str, users: Sequence[str], words: str) -> None:
    text = f"{words} {', '.join(users)}" if users else "nothing to do"
    data = {"name": name, "users": list(users)}
    show(ctx, data, human=lambda console: console.print(text), names=list(users))
