"""Sending requests through a gateway, so many at a time, and keeping count of what it does."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from valkeyctl.caching.records import Line, RecordError
from valkeyctl.errors import PartialError, ServerReplyError, UsageError, ValkeyctlError
from valkeyctl.ops.keyspace.loading.rejects import Reject, Rejects
from valkeyctl.ops.keyspace.requests.line import GatewayRequest, parse_request
from valkeyctl.units import format_size, several

if TYPE_CHECKING:
    import asyncio

    from valkeyctl.caching.pace import Pacer
    from valkeyctl.ops.keyspace.requests.gateway import Exchange, GatewayClient

LONGEST_LINE = 10 * 2**20  # what a gateway takes as a body
MOST_CONCURRENT = 1000
# Refusals in a row after which the rest of a file would be refused, too.
_HOPELESS = 100
# Answers in a row that were not stored, after which the gateway is asked how it is.
_SUSPICIOUS = 20
# Rejected lines that wait for one before them whose answer takes its time.
_MOST_LATE = 1000


@dataclass(frozen=True)
class SendProgress:
    """How far it is.

    Attributes:
        line: Last line up to which all are dealt with, 1-based.
        answered: Requests answered.
        rejected: Lines refused.
        read: Bytes read of the source.
        size: Bytes of the whole source; None when it cannot be known, as of a pipe.
    """

    line: int
    answered: int
    rejected: int
    read: int
    size: int | None


@dataclass(frozen=True)
class SendReport:
    """What became of the requests.

    Attributes:
        gateway: Where they went.
        answered: Those answered: the sum of the next four.
        hits: Of them, those whose answer lay in the cache already.
        stored: Those whose answer lies there now.
        shared: Those that were the same as one under way, and got its answer.
        unstored: Those answered past the cache, such as streams.
        rejected: Lines that are no request, or that the gateway refused.
        seconds: For all of it.
        rejects: The first 20 of the refused lines.
        rejects_file: Where all of them are; None without one, or without any.
    """

    gateway: str
    answered: int
    hits: int
    stored: int
    shared: int
    unstored: int
    rejected: int
    seconds: float
    rejects: tuple[Reject, ...]
    rejects_file: Path | None


def send_requests(
    source: BinaryIO | Path | Iterable[bytes],
    *,
    gateway: str,
    concurrency: int = 8,
    rate: float | None = None,
    timeout: float = 120.0,
    from_line: int = 1,
    rejects_file: Path | None = None,
    credential: str | None = None,
    again: Sequence[str] = (),
    progress: Callable[[SendProgress], None] | None = None,
) -> SendReport:
    """Send the requests that lines of JSON are through a gateway, whose cache then has them.

    Empty lines are passed over. Any number of lines takes the same memory.

    Args:
        source: A file, an open stream of bytes, or the lines; see `line.parse_request`.
        gateway: Its base URL; nothing is sent to anything else.
        concurrency: Requests under way at one time, 1 to 1,000.
        rate: Requests begun in a second at most; None does not hold back.
        timeout: Seconds that the gateway may be silent in a call.
        from_line: Pass over the lines before this one, 1-based.
        rejects_file: Where to write the refused lines; taken up again with *from_line*,
            else begun anew.
        credential: For requests that have none of their own; None sends them without.
        again: The command that does this, for the hint of how to go on.
        progress: Called after each answer.

    Raises:
        UsageError: A number is out of range, the URL is none, no gateway is there, or there
            are fewer lines than *from_line*.
        MissingError: There is no such file.
        FolderError: A file cannot be read or written.
        UnreachableError: No gateway answers, or it has lost its cache; nothing was sent.
        ServerReplyError: All it answered were refusals, a hundred of them in a row.
        PartialError: It was interrupted, or something failed, after requests were
            answered; the message says how many, the hint how to go on.
    """
    if not 1 <= concurrency <= MOST_CONCURRENT:
        raise UsageError(f"concurrency is 1 to {MOST_CONCURRENT:,}, not {concurrency}")
    if from_line < 1:
        raise UsageError(f"from_line is 1 or more, not {from_line}")
    # Written so that NaN, which compares false with everything, is refused too.
    for name, number in (("rate", rate), ("timeout", timeout)):
        if number is not None and not 0 < number < 1e9:
            raise UsageError(f"{name} must be above zero, not {number}")

    import asyncio

    from valkeyctl.caching.pace import Pacer
    from valkeyctl.ops.keyspace.requests.gateway import GatewayClient
    from valkeyctl.ops.keyspace.requests.interruption import run_until_interrupted
    from valkeyctl.ops.keyspace.requests.source import is_stream, lines, opened

    began = time.monotonic()

    async def play(stream: BinaryIO | Iterable[bytes], run: _Run) -> str:
        pacer = Pacer(rate, clock=time.monotonic, sleep=asyncio.sleep)
        async with GatewayClient(
            gateway, timeout=timeout, connections=concurrency, credential=credential
        ) as client:
            await client.check()
            found = lines(stream, longest=LONGEST_LINE)
            await run.play(found, client, pacer, concurrency, from_line, asyncio.Event())
            return client.url

    rejects = Rejects(rejects_file, resumed=from_line > 1)
    run = _Run(rejects, _size(source), progress)
    try:
        if isinstance(source, Path) or is_stream(source):
            with opened(source, rejects_file) as stream, rejects:
                url = run_until_interrupted(play(stream, run))
        else:
            with rejects:
                url = run_until_interrupted(play(source, run))
    except (ValkeyctlError, KeyboardInterrupt) as error:
        if not run.answered:
            raise
        raise _partial(run, error, again) from error
    if from_line > 1 and run.done < from_line:
        raise UsageError(
            f"there are {several(run.done, 'line')}, and line {from_line} is past the end",
            hint="Check --from-line; nothing was sent",
        )
    return SendReport(
        gateway=url,
        answered=run.answered,
        hits=run.outcomes["hit"],
        stored=run.outcomes["stored"],
        shared=run.outcomes["shared"],
        unstored=run.outcomes["unstored"],
        rejected=rejects.count,
        seconds=time.monotonic() - began,
        rejects=tuple(rejects.first),
        rejects_file=rejects.file,
    )


class _Run:
    """What is read, sent and answered so far."""

    def __init__(
        self,
        rejects: Rejects,
        size: int | None,
        progress: Callable[[SendProgress], None] | None,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._rejects = rejects
        self._size = size
        self._progress = progress
        self._read = 0
        self._taken = 0  # the last line that was taken from the source
        self._open: set[int] = set()  # lines taken and not dealt with yet
        self._late: dict[int, tuple[Line, str]] = {}  # rejected, behind one that is open
        self._refused_in_a_row = 0
        self._unstored_in_a_row = 0
        self._failed = False

    @property
    def answered(self) -> int:
        """How many requests were answered, and not with a refusal."""
        return self.outcomes.total()

    @property
    def done(self) -> int:
        """The last line up to which none need be sent again."""
        return min(self._open) - 1 if self._open else self._taken

    async def play(
        self,
        lines: AsyncIterator[Line],
        client: GatewayClient,
        pacer: Pacer,
        concurrency: int,
        from_line: int,
        settled: asyncio.Event,
    ) -> None:
        """Send *lines* from *from_line* on; *settled* is set whenever one is dealt with."""
        from valkeyctl.caching.crew import Crew

        async def one(line: Line) -> None:
            try:
                await self._deal_with(line, client)
            except BaseException:
                self._failed = True  # the crew raises it where the next one starts
                raise
            finally:
                settled.set()

        async with Crew(concurrency) as crew:
            async for line in lines:
                self._read += line.size
                self._taken = line.number
                if line.number < from_line or not line.raw.strip():
                    continue
                self._open.add(line.number)
                while len(self._late) >= _MOST_LATE and not self._failed:
                    settled.clear()
                    await settled.wait()
                await pacer.turn()
                await crew.start(one(line))

    async def _deal_with(self, line: Line, client: GatewayClient) -> None:
        try:
            request = _request(line)
        except RecordError as error:
            self._settle(line, rejected=str(error))
            return
        exchange = await client.send(request)
        self._unstored_in_a_row += 1
        if exchange.outcome.value != "unstored":
            self._unstored_in_a_row = 0
        elif self._unstored_in_a_row % _SUSPICIOUS == 0:
            # Its cache may have gone away, and each answer costs money.
            await client.check()
        self._note(exchange, line)

    def _note(self, exchange: Exchange, line: Line) -> None:
        if not exchange.reason:
            self._refused_in_a_row = 0
            self.outcomes[exchange.outcome.value] += 1
            self._settle(line)
            return
        self._settle(line, rejected=exchange.reason)
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= _HOPELESS:
            raise ServerReplyError(
                f"{_HOPELESS} requests in a row were refused; the last: {exchange.reason}",
                hint="Look at the gateway's log, and at what stands behind it",
            )

    def _settle(self, line: Line, *, rejected: str = "") -> None:
        """Have dealt with *line*.

        A rejected line is written down only when all lines before it are dealt with: a run
        that is resumed begins after those, and finds no line twice in the file.
        """
        self._open.discard(line.number)
        if rejected:
            self._late[line.number] = (line, rejected)
        done = self.done
        for number in sorted(number for number in self._late if number <= done):
            self._rejects.add(*self._late.pop(number))
        if self._rejects.pending:
            self._rejects.commit()
        if self._progress is not None:
            counts = (done, self.answered, self._rejects.count + len(self._late))
            self._progress(SendProgress(*counts, self._read, self._size))


def _request(line: Line) -> GatewayRequest:
    if line.too_long:
        raise RecordError(f"longer than {format_size(LONGEST_LINE)}")
    return parse_request(line.raw)


def _size(source: BinaryIO | Path | Iterable[bytes]) -> int | None:
    # A pipe, or a file of /proc, says 0.
    return source.stat().st_size or None if isinstance(source, Path) and source.exists() else None


def _partial(
    run: _Run, error: ValkeyctlError | KeyboardInterrupt, again: Sequence[str]
) -> PartialError:
    why = str(error) if isinstance(error, ValkeyctlError) else "interrupted"
    command = shlex.join([*again, "--from-line", str(run.done + 1)]) if again else ""
    return PartialError(
        f"stopped after line {run.done:,} ({why}); {run.answered:,} requests are answered",
        hint=f"Run it again to go on: {command}" if command else None,
    )
