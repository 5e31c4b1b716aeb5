"""Exporting a keyspace, or a part of it, to lines that `restore` makes the same keys of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.caching.replies import Reply
from valkeyctl.caching.wire import Packed, Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, UnreachableError, UsageError
from valkeyctl.ops.keyspace.nodes import Served, served
from valkeyctl.ops.keyspace.scan import Batch, Impact, Pace, Walker
from valkeyctl.ops.keyspace.scope import Scope, owner_of
from valkeyctl.ops.keyspace.transfer.entrylines import EntryLines
from valkeyctl.ops.keyspace.transfer.exportlines import ExportLine, write_header, write_line
from valkeyctl.ops.keyspace.transfer.exportsink import ExportSink
from valkeyctl.ops.keyspace.transfer.rebuild import BUILDING
from valkeyctl.ops.keyspace.transfer.remainder import Found, Remainder, check_wrong_type, unexpected
from valkeyctl.ops.keyspace.transfer.skips import Skip, Skips

# What is read of every string at first: most are shorter, and a thousand of them fit into
# memory however long they are.
_FIRST_BYTES = 8 * 1024
_LAST_BYTE = b"$%d\r\n%d\r\n" % (len(str(_FIRST_BYTES)), _FIRST_BYTES)  # one more


_MOVED = frozenset({"MOVED", "ASK", "TRYAGAIN"})
# A key that goes from a node not yet read to one that was is in no export.
_MOVING = "the Cluster moves keys between its nodes, and an export would miss some"
_LATER = "Export again when its slots have settled; valkeyctl health shows them"


@dataclass(frozen=True)
class ExportProgress:
    """How far an export is.

    Attributes:
        visited: Fraction of the keyspace, 0 to 1.
        keys: Keys written so far, entries included.
    """

    visited: float
    keys: int


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        app: The application; None for every one.
        namespace: The namespace; None for all of them.
        entries: Entries of ours that were written.
        keys: Other keys that were written.
        stale: Entries left out, for they were invalidated: readers miss them.
        undecodable: Entries left out, for readers would delete them.
        skipped: Other keys left out.
        skips: The first 20 of those, with the reasons.
        bytes: Size of all lines, before they were compressed.
        seconds: For all of it.
        file: Where it is; None for a stream.
    """

    app: str | None
    namespace: str | None
    entries: int
    keys: int
    stale: int
    undecodable: int
    skipped: int
    skips: tuple[Skip, ...]
    bytes: int
    seconds: float
    file: Path | None


def export(
    endpoint: Endpoint,
    sink: ExportSink,
    *,
    app: str | None,
    namespace: str | None = None,
    impact: Impact = Impact.MAX,
    allow_blocking: bool = False,
    progress: Callable[[ExportProgress], None] | None = None,
) -> ExportReport:
    """Write every key of an application, or of one namespace of it, with its life and tags.

    Versions, leases and the like are left out: where the entries are imported, others hold.
    Values of any size take the same memory here, and no command holds the server up.

    Args:
        endpoint: Of any topology.
        sink: Opened, and empty.
        app: The application; None for all keys there are.
        namespace: Only this one.
        impact: How much of the server's time to take from others.
        allow_blocking: Read values of a module's type with one command, however large.
        progress: Called after each batch.

    Raises:
        InvalidKeyError: A name breaks the key rules.
        UsageError: A namespace without an application.
        UnreachableError: A server went away; what was written has no last line.
        AuthError, ServerReplyError: A server refuses a command, or a Cluster moves slots.
        FolderError: The file cannot be written.
    """
    if app is None and namespace is not None:
        raise UsageError(
            f"the namespace {namespace} is one of an application's",
            hint="Name the application, or leave the namespace out",
        )
    scope = Scope(app, namespace)
    began = time.monotonic()
    with Walker(endpoint) as walker:
        run = _Run(walker, sink, scope, allow_blocking=allow_blocking)
        pace = Pace.of(impact)
        try:
            run.begin()
            before = _settled(walker)
            for batch in walker.walk(match=scope.glob, follow=_questions, pace=pace):
                run.take(batch)
                if progress:
                    progress(ExportProgress(batch.visited, run.entries + run.keys))
            _settled(walker, before)
            run.end()
        except ServerReplyError as error:
            if error.reply not in _MOVED:
                raise
            raise ServerReplyError(f"{_MOVING} ({error})", hint=_LATER) from error
        except UnreachableError as error:
            raise type(error)(
                f"{error}; the export stopped after {run.entries + run.keys:,} keys, it is not "
                "whole",
                hint="Check the server, and export again",
            ) from error
        finally:
            run.close()
    return ExportReport(
        app=app,
        namespace=namespace,
        entries=run.entries,
        keys=run.keys,
        stale=run.lines.stale,
        undecodable=run.lines.undecodable,
        skipped=run.skips.count,
        skips=tuple(run.skips.first),
        bytes=sink.bytes,
        seconds=time.monotonic() - began,
        file=sink.file,
    )


