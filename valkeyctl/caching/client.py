"""`ValkeyClient`: bounded calls to a server that may go away and come back.

Every call has a deadline that covers the wait for a connection, connecting and the
answer. Failures of the server (not its error replies) open a breaker; from then on
calls are refused at once, while a task PINGs with growing pauses, for ever, and
closes the breaker when an answer comes.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Self, cast

import structlog

from valkeyctl.caching.backoff import PAUSE_CAP, pauses
from valkeyctl.caching.breaker import Breaker
from valkeyctl.caching.commands import READS, Commands, checked
from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.dependents import Dependents
from valkeyctl.caching.driver.link import Command, LinkOutcome, Outcome
from valkeyctl.caching.driver.topology import build_link
from valkeyctl.caching.replicated import R, Replicated, is_lost
from valkeyctl.caching.replies import RichReply, Word
from valkeyctl.caching.script import Script
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    ServerReplyError,
    TlsError,
    UnreachableError,
    UsageError,
    ValkeyctlError,
)
from valkeyctl.units import format_duration

_log = structlog.get_logger("valkeyctl.caching")

# Seconds that loading a script gets at least, however long the first trip took.
_SECOND_TRIP = 0.005


class ValkeyClient(Commands, Replicated, Dependents):
    """A client of one deployment, for many tasks of one event loop.

    ``async with ValkeyClient(url) as client`` works while the server is away: the
    failure is logged, calls raise `UnreachableError`, and it recovers by itself.

    Args:
        target: A URL (``redis://``, ``redis+sentinel://``, ``redis+cluster://``) or an Endpoint.
        deadline: Seconds for a whole call that names none of its own.
        connect_timeout: Seconds for making one connection.
        pool_size: Connections per server at most; callers beyond wait within their deadline.
        breaker: Stands between callers and a server that does not answer; None makes one.
        clock: Monotonic seconds, for the breaker made here.
        rng: Source of the jitter between reconnection attempts.

    Raises:
        UsageError: The target is not a server URL, or a number is out of range.
    """

    def __init__(
        self,
        target: str | Endpoint,
        *,
        deadline: float = 1.0,
        connect_timeout: float = 1.0,
        pool_size: int = 64,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        if not deadline > 0 or not connect_timeout > 0 or pool_size < 1:
            raise UsageError(
                "a client needs deadline > 0, connect_timeout > 0 and pool_size >= 1, "
                f"not {deadline}, {connect_timeout} and {pool_size}"
            )
        super().__init__()
        if not isinstance(target, (str, Endpoint)):
            raise UsageError(f"a client needs a URL or an Endpoint, not a {type(target).__name__}")
        self.endpoint = Endpoint.parse(target) if isinstance(target, str) else target
        # The cooldown outlasts one round of the recovery task, so that it, and never
        # a caller, pays for finding the server still gone.
        self.breaker = breaker or Breaker(cooldown=PAUSE_CAP + deadline + 1.0, clock=clock)
        self._deadline = deadline
        self.connect_timeout = connect_timeout
        self._pool_size = pool_size
        self._rng = rng or random.Random()
        self._connected = build_link(
            self.endpoint, size=pool_size, connect_timeout=connect_timeout, rng=self._rng
        )
        self._link = self._connected.link
        self._recovery: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = False
        self._home: tuple[asyncio.AbstractEventLoop, int] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()  # nobody else will: the block is not entered
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> bool:
        """Say whether the server answers PING; when it does not, keep trying in the background.

        Never raises for a server that is away or refuses us: an application must come
        up without its cache. `ping` is there for those who must know.
        """
        try:
            await self.ping()
        except (UnreachableError, ServerReplyError) as error:
            self.breaker.trip()
            self._recover(error)
            return False
        except ValkeyctlError as error:
            # Waiting will not repair a wrong password or certificate.
            _log.warning("cache_refused", address=self.endpoint.address, reason=str(error))
            return False
        return True

    async def aclose(self) -> None:
        """Close all connections and end the background task; calls in flight fail.

        A caller that is cancelled meanwhile does not keep it from being done.
        """
        self._closed = True
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="valkeyctl-closing")
        await asyncio.shield(self._closing)

    async def execute(
        self, *words: Word, deadline: float | None = None, idempotent: bool | None = None
    ) -> RichReply:
        """Return the answer to any command that needs no connection of its own.

        Args:
            words: The command and its arguments.
            deadline: Seconds for the whole call; None takes the client's.
            idempotent: Whether it may be sent again when its connection broke in
                flight; None knows the usual reads.

        Raises:
            UsageError: The command binds its connection, such as SELECT, MULTI or SUBSCRIBE.
            UnreachableError: No server; a command that is not idempotent may have run.
            DeadlineError: No answer in time.
            BreakerOpenError: Not sent, because recent calls failed.
            AuthError, TlsError: The server does not let us in, or not to this command.
            ServerReplyError: Any other error reply.
        """
        name = checked([words])
        if idempotent is None:
            idempotent = name in READS
        (outcome,) = await self._run([words], deadline=deadline, idempotent=idempotent)
        return _answer(outcome)

    async def pipeline(
        self,
        commands: Iterable[Command],
        *,
        deadline: float | None = None,
        idempotent: bool = False,
    ) -> list[Outcome]:
        """Return the answers to *commands*, in order, in one round trip; error replies in place.

        Other clients' commands may run in between; see `transaction`.

        Args:
            commands: Each with its arguments.
            deadline: As `execute`.
            idempotent: Whether all may be sent again when their connection broke in flight.

        Raises:
            As `execute`, except ServerReplyError.
        """
        batch = list(commands)
        if not batch:
            return []
        checked(batch)
        return await self._run(batch, deadline=deadline, idempotent=idempotent)

    async def transaction(
        self, commands: Iterable[Command], *, deadline: float | None = None
    ) -> list[Outcome]:
        """Run *commands* as one MULTI/EXEC in one round trip; error replies in place.

        Raises:
            ServerReplyError: EXECABORT: one of them was refused, so none ran.
            As `execute` otherwise.
        """
        batch = list(commands)
        if not batch:
            return []
        checked(batch)
        *queued, result = await self._run(
            [("MULTI",), *batch, ("EXEC",)], deadline=deadline, idempotent=False
        )
        refused = next((note for note in queued if isinstance(note, ServerReplyError)), None)
        if refused is not None and isinstance(result, ServerReplyError):
            raise ServerReplyError(
                f"the transaction did not run: {refused}", reply=result.reply, hint=refused.hint
            ) from refused
        return cast("list[Outcome]", _answer(result))

    async def script(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        args: Sequence[Word] = (),
        *,
        deadline: float | None = None,
        idempotent: bool = False,
    ) -> RichReply:
        """Return what the Lua *script* returns, loading it where the server does not know it.

        Raises:
            As `execute`.
        """
        (outcome,) = await self.scripts(
            script, [(keys, args)], deadline=deadline, idempotent=idempotent
        )
        return _answer(outcome)

    async def scripts(
        self,
        script: Script,
        calls: Sequence[tuple[Sequence[str | bytes], Sequence[Word]]],
        *,
        deadline: float | None = None,
        idempotent: bool = False,
    ) -> list[Outcome]:
        """Return what *script* returns for each (keys, args), in one round trip.

        Raises:
            As `execute`, except ServerReplyError, which takes its answer's place.
        """
        if not calls:
            return []
        limit = self._deadline if deadline is None else deadline
        began = time.monotonic()
        tails = [(len(keys), *keys, *args) for keys, args in calls]
        outcomes = await self._run(
            [("EVALSHA", script.sha, *tail) for tail in tails],
            deadline=limit,
            idempotent=idempotent,
        )
        # EVAL loads it as well, so this costs a second trip once per server start.
        unknown = [place for place, outcome in enumerate(outcomes) if _is_unknown(outcome)]
        if unknown:
            again = await self._run(
                [("EVAL", script.source, *tails[place]) for place in unknown],
                deadline=max(limit - (time.monotonic() - began), _SECOND_TRIP),
                idempotent=idempotent,
            )
            for place, outcome in zip(unknown, again, strict=True):
                outcomes[place] = outcome
        return outcomes

    async def _close(self) -> None:
        try:
            if self._recovery is not None:
                self._recovery.cancel()
                await asyncio.gather(self._recovery, return_exceptions=True)
            await self._close_dependents()
        finally:
            await self._link.aclose()

    async def _run(
        self, commands: Sequence[Command], *, deadline: float | None, idempotent: bool
    ) -> list[Outcome]:
        self._check_home()
        limit = self._deadline if deadline is None else deadline
        permit = self.breaker.admit()
        outcomes = await self._judged(permit, limit, self._send(commands, idempotent=idempotent))
        for outcome in outcomes:
            if isinstance(outcome, (AuthError, UnreachableError)):
                raise outcome
        return cast("list[Outcome]", outcomes)

    def _check_home(self) -> None:
        """Refuse another event loop or process: answers would go to the wrong one."""
        here = (asyncio.get_running_loop(), os.getpid())
        if self._home is None:
            self._home = here
        elif self._home != here:
            raise UsageError(
                "this client belongs to another event loop or process",
                hint="Make one client in each event loop, after the fork",
            )

    async def _judged(self, permit: int, limit: float, call: Awaitable[R]) -> R:
        """Return what *call* does within *limit* seconds, and tell the breaker how it went."""
        try:
            with Deadline(limit):
                result = await call
        except TimeoutError as error:
            waited = format_duration(limit)
            late = DeadlineError(f"no answer from {self.endpoint.address} within {waited}")
            if self._connected.guards_itself:
                self.breaker.released(permit)
            else:
                self._failed(permit, late)
            raise late from error
        except UnreachableError as error:
            self._failed(permit, error)
            raise
        except AuthError:
            self.breaker.succeeded(permit)  # it does answer
            raise
        except BaseException:
            self.breaker.released(permit)
            raise
        self.breaker.succeeded(permit)
        return result

    async def _send(self, commands: Sequence[Command], *, idempotent: bool) -> list[LinkOutcome]:
        try:
            outcomes = await self._link.exchange(commands)
        except DeadlineError:
            raise
        except UnreachableError:
            if not idempotent or self._closed:
                raise
            # Once: a server that restarted has a fresh connection for us, one that is
            # gone refuses it right away.
            return await self._link.exchange(commands)
        if not idempotent or self._connected.replicated is None:
            return outcomes
        if lost := [place for place, outcome in enumerate(outcomes) if is_lost(outcome)]:
            again = await self._link.exchange([commands[place] for place in lost])
            for place, outcome in zip(lost, again, strict=True):
                outcomes[place] = outcome
        return outcomes

    def _failed(self, permit: int, error: UnreachableError) -> None:
        if self._closed:
            return
        self.breaker.failed(permit)
        if self.breaker.state == "open":
            self._recover(error)

    def _recover(self, error: ValkeyctlError) -> None:
        """Start the recovery task, unless it runs."""
        if self._closed or (self._recovery is not None and not self._recovery.done()):
            return
        _log.warning("cache_unreachable", address=self.endpoint.address, reason=str(error))
        self._recovery = asyncio.create_task(self._recovering(), name="valkeyctl-recovery")

    async def _recovering(self) -> None:
        began = time.monotonic()
        for pause in pauses(self._rng):
            await asyncio.sleep(pause)
            try:
                with Deadline(self._deadline):
                    await self._link.probe()
            except (AuthError, TlsError):
                break  # it is there, and callers should hear what is wrong
            except (ValkeyctlError, TimeoutError):
                self.breaker.trip()
            else:
                break
        self.breaker.reset()
        _log.info(
            "cache_reachable",
            address=self.endpoint.address,
            after_s=round(time.monotonic() - began, 3),
        )


def _answer(outcome: Outcome) -> RichReply:
    if isinstance(outcome, ServerReplyError):
        raise outcome
    return outcome


def _is_unknown(outcome: Outcome) -> bool:
    return isinstance(outcome, ServerReplyError) and outcome.reply == "NOSCRIPT"
