"""Filling a server's memory, and giving it back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from valkeyctl.caching.wire import Wire, Word
from valkeyctl.errors import RefusedError, ServerReplyError
from valkeyctl.ops.drill.load import KEY_LIFE, KeyNames
from valkeyctl.ops.drill.readback import remove
from valkeyctl.ops.drill.shards import Finder, Shard

_TIMEOUT = 5.0
_SHARE = 400  # of maxmemory that one key takes: a quarter of a percent
_LEAST, _MOST = 4 * 1024, 1024 * 1024
_BATCH = 8
_FINER = 16  # times smaller the values of each next round are
_KEPT_FULL = 50_000
_CRUMB = 16  # bytes of the smallest of them


@dataclass(frozen=True)
class _Room:
    """What a server says of its memory."""

    most: int
    evicted: int


@dataclass
class Fill:
    """Memory filled up to maxmemory.

    Attributes:
        finder: Who takes the writes.
        shard: Whose keys are written.
        names: Of the keys.
        hold: Seconds that it stays full.
        limit: Seconds after which filling is given up.
        text: See `Fault`.
        written: Bytes that were written.
        evicts: Whether the server evicted; else it refused writes.
    """

    finder: Finder
    shard: Shard
    names: KeyNames
    hold: float
    limit: float
    text: str = "filling the memory"
    written: int = 0
    evicts: bool = False
    _full_at: float = 0.0
    _began: float = 0.0
    _count: int = 0
    _wire: Wire | None = field(default=None, repr=False)
    _evicted_before: int = 0
    _keys: Iterator[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._keys = fill_keys(self.names, self.shard)

    def inflict(self) -> None:
        """Write until the server evicts or refuses; see `Fault.inflict`.

        Raises:
            RefusedError: It has no maxmemory, or was not full in time.
        """
        self._began = time.monotonic()
        server = self.finder.primary(self.shard)
        # Kept open: its buffers count, too, and would leave room for writes when it closes.
        wire = self._wire = Wire(server, timeout=_TIMEOUT)
        wire.open()
        room = _room(wire)
        if not room.most:
            raise RefusedError(
                f"{server.address} has no maxmemory: filling it would fill the machine",
                hint="Set memory.maxmemory in the profile",
            )
        self._evicted_before = room.evicted
        # Ever smaller values: what refuses a large one still takes many small ones.
        size = _value_size(room.most)
        while size >= _CRUMB:
            self._write_until_full(wire, size)
            size //= _FINER
        self._full_at = time.monotonic() - self._began
        effect = "it evicts" if self.evicts else "it refuses writes"
        self.text = f"memory of {server.address} full: {effect}"

    def over(self, elapsed: float, *, taken_over: bool) -> bool:
        """Say whether it was full long enough, and keep it full; see `Fault.over`."""
        del taken_over
        if elapsed >= self._full_at + self.hold:
            return True
        if self._wire is not None and not self.evicts:
            for size in (_CRUMB * _FINER * _FINER, _CRUMB * _FINER, _CRUMB):
                self._write_until_full(self._wire, size)
        return False

    def mend(self) -> str:
        """Remove what was written; see `Fault.mend`."""
        if self._wire is not None:
            self._wire.close()
        return remove_fill(self.finder, self.names, self.shard, self._count)

    def _write_until_full(self, wire: Wire, size: int) -> None:
        while not self._is_full(wire, size):
            if time.monotonic() - self._began > self.limit:
                raise RefusedError(
                    f"{wire.endpoint.address} was not full after {self.limit:g} s",
                    hint="Give it more time: --timeout",
                )

    def _is_full(self, wire: Wire, size: int) -> bool:
        """Write some values of *size* bytes; say whether the server has no room left."""
        if self.evicts:
            return True
        value = secrets.token_bytes(size)
        commands: list[tuple[Word, ...]] = []
        for _ in range(_BATCH):
            key = next(self._keys)
            commands.append(("SET", key, value, "PX", round(KEY_LIFE * 1000)))
            self._count += 1
        answers = wire.pipeline(commands)
        refused = [answer for answer in answers if isinstance(answer, ServerReplyError)]
        self.written += (len(answers) - len(refused)) * len(value)
        others = [answer for answer in refused if answer.reply != "OOM"]
        if others:
            raise others[0]
        self.evicts = _room(wire).evicted > self._evicted_before
        return self.evicts or bool(refused)


def most_fill_keys(maxmemory: int) -> int:
    """Return how many keys filling *maxmemory* bytes takes at most."""
    # A round of smaller values fills what one batch of larger ones was too much for; the
    # last one, of crumbs, goes on while the memory is kept full.
    return maxmemory // _value_size(maxmemory) + 4 * _BATCH * _FINER + _KEPT_FULL


def fill_keys(names: KeyNames, shard: Shard) -> Iterator[bytes]:
    """Yield the keys that fill the memory of *shard*, for ever."""
    number = 0
    while True:
        key = names.key(f"fill{number}")
        if shard.owns(key):
            yield key
        number += 1


def remove_fill(finder: Finder, names: KeyNames, shard: Shard, count: int) -> str:
    """Remove the first *count* keys that were written; return what was done.

    Raises:
        UnreachableError, AuthError, TlsError, ServerReplyError: As `readback.remove`.
    """
    keys = fill_keys(names, shard)
    removed = remove(finder, [next(keys) for _ in range(count)])
    return f"{removed:,} of {count:,} keys removed"


def _value_size(maxmemory: int) -> int:
    return min(max(maxmemory // _SHARE, _LEAST), _MOST)


def _room(wire: Wire) -> _Room:
    memory, stats = wire.info("memory"), wire.info("stats")
    return _Room(
        most=int(memory.get("maxmemory", "0")),
        evicted=int(stats.get("evicted_keys", "0")),
    )
