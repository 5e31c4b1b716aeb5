"""``valkeyctl render``: a profile's files, to look at, to write, or to compare."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import say, show
from valkeyctl.errors import FolderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from valkeyctl.cli.console import Console

app = new_app()


class Target(StrEnum):
    """Which files to render."""

    CONF = "conf"
    POD = "pod"
    COMPOSE = "compose"
    ALL = "all"


_FILES = {
    Target.CONF: ("valkey.conf",),
    Target.POD: ("pod.yaml",),
    Target.COMPOSE: ("podman-compose.yaml",),
    Target.ALL: ("valkey.conf", "pod.yaml", "podman-compose.yaml"),
}


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FolderError(f"{path} cannot be read: {reason}") from error


def _write(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write the files that differ and return the names of those."""
    changed = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            if _read(folder / name) != text:
                (folder / name).write_text(text)
                changed.append(name)
    except OSError as error:
        raise FolderError(
            f"{folder} cannot be written: {error.strerror}", hint="Choose another --out"
        ) from error
    return changed


@app.command(cls=Command)
def render(
    ctx: typer.Context,
    what: Annotated[Target, typer.Option("--target", help="Which files.")] = Target.ALL,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write here; default: print.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare with --out (default .); status 1 if it differs."),
    ] = False,
) -> None:
    """Turn a profile into valkey.conf, pod.yaml and compose."""
    from valkeyctl.render import render as render_profile
    from valkeyctl.render.difference import differences

    artefacts = render_profile(target.profile(ctx))
    files = {name: artefacts.files[name] for name in _FILES[what]}
    if artefacts.budget.tight:
        share = f"{artefacts.budget.share:.0%}"
        say(ctx, f"warning: the memory budget takes {share} of the limit; 85 % leaves room")
    if check:
        folder = out or Path()
        found = differences(files, {name: _read(folder / name) for name in files})

        def differ(console: Console) -> None:
            del console
            for change in found:
                sys.stdout.write(change.diff)
            sys.stdout.write(
                f"{len(found)} of {len(files)} files differ from profile {artefacts.name}\n"
                if found
                else f"{len(files)} files are as profile {artefacts.name} renders them\n"
            )

        data = {"folder": folder, "digest": artefacts.digest, "differences": found}
        names = [change.file for change in found]
        show(ctx, data, human=differ, status="fail" if found else "ok", names=names)
        raise typer.Exit(1 if found else 0)
    if out is not None:
        changed = _write(out, files)

        def wrote(console: Console) -> None:
            for name in files:
                state = "written" if name in changed else "unchanged"
                console.print(f"{out / name}  {state}", markup=False, soft_wrap=True)

        data = {"folder": out, "digest": artefacts.digest, "files": list(files), "changed": changed}
        show(ctx, data, human=wrote, names=[str(out / name) for name in files])
        return
    if options(ctx).output is Output.TABLE:
        # The text itself, so that `render --target conf > valkey.conf` is the file.
        for index, (name, text) in enumerate(files.items()):
            if len(files) > 1:
                sys.stdout.write(f"{chr(10) if index else ''}# ---- {name}\n")
            sys.stdout.write(text)
        return
    show(ctx, {"digest": artefacts.digest, "files": files}, human=lambda _: None, names=list(files))
