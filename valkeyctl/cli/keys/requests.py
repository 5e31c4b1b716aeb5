"""The part of ``valkeyctl keys warm`` that sends requests through a gateway."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from valkeyctl.cli.output import say, show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import UsageError
from valkeyctl.units import format_duration, parse_duration, several

if TYPE_CHECKING:
    from valkeyctl.bench.recorded import RecordedRequest
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.requests.send import SendReport

GATEWAY = "http://127.0.0.1:8080"
CONCURRENCY = 8
TIMEOUT = "2m"
CREDENTIAL_VARIABLE = "VALKEYCTL_GATEWAY_API_KEY"


def warm_by_requests(
    ctx: typer.Context,
    *,
    file: Path | None = None,
    bench: Path | None = None,
    gateway: str | None = None,
    concurrency: int | None = None,
    rate: float | None = None,
    timeout: str | None = None,
    from_line: int = 1,
    rejects: Path | None = None,
) -> None:
    """Send the requests of *file* (``-`` is stdin), or of a bench run, and print their fate.

    Status 1 when some were refused. The credential for requests that have none of their
    own is read from VALKEYCTL_GATEWAY_API_KEY, never from an argument.
    """
    from valkeyctl.ops.keyspace.requests.send import send_requests

    if (file is None) == (bench is None):
        raise UsageError("give one of --request and --from-bench")
    where = gateway or GATEWAY
    at_a_time = CONCURRENCY if concurrency is None else concurrency
    try:
        silence = parse_duration(timeout or TIMEOUT)
    except ValueError as error:
        raise UsageError(str(error)) from error
    source: BinaryIO | Path | Iterable[bytes] = sys.stdin.buffer
    size: int | None = None
    if bench is not None:
        from valkeyctl.bench.recorded import recorded_requests

        sent = recorded_requests(bench)
        # To send again what writes or removes something is no warming.
        recorded = [one for one in sent if one.method in {"GET", "POST"}]
        if left := len(sent) - len(recorded):
            say(ctx, f"{several(left, 'request')} left out: neither GET nor POST")
        size = len(recorded)
        source = _lines(recorded)
    elif file is not None and str(file) != "-":
        source = file
    with progress(ctx, "warming") as report:
        found = send_requests(
            source,
            gateway=where,
            concurrency=at_a_time,
            rate=rate,
            timeout=silence,
            from_line=from_line,
            rejects_file=rejects,
            credential=os.environ.get(CREDENTIAL_VARIABLE) or None,
            again=_again(file, bench, where, at_a_time, rate, timeout or TIMEOUT, rejects),
            progress=lambda at: report(
                at.line / size if size else at.read / at.size if at.size else 0.0,
                f"{at.answered:,} answered",
                done=at.answered,
            ),
        )
    _show(ctx, found)
    # A job that warms a cache must not take half of it for all.
    raise typer.Exit(1 if found.rejected else 0)


def _lines(recorded: list[RecordedRequest]) -> Iterator[bytes]:
    """Yield the requests as lines of a file for ``--request``."""
    for one in recorded:
        headers = json.dumps(dict(one.headers)).encode()
        path = json.dumps(one.path).encode()
        if one.method == "GET":
            yield b'{"method":"GET","path":%b,"headers":%b}' % (path, headers)
        else:
            yield b'{"path":%b,"headers":%b,"body":%b}' % (path, headers, one.body)


def _again(
    file: Path | None,
    bench: Path | None,
    gateway: str,
    concurrency: int,
    rate: float | None,
    timeout: str,
    rejects: Path | None,
) -> list[str]:
    words = ["valkeyctl", "keys", "warm"]
    words += ["--request", str(file)] if bench is None else ["--from-bench", str(bench)]
    words += ["--gateway", gateway, "--concurrency", str(concurrency), "--timeout", timeout]
    if rate is not None:
        words += ["--rate", f"{rate:g}"]
    if rejects is not None:
        words += ["--rejects", str(rejects)]
    return words


def _show(ctx: typer.Context, found: SendReport) -> None:
    for reject in found.rejects:
        say(ctx, f"line {reject.line}: {reject.reason}")
    more = found.rejected - len(found.rejects)
    if more > 0:
        where = f", all in {found.rejects_file}" if found.rejects_file else "; see --rejects"
        say(ctx, f"and {more:,} more{where}")
    if found.unstored:
        answers = several(found.unstored, "answer")
        say(ctx, f"{answers} not stored: streams, or answers that the gateway does not keep")

    def human(console: Console) -> None:
        rate = f", {found.answered / found.seconds:,.0f}/s" if found.seconds > 0 else ""
        line = (
            f"{several(found.answered, 'request')} answered by {found.gateway} in "
            f"{format_duration(found.seconds)}{rate}"
        )
        console.print(line, markup=False, soft_wrap=True)
        counts = (
            ("stored", found.stored),
            ("already there", found.hits),
            ("shared with one under way", found.shared),
            ("not stored", found.unstored),
            ("refused", found.rejected),
        )
        for name, count in counts:
            if count:
                console.print(f"  {count:,} {name}", markup=False)

    warned = found.rejected or found.unstored
    show(ctx, found, human=human, status="warn" if warned else "ok")
