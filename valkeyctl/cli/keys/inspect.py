"""``valkeyctl keys inspect``: all that is known of one key."""

from __future__ import annotations

import sys
from codecs import getincrementaldecoder
from functools import partial
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import show
from valkeyctl.errors import RefusedError, UsageError
from valkeyctl.units import format_duration, format_size

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.inspection.entry import EntryDetail
    from valkeyctl.ops.keyspace.inspection.home import Sought
    from valkeyctl.ops.keyspace.inspection.inspect import KeyDetail

app = new_app()


@app.command(cls=Command)
def inspect(
    ctx: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY|NAMESPACE", help="The key, as `keys ls` shows it."),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of an entry in that namespace.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Of the entry.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Of the entry, in its namespace.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the value's bytes, and nothing else.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --raw: write binary to a terminal, too.")
    ] = False,
) -> None:
    """Show one key: entry, tags, TTL, size, preview.

    Status 1 when there is no such key.
    """
    sought = _sought(ctx, key, name, namespace, identity)
    if raw:
        _write_raw(ctx, sought, force=force)
        return
    if force:
        raise UsageError("--force is for --raw", hint="Leave it out")
    from valkeyctl.ops.keyspace.inspection.inspect import inspect_key

    found = inspect_key(target.endpoint(ctx), sought)
    human = partial(print_detail, found=found)
    show(ctx, public_detail(found), human=human, names=[found.display])


def _sought(
    ctx: typer.Context,
    key: str | None,
    name: str | None,
    namespace: str | None,
    identity: str | None,
) -> Sought:
    """Return what the user named: a key, or an entry by namespace and id."""
    from valkeyctl.ops.keyspace.inspection.home import EntryName

    if namespace is None and identity is None:
        if key is None:
            raise UsageError(
                "no key is named", hint="Give a key, or a namespace and an id: keys inspect NS ID"
            )
        return key if name is None else EntryName(target.app_name(ctx), key, name)
    if namespace is None or identity is None or key is not None:
        raise UsageError(
            "an entry is named by --namespace and --id together, and nothing else",
            hint="Give both, or the whole key",
        )
    return EntryName(target.app_name(ctx), namespace, identity)


def _write_raw(ctx: typer.Context, sought: Sought, *, force: bool) -> None:
    """Write the bytes of one value to standard output, in pieces."""
    from valkeyctl.ops.keyspace.inspection.raw import read_raw

    if options(ctx).output is not Output.TABLE:
        raise UsageError("--raw writes bytes, which have no other form", hint="Leave out -o")
    out = sys.stdout.buffer
    write = out.write if force or not _at_terminal() else _TerminalWriter(out).write
    read_raw(target.endpoint(ctx), sought, write)
    out.flush()


def _at_terminal() -> bool:
    return sys.stdout.isatty()


class _TerminalWriter:
    """Writes to a terminal what is text, and nothing that could move its cursor."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._decoder = getincrementaldecoder("utf-8")()

    def write(self, piece: bytes) -> None:
        """Write *piece*.

        Raises:
            RefusedError: It is binary; what came before it is written.
        """
        try:
            text = self._decoder.decode(piece)
            plain = all(character in "\n\t" or character.isprintable() for character in text)
        except UnicodeDecodeError:
            plain = False
        if not plain:
            raise RefusedError(
                "the value is no plain text, which a terminal could take for commands",
                hint="Send it to a file or a pipe, or add --force",
            )
        self._out.write(piece)


def public_detail(found: KeyDetail) -> dict[str, object]:
    """Return all that is known of one key, for programs."""
    fields = {name: getattr(found, name) for name in found.__dataclass_fields__}
    del fields["display"]
    return {**fields, "key": found.display}


def print_detail(console: Console, found: KeyDetail) -> None:
    """Print all that is known of one key, the value last."""
    rows: list[tuple[str, object]] = [
        ("key", found.display),
        ("namespace", found.namespace),
        ("type", f"{found.type} ({found.encoding})"),
        ("expires in", "never" if found.ttl_s is None else format_duration(found.ttl_s)),
        ("memory", format_size(found.memory_bytes)),
        ("idle", None if found.idle_s is None else format_duration(found.idle_s)),
        ("frequency", found.frequency),
    ]
    if found.entry is not None:
        entry = found.entry
        stale = f", invalidated: {', '.join(entry.stale_tags)}" if entry.stale_tags else ""
        loading = entry.loading_s
        rows += [
            ("stored", f"{format_duration(entry.age_s)} ago"),
            ("version", f"{entry.version}{'' if entry.version == 'current' else ' (a miss)'}"),
            ("tags", (", ".join(entry.tags) + stale) if entry.tags else None),
            ("format", f"{entry.format}, {_stored_size(entry)}"),
            ("fresh", _freshness(entry)),
            ("load cost", None if entry.load_s is None else format_duration(entry.load_s)),
            ("loading", None if loading is None else f"lease for {format_duration(loading)}"),
        ]
    elif found.length is not None:
        rows.append(("length", f"{found.length:,}"))
    for name, value in rows:
        if value is not None:
            console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)
    shown = [*found.preview.lines, *(["..."] if found.preview.truncated else [])]
    if found.preview.note:
        shown.append(f"({found.preview.note})")
    for number, text in enumerate(shown):
        console.print(f"{'' if number else 'value':<12}{text}", markup=False, soft_wrap=True)


def _stored_size(entry: EntryDetail) -> str:
    """Return how much the value takes and what was done to it, such as compression."""
    text = format_size(entry.payload_bytes)
    if entry.compressed:
        text += " compressed"
        if entry.raw_bytes is not None:
            text += f" from {format_size(entry.raw_bytes)}"
    return text if entry.key_id is None else f"{text}, encrypted (key id {entry.key_id})"


def _freshness(entry: EntryDetail) -> str | None:
    if entry.fresh_until_s is None:
        return None
    left = entry.fresh_until_s - (entry.created_s + entry.age_s)
    return f"for {format_duration(left)}" if left > 0 else f"no, since {format_duration(-left)}"
