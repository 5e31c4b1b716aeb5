"""Emptying a namespace: at once for its readers, gently for the server."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, ServerReplyError, ValkeyctlError
from valkeyctl.ops.keyspace.display import show_bytes
from valkeyctl.ops.keyspace.scan import Answer, Batch, Command, Pace, Walker, escape_glob
from valkeyctl.ops.keyspace.scope import Scope

# Half of the server's time is left to others, and no step takes long: a client that
# sends 2,000 requests a second must not build up a queue behind a flush.
GENTLE = Pace(target=0.001, largest=1000, duty=0.5)
_SAMPLE_SHOWN = 5
_SAMPLE_WEIGHED = 500


@dataclass(frozen=True)
class FlushPlan:
    """What a flush would touch.

    Attributes:
        app: The application.
        namespace: The namespace.
        keys: Exact count of its keys at this moment.
        sample: Up to five of them, drawn at random, as printable lines.
        memory_bytes: About what they take: the mean of up to 500 drawn at random, times
            their number.
    """

    app: str
    namespace: str
    keys: int
    sample: tuple[str, ...]
    memory_bytes: int


@dataclass(frozen=True)
class FlushProgress:
    """How far a flush is.

    Attributes:
        visited: Fraction of the keyspace walked, 0 to 1.
        deleted: Keys deleted so far.
        seconds: Since the flush began.
    """

    visited: float
    deleted: int
    seconds: float


@dataclass(frozen=True)
class FlushReport:
    """What a flush did.

    Attributes:
        app: The application.
        namespace: The namespace.
        invalidated: Whether its readers miss since its beginning, whatever is deleted when.
        deleted: Exact count of keys deleted.
        seconds: For all of it.
        longest_command_ms: Longest round trip of a step, its way there and back included:
            no command took the server longer.
    """

    app: str
    namespace: str
    invalidated: bool
    deleted: int
    seconds: float
    longest_command_ms: float


def plan_flush(endpoint: Endpoint, app: str, namespace: str) -> FlushPlan:
    """Return what `flush` would touch, by a bounded walk that changes nothing.

    Raises:
        InvalidKeyError: The application or namespace breaks the key rules.
        UsageError: The server holds only a part of the keys.
        UnreachableError, AuthError, ServerReplyError: as `Walker.walk`.
    """
    scope = Scope(app, namespace)
    drawn = _Draw(_SAMPLE_WEIGHED)
    with Walker(endpoint) as walker:
        for batch in walker.walk(match=scope.glob):
            drawn.add(key for key in batch.keys if key.startswith(scope.prefix))
        weights = walker.wire.pipeline(("MEMORY", "USAGE", key) for key in drawn.keys)
    for weight in weights:
        if isinstance(weight, ServerReplyError):
            raise weight
    known = [weight for weight in weights if isinstance(weight, int)]
    return FlushPlan(
        app=app,
        namespace=namespace,
        keys=drawn.seen,
        sample=tuple(sorted(show_bytes(key) for key in drawn.keys[:_SAMPLE_SHOWN])),
        memory_bytes=round(sum(known) / len(known) * drawn.seen) if known else 0,
    )


def flush(
    endpoint: Endpoint,
    app: str,
    namespace: str,
    *,
    pace: Pace = GENTLE,
    progress: Callable[[FlushProgress], None] | None = None,
) -> FlushReport:
    """Delete every entry of a namespace; its readers miss from the first moment on.

    Its version goes first, which makes all of its entries invalid at once. Then their
    memory is given back in bounded steps, each one write: UNLINK of the keys that the
    last step found, and SCAN for the next. Leases to load its entries go with them, so
    that nobody waits for a load that can no longer be stored. What is written meanwhile
    may be deleted, too; running it again is harmless.

    Args:
        endpoint: The server.
        app: The application.
        namespace: The namespace; no key that does not begin with both is touched.
        pace: How hard to work the server.
        progress: Called after each step.

    Raises:
        InvalidKeyError: The application or namespace breaks the key rules.
        UsageError: The server holds only a part of the keys.
        UnreachableError, AuthError, ServerReplyError: Nothing was done.
        PartialError: It was interrupted, or the server failed, after the namespace was
            invalidated; the message says what is done, the hint how to finish.
    """
    scope = Scope(app, namespace)
    began = time.monotonic()
    invalidated = False
    longest = visited = 0.0
    deleted = 0
    try:
        with Walker(endpoint) as walker:
            _invalidate(walker, app, namespace)
            invalidated = True
            doomed = _Doomed(scope, apart=walker.has_slots)
            for batch in walker.walk(match=doomed.glob, follow=doomed.commands, pace=pace):
                deleted += doomed.entries_deleted(batch)
                longest = max(longest, batch.round_trip)
                visited = batch.visited
                if progress:
                    progress(FlushProgress(visited, deleted, time.monotonic() - began))
    except (ValkeyctlError, KeyboardInterrupt) as error:
        if not invalidated:
            raise
        why = str(error) if isinstance(error, ValkeyctlError) else "interrupted"
        # The answer to a step on its way is lost, and with it up to one batch of the count.
        raise PartialError(
            f"the flush of {app}:{namespace} stopped at {visited:.0%} of the keyspace ({why}); "
            f"its entries are invalid already, and at least {deleted} keys are deleted",
            hint="Run it again on the same server to delete the rest: "
            f"valkeyctl keys flush {namespace} --app {app} --yes",
        ) from error
    return FlushReport(
        app=app,
        namespace=namespace,
        invalidated=invalidated,
        deleted=deleted,
        seconds=time.monotonic() - began,
        longest_command_ms=longest * 1000,
    )


def _invalidate(walker: Walker, app: str, namespace: str) -> None:
    """Delete the versions of *namespace*; on a Cluster node both forms that they may have."""
    versions = list(KeyScheme(app).versions(namespace))
    if walker.has_slots:
        versions += KeyScheme(app, shards=SHARDS).versions(namespace)
    for answer in walker.wire.pipeline([("DEL", version) for version in versions]):
        _deleted(answer)


class _Doomed:
    """What a flush deletes of the keys that its walk finds: entries, and leases to load them.

    Args:
        scope: One namespace of one application.
        apart: Delete each key by a command of its own, as a Cluster node wants it.
    """

    def __init__(self, scope: Scope, *, apart: bool) -> None:
        self._entries = scope.prefix
        self._leases = scope.lease_prefix
        self._apart = apart

    @property
    def glob(self) -> bytes:
        """Lets through both, and little else."""
        app, namespace, _ = self._entries.split(b":")
        return escape_glob(app + b":") + b"*" + escape_glob(namespace + b":") + b"*"

    def commands(self, keys: list[bytes]) -> list[Command]:
        """Return what deletes the doomed ones of *keys*, those for entries first."""
        return [*self._unlinks(keys, self._entries), *self._unlinks(keys, self._leases)]

    def entries_deleted(self, batch: Batch) -> int:
        """Return how many entries the answers to `commands` confirm.

        Raises:
            ServerReplyError: The server refused one.
        """
        counts = list(map(_deleted, batch.answers))
        return sum(counts[: len(self._unlinks(batch.keys, self._entries))])

    def _unlinks(self, keys: list[bytes], prefix: bytes) -> list[Command]:
        # The glob has narrowed them already; this is what makes it a promise.
        doomed = [key for key in keys if key.startswith(prefix)]
        if self._apart:
            return [("UNLINK", key) for key in doomed]
        return [("UNLINK", *doomed)] if doomed else []


def _deleted(answer: Answer) -> int:
    if isinstance(answer, ServerReplyError):
        raise answer
    return answer if isinstance(answer, int) else 0


class _Draw:
    """Draws keys of a stream at random, each with the same chance.

    Source: Vitter, Random Sampling with a Reservoir (1985), algorithm R.
    """

    def __init__(self, size: int) -> None:
        self.keys: list[bytes] = []
        self.seen = 0
        self._size = size
        self._rng = random.Random()

    def add(self, keys: Iterable[bytes]) -> None:
        """Draw from *keys*, too."""
        for key in keys:
            self.seen += 1
            if len(self.keys) < self._size:
                self.keys.append(key)
            elif (place := self._rng.randrange(self.seen)) < self._size:
                self.keys[place] = key
