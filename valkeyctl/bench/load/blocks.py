"""How the stream is cut into blocks, and which arm plays which block when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from valkeyctl.bench.plan import Plan

WARMUP = -1
_OPEN_PILOT_USERS = 8
# A block begins without load and ends with the last answer; of fewer answers in a row
# these two would be most of it.
_ANSWERS_A_BLOCK = 4
_FEWEST_ROUNDS = 5
# As often as it was asked for, a run may take its duration by what the pilot says.
_STRETCH = 2.0
# More than any process of this kind has sent, for a pilot that says nothing.
_MOST_A_SECOND = 50_000.0


@dataclass(frozen=True)
class Stage:
    """One block played in one arm.

    Attributes:
        arm: Index of the arm in the plan.
        round: From 0; `WARMUP` for load that is thrown away.
        size: Requests of the block; 0 in a warm-up, which is bounded by time.
    """

    arm: int
    round: int
    size: int


def cut(requests: int, rounds: int) -> list[int]:
    """Return the sizes of *rounds* blocks that together hold *requests*, even to one."""
    edges = [requests * edge // rounds for edge in range(rounds + 1)]
    return [high - low for low, high in pairwise(edges)]


def order(number: int, arms: int) -> list[int]:
    """Return the arms of round *number*: first to last, and back in every other round.

    Whatever drifts steadily (heat, a filling disk, a neighbour that wakes) then weighs
    on each arm alike: A B, B A, A B ...
    """
    forward = list(range(arms))
    return forward if number % 2 == 0 else forward[::-1]


def stages(sizes: Sequence[int], arms: int) -> Iterator[Stage]:
    """Yield the stages of a whole run, in order; blocks of size 0 are left out."""
    for number, size in enumerate(sizes):
        if size:
            for arm in order(number, arms):
                yield Stage(arm, number, size)


def block_size(rates: Sequence[float], duration: float, rounds: int, least: int) -> int:
    """Return the requests of a closed-loop block with which a run takes *duration*, about.

    Args:
        rates: Requests per second that the pilot reached, one for each arm, above 0.
        duration: Seconds for all rounds and arms together.
        rounds: How many blocks there are.
        least: Never fewer; the number of users, so that each of them has work.
    """
    seconds_a_request = sum(1 / rate for rate in rates)
    return max(least, round(duration / rounds / seconds_a_request))


def pilot_users(plan: Plan) -> int:
    """Return how many users the pilot has; in an open loop a few find the rate of an arm."""
    if plan.load_model == "closed":
        return plan.users
    return min(_OPEN_PILOT_USERS, plan.max_in_flight)


def rounds_that_fit(rates: Sequence[float], duration: float, rounds: int, users: int) -> int:
    """Return how many rounds leave every arm time for four answers in a row in each block.

    Args:
        rates: Requests per second that the pilot reached, one for each arm, above 0.
        duration: Seconds for all rounds and arms together.
        rounds: How many there are at most.
        users: How many asked in the pilot, so that an answer takes ``users / rate``.

    Returns:
        Down to 5, with which something can still be concluded.
    """
    seconds_a_round = _ANSWERS_A_BLOCK * users * sum(1 / rate for rate in rates)
    return min(rounds, max(_FEWEST_ROUNDS, int(duration / seconds_a_round)))


def requests_that_fit(
    plan: Plan, rates: Sequence[float], held: float | None, rounds: int
) -> int | None:
    """Return the most requests of each arm that an open loop can play in bounded time.

    A schedule that nobody can keep would be worked off for hours. By what the generator has
    the processor time for, the run fits into twice its duration; by what the target may do
    at best, each of its rounds does.

    Args:
        plan: Its rate and duration.
        rates: Right answers per second that the pilot had in each arm; 0 where it had none,
            empty without a pilot.
        held: Requests per second that the generator has the processor time for; None where
            nobody knows.
        rounds: How many are played.

    Returns:
        At least one a round; None where the plan says itself how many there are.
    """
    if plan.rate is None or plan.requests is not None:
        return None
    arms, processes = len(plan.arms), max(1, plan.workers + plan.remote_workers)
    longest = _STRETCH * plan.duration
    fit = longest * (held or _MOST_A_SECOND * processes) / arms
    users = min(processes * _OPEN_PILOT_USERS, plan.max_in_flight)
    # As many answers at one time as there are places in flight, each as quick as the pilot's.
    a_request = sum(users / rate / plan.max_in_flight for rate in rates if rate)
    if a_request:
        fit = min(fit, rounds * longest / a_request)
    return max(rounds, int(fit))
