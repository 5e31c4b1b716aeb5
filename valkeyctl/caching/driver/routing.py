"""Which words of a command are keys; that decides which node of a Cluster gets it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, cast

from redis.crc import key_slot

from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.caching.replies import RichReply, Word
from valkeyctl.errors import ServerReplyError, UsageError, ValkeyctlError

Rule: TypeAlias = Callable[[Command], Sequence[Word]]
"""Returns the keys among the words of a command."""

Ask: TypeAlias = Callable[[Command], Awaitable[LinkOutcome]]
"""Sends a command without keys to any node."""


def _span(first: int, last: int, step: int) -> Rule:
    """Keys from word *first* to word *last*, from the end where negative, each *step* words."""
    if (first, last) == (1, 1):
        return lambda words: words[1:2]

    def keys(words: Command) -> Sequence[Word]:
        past = last + 1 if last >= 0 else len(words) + last + 1
        return words[first:past:step]

    return keys


def _none(_: Command) -> Sequence[Word]:
    return ()


def _counted(words: Command) -> Sequence[Word]:
    """As many keys as the word after a script's name says."""
    try:
        return words[3 : 3 + int(words[2])]
    except (IndexError, ValueError):
        return ()  # the server says what is wrong


def _streams(words: Command) -> Sequence[Word]:
    for place, word in enumerate(words):
        if _upper(word) == "STREAMS":
            rest = words[place + 1 :]
            return rest[: len(rest) // 2]
    return ()


def _upper(word: Word) -> str:
    return (word.decode(errors="replace") if isinstance(word, bytes) else str(word)).upper()


# What callers use most, so that their first call needs not ask how it is meant; all
# others are asked about once.
_KNOWN: dict[str, Rule] = {
    **dict.fromkeys(
        (
            *("APPEND", "DECR", "DECRBY", "EXPIRE", "GET", "GETDEL", "GETEX", "GETRANGE", "INCR"),
            *("INCRBY", "PERSIST", "PEXPIRE", "PTTL", "SET", "SETEX", "PSETEX", "SETNX", "STRLEN"),
            *("TTL", "TYPE", "HDEL", "HEXISTS", "HGET", "HGETALL", "HINCRBY", "HLEN", "HMGET"),
            *("HSET", "LLEN", "LPOP", "LPUSH", "LRANGE", "LTRIM", "RPOP", "RPUSH", "SADD", "SCARD"),
            *("SISMEMBER", "SMEMBERS", "SREM", "XADD", "XLEN", "XRANGE", "XTRIM", "ZADD", "ZCARD"),
            *("ZRANGE", "ZREM", "ZSCORE"),
        ),
        _span(1, 1, 1),
    ),
    **dict.fromkeys(("DEL", "EXISTS", "MGET", "TOUCH", "UNLINK"), _span(1, -1, 1)),
    **dict.fromkeys(("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"), _counted),
    **dict.fromkeys(("XREAD", "XREADGROUP"), _streams),
    **dict.fromkeys(("CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "FLUSHALL"), _none),
    **dict.fromkeys(("FLUSHDB", "INFO", "PING", "ROLE", "SCRIPT", "TIME"), _none),
    # Any node would do; but by way of several of them messages overtake each other.
    "PUBLISH": _span(1, 1, 1),
}


class Routes:
    """Finds the keys of any command; what it has not met yet it asks a node about, once."""

    def __init__(self) -> None:
        self._rules: dict[str, Rule] = dict(_KNOWN)
        self._movable: set[str] = set()

    def keys(self, words: Command) -> Sequence[Word] | None:
        """Return the keys of a command, or None when a node must be asked: see `learn`."""
        word = words[0]
        rule = self._rules.get(word if isinstance(word, str) else "")
        if rule is None:
            name = _upper(word)
            rule = self._rules.get(name) or self._rules.get(_subcommand(name, words))
            if rule is None:
                return None
        return rule(words)

    async def learn(self, words: Command, ask: Ask) -> Sequence[Word]:
        """Return the keys of a command that `keys` does not know.

        Raises:
            UnreachableError: No node answers.
            AuthError: The user may not ask.
        """
        name = _upper(words[0])
        if name not in self._movable and _subcommand(name, words) not in self._movable:
            reply = _answer(await ask(("COMMAND", "INFO", name)))
            self._note(name, reply[0] if isinstance(reply, list) and reply else None)
            if (keys := self.keys(words)) is not None:
                return keys
        try:
            found = _answer(await ask(("COMMAND", "GETKEYS", *words)))
        except ServerReplyError:
            return ()  # it has none, or is no command; the server will say so
        return cast("list[bytes]", found if isinstance(found, list) else [])

    def _note(self, name: str, facts: RichReply) -> None:
        """Remember what COMMAND INFO says of a command and of its subcommands."""
        match facts:
            case [
                _,
                int(),
                list() | set() as flags,
                int() as first,
                int() as last,
                int() as step,
                *more,
            ]:
                subcommands = more[3] if len(more) > 3 else None
                if isinstance(subcommands, list) and subcommands:
                    for part in subcommands:
                        if isinstance(part, list) and part:
                            self._note(_upper(cast("bytes", part[0])), part)
                    return
                if b"movablekeys" in flags:
                    self._movable.add(name)
                else:
                    self._rules[name] = _span(first, last, step) if first > 0 else _none
            case _:
                self._rules[name] = _none  # no command of this server, as it will say itself


def slot_of(key: Word) -> int:
    """Return the hash slot of *key*, 0 to 16383."""
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def common_slot(keys: Sequence[Word], what: str) -> int | None:
    """Return the slot that all *keys* of *what* lie in; None without keys.

    Raises:
        UsageError: They lie in several.
    """
    if not keys:
        return None
    slot = slot_of(keys[0])
    if len(keys) > 1 and any(slot_of(key) != slot for key in keys[1:]):
        raise UsageError(
            f"{what} names keys of several hash slots, which no node of a Cluster has together",
            hint="Give the keys a common part in braces, such as {user1}:a and {user1}:b",
        )
    return slot


def _subcommand(name: str, words: Command) -> str:
    return f"{name}|{_upper(words[1])}" if len(words) > 1 else name


def _answer(outcome: LinkOutcome) -> RichReply:
    if isinstance(outcome, ValkeyctlError):
        raise outcome
    return outcome
