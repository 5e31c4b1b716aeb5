"""`Hottest`: the ids that are read most, of this process and of all before it.

Each process counts its own reads (`heat`) and adds them, every five minutes and when it
is closed, to a sorted set on the server, where older reads count less and less. So what
a new process reads there is what all processes of the application read lately. A file
does the same for one process.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import structlog

from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.heat import HALF_LIFE, Heat, HotId
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.replies import Word, unexpected_reply
from valkeyctl.caching.script import load_script
from valkeyctl.errors import FolderError, UsageError, ValkeyctlError

_log = structlog.get_logger("valkeyctl.caching")

# Seconds between two savings, at least; a process that is killed loses what came since.
_EVERY = 300.0
# Seconds that a namespace nobody reads is remembered.
_KEPT_FOR = 7 * 86400.0
# Ids per script: a longer one would keep the server's only thread from others.
_IDS = 250
# What closing may wait for.
_CLOSING = 0.5
_SCHEMA = 1


class Hottest:
    """What the namespaces whose policy says ``hottest`` were asked for most.

    Args:
        client: Where they are saved.
        keys: Of the application.
        heats: What counts, by namespace.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: ValkeyClient,
        keys: KeyScheme,
        heats: Mapping[str, Heat],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._keys = keys
        self._heats = dict(heats)
        self._clock = clock
        self._script = load_script("heat")
        self._due_at = clock() + _EVERY
        self._saving: asyncio.Task[None] | None = None
        for heat in self._heats.values():
            heat.due = self._due

    def top(self, namespace: str, limit: int = 100) -> list[HotId]:
        """Return the ids that this process read most, the hottest first.

        Raises:
            UsageError: The namespace counts no reads.
        """
        return self._heat(namespace).top(limit)

    async def stored(self, namespace: str, limit: int = 100) -> list[HotId]:
        """Return the ids that all processes read most, as far as they are saved.

        Raises:
            ValkeyctlError: As `ValkeyClient.execute`.
        """
        reply = await self._client.execute(
            *("ZRANGE", self._keys.hottest(namespace), 0, limit - 1, "REV", "WITHSCORES"),
            idempotent=True,
        )
        try:
            pairs = cast("list[tuple[bytes, float]]", reply)
            return [HotId(id.decode(errors="replace"), reads) for id, reads in pairs]  # noqa: A001
        except (AttributeError, TypeError, ValueError) as error:
            raise unexpected_reply(self._client.endpoint.address, "ZRANGE") from error

    async def save(self) -> None:
        """Add what was read since the last time to what is on the server.

        Raises:
            ValkeyctlError: As `ValkeyClient.execute`; what was not saved is forgotten.
        """
        self._due_at = self._clock() + _EVERY
        for namespace, heat in self._heats.items():
            pairs = list(heat.take().items())
            for at in range(0, len(pairs), _IDS):
                half_life = 0 if at else round(HALF_LIFE * 1000)
                words: list[Word] = [heat.capacity, round(_KEPT_FOR * 1000), half_life]
                for id, reads in pairs[at : at + _IDS]:  # noqa: A001
                    words += (id, reads)
                await self._client.script(self._script, [self._keys.hottest(namespace)], words)

    async def save_to(self, file: Path) -> None:
        """Write the ids that this process read most to a file, which only its owner can read.

        Raises:
            FolderError: It cannot be written.
        """
        tops = {name: heat.top(heat.capacity) for name, heat in self._heats.items()}
        document = {
            "schema": _SCHEMA,
            "app": self._keys.app,
            "namespaces": {
                name: [[hot.id, round(hot.reads, 3)] for hot in top] for name, top in tops.items()
            },
        }
        await asyncio.to_thread(_write, file, json.dumps(document))

    async def aclose(self) -> None:
        """Save what was not saved yet, if the server takes it; never raises."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
        try:
            async with asyncio.timeout(_CLOSING):
                await self._saved()
        except TimeoutError:
            _log.warning("hottest_not_saved", reason=f"it took more than {_CLOSING} s")

    def _heat(self, namespace: str) -> Heat:
        heat = self._heats.get(namespace)
        if heat is None:
            raise UsageError(
                f"the namespace {namespace!r} does not count which ids are read most",
                hint="Say how many in its policy: NamespacePolicy(ttl, hottest=1000)",
            )
        return heat

    def _due(self) -> None:
        """Save in the background, if it is time; called between reads."""
        if self._clock() < self._due_at or self._saving is not None:
            return
        self._due_at = self._clock() + _EVERY
        self._saving = asyncio.get_running_loop().create_task(self._saved())
        self._saving.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._saving = None

    async def _saved(self) -> None:
        try:
            await self.save()
        except ValkeyctlError as error:
            _log.warning("hottest_not_saved", reason=str(error))


async def read_hottest(file: Path, namespace: str, limit: int = 100) -> list[HotId]:
    """Return what `Hottest.save_to` wrote of a namespace; nothing where there is no file.

    Raises:
        FolderError: It cannot be read, or is something else.
    """
    return await asyncio.to_thread(_read, file, namespace, limit)


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        draft.replace(file)  # whole, or not at all
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise FolderError(
            f"cannot write the hottest ids to {file}: {error.strerror}",
            hint="Choose a file in a folder that exists and is yours",
        ) from error


def _read(file: Path, namespace: str, limit: int) -> list[HotId]:
    try:
        return _parsed(file.read_text(encoding="utf-8"), namespace)[:limit]
    except FileNotFoundError:
        return []  # the first run
    except OSError as error:
        raise FolderError(f"cannot read the hottest ids of {file}: {error.strerror}") from error
    # Any other JSON: no mapping, or no pairs in it.
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FolderError(
            f"{file} holds no hottest ids: {error!r}", hint="Remove it, or name another one"
        ) from error


def _parsed(text: str, namespace: str) -> list[HotId]:
    document = json.loads(text)
    if document["schema"] != _SCHEMA:
        raise ValueError(f"schema {document['schema']} is not {_SCHEMA}")
    pairs = document["namespaces"].get(namespace, [])
    return [HotId(str(id), float(reads)) for id, reads in pairs]  # noqa: A001
