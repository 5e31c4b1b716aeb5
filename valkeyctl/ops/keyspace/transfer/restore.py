"""Importing what `export` wrote: the same values with the same lives, on any server."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, PartialError, UsageError, ValkeyctlError
from valkeyctl.ops.keyspace.loading.bulk import BulkWriter
from valkeyctl.ops.keyspace.loading.rejects import Reject, Rejects
from valkeyctl.ops.keyspace.loading.source import Source
from valkeyctl.ops.keyspace.nodes import Primaries, primaries
from valkeyctl.ops.keyspace.transfer.exportfile import ExportReader
from valkeyctl.ops.keyspace.transfer.rebuild import Rebuilder
from valkeyctl.ops.keyspace.transfer.restorelines import Restoring
from valkeyctl.ops.keyspace.transfer.restorerun import RestoreRun
from valkeyctl.units import several


@dataclass(frozen=True)
class RestoreOptions:
    """How to import.

    Attributes:
        app: What to call the application; None as it was called.
        replace: Whether to store over what is there; else keys that are there are left,
            entries if readers would still be given them.
        keep_deadlines: Whether everything ends when it would have ended where it was;
            else it has as long left as it had when it was exported.
        from_line: Pass over the lines before this one, 1-based.
        rejects_file: Where to write the refused lines; taken up again with *from_line*,
            else begun anew.

    Raises:
        InvalidKeyError: The application's name breaks the key rules.
        UsageError: A number is out of range.
    """

    app: str | None = None
    replace: bool = False
    keep_deadlines: bool = False
    from_line: int = 1
    rejects_file: Path | None = None

    def __post_init__(self) -> None:
        if self.from_line < 1:
            raise UsageError(f"from_line is 1 or more, not {self.from_line}")
        if self.app is not None:
            KeyScheme(self.app)

    @property
    def words(self) -> list[str]:
        """The command line's words for them, but for the line to begin at."""
        words = ["--replace"] * self.replace + ["--keep-deadlines"] * self.keep_deadlines
        if self.app is not None:
            words += ["--app", self.app]
        if self.rejects_file is not None:
            words += ["--rejects", str(self.rejects_file)]
        return words


_USUAL = RestoreOptions()


@dataclass(frozen=True)
class RestoreProgress:
    """How far an import is.

    Attributes:
        restored: Keys that are stored, entries included.
        read: Bytes read of the file, as they lie there.
        size: Bytes of the whole file; None when it cannot be known, as of a pipe.
    """

    restored: int
    read: int
    size: int | None


@dataclass(frozen=True)
class RestoreReport:
    """What an import did.

    Attributes:
        app: What the application is called; None when there are several.
        exported_at: When the export began, as RFC 3339.
        entries: Entries of ours that were stored.
        keys: Other keys that were stored.
        existing: Keys left as they are, entries included.
        expired: Entries and keys whose deadline is past.
        rejected: Lines refused.
        whole: Whether the file has its end, and all the lines that it had.
        seconds: For all of it.
        rejects: The first 20 of the refused lines.
        rejects_file: Where all of them are; None without one, or without any.
    """

    app: str | None
    exported_at: str
    entries: int
    keys: int
    existing: int
    expired: int
    rejected: int
    whole: bool
    seconds: float
    rejects: tuple[Reject, ...]
    rejects_file: Path | None


