"""Loading entries from a file, of any length, into the cache."""

from __future__ import annotations

import random
import shlex
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.namespaces import Namespaces
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, UsageError, ValkeyctlError
from valkeyctl.ops.keyspace.loading.batches import Batch, Format, batches, detected
from valkeyctl.ops.keyspace.loading.bulk import BulkWriter, Posted
from valkeyctl.ops.keyspace.loading.drafts import Drafting
from valkeyctl.ops.keyspace.loading.rejects import Reject, Rejects
from valkeyctl.ops.keyspace.loading.source import Source
from valkeyctl.ops.keyspace.loading.throttle import Throttle
from valkeyctl.ops.keyspace.loading.verify import verify
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.units import several

LARGEST_VALUE = 8 * 2**20  # what a CacheService stores by default, too
# A batch of more is on its way alone; those of ordinary entries are far below.
_UNDER_WAY_BYTES = 2 * 2**20
# As many as keep the server busy should we be held up for some milliseconds.
_UNDER_WAY = 4
_SHOWN = 20

Policies: TypeAlias = (
    Mapping[str, NamespacePolicy] | Callable[[Format], Mapping[str, NamespacePolicy] | None] | None
)


@dataclass(frozen=True)
class WarmOptions:
    """How to load a file.

    Attributes:
        format: What its lines are; None tells by its name and its first bytes.
        json_values: Whether the values of CSV are JSON instead of text.
        batch: Most lines that are dealt with at once, 1 or more.
        from_line: Pass over the lines before this one, 1-based.
        replace: Whether to store entries over those that are there and fresh, too.
        rate: Entries a second at most; None for as many as can be.
        verify: Whether to read back what was stored.
        rejects_file: Where to write the refused lines; taken up again with *from_line*,
            else begun anew.

    Raises:
        UsageError: A number is out of range.
    """

    format: Format | None = None
    json_values: bool = False
    batch: int = 4096
    from_line: int = 1
    replace: bool = False
    rate: float | None = None
    verify: bool = False
    rejects_file: Path | None = None

    def __post_init__(self) -> None:
        for name, number in (("batch", self.batch), ("from_line", self.from_line)):
            if number < 1:
                raise UsageError(f"{name} is 1 or more, not {number}")
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise UsageError(f"rate is above 0 entries a second, not {self.rate:g}")

    @property
    def words(self) -> list[str]:
        """The command line's words for them, but for the line to begin at."""
        words = []
        if self.format is not None:
            words += ["--format", self.format.value]
        for word, said in (
            ("--json-values", self.json_values),
            ("--replace", self.replace),
            ("--verify", self.verify),
        ):
            words += [word] * said
        if self.rate is not None:
            words += ["--rate", f"{self.rate:g}"]
        if self.rejects_file is not None:
            words += ["--rejects", str(self.rejects_file)]
        return words


_USUAL = WarmOptions()


@dataclass(frozen=True)
class WarmProgress:
    """How far a warm-up is.

    Attributes:
        line: Last line that is dealt with, 1-based.
        loaded: Entries that the server confirmed.
        skipped: Entries left, for they are there and fresh.
        rejected: Lines refused.
        read: Bytes read of the source.
        size: Bytes of the whole source; None when it cannot be known, as of a pipe.
    """

    line: int
    loaded: int
    skipped: int
    rejected: int
    read: int
    size: int | None


@dataclass(frozen=True)
class Mismatch:
    """An entry that was stored, and is not read back.

    Attributes:
        line: The line that asked for it, 1-based.
        reason: What is there instead, for a person.
    """

    line: int
    reason: str


@dataclass(frozen=True)
class WarmReport:
    """What a warm-up did.

    Attributes:
        loaded: Entries that the server confirmed.
        skipped: Entries left, for they are there and fresh, perhaps by an earlier line.
        rejected: Lines refused.
        bytes: Of the keys and values stored.
        seconds: For all of it.
        rejects: The first 20 of the refused lines.
        rejects_file: Where all of them are; None without one, or without any.
        verified: Entries read back as they were stored; None when it was not asked for.
        mismatched: Entries that were not.
        mismatches: The first 20 of them.
    """

    loaded: int
    skipped: int
    rejected: int
    bytes: int
    seconds: float
    rejects: tuple[Reject, ...]
    rejects_file: Path | None
    verified: int | None
    mismatched: int
    mismatches: tuple[Mismatch, ...]


