"""``valkeyctl init``: a starter profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import show
from valkeyctl.errors import FolderError, RefusedError

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console

app = new_app()


@app.command(cls=Command)
def init(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the profile.")] = "mycache",
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write it into.")
    ] = Path("profiles"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a profile.")] = False,
) -> None:
    """Write a commented starter profile."""
    from valkeyctl.render.starter import starter

    text = starter(name)
    path = folder / f"{name}.yaml"
    if path.exists() and not force:
        raise RefusedError(f"{path} exists already", hint="Choose another name, or add --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise FolderError(
            f"{path} cannot be written: {error.strerror}", hint="Choose another folder with --out"
        ) from error

    def human(console: Console) -> None:
        console.print(f"wrote {path}", markup=False)
        console.print(f"next: edit it, then valkeyctl deploy -p {path}", markup=False)

    show(ctx, {"name": name, "path": path}, human=human, names=[str(path)])
