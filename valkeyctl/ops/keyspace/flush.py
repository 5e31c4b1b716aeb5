"""Emptying a namespace: at once for its readers, gently for the server."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from valkeyctl.caching.keys import KeyScheme
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, ServerReplyError, ValkeyctlError
from valkeyctl.ops.keyspace.display import show_bytes
from valkeyctl.ops.keyspace.scan import Answer, Command, Pace, Walker
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
    last step found, and SCAN for the next. What is written meanwhile may be deleted, too;
    running it again is harmless.

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
            walker.wire.call("DEL", *KeyScheme(app).versions(namespace))
            invalidated = True
            steps = walker.walk(match=scope.glob, follow=_unlink(scope.prefix), pace=pace)
            for batch in steps:
                deleted += sum(map(_deleted, batch.answers))
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


def _unlink(prefix: bytes) -> Callable[[list[bytes]], list[Command]]:
    def commands(keys: list[bytes]) -> list[Command]:
        # The glob has narrowed them already; this is what makes it a promise.
        doomed = [key for key in keys if key.startswith(prefix)]
        return [("UNLINK", *doomed)] if doomed else []

    return commands


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
