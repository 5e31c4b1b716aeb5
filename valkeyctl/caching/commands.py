"""The usual commands, typed; everything else goes through ``execute``."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from valkeyctl.caching.info import parse_info
from valkeyctl.caching.replies import RichReply, Word
from valkeyctl.errors import UsageError

# May run twice when their connection broke in flight.
READS = frozenset(
    (
        *("EXISTS", "GET", "GETRANGE", "MGET", "PTTL", "STRLEN", "TTL", "TYPE"),
        *("HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HVALS"),
        *("LLEN", "LRANGE", "SCARD", "SISMEMBER", "SMEMBERS", "ZCARD", "ZRANGE", "ZSCORE"),
        *("INFO", "PING", "TIME"),
    )
)


# Change what the next command on the same connection does or gets.
BINDING = frozenset(
    (
        *("AUTH", "DISCARD", "EXEC", "HELLO", "MONITOR", "MULTI", "QUIT", "RESET", "SELECT"),
        *("PSUBSCRIBE", "SSUBSCRIBE", "SUBSCRIBE", "UNWATCH", "WATCH"),
    )
)


def milliseconds(ttl: float) -> int:
    """Return *ttl* seconds as the server takes it: whole, at least one.

    Raises:
        UsageError: It is not a number above zero.
    """
    if not 0 < ttl < float("inf"):
        raise UsageError(f"a ttl must be above zero seconds, not {ttl}")
    return max(1, round(ttl * 1000))


def name_of(word: Word) -> str:
    """Return a command's name as the server knows it, however it is written."""
    return (word.decode(errors="replace") if isinstance(word, bytes) else str(word)).upper()


def checked(commands: Iterable[Sequence[Word]]) -> str:
    """Return the name of the last command, after refusing those that bind a connection.

    Raises:
        UsageError: A command is empty, or would change a connection that others share.
    """
    name = ""
    for words in commands:
        if not words:
            raise UsageError("a command needs at least one word")
        name = name_of(words[0])
        if name in BINDING or (name == "CLIENT" and _binds(words)):
            raise UsageError(
                f"{name} would change a connection that others share",
                hint="Use transaction(), listen(), or a connection of client.raw",
            )
    return name


def _binds(words: Sequence[Word]) -> bool:
    """Say whether a CLIENT command changes how its connection answers."""
    return len(words) > 1 and name_of(words[1]) in {"REPLY", "TRACKING", "CACHING"}


class Commands:
    """One method per command; `ValkeyClient` adds how they travel.

    Each takes ``deadline``, seconds for the whole call (None: the client's), and raises
    what `execute` raises.
    """

    @abstractmethod
    async def execute(
        self, *words: Word, deadline: float | None = None, idempotent: bool | None = None
    ) -> RichReply:
        """Return the answer to any command."""

    async def ping(self, *, deadline: float | None = None) -> float:
        """Return the seconds that a PING took."""
        began = time.perf_counter()
        await self.execute("PING", deadline=deadline)
        return time.perf_counter() - began

    async def get(self, key: str | bytes, *, deadline: float | None = None) -> bytes | None:
        """Return the string stored at *key*, or None."""
        return cast("bytes | None", await self.execute("GET", key, deadline=deadline))

    async def set(
        self,
        key: str | bytes,
        value: Word,
        *,
        ttl: float | None = None,
        deadline: float | None = None,
    ) -> None:
        """Store *value* at *key*, for *ttl* seconds or for ever.

        Raises:
            UsageError: The ttl is not above zero.
        """
        expiry = () if ttl is None else ("PX", milliseconds(ttl))
        await self.execute("SET", key, value, *expiry, deadline=deadline)

    async def delete(self, *keys: str | bytes, deadline: float | None = None) -> int:
        """Delete *keys*, giving their memory back in the background; return how many there were."""
        if not keys:
            return 0
        return cast("int", await self.execute("UNLINK", *keys, deadline=deadline))

    async def exists(self, *keys: str | bytes, deadline: float | None = None) -> int:
        """Return how many of *keys* exist."""
        if not keys:
            return 0
        return cast("int", await self.execute("EXISTS", *keys, deadline=deadline))

    async def mget(self, *keys: str | bytes, deadline: float | None = None) -> list[bytes | None]:
        """Return the strings stored at *keys*, in order, None where there is none."""
        if not keys:
            return []
        return cast("list[bytes | None]", await self.execute("MGET", *keys, deadline=deadline))

    async def hset(
        self,
        key: str | bytes,
        fields: Mapping[str, Word],
        *,
        deadline: float | None = None,
    ) -> int:
        """Set *fields* of the hash at *key*; return how many are new."""
        flat = [word for pair in fields.items() for word in pair]
        if not flat:
            return 0
        return cast("int", await self.execute("HSET", key, *flat, deadline=deadline))

    async def hget(
        self, key: str | bytes, field: str | bytes, *, deadline: float | None = None
    ) -> bytes | None:
        """Return one field of the hash at *key*, or None."""
        return cast("bytes | None", await self.execute("HGET", key, field, deadline=deadline))

    async def hgetall(
        self, key: str | bytes, *, deadline: float | None = None
    ) -> dict[bytes, bytes]:
        """Return the hash at *key*; empty when there is none."""
        return cast("dict[bytes, bytes]", await self.execute("HGETALL", key, deadline=deadline))

    async def expire(self, key: str | bytes, ttl: float, *, deadline: float | None = None) -> bool:
        """Let *key* expire in *ttl* seconds; False when it does not exist.

        Raises:
            UsageError: The ttl is not above zero.
        """
        return await self.execute("PEXPIRE", key, milliseconds(ttl), deadline=deadline) == 1

    async def ttl(self, key: str | bytes, *, deadline: float | None = None) -> float | None:
        """Return the seconds that *key* has left; infinity without an expiry, None when gone."""
        left = cast("int", await self.execute("PTTL", key, deadline=deadline))
        if left == -2:
            return None
        return math.inf if left == -1 else left / 1000

    async def publish(
        self, channel: str | bytes, message: Word, *, deadline: float | None = None
    ) -> int:
        """Send *message* to the subscribers of *channel*; return how many there are here."""
        return cast("int", await self.execute("PUBLISH", channel, message, deadline=deadline))

    async def info(
        self, section: str | None = None, *, deadline: float | None = None
    ) -> dict[str, str]:
        """Return the fields of INFO, all sections or one, as the server names them."""
        words = ("INFO", section) if section else ("INFO",)
        reply = await self.execute(*words, deadline=deadline)
        return parse_info(cast("bytes", reply))