def warm(
    endpoint: Endpoint,
    source: BinaryIO | Path,
    *,
    app: str,
    options: WarmOptions = _USUAL,
    policies: Policies = None,
    keyring: KeyRing | None = None,
    progress: Callable[[WarmProgress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> WarmReport:
    """Load the entries that the lines of a file ask for; what is wrong is refused.

    A line of JSON is an object with ``namespace``, ``id``, ``value``, and maybe ``ttl`` and
    ``tags``; CSV has columns of these names; an export is what `keys export` wrote. gzip
    and zstd are read, too. Empty lines are passed over. Any number of lines takes the same
    memory. Where an id stands on several lines the first one is stored, for the others find
    it fresh; to replace, the last one.

    Args:
        endpoint: The server; of any topology.
        source: A file, or an open stream of bytes.
        app: The application.
        options: How.
        policies: How long entries without a ttl live, and whether they are compressed or
            encrypted, by namespace; None takes the library's defaults. Or what returns that
            for a format, called when it is known: the lines of an export bring their lives.
        keyring: Keys of the namespaces whose policy encrypts.
        progress: Called after each batch.
        clock: Monotonic seconds.
        sleep: Waits for so many of them, to keep the rate.

    Raises:
        InvalidKeyError: The application's name breaks the key rules.
        UsageError: The file ends before the line to begin at, is no file of lines, or is the
            one for the refused lines; or a policy encrypts and there are no keys.
        MissingError: There is no such file, or a policy or the file needs an extra that is
            not installed.
        FolderError: A file cannot be read or written.
        UnreachableError, AuthError, ServerReplyError: Nothing was loaded.
        PartialError: It was interrupted, or something failed, after entries were loaded;
            the message says how many, the hint how to go on.
    """
    KeyScheme(app)  # a wrong name is told before anybody is asked
    began = clock()
    with Source(source) as opened:
        _check_apart(source, options.rejects_file)
        form = options.format or detected(opened)
        spaces = Namespaces(
            policies(form) if callable(policies) else policies,
            keyring=keyring,
            max_value_bytes=LARGEST_VALUE,
            observers=(),
            rng=random.Random(),
        )
        servers = primaries(endpoint)
        throttle = Throttle(options.rate, clock=clock, sleep=sleep)
        with (
            BulkWriter(servers, replace=options.replace) as writer,
            Rejects(options.rejects_file, resumed=options.from_line > 1) as rejects,
        ):
            run = _Run(writer, rejects, opened, throttle, progress, verifying=options.verify)
            asked = batches(
                opened,
                Drafting(servers.scheme(app), spaces),
                form,
                most=min(options.batch, throttle.step or options.batch),
                from_line=options.from_line,
                json_values=options.json_values,
                replace=options.replace,
            )
            try:
                run.load(asked)
            except (ValkeyctlError, KeyboardInterrupt) as error:
                if not run.loaded + run.skipped:
                    raise
                words = ["valkeyctl", "keys", "warm", _name(source), "--app", app, *options.words]
                raise run.stopped(error, words) from error
            if run.last < options.from_line and options.from_line > 1:
                raise UsageError(
                    f"{opened.name} has {several(run.last, 'line')}, and line "
                    f"{options.from_line} is past its end",
                    hint="Check --from-line; nothing was loaded",
                )
    return WarmReport(
        loaded=run.loaded,
        skipped=run.skipped,
        rejected=rejects.count,
        bytes=run.stored,
        seconds=clock() - began,
        rejects=tuple(rejects.first),
        rejects_file=rejects.file,
        verified=run.verified if options.verify else None,
        mismatched=run.mismatched,
        mismatches=tuple(run.mismatches),
    )


class _Run:
    """One warm-up: what is read, loaded and confirmed so far."""

    def __init__(
        self,
        writer: BulkWriter,
        rejects: Rejects,
        source: Source,
        throttle: Throttle,
        progress: Callable[[WarmProgress], None] | None,
        *,
        verifying: bool,
    ) -> None:
        self.loaded = 0
        self.skipped = 0
        self.stored = 0
        self.verified = 0
        self.mismatched = 0
        self.mismatches: list[Mismatch] = []
        self.last = 0  # the last line that need not be read again
        self._writer = writer
        self._rejects = rejects
        self._source = source
        self._throttle = throttle
        self._progress = progress
        self._verifying = verifying
        self._under_way: deque[tuple[Batch, Posted]] = deque()

    def load(self, asked: Iterator[Batch]) -> None:
        """Store what is asked for: while the server works on a batch the next one is made."""
        # At a rate there is time, and what is loaded is told at once. What is read back
        # must not be written over by the next batch meanwhile.
        most = 1 if self._throttle.limited or self._verifying else _UNDER_WAY
        while (batch := self._next(asked)) is not None:
            self._throttle.turn(len(batch.drafts))
            large = batch.bytes > _UNDER_WAY_BYTES
            if large:
                self._settle(0)
            self._under_way.append((batch, self._writer.post(batch.drafts)))
            del batch  # or a large one would stay while the next is read
            self._settle(0 if large else most - 1)
        self._settle(0)

    def _next(self, asked: Iterator[Batch]) -> Batch | None:
        try:
            return next(asked, None)
        except (ValkeyctlError, KeyboardInterrupt):
            # What was read before is on its way to a server that is well.
            with suppress(ValkeyctlError):
                self._settle(0)
            raise

    def stopped(self, error: ValkeyctlError | KeyboardInterrupt, words: list[str]) -> PartialError:
        """Return the failure of a warm-up that *error* has ended; *words* begin it anew."""
        why = str(error) if isinstance(error, ValkeyctlError) else "interrupted"
        left = f", {self.skipped} were fresh" if self.skipped else ""
        command = shlex.join([*words, "--from-line", str(self.last + 1)])
        return PartialError(
            f"the warm-up stopped after line {self.last} ({why}); "
            f"{self.loaded} entries are loaded{left}",
            hint=f"Run it again on the same server to go on: {command}",
        )

    def _settle(self, left: int) -> None:
        """Wait until no more than *left* batches are under way."""
        while len(self._under_way) > left:
            batch, posted = self._under_way.popleft()
            written = self._writer.settle(posted)
            self.loaded += len(batch.drafts) - len(written.skipped)
            self.skipped += len(written.skipped)
            self.stored += written.bytes
            if self._verifying:
                self._verify(batch, posted, written.skipped)
            # Entries are safe to load again; a rejected line in the file twice would confuse.
            for line, reason in batch.refused:
                self._rejects.add(line, reason)
            self._rejects.commit()
            self.last = batch.last
            if self._progress:
                counts = (self.loaded, self.skipped, self._rejects.count)
                self._progress(WarmProgress(batch.last, *counts, batch.read, self._source.size))

    def _verify(self, batch: Batch, posted: Posted, skipped: list[int]) -> None:
        found = verify(posted, skipped)
        self.verified += found.same
        self.mismatched += len(found.differences)
        room = _SHOWN - len(self.mismatches)
        self.mismatches += [
            Mismatch(batch.numbers[place], f"the entry {reason}")
            for place, reason in found.differences[:room]
        ]


def _check_apart(source: BinaryIO | Path, rejects_file: Path | None) -> None:
    if not isinstance(source, Path) or rejects_file is None or not rejects_file.exists():
        return
    if rejects_file.samefile(source):
        raise UsageError(
            f"the rejects would overwrite {source}, which is being read",
            hint="Name another file for the rejects",
        )


def _name(source: BinaryIO | Path) -> str:
    return str(source) if isinstance(source, Path) else "-"
