"""Writers held up while the last copy of the data is taken that is about to be replaced."""

from __future__ import annotations

import contextlib
import threading
from typing import Self

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ValkeyctlError

# Should we be killed, the server lets its writers go on after this.
_PAUSE_MS = 10_000
_RENEW = 2.0


class WritePause:
    """Lets no write through on a server, from entering to leaving it; reads go on.

    Without it, what is written between the copy and the stop would be in neither.

    Args:
        endpoint: The server, with a login that may use CLIENT PAUSE.

    Attributes:
        held: Whether it was on, all the time.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="write-pause", daemon=True)
        self._wire: Wire | None = None
        self.held = False

    def __enter__(self) -> Self:
        self._wire = Wire(self._endpoint)
        try:
            self._wire.open()
            self._pause()
        except ValkeyctlError:
            # A user who may not pause, or a server that does not know the word.
            self._wire.close()
            self._wire = None
            return self
        self.held = True
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._wire is None:
            return
        # It may have ended, as it was told to, or have let its writers go on by itself.
        with contextlib.closing(self._wire), contextlib.suppress(ValkeyctlError):
            self._wire.call("CLIENT", "UNPAUSE")

    def _pause(self) -> None:
        assert self._wire is not None  # noqa: S101 - opened on entering
        self._wire.call("CLIENT", "PAUSE", _PAUSE_MS, "WRITE")

    def _renew(self) -> None:
        while not self._ending.wait(_RENEW):
            try:
                self._pause()
            except ValkeyctlError:
                self.held = False
                return