class _Run:
    """One export: what is read, and what was written so far."""

    def __init__(
        self, walker: Walker, sink: ExportSink, scope: Scope, *, allow_blocking: bool
    ) -> None:
        self.skips = Skips()
        self._walker = walker
        self._sink = sink
        self._scope = scope
        self._allow_blocking = allow_blocking
        self._remainders: dict[int, Remainder] = {}
        self._short = 0
        self._exported_ms = _now_ms(walker.wire.call("TIME"))
        self.lines = EntryLines(
            named=scope.app is None, has_slots=walker.has_slots, exported_ms=self._exported_ms
        )

    @property
    def entries(self) -> int:
        """Entries written so far."""
        return self._short + sum(one.entries for one in self._remainders.values())

    @property
    def keys(self) -> int:
        """Other keys written so far."""
        return sum(one.keys for one in self._remainders.values())

    def begin(self) -> None:
        """Write the first line."""
        header = write_header(
            app=self._scope.app,
            namespace=self._scope.namespace,
            exported_ms=self._exported_ms,
            server=_server(self._walker.wire),
            shards=64 if self._walker.has_slots else 1,
        )
        self._sink.write([header])

    def end(self) -> None:
        """Write the last line, which says that all is there."""
        lines = self._sink.lines - 1  # the first does not count
        last = ExportLine(end=True, lines=lines, entry_count=self.entries, key_count=self.keys)
        self._sink.write([write_line(last)])

    def close(self) -> None:
        """Close the connections."""
        for remainder in self._remainders.values():
            remainder.close()

    def take(self, batch: Batch) -> None:
        """Write the keys of *batch*, whose answers are those to `_questions`."""
        answers = batch.answers
        add = self.lines.add
        strings: list[tuple[Found, bytes]] = []
        long: list[Found] = []
        others: list[Found] = []
        for key, value, expires_ms in zip(batch.keys, answers[::2], answers[1::2], strict=True):
            if not isinstance(expires_ms, int):
                raise unexpected("PEXPIRETIME", expires_ms)
            if expires_ms == -2:
                continue  # it is gone
            if not isinstance(value, bytes):
                check_wrong_type(value)
                others.append((key, expires_ms))
            elif len(value) > _FIRST_BYTES:
                long.append((key, expires_ms))
            elif not add(key, value, expires_ms):
                strings.append(((key, expires_ms), value))
        remainder = self._remainder(batch.node)
        if long:
            others += remainder.long([one for one in long if self._holds(one)])
        lines = self.lines.drain(remainder.versions)
        self._short += len(lines)
        self._sink.write(lines)
        remainder.strings([one for one in strings if self._holds(one[0])])
        remainder.others([one for one in others if self._holds(one)])

    def _holds(self, found: Found) -> bool:
        """Say whether a key that may be no entry is to be exported."""
        key = found[0]
        return self._scope.holds(key, owner_of(key)) and not BUILDING(key)

    def _remainder(self, node: int) -> Remainder:
        remainder = self._remainders.get(node)
        if remainder is None:
            remainder = self._remainders[node] = Remainder(
                self._walker.nodes[node],
                self.lines,
                self._sink,
                exported_ms=self._exported_ms,
                skips=self.skips,
                allow_blocking=self._allow_blocking,
            )
        return remainder


def _settled(walker: Walker, before: Served | None = None) -> Served | None:
    """Return which node serves what; None where there is but one.

    Raises:
        ServerReplyError: Keys are on their way from one node to another, or went since
            *before*.
        UnreachableError, AuthError: as `Wire.call`.
    """
    if not walker.has_slots:
        return None
    now = served(node.wire for node in walker.nodes)
    if now.moving or before not in (None, now):
        raise ServerReplyError(_MOVING, hint=_LATER)
    return now


def _questions(keys: list[bytes]) -> Packed:
    """Return the commands that read the beginnings of strings, and when the keys expire."""
    # By hand: packing word by word takes longer than the server's answer.
    data = b"".join(
        [
            b"*4\r\n$8\r\nGETRANGE\r\n$%d\r\n%b\r\n$1\r\n0\r\n%b"
            b"*2\r\n$11\r\nPEXPIRETIME\r\n$%d\r\n%b\r\n"
            % (len(key), key, _LAST_BYTE, len(key), key)
            for key in keys
        ]
    )
    return Packed(data, 2 * len(keys))


def _server(wire: Wire) -> str:
    """Return what the keys are on, such as ``valkey 9.1.2``."""
    facts = wire.info("server")
    if version := facts.get("valkey_version"):
        return f"valkey {version}"
    return f"redis {facts.get('redis_version', '')}".rstrip()


def _now_ms(answer: Reply) -> int:
    match answer:
        case [bytes() as seconds, bytes() as micros]:
            return int(seconds) * 1000 + int(micros) // 1000
    raise unexpected("TIME", answer)
