"""``valkeyctl keys tree``: the keyspace by the words of its keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.keys.columns import cells, fit
from valkeyctl.cli.keys.impact import ImpactOption
from valkeyctl.cli.options import options
from valkeyctl.cli.output import show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.pace import Impact, Pace
from valkeyctl.units import format_size, several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.counting.tree import Branch, KeyspaceTree

app = new_app()
_NAME_WIDTH = 34  # characters of a branch, where there is room for them
_LEAST_NAME_WIDTH = 16
_NO_EXPIRY = "   NO EXPIRY"


@app.command(cls=Command)
def tree(
    ctx: typer.Context,
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="Only keys that begin with these words.")
    ] = "",
    depth: Annotated[int, typer.Option("--depth", min=1, max=32, help="Words deep.")] = 3,
    separator: Annotated[
        str, typer.Option("--separator", metavar="TEXT", help="What stands between words.")
    ] = ":",
    limit: Annotated[
        int,
        typer.Option("--limit", min=1, max=256, help="Branches of one branch; the rest is one."),
    ] = 20,
    exact: Annotated[bool, typer.Option("--exact", help="Ask every key.")] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Estimate; the default above 100,000 keys.")
    ] = False,
    impact: ImpactOption = Impact.MAX,
) -> None:
    """Show keys and memory as a tree of the words in the keys."""
    from valkeyctl.ops.keyspace.counting.tree import tree as grow

    if exact and sample:
        raise UsageError("--exact and --sample exclude each other", hint="Give one of them")
    app_name = options(ctx).app
    if app_name and not prefix:
        prefix = f"{app_name}:"
    with progress(ctx, "counting") as report:
        found = grow(
            target.endpoint(ctx),
            prefix,
            depth=depth,
            separator=separator,
            width=limit,
            method="exact" if exact else "sample" if sample else "auto",
            pace=Pace.of(impact),
            progress=lambda share, keys: report(share, f"{keys:,} keys", done=keys),
        )
    _learn(ctx, found)
    names = [branch.prefix for branch in _all(found.root) if not branch.folded]
    show(
        ctx,
        found,
        human=partial(print_tree, found=found),
        names=names,
        status="ok" if found.precise else "warn",
    )


def print_tree(console: Console, found: KeyspaceTree) -> None:
    """Print a line per branch, drawn as a tree, in as many columns as there are."""
    sampled = found.method == "sample"
    off = f"{'+-':>7}" if sampled else ""
    figures = f"  {'KEYS':>10}  {'MEMORY':>10}{off}  {'SHARE':>5}"
    room = console.width - len(figures)
    roomy = room - len(_NO_EXPIRY) >= _LEAST_NAME_WIDTH
    lines = list(_lines(found.root))
    widest = max(_NAME_WIDTH, *(cells(drawn) for drawn, _ in lines))
    width = max(_LEAST_NAME_WIDTH, min(widest, room - len(_NO_EXPIRY) * roomy))
    console.print(f"{'BRANCH':<{width}}{figures}{_NO_EXPIRY * roomy}")
    for drawn, branch in lines:
        half = f"{_half_width(branch):>7}" if sampled else ""
        endless = f"  {branch.without_expiry:>{len(_NO_EXPIRY) - 2},}" if roomy else ""
        console.print(
            f"{fit(drawn, width)}  {branch.keys:>10,}  {format_size(branch.memory_bytes):>10}"
            f"{half}  {branch.share:>5.0%}{endless}"
        )
    console.print(_method_line(found))


def _learn(ctx: typer.Context, found: KeyspaceTree) -> None:
    """Keep the namespaces for shell completion, where the tree shows all of them."""
    branches = list(_all(found.root))
    apps = list(found.root.branches)
    if found.separator != ":" or found.root.prefix or any(one.folded for one in branches):
        return
    spaces = [space.prefix.removesuffix(":") for one in apps for space in one.branches]
    target.learn(ctx, None, spaces)


def _lines(root: Branch) -> Iterator[tuple[str, Branch]]:
    """Yield every branch with its name behind the lines that lead to it."""
    yield root.name or "(all keys)", root
    yield from _below(root, "")


def _below(branch: Branch, lead: str) -> Iterator[tuple[str, Branch]]:
    for child in branch.branches:
        last = child is branch.branches[-1]
        more = f" {child.folded:,} more" if child.folded else ""
        yield f"{lead}{'└─ ' if last else '├─ '}{child.name}{more}", child
        yield from _below(child, lead + ("   " if last else "│  "))


def _all(branch: Branch) -> Iterator[Branch]:
    for child in branch.branches:
        yield child
        yield from _all(child)


def _half_width(branch: Branch) -> str:
    if branch.ci95 is None or not branch.memory_bytes:
        return "-"
    low, high = branch.ci95.memory_bytes
    half = (high - low) / 2 / branch.memory_bytes
    return f"{half:.0%}" if half >= 0.1 else f"{half:.1%}"


def _method_line(found: KeyspaceTree) -> str:
    if found.method == "exact":
        return f"method: exact, {several(found.asked, 'key')}"
    line = f"method: sample of {found.asked:,} keys, 95 % intervals"
    if found.unseen_bytes:
        size = format_size(found.unseen_bytes)
        return f"{line}; the server holds {size} more than that accounts for"
    return line if found.precise else f"{line}; a branch is off by more than 5 %: --exact"
