"""Whether acknowledged writes are still there, and taking them away."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from valkeyctl.caching.wire import Reply, Wire, Word
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, UnreachableError, ValkeyctlError
from valkeyctl.ops.drill.shards import Finder, Shard

_BATCH = 500
_TIMEOUT = 5.0
_PATIENCE = 10.0
_PAUSE = 0.25


def missing(finder: Finder, written: Mapping[bytes, bytes]) -> set[bytes]:
    """Return the keys of *written* that do not hold their value any more.

    Raises:
        UnreachableError: The servers do not answer, or not all of the slots are served.
        AuthError, TlsError, ServerReplyError: They refuse us.
    """
    lost: set[bytes] = set()
    for key, answer in _each(finder, list(written), "GET"):
        if answer != written[key]:
            lost.add(key)
    return lost


def remove(finder: Finder, keys: Iterable[bytes]) -> int:
    """Remove *keys*; return how many there were.

    Raises:
        As `missing`. What is left expires by itself.
    """
    return sum(answer == 1 for _, answer in _each(finder, list(keys), "UNLINK"))


def _each(finder: Finder, keys: Sequence[bytes], command: str) -> Iterator[tuple[bytes, Reply]]:
    """Yield every key with the answer to *command*, asking again where slots have moved."""
    until = time.monotonic() + _PATIENCE
    left = list(keys)
    while left:
        again: list[bytes] = []
        failure: ValkeyctlError | None = None
        for server, mine in _by_server(finder, left).items():
            with Wire(server, timeout=_TIMEOUT) as wire:
                for key, answer in _asked(wire, mine, command):
                    if isinstance(answer, ServerReplyError):
                        failure = answer
                        again.append(key)
                    else:
                        yield key, answer
        if again and failure is not None:
            if time.monotonic() > until:
                raise failure
            time.sleep(_PAUSE)
        left = again


def _by_server(finder: Finder, keys: Iterable[bytes]) -> dict[Endpoint, list[bytes]]:
    shards = finder.shards()
    owners = dict(zip(shards, finder.all_primaries(shards), strict=True))
    found: dict[Endpoint, list[bytes]] = {}
    for key in keys:
        found.setdefault(owners[_home(shards, key)], []).append(key)
    return found


def _home(shards: Sequence[Shard], key: bytes) -> Shard:
    home = next((shard for shard in shards if shard.owns(key)), None)
    if home is None:
        raise UnreachableError("nobody serves some of the slots")
    return home


def _asked(
    wire: Wire, keys: Iterable[bytes], command: str
) -> Iterator[tuple[bytes, Reply | ServerReplyError]]:
    waiting = iter(keys)
    while batch := list(islice(waiting, _BATCH)):
        commands: list[tuple[Word, ...]] = [(command, key) for key in batch]
        yield from zip(batch, wire.pipeline(commands), strict=True)
