"""The stream's requests, block by block, each block the same in every arm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, islice, pairwise

from valkeyctl.bench.load.blocks import Stage
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.stream import Request, stream

# A block up to this size is made before its clock starts, once for all arms; some
# hundred bytes a request. A longer one is made while it is played, once for each arm.
MOST_KEPT = 50_000


class BlockSource:
    """Cuts the stream of *plan* into blocks.

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
        self._own = [
            len(range(low + (worker - low) % workers, high, workers))
            for low, high in pairwise(accumulate(sizes, initial=0))
        ]
        self._alone = workers == 1
        self._kept = max(self._own, default=0) <= MOST_KEPT
        streams = 1 if self._kept else len(plan.arms)
        self._streams = [
            stream(plan, salt=salt, worker=worker, workers=workers) for _ in range(streams)
        ]
        self._round: int | None = None
        self._block: list[Request] = []
        self._first: float | None = None

    def block(self, stage: Stage) -> Iterable[Request]:
        """Return the requests of *stage*; every arm must ask for every round, in order."""
        size = stage.size if self._alone else self._own[stage.round]
        if not self._kept:
            requests = islice(self._streams[stage.arm], size)
            head = list(islice(requests, 1))
            self._first = head[0].due if head else None
            return chain(head, requests)
        if stage.round != self._round:
            # Dropped first, so that two blocks are never held at one time.
            self._block = []
            self._block = list(islice(self._streams[0], size))
            self._round = stage.round
        self._first = self._block[0].due if self._block else None
        return self._block

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
        if self._kept and self._block and stage.round == self._round:
            return (self._block[-1].due or 0.0) - (self._block[0].due or 0.0)
        return stage.size / plan.rate if plan.rate else None
