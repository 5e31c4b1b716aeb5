"""``valkeyctl backup``: copies of the data that were proven to load."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, Group
from valkeyctl.cli.options import options
from valkeyctl.cli.output import say, show
from valkeyctl.cli.progress import Report, progress
from valkeyctl.errors import UsageError
from valkeyctl.units import format_duration, format_size, several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.backup.contents import Progress
    from valkeyctl.ops.backup.create import BackupReport, Origin
    from valkeyctl.ops.backup.seal import Key
    from valkeyctl.ops.backup.shelf import Listed
    from valkeyctl.ops.backup.verify import Verification

app = typer.Typer(add_completion=False, rich_markup_mode=None)

KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="Key of an encrypted backup (mode 0600)."),
]
_BackupOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where backups are kept; default: our own files."),
]


@app.callback(cls=Group, invoke_without_command=True)
def backup(
    ctx: typer.Context,
    out: _BackupOut = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, metavar="N", help="Keep the last N, and remove older ones."),
    ] = None,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt it, with the key in --key-file.")
    ] = False,
    key_file: KeyFile = None,
    new_key: Annotated[
        Path | None,
        typer.Option("--new-key", metavar="FILE", help="Encrypt it, with a key made for it."),
    ] = None,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not load it in a throwaway server.")
    ] = False,
) -> None:
    """Copy the data of a server out, verified, to be restored later.

    Any server will do, its files are not needed: it is asked as a replica would. A
    Cluster gives one file per shard. Older backups are only removed, with --keep, after
    the new one has been loaded in a throwaway server.
    """
    if ctx.invoked_subcommand is not None:
        return
    if keep is not None and no_verify:
        raise UsageError(
            "--keep removes older backups for one that --no-verify has not proven",
            hint="Give one or the other",
        )
    key = _key_to_write(encrypt, key_file, new_key)
    from valkeyctl.ops.backup.create import backup as take
    from valkeyctl.ops.backup.shelf import backups_of

    origin, state = _origin(ctx), target.state(ctx)
    shelf = out.absolute() if out else backups_of(state, origin.name)
    with progress(ctx, "backup") as report:
        found = take(
            origin,
            shelf,
            state.runtimes,
            key=key,
            verified=not no_verify,
            keep=keep,
            progress=told(report),
        )
    for warning in found.warnings:
        say(ctx, f"warning: {warning}")
    status = "warn" if found.warnings else "ok"
    human = partial(_print_backup, found=found)
    show(ctx, found, human=human, status=status, names=[str(found.folder)])  # type: ignore[arg-type]  # both words are statuses


@app.command(cls=Command)
def ls(ctx: typer.Context, out: _BackupOut = None) -> None:
    """List the backups that there are, the newest first."""
    from valkeyctl.ops.backup.shelf import listed

    shelves = [out.absolute()] if out else _shelves(ctx)
    found = [one for shelf in shelves for one in listed(shelf)]
    show(
        ctx,
        {"backups": found},
        human=partial(_print_list, found=found),
        status="warn" if any(one.problem for one in found) else "ok",
        names=[str(one.folder) for one in found],
    )


@app.command(cls=Command)
def verify(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The backup, or its name.")],
    key_file: KeyFile = None,
) -> None:
    """Prove that a backup loads, and holds what its manifest says.

    Status 1 when it could not be restored.
    """
    from valkeyctl.ops.backup.verify import verify_backup

    where, state = find_backup(ctx, folder), target.state(ctx)
    key = key_of(key_file)
    with progress(ctx, "verifying") as report:
        found = verify_backup(where, state.runtimes, key, told(report))
    human = partial(_print_verification, found=found)
    show(ctx, found, human=human, status="ok" if found.sound else "fail", names=[str(where)])
    raise typer.Exit(0 if found.sound else 1)


def told(report: Report) -> Progress:
    """Return what turns the progress of a backup into that of a terminal."""

    def tell(what: str, done: int, total: int | None) -> None:
        share = done / total if total else None
        report(share, f"{what}: {format_size(done)}" if total is None or total > 1024 else what)

    return tell


def key_of(file: Path | None) -> Key | None:
    """Return the key in *file*; None without one."""
    if file is None:
        return None
    from valkeyctl.ops.backup.seal import Key

    return Key.read(file)


def find_backup(ctx: typer.Context, said: str) -> Path:
    """Return the folder of the backup that the user named: a path, or a name that `ls` shows."""
    from valkeyctl.ops.backup.shelf import find

    return find(_shelves(ctx)[0], said)


def _shelves(ctx: typer.Context) -> list[Path]:
    """Return where to look: everywhere, or where the backups of one deployment are."""
    root = target.state(ctx).root / "backups"
    name = options(ctx).profile
    return [root / target.profile(ctx).name] if name else [root]


def _key_to_write(encrypt: bool, key_file: Path | None, new_key: Path | None) -> Key | None:
    from valkeyctl.ops.backup.seal import Key

    if new_key is not None and key_file is not None:
        raise UsageError("--new-key makes a key, and --key-file names one", hint="Give one of them")
    if new_key is not None:
        return Key.make(new_key)
    if encrypt and key_file is None:
        raise UsageError(
            "--encrypt needs a key", hint="Give --key-file FILE, or make one: --new-key FILE"
        )
    if key_file is not None and not encrypt:
        raise UsageError("--key-file is for an encrypted backup", hint="Add --encrypt")
    return key_of(key_file)


def _origin(ctx: typer.Context) -> Origin:
    """Return what to back up: the URL given, else the profile's deployment."""
    from valkeyctl.ops.backup.create import Origin

    endpoint = target.endpoint(ctx)
    if target.given_url(ctx):
        return Origin(f"{endpoint.host}-{endpoint.port}".replace(":", "-"), endpoint)
    chosen = target.profile(ctx)
    return Origin(chosen.name, endpoint, chosen.app, chosen.image)


def _print_backup(console: Console, found: BackupReport) -> None:
    total = sum(found.keys.values()) if found.keys is not None else None
    rows = [
        ("backup", str(found.folder)),
        ("of", f"{found.deployment} ({found.topology})"),
        ("from", ", ".join(found.taken_from)),
        ("size", format_size(found.bytes) + (", encrypted" if found.encrypted else "")),
        ("keys", f"{total:,}" if total is not None else "not counted"),
        ("verified", found.verified_by or "no"),
        ("took", format_duration(found.seconds)),
    ]
    for name, value in rows:
        console.print(f"{name:<12}{value}")
    for folder in found.removed:
        console.print(f"{'removed':<12}{folder}")


def _print_list(console: Console, found: list[Listed]) -> None:
    from datetime import UTC, datetime

    if not found:
        console.print("there are no backups")
    for one in found:
        if one.manifest is None:
            console.print(f"{one.folder}  unusable: {one.problem}")
            continue
        manifest = one.manifest
        at = datetime.fromtimestamp(manifest.taken_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        keys = "unverified" if manifest.keys is None else several(manifest.keys, "key")
        sealed = ", encrypted" if manifest.encrypted else ""
        console.print(
            f"{at}  {manifest.deployment}  {keys}, {format_size(manifest.bytes)}{sealed}  "
            f"{one.folder}"
        )


def _print_verification(console: Console, found: Verification) -> None:
    if not found.sound:
        console.print(f"not usable: {found.problem}")
        return
    keys = several(sum((found.keys or {}).values()), "key")
    console.print(f"{found.folder}: {keys}, {format_size(found.bytes)}; {found.loaded_by} loads it")
