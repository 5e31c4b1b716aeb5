"""The stream's requests, block by block, each the same ones in every arm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise, tee

from valkeyctl.bench.load.blocks import Stage
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.stream import Request, stream

# A block up to this size is made before its clock starts, once for all arms; some
# hundred bytes a request. A longer one is made while it is played, once for each arm.
# Likewise no arm goes further ahead of its blocks than this.
MOST_KEPT = 50_000


class Cursor(Iterator[Request]):
    """One arm's place in the stream.

    Args:
        requests: All that the arm is going to send, in order; it may go on after that.

    Attributes:
        taken: How many it has given out.
        limit: How many it gives out at most.
    """

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests
        self._back: list[Request] = []
        self.taken = self.limit = 0

    def __next__(self) -> Request:
        """Return the next request."""
        if self.taken >= self.limit:
            raise StopIteration
        request = self._back.pop() if self._back else next(self._requests)
        self.taken += 1
        return request

    def put_back(self, request: Request) -> None:
        """Take back what was given out last, to be given out again."""
        self._back.append(request)
        self.taken -= 1


class BlockSource:
    """Cuts the stream of *plan* into blocks.

    An arm whose schedule runs on past the end of a block, because answers are outstanding,
    takes the requests of its next one; that is shorter by as many then. So each arm sends
    every request of the stream once, in order.

    Args:
        plan: Decides the stream.
        salt: Goes into every prompt; see `traffic.stream`.
        sizes: Of the blocks, in order.
        worker: Give only every *workers*-th request of the stream, beginning with this one.
        workers: How many processes share the stream.
    """

    def __init__(
        self, plan: Plan, salt: str, sizes: Sequence[int], *, worker: int = 0, workers: int = 1
    ) -> None:
        self._plan = plan
        # What falls to this worker of each block; of a block's first index on.
        own = [
            len(range(low + (worker - low) % workers, high, workers))
            for low, high in pairwise(accumulate(sizes, initial=0))
        ]
        self._edges = list(accumulate(own))
        self._kept = max(own, default=0) <= MOST_KEPT
        arms = len(plan.arms)
        streams = [
            stream(plan, salt=salt, worker=worker, workers=workers)
            for _ in range(1 if self._kept else arms)
        ]
        # What one arm has had made waits until the others have come so far.
        copies = tee(streams[0], arms) if self._kept else streams
        self._cursors = [Cursor(copy) for copy in copies]
        self._block: Sequence[Request] = ()
        self._first: float | None = None

    def block(self, stage: Stage) -> Iterable[Request]:
        """Return what is left to send of *stage*; every arm must ask for its rounds in order."""
        edge = self._edges[stage.round]
        cursor = self._cursors[stage.arm]
        cursor.limit = min(edge + MOST_KEPT, self._edges[-1])
        left = max(0, edge - cursor.taken)
        # Dropped first, so that two blocks are never held at one time.
        self._block = ()
        if self._kept:
            self._block = list(islice(cursor, left))
            self._first = self._block[0].due if self._block else None
            return self._block
        head = list(islice(cursor, min(1, left)))
        self._first = head[0].due if head else None
        return chain(head, islice(cursor, left - len(head)))

    def ahead(self, stage: Stage) -> Cursor:
        """Return what *stage* goes on with while answers are outstanding: the next blocks."""
        return self._cursors[stage.arm]

    @property
    def first(self) -> float | None:
        """When the first request of the last `block` is due, on the stream's clock."""
        return self._first

    def span(self, stage: Stage) -> float | None:
        """Return the seconds that the schedule of *stage* takes; None without a schedule.

        Call `block` first. Of a block that is made while it is played it is an estimate.
        """
        plan = self._plan
        if plan.load_model == "closed":
            return None
        if self._block:
            return (self._block[-1].due or 0.0) - (self._block[0].due or 0.0)
        return stage.size / plan.rate if plan.rate and not self._kept else 0.0
