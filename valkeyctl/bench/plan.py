"""What a load run does, decided before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from valkeyctl.bench.arm import (
    ARM_FORM,
    DEFAULT_ARMS,
    Arm,
    Node,
    arm_from_json,
    merge_arms,
)
from valkeyctl.bench.statistics.rounds import rounds_for
from valkeyctl.bench.traffic.scenario import (
    DEFAULT_SCENARIO,
    Arrivals,
    Keys,
    RequestTemplate,
    Scenario,
)
from valkeyctl.bench.traffic.scenariofile import load_scenario, parse
from valkeyctl.errors import UsageError

LoadModel = Literal["open", "closed"]

# A recorded hour takes a minute an arm.
TRACE_SPEEDUP = 60.0
# Of a scenario that wants long blocks; with fewer, nothing can be concluded.
_FEWEST_ROUNDS = 5
# A sample has one byte for its worker.
_MOST_WORKERS = 256
# Each takes 63 bytes on the disk, and about 200 of memory while the report is made.
MOST_SAMPLES = 20_000_000
# What people call the arm without a cache, where the application has its own way past it.
_BASELINES = frozenset({"uncached", "baseline"})
# What a scenario's name may not hold.
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Prices:
    """What tokens cost, for the money that a cache saves.

    Attributes:
        input: Of a million tokens of prompts.
        output: Of a million tokens of answers.
        currency: Its name, such as ``USD``.
    """

    input: float
    output: float
    currency: str = "USD"

    def __post_init__(self) -> None:
        for name, value in (("input", self.input), ("output", self.output)):
            if not 0 <= value <= 1e9:
                raise UsageError(
                    f"the price of {name} tokens is {value}",
                    hint="Give the price of a million tokens, 0 or more",
                )

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """Return what so many tokens cost."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Plan:
    """A load run, decided in full: the same plan sends the same requests again.

    Attributes:
        scenario: What is asked.
        arms: What is compared, in the order of the first round.
        rounds: Blocks that the stream is cut into; each is played in every arm.
        users: Users of the closed loop.
        rate: Arrivals per second of the open loop; None is a closed loop, or the
            trace's own arrivals.
        arrivals: How the arrivals of *rate* are spaced.
        duration: Seconds that the whole run takes, about; a trace takes as long as it takes.
        requests: Requests of an arm; None follows from *duration*, or is the whole trace.
        seed: Decides the prompts, their order, the arrivals and the simulated LLM.
        trace: Recorded requests to replay; None draws them from the scenario.
        speedup: Divides the trace's arrival times and the simulated LLM's times.
        warmup: Seconds of load thrown away before the first round, all arms together.
        max_in_flight: Most requests of the open loop on their way at one time; more
            wait in the client, and that wait counts as latency.
        timeout: Seconds of silence after which a request is an error; it is not repeated.
        deadline: Seconds after which a request is an error even while its answer still comes.
        workers: Processes of this machine that send the load.
        remote_workers: Further ones that join from elsewhere; the run waits for them.
        locustfile: The user's own Locust users instead of the scenario's requests; always
            a closed loop.
        prices: What tokens cost; None says nothing of money.
        fewer_rounds: Whether fewer rounds are played where the pilot finds that answers
            take too long for so many blocks.
        against: The arm that others are compared with; None leaves it to `baseline`.

    Raises:
        UsageError: A value, or a combination of them, that cannot be meant.
    """

    scenario: Scenario
    arms: tuple[Arm, ...] = DEFAULT_ARMS
    rounds: int = 10
    users: int = 16
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    duration: float = 30.0
    requests: int | None = None
    seed: int = 1
    trace: Path | None = None
    speedup: float = 1.0
    warmup: float = 2.0
    max_in_flight: int = 200
    timeout: float = 120.0
    deadline: float = 600.0
    workers: int = 1
    remote_workers: int = 0
    locustfile: Path | None = None
    prices: Prices | None = None
    fewer_rounds: bool = False
    against: str | None = None

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not names:
            raise UsageError("a run needs an arm", hint=ARM_FORM)
        if len(names) != len(set(names)) or len(names) > 100:
            raise UsageError("arms must be at most 100, each with a name of its own")
        if self.against is not None and self.against not in names:
            raise UsageError(
                f"there is no arm {self.against!r} to compare with",
                hint=f"Give one of: {', '.join(names)}",
            )
        for name, value, least, most in (
            ("rounds", self.rounds, 1, 10_000),
            ("users", self.users, 1, 10_000),
            ("duration", self.duration, 0.1, 1e6),
            ("seed", self.seed, 0, 2**63 - 1),
            ("speedup", self.speedup, 0.001, 1e6),
            ("warmup", self.warmup, 0, 3600),
            ("max-in-flight", self.max_in_flight, 1, 10_000),
            ("timeout", self.timeout, 0.1, 86_400),
            ("deadline", self.deadline, 0.1, 86_400),
            ("workers", self.workers, 0, 256),
            ("remote workers", self.remote_workers, 0, 256),
        ):
            # Written so that NaN, which compares false with everything, is refused too.
            if not least <= value <= most:
                raise UsageError(f"{name} is {value}", hint=f"Give {least:g} to {most:g}")
        if self.rate is not None and not 0.001 <= self.rate <= 1e6:
            raise UsageError(f"rate is {self.rate}", hint="Give 0.001 to 1e+06 arrivals per second")
        if self.arrivals not in get_args(Arrivals):
            raise UsageError(
                f"arrivals is {self.arrivals!r}", hint=f"Give {' or '.join(get_args(Arrivals))}"
            )
        if self.trace is not None and self.rate is not None:
            raise UsageError(
                "a trace has arrivals of its own, so it takes no rate",
                hint="Give --speedup to replay the trace faster, or leave out --trace",
            )
        if self.locustfile is not None and self.load_model == "open":
            raise UsageError(
                "a locustfile is a closed loop: its users wait for their answers",
                hint="Leave out --rate and --trace, or write a scenario",
            )
        self._check_workers()
        if self.locustfile is not None and self.requests is not None:
            raise UsageError(
                "a locustfile's users decide themselves how much they send",
                hint="Give --duration instead of --requests",
            )
        unpiloted = self.load_model == "closed" and self.requests is None and not self.warmup
        if unpiloted and self.locustfile is None:
            raise UsageError(
                "a closed loop without a warm-up cannot tell how many requests fill its duration",
                hint="Give a warm-up above zero, or the number of requests",
            )
        if self.requests is not None and self.requests < self.rounds:
            raise UsageError(
                f"requests is {self.requests}, with {self.rounds} rounds",
                hint="Give at least one request a round",
            )
        self._check_samples()

    def _check_samples(self) -> None:
        samples, hint = 0.0, "Give fewer --requests"
        if self.requests is not None:
            samples = float(self.requests * len(self.arms))
        elif self.rate is not None:
            samples, hint = self.rate * self.duration, "Give a lower --rate, or --duration"
        if samples > MOST_SAMPLES:
            raise UsageError(
                f"the run would take {samples:,.0f} samples, and {MOST_SAMPLES:,} are the most",
                hint=hint,
            )

    def _check_workers(self) -> None:
        processes = self.workers + self.remote_workers
        if not 1 <= processes <= _MOST_WORKERS:
            raise UsageError(
                f"workers are {processes}, all together", hint=f"Give 1 to {_MOST_WORKERS}"
            )
        shared, what = self.max_in_flight, "places in flight"
        if self.load_model == "closed":
            shared, what = self.users, "users"
        if processes > shared:
            raise UsageError(
                f"{processes} workers cannot share {shared} {what}",
                hint="Give fewer --workers, or more --users (open loop: --max-in-flight)",
            )

    @property
    def load_model(self) -> LoadModel:
        """``open``: arrivals follow a schedule; ``closed``: each user waits for its answer."""
        return "closed" if self.trace is None and self.rate is None else "open"

    @property
    def who(self) -> str:
        """Who sends in a closed loop, in words."""
        users = f"{self.users} {'user' if self.users == 1 else 'users'}"
        return users if self.locustfile is None else f"your locustfile, {users}"

    @property
    def baseline(self) -> str:
        """The arm that others are compared with.

        The one that was chosen; else the only one past the cache; else, where an application
        has a bypass of its own, the one named so; else the first.
        """
        if self.against is not None:
            return self.against
        bypassing = [arm for arm in self.arms if arm.bypasses]
        # The baseline a second time, for the noise floor, does not make it another one.
        if bypassing and all(arm.same_as(bypassing[0]) for arm in bypassing):
            return bypassing[0].name
        named = [arm.name for arm in self.arms if arm.name in _BASELINES]
        return named[0] if named and not bypassing else self.arms[0].name

    @classmethod
    def of(
        cls,
        *,
        scenario: str | None = None,
        arms: Iterable[Arm] = (),
        trace: Path | None = None,
        speedup: float | None = None,
        rate: float | None = None,
        arrivals: Arrivals | None = None,
        users: int | None = None,
        duration: float | None = None,
        rounds: int | None = None,
        requests: int | None = None,
        seed: int | None = None,
        warmup: float | None = None,
        max_in_flight: int | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        workers: int | None = None,
        remote_workers: int | None = None,
        locustfile: Path | None = None,
        prices: Prices | None = None,
        against: str | None = None,
    ) -> Plan:
        """Return a plan; None takes the scenario's value, or the default.

        Raises:
            UsageError: A value, or a combination of them, that cannot be meant.
            FolderError: The scenario file cannot be read.
        """
        chosen = (
            load_scenario(scenario or DEFAULT_SCENARIO)
            if locustfile is None
            else scenario_of(locustfile)
        )
        length = 30.0 if duration is None else duration
        default_speedup = chosen.speedup if trace is None else TRACE_SPEEDUP
        if rate is None and trace is None and users is None and locustfile is None:
            rate = chosen.rate
        played = merge_arms(arms) or chosen.arms or DEFAULT_ARMS
        # A fault comes in a round that is known beforehand.
        fewer = rounds is None and requests is None and trace is None and chosen.during is None
        if rounds is None:
            rounds = _rounds(length, len(played), rate, requests, chosen.block)
        return cls(
            # Its arms are the plan's now, which masks what is secret in them.
            scenario=replace(chosen, arms=()),
            arms=played,
            rounds=rounds,
            users=chosen.users if users is None else users,
            rate=rate,
            arrivals=arrivals or chosen.arrivals,
            duration=length,
            requests=requests,
            seed=1 if seed is None else seed,
            trace=None if trace is None else trace.absolute(),
            speedup=default_speedup if speedup is None else speedup,
            # A tenth of the run, but enough to open connections and compile code paths.
            warmup=min(5.0, max(0.5, length / 10)) if warmup is None else warmup,
            max_in_flight=200 if max_in_flight is None else max_in_flight,
            timeout=120.0 if timeout is None else timeout,
            deadline=600.0 if deadline is None else deadline,
            workers=1 if workers is None else workers,
            remote_workers=remote_workers or 0,
            locustfile=None if locustfile is None else locustfile.absolute(),
            prices=prices,
            fewer_rounds=fewer,
            against=against,
        )

    def to_json(self, *, show_secrets: bool = False) -> dict[str, Node]:
        """Return plain data, from which `from_json` makes the same plan."""
        return {
            "scenario": self.scenario.to_json(show_secrets=show_secrets),
            "load_model": self.load_model,
            "arms": [arm.to_json(show_secrets=show_secrets) for arm in self.arms],
            "baseline": self.baseline,
            "rounds": self.rounds,
            "users": self.users,
            "rate": self.rate,
            "arrivals": self.arrivals,
            "duration": self.duration,
            "requests": self.requests,
            "seed": self.seed,
            "trace": None if self.trace is None else str(self.trace),
            "speedup": self.speedup,
            "warmup": self.warmup,
            "max_in_flight": self.max_in_flight,
            "timeout": self.timeout,
            "deadline": self.deadline,
            "workers": self.workers,
            "remote_workers": self.remote_workers,
            "locustfile": None if self.locustfile is None else str(self.locustfile),
            "prices": None if self.prices is None else asdict(self.prices),
            "fewer_rounds": self.fewer_rounds,
            "against": self.against,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Node]) -> Plan:
        """Return the plan that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: It is not one.
            UsageError: It is one whose values cannot be meant.
        """
        values = dict(data)
        arms = values.pop("arms")
        trace, locustfile = values.pop("trace"), values.pop("locustfile")
        prices = values.pop("prices")
        for derived in ("load_model", "baseline"):
            values.pop(derived)
        if not isinstance(arms, list):
            raise TypeError("arms must be a list")
        return cls(
            scenario=parse(values.pop("scenario"), "scenario"),
            arms=tuple(arm_from_json(arm) for arm in arms),
            trace=None if trace is None else Path(str(trace)),
            locustfile=None if locustfile is None else Path(str(locustfile)),
            prices=None if prices is None else Prices(**prices),  # type: ignore[arg-type]
            **values,  # type: ignore[arg-type]
        )


def scenario_of(locustfile: Path, names: Iterable[str] = ()) -> Scenario:
    """Return what stands for *locustfile* where a plan has its scenario.

    Args:
        locustfile: Says itself what is asked, of an application that is there.
        names: Of the requests that its users have sent; empty before the run.
    """
    return Scenario(
        name=_UNNAMEABLE.sub("-", locustfile.stem)[:40] or "locustfile",
        about="Your locustfile",
        requests=tuple(RequestTemplate(name or "(no name)") for name in names)
        or (RequestTemplate("any"),),
        keys=Keys(1, "uniform"),
        application="none",
    )


def _rounds(
    duration: float, arms: int, rate: float | None, requests: int | None, block: float | None
) -> int:
    """Return how many rounds a run has where nobody says so; *block* is their least length."""
    expected = duration if rate is None else duration * rate
    if not 0 <= duration <= expected + duration < float("inf"):
        return _FEWEST_ROUNDS  # the plan will refuse it, and say which of them is wrong
    known = round(expected / arms) if requests is None and rate is not None else requests
    rounds = rounds_for(duration, arms, known)
    return (
        rounds if block is None else min(rounds, max(_FEWEST_ROUNDS, int(duration / arms / block)))
    )
