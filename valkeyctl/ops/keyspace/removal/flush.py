"""Emptying a namespace, a tag or a pattern: at once for readers, gently for the server."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    PartialError,
    ServerReplyError,
    UsageError,
    ValkeyctlError,
)
from valkeyctl.ops.keyspace.display import show_bytes
from valkeyctl.ops.keyspace.nodes import Served, served
from valkeyctl.ops.keyspace.pace import Effect, Impact, Pace
from valkeyctl.ops.keyspace.removal.doomed import Doomed, doomed_by
from valkeyctl.ops.keyspace.removal.halt import Halt
from valkeyctl.ops.keyspace.removal.invalidate import Invalidation
from valkeyctl.ops.keyspace.removal.resume import (
    Journal,
    Progress,
    Unfinished,
    command_line,
    open_journal,
)
from valkeyctl.ops.keyspace.removal.selection import Selection
from valkeyctl.ops.keyspace.scan import Batch, Command, Walker

GENTLE = Pace.of(Impact.NORMAL)


def flush_pace(impact: Impact) -> Pace:
    """Return the pace of *impact* for a flush.

    At ``max`` a step may take longer than that of other walks: the bound is there for a
    single command, and what a step deletes is spread over several.
    """
    return Pace(target=0.002) if impact is Impact.MAX else Pace.of(impact)


@dataclass(frozen=True)
class FlushProgress:
    """How far a flush is.

    Attributes:
        visited: Fraction of the keyspace walked, 0 to 1.
        deleted: Keys deleted so far, in earlier runs, too.
        seconds: Since this run began.
    """

    visited: float
    deleted: int
    seconds: float


@dataclass(frozen=True)
class FlushReport:
    """What a flush did.

    Attributes:
        app: The application.
        namespace: What was selected, if a namespace.
        tag: What was selected, if a tag.
        pattern: What was selected, if a pattern, as a printable line.
        invalidated: Whether readers miss since its beginning, whatever was deleted when;
            False for a pattern, which has no version.
        resumed: Whether an earlier run had begun it.
        deleted: Keys that the servers said they deleted, earlier runs included; leases to
            load entries went too, and are not counted.
        uncounted: At most so many more were deleted by earlier runs that ended before the
            servers' answers came; 0 when none did.
        seconds: For all of this run.
        keys_per_s: Keys deleted a second in this run.
        longest_command_ms: Most that the server can have taken for a command, its way
            there and back included.
        effect: What other clients felt meanwhile; None when the pace watches nobody, or a
            server had no second connection to watch by.
    """

    app: str
    namespace: str | None
    tag: str | None
    pattern: str | None
    invalidated: bool
    resumed: bool
    deleted: int
    uncounted: int
    seconds: float
    keys_per_s: float
    longest_command_ms: float
    effect: Effect | None


def flush(
    endpoint: Endpoint,
    selection: Selection,
    *,
    pace: Pace = GENTLE,
    resume_folder: Path | None = None,
    resume: bool = False,
    progress: Callable[[FlushProgress], None] | None = None,
    timeout: float = 5.0,
) -> FlushReport:
    """Delete all that is selected; readers of a namespace or a tag miss from the first moment on.

    The version goes first, as `invalidate` does it. Then the memory is given back in
    bounded steps, each one write: UNLINK of the keys that the last step found, and SCAN
    for the next. Leases to load a namespace's entries go with them, so that nobody waits
    for a load that can no longer be stored. What is written meanwhile may be deleted,
    too; running it again is harmless.

    Args:
        endpoint: Of any topology.
        selection: What to delete; no other key is touched.
        pace: How hard to work the servers.
        resume_folder: Where to keep how far it is; None keeps nothing, and then it cannot
            be resumed.
        resume: Go on where the last flush of the same stopped.
        progress: Called after each step.
        timeout: Seconds that a server may be silent.

    Raises:
        UsageError: It shall be resumed, and there is no folder.
        UnreachableError, AuthError, ServerReplyError: Nothing was changed.
        LockedError: Another process flushes the same at this moment.
        FolderError: The resume file cannot be opened or written, or is damaged.
        NotFoundError: There is nothing to resume.
        RefusedError: The cursors of the last flush mean nothing any more.
        PartialError: It was interrupted, or a server failed; the message says what is
            done, the hint how to go on.
    """
    if resume and resume_folder is None:
        raise UsageError("a flush is resumed from a folder, and none is given")
    with ExitStack() as opened:
        journal = None
        if resume_folder is not None:
            journal = opened.enter_context(open_journal(resume_folder, endpoint, selection))
        left = journal.unfinished() if journal and resume else None
        parts = left.parts if left else None
        walker = opened.enter_context(Walker(endpoint, timeout=timeout, parts=parts))
        run = _Run(walker, selection, journal, left, progress)
        halt = opened.enter_context(Halt())
        run.begin(replicated=endpoint.topology != "standalone", timeout=timeout)
        try:
            run.walk(pace, halt)
        except (ValkeyctlError, KeyboardInterrupt) as error:
            if not run.is_harmless:
                raise run.stopped(error) from error
            if journal:
                journal.forget()
            raise
        if journal:
            journal.forget()
        run.check_slots()
        return run.report()


class _Run:
    """One run of a flush: what it does, and what it has done so far."""

    def __init__(
        self,
        walker: Walker,
        selection: Selection,
        journal: Journal | None,
        left: Unfinished | None,
        progress: Callable[[FlushProgress], None] | None,
    ) -> None:
        self._walker = walker
        self._selection = selection
        self._journal = journal
        self._left = left
        self._tell = progress
        self._doomed: Doomed = doomed_by(selection, has_slots=walker.has_slots)
        self._began = time.monotonic()
        self._changed = left is not None
        self._layout = 0
        self._halted = False
        self._longest = 0.0
        begun = left.progress if left else Progress(())
        self._earlier = begun.deleted
        self._deleted = begun.deleted
        self._uncounted = begun.uncounted
        self._visited = begun.visited
        self._cursors = list(begun.cursors)
        self._sent: deque[int] = deque()  # keys that commands were sent for, batch by batch

    def begin(self, *, replicated: bool, timeout: float) -> None:
        """Invalidate, unless an earlier run has, and note where the lanes begin.

        Raises:
            RefusedError: There is an earlier run that this one cannot go on with.
            UnreachableError, AuthError, ServerReplyError: It may not be done.
        """
        walker, chosen = self._walker, self._selection
        lanes = walker.lanes
        self._layout = self._served().layout
        if self._left:
            self._left.check(lanes, self._layout, chosen)
        for node in walker.nodes:
            for command in self._doomed.rehearsal:
                _rehearse(node.wire, command)
        if self._journal:
            self._journal.reserve(lanes)
        if not self._left:
            self._cursors = [lane.part for lane in lanes]
            if chosen.pattern is None:
                Invalidation(
                    [node.wire for node in walker.nodes],
                    chosen,
                    has_slots=walker.has_slots,
                    replicated=replicated or walker.has_slots,
                    timeout=timeout,
                ).carry_out()
                self._changed = True
        if self._journal:
            self._journal.begin(lanes, self._layout, self._progress())

    def walk(self, pace: Pace, halt: Halt) -> None:
        """Delete, batch by batch, to the end, or until it shall halt.

        Raises:
            KeyboardInterrupt: It was halted, and all that was sent is answered.
            UnreachableError, AuthError, ServerReplyError: as `Walker.walk`.
            FolderError: How far it is cannot be written.
        """
        start = tuple(self._cursors) if self._left else None
        for batch in self._walker.walk(
            match=self._doomed.glob, follow=self._follow, pace=pace, start=start, eager=False
        ):
            self._take(batch)
            if self._tell:
                seconds = time.monotonic() - self._began
                self._tell(FlushProgress(self._visited, self._deleted, seconds))
            self._halted = self._halted or halt.asked
            # What was sent is waited for, so that its count is not lost.
            if self._halted and not self._pending:
                raise KeyboardInterrupt

    def check_slots(self) -> None:
        """Make sure that no keys were carried past the walk, from one node to another.

        Raises:
            PartialError: Slots have moved since it began, or move now.
        """
        cause: Exception | None = None
        try:
            now = self._served()
            if now == Served(self._layout, ()):
                return
            why = "slots of the Cluster have moved meanwhile"
            if now.moving:
                why = f"slot {now.moving[0]} of the Cluster is being moved"
        except ValkeyctlError as error:
            cause, why = error, f"whether slots have moved is unknown ({error})"
        raise PartialError(
            f"the flush of {self._selection} saw every node, but {why}, so some keys may be "
            f"left; {self._deleted:,} keys are deleted",
            hint=f"Run it again: {command_line(self._selection)} --yes",
        ) from cause

    @property
    def is_harmless(self) -> bool:
        """Whether nothing can have been changed so far."""
        # Of several commands under way one may be refused after others have deleted.
        return not (self._changed or self._deleted or self._pending)

    def stopped(self, error: BaseException) -> PartialError:
        """Return the failure that says how far it came, and how to go on."""
        chosen = self._selection
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        invalid = "" if chosen.pattern is not None else "its entries are invalid already, and "
        lost = self._uncounted + self._pending
        count = f"{self._deleted:,} keys are deleted"
        if lost:
            count += f", and up to {lost:,} more whose answers were lost"
        hint, options = "Go on", "--resume --yes"
        if self._journal is None:
            hint, options = "Run it again on the same server to delete the rest", "--yes"
        return PartialError(
            f"the flush of {chosen} stopped at {self._visited:.0%} of the keyspace ({why}); "
            f"{invalid}{count}",
            hint=f"{hint}: {command_line(chosen)} {options}",
        )

    def report(self) -> FlushReport:
        """Return what was done, when it is done."""
        chosen, seconds = self._selection, time.monotonic() - self._began
        return FlushReport(
            app=chosen.app,
            namespace=chosen.namespace,
            tag=chosen.tag,
            pattern=None if chosen.pattern is None else show_bytes(chosen.pattern),
            invalidated=chosen.pattern is None,
            resumed=self._left is not None,
            deleted=self._deleted,
            uncounted=self._uncounted,
            seconds=seconds,
            keys_per_s=(self._deleted - self._earlier) / max(seconds, 1e-6),
            longest_command_ms=self._longest * 1000,
            effect=self._walker.effect,
        )

    @property
    def _pending(self) -> int:
        return sum(self._sent)

    def _served(self) -> Served:
        nodes = self._walker.nodes if self._walker.has_slots else ()
        return served(node.wire for node in nodes)

    def _follow(self, keys: list[bytes]) -> list[Command]:
        if self._halted:
            # For another run: what was sent before is taken first, and then this one ends.
            return []
        self._sent.append(len(keys))
        self._note()  # before they go: a count may be lost, but never without a trace
        return self._doomed.commands(keys)

    def _take(self, batch: Batch) -> None:
        self._deleted += self._doomed.deleted(batch.keys, batch.answers)
        self._cursors[batch.lane] = batch.cursor
        self._visited = batch.visited
        self._longest = max(self._longest, batch.round_trip)
        if batch.keys:
            # Batches come in the order in which `_follow` was asked about their keys.
            self._sent.popleft()
        self._note()

    def _note(self) -> None:
        if self._journal:
            self._journal.note(self._progress())

    def _progress(self) -> Progress:
        return Progress(
            tuple(self._cursors), self._deleted, self._pending, self._uncounted, self._visited
        )


def _rehearse(wire: Wire, command: Command) -> None:
    """Find out whether *command* may be used at all.

    Raises:
        AuthError, ServerReplyError: It may not.
    """
    try:
        wire.call(*command)
    except AuthError as error:
        # A user who may not touch this very key may still touch those that will be found.
        if "to access" not in str(error):
            raise
    except ServerReplyError as error:
        if error.reply not in {"MOVED", "ASK"}:
            raise
