"""What is to be invalidated or flushed: a namespace, a tag, or all keys like a pattern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.errors import RefusedError, UsageError
from valkeyctl.ops.keyspace.display import show_bytes


@dataclass(frozen=True)
class Selection:
    """One of the three, of one application.

    Attributes:
        app: The application.
        namespace: All entries of this namespace.
        tag: All entries of the application that carry this tag.
        pattern: All keys that this glob matches as a whole.
        foreign: Whether the pattern may match keys of other applications.

    Raises:
        InvalidKeyError: A name breaks the key rules.
        UsageError: It is none of the three or several, or the pattern is empty.
        RefusedError: The pattern could match keys of other applications, and may not.
    """

    app: str
    namespace: str | None = None
    tag: str | None = None
    pattern: bytes | None = None
    foreign: bool = False

    def __post_init__(self) -> None:
        said = (self.namespace, self.tag, self.pattern)
        if sum(one is not None for one in said) != 1:
            raise UsageError(
                "give either a namespace, a tag or a pattern",
                hint="Such as: keys flush response; keys flush --tag models",
            )
        scheme = KeyScheme(self.app)
        if self.namespace is not None:
            scheme.versions(self.namespace)
        if self.tag is not None:
            scheme.tag_word(self.tag)
        if self.pattern is not None:
            self._check(self.pattern)

    def _check(self, pattern: bytes) -> None:
        if not pattern:
            # An empty variable of a script, most likely; nobody means the key of no bytes.
            raise UsageError("the pattern is empty", hint=f"Write it as '{self.app}:...'")
        if not self.foreign and not literal_head(pattern).startswith(f"{self.app}:".encode()):
            raise RefusedError(
                f"the pattern {show_bytes(pattern)} could match keys of other applications: it "
                f"does not begin with {self.app}:",
                hint=f"Begin it with {self.app}:, choose another --app, or add --all",
            )

    @property
    def control(self) -> bool:
        """Whether it is a pattern that names versions, leases and the like: with ``:~`` in it."""
        return any(b":~" in run for run in literal_runs(self.pattern or b""))

    def versions(self, *, has_slots: bool) -> list[bytes]:
        """Return the keys whose absence makes all of it invalid; none for a pattern.

        On a Cluster both forms: a client that was told of a single server, which is a
        Cluster's node, has written keys without shards.
        """
        found: list[bytes] = []
        for shards in (1, SHARDS) if has_slots else (1,):
            scheme = KeyScheme(self.app, shards=shards)
            if self.namespace is not None:
                found += scheme.versions(self.namespace)
            elif self.tag is not None:
                found += scheme.tag_versions(self.tag)
        return found

    def __str__(self) -> str:
        if self.namespace is not None:
            return f"{self.app}:{self.namespace}"
        if self.tag is not None:
            return f"the tag {show_bytes(self.tag.encode())} of {self.app}"
        return f"keys like {show_bytes(self.pattern or b'')}"

    def arguments(self) -> tuple[str, ...]:
        """Return the words of a command line that say the same."""
        if self.namespace is not None:
            words: tuple[str, ...] = (self.namespace,)
        elif self.tag is not None:
            words = ("--tag", self.tag)
        else:
            words = ("--pattern", (self.pattern or b"").decode("utf-8", "surrogateescape"))
        return (*words, "--app", self.app, *(("--all",) if self.foreign else ()))


def literal_head(glob: bytes) -> bytes:
    """Return the bytes that every key which *glob* matches begins with."""
    return next(literal_runs(glob))


def literal_runs(glob: bytes) -> Iterator[bytes]:
    """Yield what stands between the wildcards of *glob*, escapes resolved; what is before, first.

    As the server reads it: a backslash takes the byte after it for itself, and a set goes
    to its bracket, or to the end.
    """
    run = bytearray()
    at = 0
    while at < len(glob):
        byte = glob[at : at + 1]
        if byte == b"\\" and at + 1 < len(glob):
            at += 1
            run += glob[at : at + 1]
        elif byte in (b"*", b"?", b"["):
            yield bytes(run)
            run.clear()
            if byte == b"[":
                at = _set_end(glob, at)
        else:
            run += byte
        at += 1
    yield bytes(run)


def _set_end(glob: bytes, at: int) -> int:
    """Return where the set that begins at *at* ends."""
    at += 1
    while at < len(glob) and glob[at : at + 1] != b"]":
        at += 2 if glob[at : at + 1] == b"\\" else 1
    return at
