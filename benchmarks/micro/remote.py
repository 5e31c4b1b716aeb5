"""A worker process, seen from the one that runs the benchmark."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias, TypedDict, cast

from benchmarks.micro.cores import settle
from benchmarks.micro.peers import Peer
from valkeyctl.errors import ToolError

REPOSITORY = Path(__file__).parents[2]
"""Where child processes find this package."""

_START = 60.0
# Far beyond anything that is measured; only a library that hangs takes longer.
_PATIENCE = 300.0
_GRACE = 2.0
_LONGEST_LINE = 2**24

Answer: TypeAlias = Mapping[str, object]


class Introduction(TypedDict):
    """What a worker says of itself.

    Attributes:
        arms: Rows that each arm can do, by the arm's title.
        missing: Rows that one would expect, and why they are not there; by title.
        clearings: Titles of the ways to clear.
        herds: Titles of the ways to keep a herd together.
        blocking: Titles of the arms that stop the event loop.
        versions: Of the packages in its environment.
    """

    arms: Mapping[str, Sequence[str]]
    missing: Mapping[str, Mapping[str, str]]
    clearings: Sequence[str]
    herds: Sequence[str]
    blocking: Sequence[str]
    versions: Mapping[str, str]


class Remote:
    """A worker process that does what it is asked, one thing at a time."""

    def __init__(
        self, peer: Peer, python: Path, process: asyncio.subprocess.Process, log: BinaryIO
    ) -> None:
        self.peer = peer
        self.python = python
        self.introduction = Introduction(
            arms={}, missing={}, clearings=(), herds=(), blocking=(), versions={}
        )
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, peer: Peer, python: Path, cores: frozenset[int]) -> Remote:
        """Return a worker that is ready.

        Raises:
            ToolError: It ended before it was, or was not ready in time.
        """
        log = tempfile.TemporaryFile()  # noqa: SIM115 # closed by `end`
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-m", "benchmarks.micro.worker", peer.adapter),
            *([str(peer.source)] if peer.source else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=REPOSITORY,
            limit=_LONGEST_LINE,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it in order
        )
        remote = cls(peer, python, process, log)
        try:
            settle(process.pid, cores)
            answer = await remote._answer(_START)
        except BaseException:
            await remote.end()
            raise
        remote.introduction = cast("Introduction", answer)
        return remote

    async def ask(
        self,
        verb: str,
        arm: str,
        *,
        heard: Callable[[str], None] | None = None,
        **details: str | float,
    ) -> Answer:
        """Return the answer to one request.

        Args:
            verb: What to do.
            arm: Title of what to do it with.
            heard: Called with each event on the way to the answer.
            details: The rest of the request.

        Raises:
            ToolError: The library failed, or the process ended.
        """
        request = json.dumps({"do": verb, "arm": arm, **details}) + "\n"
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 # it was asked for
        with contextlib.suppress(ConnectionError):  # then it has ended, and _answer says so
            stdin.write(request.encode())
            await stdin.drain()
        answer = await self._answer(_PATIENCE, heard)
        if "error" in answer:
            raise ToolError(f"{arm}, asked to {verb}: {answer['error']}")
        return answer

    def kill(self) -> None:
        """Send SIGKILL, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """End the process: close its stdin, and SIGKILL after some seconds."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _GRACE)
        finally:
            self.kill()
            await self._process.wait()
            self._log.close()

    async def _answer(self, patience: float, heard: Callable[[str], None] | None = None) -> Answer:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 # it was asked for
        while True:
            try:
                line = await asyncio.wait_for(stdout.readline(), patience)
            except TimeoutError as error:
                self.kill()  # its answer, should it come, would be taken for another one
                raise ToolError(f"{self.peer.name} gave no answer in {patience:g} s") from error
            if not line:
                raise ToolError(f"{self.peer.name} ended: {self._last_words()}")
            answer: Answer = json.loads(line)
            if "event" not in answer:
                return answer
            if heard is not None:
                heard(str(answer["event"]))

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it said nothing")
