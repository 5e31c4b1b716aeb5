"""The process that has started us: what we tell it, and what we do when it is gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent
from gevent.monkey import get_original

from valkeyctl.bench.arm import Node
from valkeyctl.bench.load.player import Tally
from valkeyctl.errors import FolderError, ValkeyctlError

_TICK = 0.25
_LOOK, _PATIENCE = 1.0, 3.0
# Of the system, as gevent's own would wait for the event loop.
_start_thread: Callable[..., int] = get_original("_thread", "start_new_thread")
_sleep: Callable[[float], None] = get_original("time", "sleep")


def unwritten(folder: Path, error: OSError) -> FolderError:
    """Return what a sample that could not be written to *folder* is to the user."""
    return FolderError(
        f"{folder}: samples cannot be written: {error.strerror or error}",
        hint="Make room there, or give another folder with --out",
    )


class Parent:
    """Hears of our progress by a pipe, and must not die before us unnoticed.

    Args:
        pipe: Where it reads JSON lines.
        servers: Processes that it has started and that we end in its place.
    """

    def __init__(self, pipe: int, servers: Sequence[int] = ()) -> None:
        self._pipe = os.fdopen(pipe, "w", buffering=1, encoding="utf-8")
        self._servers = servers
        # Wrong when it died before we came so far; then the pipe breaks.
        self._process = os.getppid()
        self._gone = False

    def tell(self, **message: Node) -> None:
        """Send *message*, which has an ``event``."""
        try:
            self._pipe.write(json.dumps(message) + "\n")
        except BrokenPipeError:
            self._gone = True  # `watch` ends us
        except OSError:
            pass  # such as an interrupted call; the next message says more

    def failed(self, error: ValkeyctlError) -> None:
        """Say why the run cannot go on; the parent raises it."""
        self.tell(event="failed", code=error.code, text=str(error), hint=error.hint)

    def watch(
        self, tally: Callable[[], Tally], close: Callable[[], None]
    ) -> gevent.Greenlet[[], None]:
        """Say a few times a second how far we are, until the greenlet is killed.

        When nobody is left to hear it, what the parent has started is ended, and so is
        this process, after *close*.
        """

        def tick() -> None:
            while True:
                gevent.sleep(_TICK)
                now = tally()
                self.tell(event="tick", samples=now.samples, failed=now.failed)
                if self._gone or os.getppid() != self._process:
                    self._end_servers()
                    try:
                        close()
                    finally:
                        os._exit(1)

        _start_thread(self._guard, ())
        return gevent.spawn(tick)

    def _guard(self) -> None:
        """End this process when the parent is gone, and what `watch` began cannot see it.

        A locustfile that does not let go of the event loop would go on for ever.
        """
        while os.getppid() == self._process:
            _sleep(_LOOK)
        _sleep(_PATIENCE)
        self._end_servers()
        os._exit(1)

    def _end_servers(self) -> None:
        for server in self._servers:
            with contextlib.suppress(OSError):
                os.kill(server, signal.SIGTERM)
