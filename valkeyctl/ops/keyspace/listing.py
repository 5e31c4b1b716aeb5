"""The keys of a server, one row each, as many as there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, UsageError
from valkeyctl.ops.keyspace.display import show_bytes, show_text
from valkeyctl.ops.keyspace.scan import Answer, Command, Pace, Walker
from valkeyctl.ops.keyspace.scope import Owner, Scope, owner_of

# Three short commands per key travel with each SCAN: the round trip is long, but the
# server turns to other clients between them.
_PACE = Pace(target=0.02)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key.

    Attributes:
        key: As the server stores it.
        display: As one printable line; see `display.show_bytes`.
        app: Its application; None when it is no key of ours.
        namespace: Its namespace; None when it is no key of ours.
        control: Whether it holds a version or a lease instead of an entry.
        type: As TYPE names it, such as ``string``.
        ttl_s: Seconds that it still lives; None when it never expires.
        memory_bytes: What the server says that it takes, key and overhead included; of a
            large collection an estimate from five of its elements.
    """

    key: bytes
    display: str
    app: str | None
    namespace: str | None
    control: bool
    type: str
    ttl_s: float | None
    memory_bytes: int


def list_keys(
    endpoint: Endpoint,
    *,
    app: str | None = None,
    namespace: str | None = None,
    match: bytes | str | None = None,
    limit: int | None = None,
    control: bool = False,
) -> Iterator[KeyRow]:
    """Return the keys as they are found, in the server's order, in constant memory.

    A key that is there all the while is given exactly once; see `scan` for one whose
    table shrinks meanwhile. One that vanishes while it is looked at is left out.

    Args:
        endpoint: The server.
        app: Only this application's keys.
        namespace: Only this namespace's, of any application unless *app* is given.
        match: Only keys that match this glob, which must match the whole key.
        limit: At most so many.
        control: Whether to give the keys that hold versions and leases, too.

    Raises:
        UsageError: The limit is below zero, or the server holds only a part of the keys.
        InvalidKeyError: The application or namespace breaks the key rules.
        UnreachableError: The server went away; the rows given until then are right.
        AuthError, ServerReplyError: The server refuses a command.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"a limit is 0 or more keys, not {limit}")
    scope = Scope(app, namespace, control)
    glob = match.encode() if isinstance(match, str) else match
    return islice(_rows(endpoint, scope, scope.glob if glob is None else glob), limit)


def _rows(endpoint: Endpoint, scope: Scope, glob: bytes | None) -> Iterator[KeyRow]:
    def questions(keys: list[bytes]) -> list[Command]:
        return [
            question
            for key in keys
            if scope.holds(key, owner_of(key))
            for question in (("TYPE", key), ("PTTL", key), ("MEMORY", "USAGE", key))
        ]

    with Walker(endpoint) as walker:
        for batch in walker.walk(match=glob, follow=questions, pace=_PACE):
            answers = iter(batch.answers)
            for key in batch.keys:
                owner = owner_of(key)
                if scope.holds(key, owner):
                    row = _row(key, owner, (next(answers), next(answers), next(answers)))
                    if row is not None:
                        yield row


def _row(key: bytes, owner: Owner | None, answers: tuple[Answer, Answer, Answer]) -> KeyRow | None:
    for answer in answers:
        if isinstance(answer, ServerReplyError):
            raise answer
    kind, pttl, memory = answers
    # Three commands, and the key may go between any two of them.
    if not isinstance(kind, bytes) or not isinstance(pttl, int) or not isinstance(memory, int):
        return None
    if kind == b"none" or pttl == -2:
        return None
    return KeyRow(
        key=key,
        display=show_bytes(key),
        app=owner.app if owner else None,
        namespace=owner.namespace if owner else None,
        control=owner is not None and owner.control,
        type=show_text(kind.decode(errors="replace")),
        ttl_s=None if pttl < 0 else pttl / 1000,
        memory_bytes=memory,
    )
