"""``valkeyctl profiles``: list, show, check and describe profiles."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import plain, show
from valkeyctl.errors import ProfileError

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.profile import Profile

app = new_app("List, show and check profiles.")
Name = Annotated[str | None, typer.Argument(metavar="NAME|PATH", help="Profile; default: -p.")]


@app.command("ls", cls=Command)
def ls(ctx: typer.Context) -> None:
    """List the profiles that can be named without a path."""
    from valkeyctl.profile import load, profile_names

    rows: list[dict[str, object]] = []
    for name, path in sorted(profile_names().items()):
        row: dict[str, object] = {"name": name, "path": path, "valid": True, "problem": None}
        try:
            found = load(path)
        except ProfileError as error:
            row.update(valid=False, problem=str(error))
        else:
            row.update(
                topology=found.topology, publish=found.publish, description=found.description
            )
        rows.append(row)

    def human(console: Console) -> None:
        from rich.console import Console as Drawing
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for title in ("NAME", "TOPOLOGY", "PUBLISH", "DESCRIPTION"):
            table.add_column(title, no_wrap=title != "DESCRIPTION")
        for row in rows:
            words = row.get("description") or "" if row["valid"] else f"INVALID: {row['problem']}"
            cells = (row["name"], row.get("topology", "-"), row.get("publish", "-"), words)
            table.add_row(*(str(cell) for cell in cells))
        # What stands in a profile is no markup.
        Drawing(highlight=False, markup=False, emoji=False, width=console.width).print(table)

    broken = any(not row["valid"] for row in rows)
    names = [str(row["name"]) for row in rows]
    show(ctx, {"profiles": rows}, human=human, status="warn" if broken else "ok", names=names)


def _resolved(profile: Profile) -> dict[str, object]:
    """Return every field as it is in force, secrets masked."""
    data = profile.model_dump(mode="json")
    if profile.auth.password is not None:
        data["auth"]["password"] = "***"  # noqa: S105 - a mask, not a password
    return data


@app.command(cls=Command, name="show")
def show_profile(ctx: typer.Context, name: Name = None) -> None:
    """Show a profile with every default filled in."""
    from valkeyctl.profile import load

    data = _resolved(load(name or target.profile_name(ctx)))

    def human(console: Console) -> None:
        import yaml

        text = yaml.safe_dump(plain(data), sort_keys=False, allow_unicode=True)
        console.print(text.rstrip(), markup=False, soft_wrap=True)

    show(ctx, {"profile": data}, human=human, names=[str(data["name"])])


@app.command(cls=Command)
def validate(ctx: typer.Context, name: Name = None) -> None:
    """Check a profile, and prove its memory budget.

    A mistake is named by file, line and key, with what is allowed (status 2).
    """
    from valkeyctl.ops.tls.pair import key_pair
    from valkeyctl.profile import load, locate
    from valkeyctl.render import render

    chosen = name or target.profile_name(ctx)
    try:
        profile = load(chosen)
        artefacts = render(profile)
        if profile.tls.enabled:
            key_pair(profile, target.state(ctx))  # all files of it are named, or none
    except ProfileError as error:
        if options(ctx).output is not Output.TABLE:
            raise
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        count = len(error.problems)
        sys.stderr.write(f"{count} problem{'s' if count > 1 else ''}\n")
        raise typer.Exit(error.exit_code) from error
    budget = artefacts.budget

    def human(console: Console) -> None:
        console.print(f"{locate(chosen)}: valid; memory budget:", markup=False)
        for line in budget.lines():
            console.print(f"  {line}", markup=False)

    data = {
        "name": profile.name,
        "path": locate(chosen),
        "memory_share": budget.share,
        "maxmemory_bytes": budget.maxmemory,
    }
    status = "warn" if budget.tight else "ok"
    show(ctx, data, human=human, status=status, names=[profile.name])  # type: ignore[arg-type]  # both words are statuses


@app.command(cls=Command)
def schema(ctx: typer.Context) -> None:
    """Print the JSON Schema of a profile, for editors and checks."""
    from valkeyctl.profile import json_schema

    found = json_schema()

    def human(console: Console) -> None:
        del console
        sys.stdout.write(json.dumps(found, indent=2) + "\n")

    show(ctx, {"schema": found}, human=human)
