"""What a writer feels while a server is replaced: a thread that writes all the time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ValkeyctlError

_PAUSE = 0.002  # between two writes, and so the resolution of the gap
_TIMEOUT = 0.1  # of one write: a port that is held open and never answers costs no more
_KEY_LIFE_MS = 60_000
_FIRST_WRITE = 1.0
_LAST_WRITE = 5.0


class WriteProbe:
    """Writes one key through the published address, from entering to leaving it.

    On leaving it waits for one more acknowledged write, for 5 s at most, so that a gap
    that is still open is counted to its end; then it removes its key.

    Args:
        endpoints: Where to write: the first that answers, changing over on failure.
        app: First part of the key.
        tag: A hash tag, by which the key lies on a chosen shard of a Cluster.
    """

    def __init__(self, endpoints: Sequence[Endpoint], app: str, *, tag: str = "") -> None:
        self._endpoints = list(dict.fromkeys(endpoints))
        self._key = f"{app}:~probe:{tag}{secrets.token_hex(8)}"
        self._thread = threading.Thread(target=self._write, name="write-probe", daemon=True)
        self._ending = threading.Event()
        self._acknowledged = threading.Event()
        self._count = 0
        self._longest = 0.0

    @property
    def gap_ms(self) -> float | None:
        """Milliseconds of the longest time between two accepted writes with a failed one between.

        A write that takes longer than 0.1 s has failed; time in which none was accepted yet
        counts from the first attempt, if it is longer than that. 0 when none failed; None
        when fewer than two writes were acknowledged, so that there is no gap to tell.
        """
        return self._longest * 1000 if self._count > 1 else None

    def __enter__(self) -> Self:
        self._thread.start()
        self._acknowledged.wait(_FIRST_WRITE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._count:
                self._acknowledged.clear()
                self._acknowledged.wait(_LAST_WRITE)
        finally:
            self._ending.set()
            self._thread.join()

    def _write(self) -> None:
        wire: Wire | None = None
        last, failed = time.monotonic(), False
        turn = 0
        while not self._ending.is_set():
            try:
                if wire is None:
                    wire = Wire(self._endpoints[turn % len(self._endpoints)], timeout=_TIMEOUT)
                    wire.open()
                wire.call("SET", self._key, self._count, "PX", _KEY_LIFE_MS)
            except ValkeyctlError:
                # Whatever the reason, this write was not acknowledged: that is the gap.
                if wire is not None:
                    wire.close()
                wire, turn, failed = None, turn + 1, True
            else:
                now = time.monotonic()
                # Of a Cluster it looks for the server that has its key first.
                if failed and (self._count or now - last > _TIMEOUT):
                    self._longest = max(self._longest, now - last)
                last, failed = now, False
                self._count += 1
                self._acknowledged.set()
            self._ending.wait(_PAUSE)
        if failed:
            # Nobody knows how long it will last; as long as this it has.
            self._longest = max(self._longest, time.monotonic() - last)
        if wire is not None:
            self._remove_key(wire)

    def _remove_key(self, wire: Wire) -> None:
        try:
            wire.call("UNLINK", self._key)
        except ValkeyctlError:
            return  # it expires by itself
        finally:
            wire.close()
