"""How far a flush is, in a file, so that another process can go on.

::

    line 1    what is flushed, on which servers, and by which lanes
    line 2, 3 how far it is: two places of fixed size, written in turn

Each step overwrites the older of the two places, in one small write and without waiting
for the disk: whenever the process is killed, the other place is whole, and a checksum
tells which. (After a crash of the machine the file may be older than what was deleted;
then the count misses what was deleted since.) Whoever flushes holds a lock on the file,
and removes it when there is nothing left to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, LockedError, NotFoundError, RefusedError
from valkeyctl.ops.keyspace.lanes import LaneName
from valkeyctl.ops.keyspace.removal.selection import Selection

_FORMAT = 1
_STATE_HINT = "Name another folder: --state-dir DIR, or set VALKEYCTL_STATE_DIR"


@dataclass(frozen=True)
class Progress:
    """How far a flush is.

    Attributes:
        cursors: Where each lane goes on; all before it is dealt with.
        deleted: Keys that the servers have said they deleted, in all runs.
        pending: Keys that the servers were told to delete and have not answered for.
        uncounted: Likewise from runs that ended before the answers came: at most so many
            were deleted beyond `deleted`.
        visited: Fraction of the keyspace walked.
    """

    cursors: tuple[int, ...]
    deleted: int = 0
    pending: int = 0
    uncounted: int = 0
    visited: float = 0.0


@dataclass(frozen=True)
class Unfinished:
    """A flush that ended before it was done.

    Attributes:
        lanes: The lanes that it went on.
        layout: As `nodes.Served` has it, of when it began; 0 without a Cluster.
        progress: How far it came; what was pending counts as uncounted.
    """

    lanes: tuple[LaneName, ...]
    layout: int
    progress: Progress

    @property
    def parts(self) -> int:
        """Into how many parts the table of each server is divided."""
        return self.lanes[0].parts

    def check(self, lanes: Sequence[LaneName], layout: int, selection: Selection) -> None:
        """Make sure that the cursors still mean what they meant.

        Raises:
            RefusedError: A server was restarted or replaced, or slots have moved.
        """
        before = {(lane.address, lane.part, lane.parts): lane.run_id for lane in self.lanes}
        now = {(lane.address, lane.part, lane.parts): lane.run_id for lane in lanes}
        if before.keys() != now.keys():
            why = "its servers are other ones now"
        elif changed := [place[0] for place, run_id in now.items() if before[place] != run_id]:
            why = f"{changed[0]} was restarted or replaced since"
        elif layout != self.layout:
            why = "slots or primaries of the Cluster have moved since"
        else:
            return
        raise RefusedError(
            f"the flush of {selection} cannot go on where it stopped: {why}",
            hint=f"Start over: {command_line(selection)} --yes",
        )


def command_line(selection: Selection) -> str:
    """Return the command that flushes *selection*, to be pasted into a shell."""
    import shlex  # only for people

    return f"valkeyctl keys flush {shlex.join(selection.arguments())}"


class Journal:
    """The file of one flush, locked by this process; `open_journal` makes it."""

    def __init__(self, path: Path, handle: int, text: bytes, selection: Selection) -> None:
        self._path = path
        self._handle = handle
        self._selection = selection
        self._text = text
        self._offset = self._width = self._step = 0
        self._pid = os.getpid()
        self._kept = bool(text)

    @property
    def is_empty(self) -> bool:
        """Whether no earlier flush has left anything."""
        return not self._text

    def unfinished(self) -> Unfinished:
        """Return what an earlier flush of the same has left.

        Raises:
            NotFoundError: It finished, or there was none.
            FolderError: The file is damaged.
        """
        start_over = f"Start over: {command_line(self._selection)} --yes"
        if not self._text:
            raise NotFoundError(
                f"there is no unfinished flush of {self._selection} to resume", hint=start_over
            )
        found = _read(self._text)
        if found is None:
            raise FolderError(f"the resume file {self._path} is damaged", hint=start_over)
        return found

    def reserve(self, lanes: Sequence[LaneName]) -> None:
        """Make sure that there is room for a flush on these lanes; keeps what was left.

        Raises:
            FolderError: The disk is full, or does not take the file.
        """
        size = len(self._header(lanes, 0)) + 2 * self._wide(lanes)
        try:
            # Behind all that is read; `begin` writes over it, and cuts the rest.
            os.pwrite(self._handle, b"\n" * size, len(self._text))
        except OSError as error:
            raise self._unwritable(error) from error

    def begin(self, lanes: Sequence[LaneName], layout: int, progress: Progress) -> None:
        """Note a flush on these lanes, in place of what was left.

        Raises:
            FolderError: The file cannot be written.
        """
        line = self._header(lanes, layout)
        self._offset, self._width, self._step = len(line), self._wide(lanes), 0
        self._kept = True
        text = line + self._place(progress) + self._place(progress)
        try:
            # In this order: what is whole at any moment begins with a whole flush.
            os.pwrite(self._handle, text, 0)
            os.ftruncate(self._handle, len(text))
        except OSError as error:
            raise self._unwritable(error) from error

    def note(self, progress: Progress) -> None:
        """Keep how far the flush is.

        Raises:
            FolderError: The file cannot be written.
        """
        place = self._place(progress)
        older = (self._step - 1) % 2
        try:
            os.pwrite(self._handle, place, self._offset + older * self._width)
        except OSError as error:
            raise self._unwritable(error) from error

    def forget(self) -> None:
        """Remove the file: there is nothing to go on with."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._kept = True

    def close(self) -> None:
        """Give the lock back, and leave no file that says nothing."""
        if not self._kept:
            self.forget()
        os.close(self._handle)

    def _header(self, lanes: Sequence[LaneName], layout: int) -> bytes:
        header = {
            "valkeyctl_flush": _FORMAT,
            "selection": str(self._selection),
            "layout": layout,
            "lanes": [list(lane) for lane in lanes],
        }
        return json.dumps(header).encode() + b"\n"

    @staticmethod
    def _wide(lanes: Sequence[LaneName]) -> int:
        # Five numbers, and a cursor of up to twenty digits for each lane.
        return 256 + 24 * len(lanes)

    def _place(self, progress: Progress) -> bytes:
        self._step += 1
        # Written by hand, for it is done for every batch, and `json` takes five times as long.
        cursors = ", ".join(map(str, progress.cursors))
        body = (
            f'{{"step": {self._step}, "pid": {self._pid}, "deleted": {progress.deleted}, '
            f'"pending": {progress.pending}, "uncounted": {progress.uncounted}, '
            f'"visited": {progress.visited:.6f}, "cursors": [{cursors}]}}'
        ).encode()
        return (b"%08x %s" % (zlib.crc32(body), body)).ljust(self._width - 1) + b"\n"

    def _unwritable(self, error: OSError) -> FolderError:
        return FolderError(
            f"cannot write {self._path}: {error.strerror or error}", hint=_STATE_HINT
        )


