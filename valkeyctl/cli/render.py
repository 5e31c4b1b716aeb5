"""``valkeyctl render``: a profile's files, to look at, to write, to compare, or to merge."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import say, show
from valkeyctl.errors import FolderError, ToolError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from valkeyctl.cli.console import Console
    from valkeyctl.profile import Profile
    from valkeyctl.render import Artefacts
    from valkeyctl.render.difference import Difference

app = new_app()


class Target(StrEnum):
    """Which files to render."""

    CONF = "conf"
    POD = "pod"
    COMPOSE = "compose"
    QUADLET = "quadlet"
    KUBERNETES = "kubernetes"
    ALL = "all"


def _files(profile: Profile, artefacts: Artefacts, what: Target | None) -> dict[str, str]:
    """Return the files of *what*, name to text; without it those that `deploy` works from."""
    from valkeyctl.render import COMPOSE, CONF, POD
    from valkeyctl.render.targets import extra

    one = {Target.CONF: CONF, Target.POD: POD, Target.COMPOSE: COMPOSE}
    if what in one:
        return {one[what]: artefacts.files[one[what]]}
    files = dict(artefacts.files) if what in {None, Target.ALL} else {}
    if what in {Target.QUADLET, Target.ALL}:
        files |= extra(profile, "quadlet")
    if what in {Target.KUBERNETES, Target.ALL}:
        files |= extra(profile, "kubernetes")
    return files


def _try_units(ctx: typer.Context, files: Mapping[str, str]) -> None:
    """Say what this machine's Quadlet has against the units; they may be for another machine."""
    from valkeyctl.runtime.quadlet import generate, generator

    program = generator()
    try:
        if program is not None:
            generate(program, files)
    except ToolError as error:
        say(ctx, f"warning: {error}")


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
            file = folder / name
            present = _read(file)
            if present != text:
                file.write_text(text)
                changed.append(name)
            if present is None:
                # Whatever the umask: the server reads it as another user. Nothing is secret.
                file.chmod(0o644)
    except OSError as error:
        raise FolderError(
            f"{folder} cannot be written: {error.strerror}", hint="Choose another --out"
        ) from error
    return changed


@app.command(cls=Command)
def render(
    ctx: typer.Context,
    what: Annotated[
        Target | None,
        typer.Option("--target", help="Which files; default: conf, pod and compose."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write here; default: print.")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="FILE", help="Merge the server into a pod or compose file."),
    ] = None,
    pod: Annotated[
        str | None,
        typer.Option("--pod", metavar="NAME", help="With --into: which pod, if it has several."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare with --out (default .); status 1 if it differs."),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Turn a profile into the files that deploy it."""
    from valkeyctl.render import render as render_profile

    _refuse_together(what=what, out=out, into=into, pod=pod, check=check, dry_run=dry_run)
    profile = target.profile(ctx)
    artefacts = render_profile(profile)
    if artefacts.budget.tight:
        share = f"{artefacts.budget.share:.0%}"
        say(ctx, f"warning: the memory budget takes {share} of the limit; 85 % leaves room")
    if into is not None:
        _insert(ctx, artefacts, into, pod, check=check, dry_run=dry_run)
        return
    files = _files(profile, artefacts, what)
    if what in {Target.QUADLET, Target.ALL}:
        _try_units(ctx, files)
    if check or dry_run:
        _compare(ctx, artefacts, files, out or Path(), check=check)
        return
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


def _refuse_together(
    *,
    what: Target | None,
    out: Path | None,
    into: Path | None,
    pod: str | None,
    check: bool,
    dry_run: bool,
) -> None:
    if into is not None and (what is not None or out is not None):
        raise UsageError(
            "--into merges into one file, and takes neither --target nor --out",
            hint="Leave them out",
        )
    if into is None and pod is not None:
        raise UsageError("--pod names a pod of the file that --into names", hint="Add --into FILE")
    if check and dry_run:
        raise UsageError(
            "--check and --dry-run both only look; --check ends with 1 where something differs",
            hint="Choose one",
        )
    if into is None and dry_run and out is None:
        raise UsageError(
            "without --out or --into nothing is written that --dry-run could leave out",
            hint="Leave it out",
        )


def _compare(
    ctx: typer.Context, artefacts: Artefacts, files: Mapping[str, str], folder: Path, *, check: bool
) -> None:
    """Show how *folder* differs; with *check* the status says so too."""
    from valkeyctl.render.difference import differences

    found = differences(files, {name: _read(folder / name) for name in files})

    def differ(console: Console) -> None:
        del console
        _print_diffs(found)
        sys.stdout.write(
            f"{len(found)} of {len(files)} files differ from profile {artefacts.name}\n"
            if found
            else f"{len(files)} files are as profile {artefacts.name} renders them\n"
        )

    data = {"folder": folder, "digest": artefacts.digest, "differences": found}
    names = [change.file for change in found]
    fails = check and bool(found)
    show(ctx, data, human=differ, status="fail" if fails else "ok", names=names)
    raise typer.Exit(1 if fails else 0)


def _insert(
    ctx: typer.Context,
    artefacts: Artefacts,
    file: Path,
    pod: str | None,
    *,
    check: bool,
    dry_run: bool,
) -> None:
    """Merge the server into *file*, or show what that would change."""
    from valkeyctl.ops.into import insert

    looks = check or dry_run
    done = insert(file, artefacts, pod=pod, write=not looks)
    for note in done.notes:
        say(ctx, f"note: {note}")

    def tell(console: Console) -> None:
        if looks:
            _print_diffs(done.changes)
        for change in done.changes:
            state = f"would be {'merged' if change.status == 'changed' else 'written'}"
            state = state if looks else state.removeprefix("would be ")
            console.print(f"{change.file}  {state}", markup=False, soft_wrap=True)
        if not done.changes:
            text = f"{file}  has {artefacts.name} in {done.kind} {done.target} already"
            console.print(text, markup=False, soft_wrap=True)

    fails = check and bool(done.changes)
    data = {
        "file": done.file,
        "into": done.kind,
        "target": done.target,
        "written": bool(done.changes) and not looks,
        "differences": done.changes,
        "notes": done.notes,
    }
    names = [change.file for change in done.changes]
    show(ctx, data, human=tell, status="fail" if fails else "ok", names=names)
    raise typer.Exit(1 if fails else 0)


def _print_diffs(found: Sequence[Difference]) -> None:
    for change in found:
        sys.stdout.write(change.diff)