def restore(
    endpoint: Endpoint,
    source: BinaryIO | Path,
    *,
    options: RestoreOptions = _USUAL,
    progress: Callable[[RestoreProgress], None] | None = None,
) -> RestoreReport:
    """Store the keys of an export as they were; what cannot be stored is refused.

    Entries are written under the versions that hold where they go, and valid there. It
    may be another server, version or topology than they came from.

    Args:
        endpoint: Of any topology.
        source: A file, or an open stream of bytes; compressed or not.
        options: How.
        progress: Called after each batch.

    Raises:
        UsageError: It is no export, or of a newer valkeyctl, or ends before the line to
            begin at, or holds several applications and shall be given one name; or the
            refused lines would overwrite it.
        MissingError: There is no such file, or it needs an extra that is not installed.
        FolderError: A file cannot be read or written.
        UnreachableError, AuthError, ServerReplyError: Nothing was stored.
        PartialError: It was interrupted, or something failed, after keys were stored;
            the message says how many, the hint how to go on.
    """
    began = time.monotonic()
    with Source(source) as opened:
        _check_apart(source, options.rejects_file)
        reader = ExportReader(opened)
        header = reader.header
        if options.app is not None and header.app is None:
            raise UsageError(
                f"{opened.name} holds keys of several applications, which cannot all be called "
                f"{options.app}",
                hint="Export one of them with --app, or leave --app out",
            )
        servers = primaries(endpoint)
        restoring = Restoring(
            header,
            options.app,
            shards=servers.scheme("any").shards,
            keep_deadlines=options.keep_deadlines,
        )
        rebuilder = Rebuilder(servers, replace=options.replace)
        with (
            BulkWriter(servers, replace=options.replace) as writer,
            Rejects(options.rejects_file, resumed=options.from_line > 1) as rejects,
        ):
            clock = _Clock(servers, header.exported_ms)
            run = RestoreRun(
                writer,
                rebuilder,
                restoring,
                rejects,
                clock.elapsed_ms,
                replace=options.replace,
            )
            try:
                for block in reader:
                    run.take(block, options.from_line)
                    if progress:
                        progress(RestoreProgress(run.restored, opened.taken, opened.size))
                run.end()
            except (ValkeyctlError, KeyboardInterrupt) as error:
                run.give_up()
                if not run.restored + run.existing:
                    raise
                raise _partial(run, error, source, options) from error
            finally:
                rebuilder.close()
            if reader.last < options.from_line and options.from_line > 1:
                raise UsageError(
                    f"{opened.name} has {several(reader.last, 'line')}, and line "
                    f"{options.from_line} is past its end",
                    hint="Check --from-line; nothing was imported",
                )
    return RestoreReport(
        app=options.app or header.app,
        exported_at=header.exported_at,
        entries=run.entries,
        keys=run.keys,
        existing=run.existing,
        expired=run.expired,
        rejected=rejects.count,
        whole=reader.whole,
        seconds=time.monotonic() - began,
        rejects=tuple(rejects.first),
        rejects_file=rejects.file,
    )


class _Clock:
    """Tells how long ago the export began, by the target's clock."""

    def __init__(self, servers: Primaries, exported_ms: int) -> None:
        with Wire(servers.nodes[0]) as wire:
            match wire.call("TIME"):
                case [bytes() as seconds, bytes() as micros]:
                    now_ms = int(seconds) * 1000 + int(micros) // 1000
                case _:
                    now_ms = round(time.time() * 1000)
        self._ahead_ms = now_ms - exported_ms - time.monotonic() * 1000

    def elapsed_ms(self) -> int:
        """Return the milliseconds since the export."""
        return round(time.monotonic() * 1000 + self._ahead_ms)


def _check_apart(source: BinaryIO | Path, rejects_file: Path | None) -> None:
    if not isinstance(source, Path) or rejects_file is None or not rejects_file.exists():
        return
    if rejects_file.samefile(source):
        raise UsageError(
            f"the rejects would overwrite {source}, which is being read",
            hint="Name another file for the rejects",
        )


def _partial(
    run: RestoreRun,
    error: ValkeyctlError | KeyboardInterrupt,
    source: BinaryIO | Path,
    options: RestoreOptions,
) -> PartialError:
    """Return the failure of an import that *error* has ended."""
    why = str(error) if isinstance(error, ValkeyctlError) else "interrupted"
    name = str(source) if isinstance(source, Path) else "-"
    words = ["valkeyctl", "keys", "import", name, *options.words]
    command = shlex.join([*words, "--from-line", str(run.last + 1)])
    left = f", {run.existing:,} were there" if run.existing else ""
    # A file that was cut off has to be mended first.
    before = f"{error.hint}, and then run" if isinstance(error, FolderError) else "Run"
    return PartialError(
        f"the import stopped after line {run.last} ({why}); "
        f"{several(run.restored, 'key')} stored{left}",
        hint=f"{before} it again on the same server to go on: {command}",
    )