@contextlib.contextmanager
def open_journal(folder: Path, endpoint: Endpoint, selection: Selection) -> Iterator[Journal]:
    """Yield the file of a flush of *selection* on *endpoint*, which nobody else has meanwhile.

    Args:
        folder: Ours, for such files; made where it is not there.
        endpoint: As the user named it.
        selection: What is flushed.

    Raises:
        LockedError: Another process, or thread, flushes the same at this moment.
        FolderError: The file cannot be opened.
    """
    path = folder / _file_name(endpoint, selection)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = _locked(path)
    except BlockingIOError as error:
        raise LockedError(
            f"another valkeyctl{_holder(path)} flushes {selection} on {endpoint.address}",
            hint="Wait for it to end, and try again",
        ) from error
    except OSError as error:
        raise FolderError(
            f"cannot open {path}: {error.strerror or error}", hint=_STATE_HINT
        ) from error
    journal = Journal(path, handle, _content(handle), selection)
    try:
        yield journal
    finally:
        journal.close()


def left_behind(folder: Path, endpoint: Endpoint, selection: Selection) -> Unfinished | None:
    """Return what an unfinished flush has left, or None; takes no lock and raises nothing."""
    try:
        return _read((folder / _file_name(endpoint, selection)).read_bytes())
    except OSError:
        return None


def _file_name(endpoint: Endpoint, selection: Selection) -> str:
    said = repr((endpoint.address, endpoint.db, selection))
    kind = selection.namespace or ("tag" if selection.tag else "pattern")
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return f"flush-{selection.app}-{kind}-{digest}.jsonl"


def _locked(path: Path) -> int:
    """Return an open file that is locked and still the one called *path*."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its last holder has removed it; the next one has another file


def _content(handle: int) -> bytes:
    return os.pread(handle, os.fstat(handle).st_size, 0)


def _holder(path: Path) -> str:
    """Return in brackets which process holds the lock, as far as the file tells."""
    try:
        places = _places(path.read_bytes())
    except OSError:
        return ""
    return f" (pid {places[-1].pid})" if places else ""


@dataclass(frozen=True)
class _Place:
    """One of the two places of a file."""

    step: int
    pid: int
    progress: Progress


def _places(text: bytes) -> list[_Place]:
    """Return the places that are whole, the older one first."""
    places = [place for line in text.splitlines()[1:3] if (place := _place_read(line))]
    return sorted(places, key=lambda place: place.step)


def _place_read(line: bytes) -> _Place | None:
    checksum, _, body = line.rstrip().partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        facts = json.loads(body)
        step, pid = int(facts.pop("step")), int(facts.pop("pid"))
        return _Place(step, pid, Progress(**{**facts, "cursors": tuple(facts["cursors"])}))
    except (ValueError, TypeError, KeyError):
        return None


def _read(text: bytes) -> Unfinished | None:
    """Return what the text of a file says; None when it is damaged."""
    places = _places(text)
    try:
        header = json.loads(text.partition(b"\n")[0])
        lanes = tuple(
            LaneName(str(address), str(run_id), int(part), int(parts))
            for address, run_id, part, parts in header["lanes"]
        )
        layout = int(header["layout"])
    except (ValueError, TypeError, KeyError):
        return None
    if not places or header.get("valkeyctl_flush") != _FORMAT:
        return None
    last = places[-1].progress
    if not lanes or len(lanes) != len(last.cursors):
        return None
    progress = replace(last, pending=0, uncounted=last.uncounted + last.pending)
    return Unfinished(lanes, layout, progress)
