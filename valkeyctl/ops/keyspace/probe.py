"""The two questions that counting asks about a key: what it takes, and how long it lives."""

from __future__ import annotations

from collections.abc import Iterator

from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.scan import Answer, Command


def questions(keys: list[bytes]) -> list[Command]:
    """Return the commands that ask about *keys*, two each."""
    return [question for key in keys for question in (("MEMORY", "USAGE", key), ("PTTL", key))]


def living(keys: list[bytes], answers: Iterator[Answer]) -> Iterator[tuple[bytes, int, int]]:
    """Yield each key that was there for both questions, with its bytes and its PTTL.

    Takes two of *answers* for each of *keys*; a PTTL is in ms, -1 when it never expires.

    Raises:
        ServerReplyError: The server refused a question.
    """
    for key in keys:
        memory, pttl = next(answers), next(answers)
        if isinstance(memory, ServerReplyError):
            raise memory
        if isinstance(pttl, ServerReplyError):
            raise pttl
        # nil and -2 are how the two commands say that the key is gone.
        if isinstance(memory, int) and isinstance(pttl, int) and pttl != -2:
            yield key, memory, pttl
