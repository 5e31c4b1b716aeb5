"""What plays one stage: the seam between the order of a run and where its load comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from valkeyctl.bench.load.blocks import Stage


@dataclass(frozen=True)
class Played:
    """A stage that was played to its end.

    Attributes:
        begin: Monotonic seconds, on the samples' clock.
        end: When the last answer had come.
        cpu: Processor seconds that the generator spent, all of its processes together.
        lateness_p99_ms: How late requests were sent that did not wait for a place in
            flight; None in a closed loop, which has no schedule.
        requests: How many were sent, where that is not the stage's size.
    """

    begin: float
    end: float
    cpu: float | None = None
    lateness_p99_ms: float | None = None
    requests: int | None = None


@dataclass(frozen=True)
class Start:
    """The moment at which several processes begin a stage together.

    Attributes:
        at: Monotonic seconds, on the samples' clock of the process that plays.
        due: Of the stage's first request, whoever sends it, on the stream's clock; so every
            process keeps the one schedule. 0 in a closed loop.
    """

    at: float
    due: float = 0.0


@dataclass(frozen=True)
class Tally:
    """Samples so far.

    Attributes:
        samples: All of them, warm-up included.
        failed: Those that are errors.
    """

    samples: int
    failed: int


class Player(Protocol):
    """Plays the stages that a conductor asks for, and keeps their samples.

    `ScenarioPlayer` sends a scenario's requests from this process. Others take its place:

    * `LocustPlayer` lets the users of the user's own locustfile work for the stage's time
      (`prepare` gives it), and holds them between their tasks in the stages of other arms;
      a listener of Locust's ``request`` event writes a sample for each of their requests.
      It has no use for `stage.size`, and says in `Played.requests` how many there were.
    * `Crew`, on a Locust master, calls its workers (`calls`) for each step. Each of them has
      one of the players above, which plays its part of the stage from the moment that the
      master names (`Start`); then the master fetches its samples, and brings their times
      to its own clock (`clocks`). `play` returns the common begin, the latest end, the sum
      of `cpu` and the largest `lateness_p99_ms`; `tally` sums what the workers say.
    """

    def tally(self) -> Tally:
        """Return how many samples there are by now."""

    def warm_up(self, arm: int, seconds: float) -> float:
        """Play load in *arm* that is thrown away; return its right answers per second."""

    def held(self) -> float | None:
        """Return the requests per second that there is processor time for, by the warm-up.

        None where it does not say.
        """

    def begin(self, sizes: Sequence[int]) -> None:
        """Take in the sizes of all blocks, after the warm-up and before the first stage."""

    def prepare(self, stage: Stage) -> float | None:
        """Make ready what must not be made under the stage's clock.

        Returns:
            Seconds that the stage will take by its schedule; None when answers decide.
        """

    def play(self, stage: Stage) -> Played:
        """Play *stage* and return when its last answer has come.

        All its samples are on disk by then. Every stage must have been prepared.
        """

    def close(self) -> None:
        """Write out what is still buffered; closing again changes nothing."""
