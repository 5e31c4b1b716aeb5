"""The requests that a finished run sent, most frequent first; needs no extra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from valkeyctl.bench.arm import Pairs
from valkeyctl.bench.load.blocks import WARMUP
from valkeyctl.bench.load.record import RECORD, SAMPLES_FILE
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.runfile import opened_run
from valkeyctl.bench.traffic.scenario import MASK
from valkeyctl.bench.traffic.stream import Request, stream
from valkeyctl.errors import FolderError, NotFoundError

_RECORDS_AT_A_TIME = 16_384


@dataclass(frozen=True)
class RecordedRequest:
    """A request that a run sent at least once in each arm.

    Attributes:
        method: HTTP method.
        path: Where it was sent.
        headers: Sent beside it, without those that a run does not keep: an arm's own
            ones, and what looks secret.
        body: What was sent.
        times: How often, in one arm.
    """

    method: str
    path: str
    headers: Pairs = field(repr=False)
    body: bytes = field(repr=False)
    times: int


def recorded_requests(folder: Path) -> list[RecordedRequest]:
    """Return the requests of the run in *folder*, each once, the most frequent first.

    They are made anew from the run's plan, as `traffic.stream` made them then. What was
    sent while warming up is not among them.

    Raises:
        NotFoundError: There is no run in it, or nothing of it was measured.
        FolderError: Its files cannot be read, or are no run of this version; or the trace
            that it replayed cannot be read any more.
        UsageError: The trace is no longer the one that it replayed; or a variable that the
            scenario takes a value from is not set.
    """
    plan, salt = _run(folder)
    sent = _sent(folder / SAMPLES_FILE)
    if not sent:
        raise NotFoundError(
            f"no request of the run in {folder} was measured", hint="Run the benchmark again"
        )
    times: Counter[tuple[int, int]] = Counter()
    first: dict[tuple[int, int], Request] = {}
    for request in islice(stream(plan, salt=salt), sent):
        same = (request.kind, request.key)
        times[same] += 1
        first.setdefault(same, request)
    # Of equally frequent ones the one that came first is first.
    return [
        RecordedRequest(one.method, one.path, _known(one.headers), one.body, count)
        for same, count in times.most_common()
        if (one := first[same])
    ]


def _known(headers: Pairs) -> Pairs:
    return tuple((name, value) for name, value in headers if value != MASK)


def _run(folder: Path) -> tuple[Plan, str]:
    """Return the plan of the run in *folder*, and what went into every prompt of it."""
    with opened_run(folder) as run:
        facts = run["facts"]
        # As the run itself decides: an application may remember earlier runs.
        salt = "" if facts["gateways"] else str(facts["run_id"])
        return Plan.from_json(run["plan"]), salt


def _sent(path: Path) -> int:
    """Return how many requests of the stream were sent: each arm plays the same ones."""
    last = -1
    try:
        for records in _records(path):
            for record in RECORD.iter_unpack(records):
                # See `record.FIELDS`: the round, and the place in the stream.
                if record[5] != WARMUP and record[8] > last:
                    last = record[8]
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise FolderError(f"{path}: cannot be read: {error.strerror or error}") from error
    return last + 1


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as samples:
        while piece := samples.read(RECORD.size * _RECORDS_AT_A_TIME):
            # A run that was killed may have torn its last record.
            yield piece[: len(piece) // RECORD.size * RECORD.size]
