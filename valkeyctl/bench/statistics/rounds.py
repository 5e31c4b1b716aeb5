"""Into how many rounds a run is cut, where nobody says so."""

from __future__ import annotations

# Short blocks, so that what the machine does weighs on both arms alike. Recorded with a
# noisy neighbour: of blocks of 0.2, 0.4, 0.8, 1.6 and 3.2 s, the standard error of a ratio
# of means was 1.4, 1.8, 2.5, 3.3 and 5.2 % (docs/explanation/benchmark-method.md). Shorter
# still, the beginning and the end of a block weigh more than its middle.
BLOCK_SECONDS = 0.25
_SHORTEST_BLOCK = 0.1
_LEAST_REQUESTS = 10
# With fewer, the autocorrelation of the rounds cannot be measured.
_ENOUGH = 20
# With more, intervals hardly get narrower.
_MOST = 200
# As `intervals.LEAST_ROUNDS`, which would import numpy into every command.
_LEAST = 5


def rounds_for(duration: float, arms: int, requests: int | None = None) -> int:
    """Return how many rounds a run is to have.

    Blocks of a quarter of a second, so 120 rounds for 60 s of two arms. At least 20 rounds
    where that leaves blocks of 0.1 s, and 200 at most; then no more than leave 10 requests
    to a block, but 5 always, if there are so many requests.

    Args:
        duration: Seconds of the whole run.
        arms: How many arms share them; 1 or more.
        requests: Of each arm, where they are known beforehand.
    """
    seconds = duration / arms
    rounds = min(max(round(seconds / BLOCK_SECONDS), _ENOUGH), _MOST)
    rounds = min(rounds, int(seconds / _SHORTEST_BLOCK))
    if requests is None:
        return max(rounds, _LEAST)
    return max(min(rounds, requests // _LEAST_REQUESTS), min(_LEAST, max(requests, 1)))
