"""The process that uses one library: told what to do over stdin, one JSON object a line.

    python -m benchmarks.micro.worker ADAPTER [SOURCE]

It runs in that library's virtual environment, so it imports nothing beyond the standard
library and its adapter. It ends when its stdin does, and so never outlives a run. SOURCE
is a folder to import from first: another checkout of valkeyctl.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Protocol, TextIO, TypeAlias, TypeVar

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Arm, Clearing, Herd
from benchmarks.micro.timing import Work, calibrate, measure

Request: TypeAlias = Mapping[str, str | int | float]
Answer: TypeAlias = dict[str, object]


class _Titled(Protocol):
    title: str


T = TypeVar("T", bound=_Titled)


def _by_title(offered: tuple[T, ...]) -> dict[str, T]:
    return {one.title: one for one in offered}


class Worker:
    """One library, ready to be told what to do."""

    def __init__(self, adapter: str, out: TextIO) -> None:
        module = importlib.import_module(f"benchmarks.micro.adapters.{adapter}")
        self._arms: dict[str, Arm] = _by_title(getattr(module, "ARMS", ()))
        self._clearings: dict[str, Clearing] = _by_title(getattr(module, "CLEARINGS", ()))
        self._herds: dict[str, Herd] = _by_title(getattr(module, "HERDS", ()))
        self._works: dict[str, Work] = {}
        self._out = out
        self._verbs: dict[str, Callable[[Request], Awaitable[Answer]]] = {
            "open": self._open,
            "calibrate": self._calibrate,
            "slice": self._slice,
            "close": self._close,
            "fill": self._fill,
            "clear": self._clear,
            "served": self._served,
            "gather": self._gather,
            "stampede": self._stampede,
            "scatter": self._scatter,
        }

    def say(self, answer: Answer) -> None:
        """Write one line to whoever started this process."""
        self._out.write(json.dumps(answer) + "\n")
        self._out.flush()

    def introduce(self) -> None:
        """Say what this library can do, in which versions."""
        packages = {each.metadata["Name"]: each.version for each in metadata.distributions()}
        self.say(
            {
                "arms": {title: sorted(arm.works()) for title, arm in self._arms.items()},
                "missing": {title: dict(arm.missing()) for title, arm in self._arms.items()},
                "clearings": list(self._clearings),
                "herds": list(self._herds),
                "blocking": [title for title, arm in self._arms.items() if arm.blocking],
                "versions": packages,
            }
        )

    async def obey(self, request: Request) -> Answer:
        """Do what *request* says and return what came of it."""
        return await self._verbs[str(request["do"])](request)

    async def _open(self, request: Request) -> Answer:
        title, row = str(request["arm"]), str(request["row"])
        arm = self._arms[title]
        await arm.open(int(request["port"]))
        work = await arm.works()[row]()
        _check(row, arm.plain(await work(0)))
        self._works[title] = work
        return {}

    async def _calibrate(self, request: Request) -> Answer:
        count = await calibrate(
            self._works[str(request["arm"])],
            callers=int(request["callers"]),
            span=int(request["span"]),
            seconds=float(request["seconds"]),
        )
        return {"count": count}

    async def _slice(self, request: Request) -> Answer:
        measured = await measure(
            self._works[str(request["arm"])],
            callers=int(request["callers"]),
            span=int(request["span"]),
            batch=int(request["batch"]),
            count=int(request["count"]),
        )
        return asdict(measured)

    async def _close(self, request: Request) -> Answer:
        title = str(request["arm"])
        self._works.pop(title, None)
        await self._arms[title].close()
        return {}

    async def _fill(self, request: Request) -> Answer:
        clearing = self._clearings[str(request["arm"])]
        await clearing.open(int(request["port"]))
        await clearing.fill(int(request["keys"]))
        return {"served": await clearing.served()}

    async def _clear(self, request: Request) -> Answer:
        clearing = self._clearings[str(request["arm"])]
        began = time.monotonic()
        await clearing.clear()
        return {"began": began, "ended": time.monotonic()}

    async def _served(self, request: Request) -> Answer:
        clearing = self._clearings[str(request["arm"])]
        served = await clearing.served()
        await clearing.close()
        return {"served": served}

    async def _gather(self, request: Request) -> Answer:
        await self._herds[str(request["arm"])].open(int(request["port"]))
        return {}

    async def _stampede(self, request: Request) -> Answer:
        """Let many callers miss one key at the same moment, and say how long each waited."""
        calls = failed = 0
        waits: list[float] = []

        async def origin() -> object:
            nonlocal calls
            calls += 1
            self.say({"event": "origin"})
            await asyncio.sleep(float(request["origin_s"]))
            return contents.VALUES[0]

        call = self._herds[str(request["arm"])].caller(origin)

        async def one() -> None:
            nonlocal failed
            began = time.monotonic()
            try:
                answer = await asyncio.wait_for(call(), float(request["patience_s"]))
            # Whatever a library raises, its caller got no value. Some let all callers feel
            # it when one of them, who gives up, is cancelled.
            except (Exception, asyncio.CancelledError):  # noqa: BLE001
                answer = None
            failed += answer != contents.VALUES[0]
            waits.append((time.monotonic() - began) * 1000)

        # All processes of this machine share this clock, and so begin together.
        await asyncio.sleep(max(0.0, float(request["at"]) - time.monotonic()))
        await asyncio.gather(*(one() for _ in range(int(request["callers"]))))
        return {"calls": calls, "failed": failed, "waits_ms": waits}

    async def _scatter(self, request: Request) -> Answer:
        await self._herds[str(request["arm"])].close()
        return {}


def _check(row: str, answer: object) -> None:
    """Raise when a library does not give back what went in: its time would mean nothing."""
    expected: object = contents.VALUES[0]
    if row == "many":
        expected = list(contents.VALUES[: contents.BATCH])
    elif row == "compressed":
        expected = contents.large_values()[0]
    elif row == "set":
        expected = True
    if answer != expected:
        raise ValueError(f"the answer in row {row} is {str(answer)[:100]!r}")


async def _serve(worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    requests = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    worker.introduce()
    # Through the loop, so that libraries with background tasks stay alive in between.
    async for line in requests:
        try:
            answer = await worker.obey(json.loads(line))
        except Exception as error:  # noqa: BLE001 # the run goes on without this arm and says why
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        worker.say(answer)


def main(arguments: list[str]) -> None:
    """Serve until stdin ends."""
    # Some libraries print; what this process says goes to a descriptor of its own.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    adapter, *source = arguments
    sys.path[:0] = source
    asyncio.run(_serve(Worker(adapter, out)))


if __name__ == "__main__":
    main(sys.argv[1:])
