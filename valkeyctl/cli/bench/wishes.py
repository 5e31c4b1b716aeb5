"""What the user asked of a load run, and the plan that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from valkeyctl.cli.bench.options import Arrivals, seconds
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from valkeyctl.bench.plan import Plan, Prices
    from valkeyctl.profile.schema import BenchDefaults

MASTER_HOST, MASTER_PORT = "127.0.0.1", 5557


@dataclass(frozen=True)
class Wishes:
    """The options of ``bench``, as they were given; None and empty where they were not.

    Attributes:
        aa: Whether to play the baseline a second time.
        The others are named as the options, and as the fields of `Plan`.
    """

    scenario: str | None = None
    application: str | None = None
    trace: Path | None = None
    locustfile: Path | None = None
    seed: int | None = None
    upstream: str = "simulated"
    arms: tuple[str, ...] = ()
    baseline: str | None = None
    aa: bool = False
    users: int | None = None
    rate: float | None = None
    arrivals: Arrivals | None = None
    speedup: float | None = None
    max_in_flight: int | None = None
    timeout: str | None = None
    deadline: str | None = None
    duration: str | None = None
    rounds: int | None = None
    requests: int | None = None
    warmup: str | None = None
    workers: int | None = None
    master: bool = False
    expect_workers: int | None = None
    bind_host: str | None = None
    bind_port: int | None = None
    price_in: float | None = None
    price_out: float | None = None
    currency: str | None = None
    out: Path | None = None
    gates: tuple[str, ...] = ()
    junit: Path | None = None
    markdown: str | None = None
    csv: Path | None = None
    dry_run: bool = False
    yes: bool = False

    def check(self) -> None:
        """Prove that the options can be meant together.

        Raises:
            UsageError: They cannot; names the first pair.
        """
        for text, hint in self._contradictions():
            raise UsageError(text, hint=hint)

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        opened = self.rate is not None or self.trace is not None
        if self.users is not None and opened:
            yield "an open loop has no users", "Leave out --users, or --rate and --trace"
        if self.locustfile is not None and (self.scenario is not None or opened):
            yield (
                "a locustfile says itself what is asked, in a closed loop",
                "Leave out --scenario, --rate and --trace, or --locustfile",
            )
        if self.locustfile is not None and self.requests is not None:
            yield (
                "a locustfile's users decide themselves how much they send",
                "Give --duration instead of --requests",
            )
        if self.locustfile is not None and self.speedup is not None:
            yield "--speedup is of a trace or a simulated LLM", "Leave out --speedup"
        if self.requests is not None and self.duration is not None:
            yield (
                "--requests and --duration both say how long the run is",
                "Leave out one of them",
            )
        if not self.master and (
            (self.expect_workers, self.bind_host, self.bind_port) != (None, None, None)
        ):
            yield (
                "--expect-workers and --master-bind-host/-port are for workers elsewhere",
                "Add --master",
            )
        if self.expect_workers is not None and self.expect_workers < 1:
            yield f"expect-workers is {self.expect_workers}", "Give 1 or more"
        if self.bind_port is not None and not 1 <= self.bind_port <= 65535:
            yield f"master-bind-port is {self.bind_port}", "Give 1 to 65535"
        if (self.price_in is None) != (self.price_out is None):
            yield "one price alone says half of the cost", "Give --price-in and --price-out"
        if self.currency is not None and self.price_in is None:
            yield "--currency is of prices", "Give --price-in and --price-out"

    def prices(self) -> Prices | None:
        """Return what tokens cost; None when nobody said."""
        from valkeyctl.bench.plan import Prices

        if self.price_in is None or self.price_out is None:
            return None
        return Prices(self.price_in, self.price_out, self.currency or "USD")

    def master_address(self) -> tuple[str, int] | None:
        """Return where workers on other machines come to; None without any."""
        if not self.master:
            return None
        return self.bind_host or MASTER_HOST, self.bind_port or MASTER_PORT

    def plan(self, defaults: BenchDefaults) -> Plan:
        """Return the plan; *defaults* fill in what was not said.

        Raises:
            UsageError: A value, or a combination of them, that cannot be meant.
            FolderError: The scenario file cannot be read.
        """
        from valkeyctl.bench.arm import parse_arm
        from valkeyctl.bench.plan import Plan

        self.check()
        # What the profile itself says; the schema's own values would hide the scenario's.
        said = defaults.model_fields_set
        plan = Plan.of(
            scenario=self.scenario or (None if self.locustfile else defaults.scenario),
            arms=[parse_arm(text) for text in self.arms],
            trace=self.trace,
            speedup=self.speedup,
            rate=self.rate,
            arrivals=None if self.arrivals is None else self.arrivals.value,
            users=self._users(defaults),
            # A trace says itself how long the run is.
            duration=defaults.duration
            if self.duration is None and self.trace is None
            else seconds(self.duration),
            rounds=defaults.rounds if self.rounds is None and "rounds" in said else self.rounds,
            requests=self.requests,
            warmup=seconds(self.warmup, "--warmup"),
            seed=defaults.seed if self.seed is None else self.seed,
            max_in_flight=self.max_in_flight,
            timeout=seconds(self.timeout, "--timeout"),
            deadline=seconds(self.deadline, "--deadline"),
            # Whoever has workers elsewhere keeps this machine for what they ask.
            workers=0 if self.master and self.workers is None else self.workers,
            remote_workers=(self.expect_workers or 1) if self.master else 0,
            locustfile=self.locustfile,
            prices=self.prices(),
            against=self.baseline,
        )
        if plan.load_model == "closed":
            if self.arrivals is not None or self.max_in_flight is not None:
                raise UsageError(
                    "--arrivals and --max-in-flight are of an open loop",
                    hint="Give --rate, or leave them out",
                )
        elif plan.trace is not None and self.arrivals is not None:
            raise UsageError(
                "a trace has arrivals of its own", hint="Leave out --arrivals, or --trace"
            )
        if self.aa:
            (baseline,) = (arm for arm in plan.arms if arm.name == plan.baseline)
            plan = replace(plan, arms=(*plan.arms, baseline.again()))
        return plan

    def _users(self, defaults: BenchDefaults) -> int | None:
        """Return the users of a closed loop; None leaves the loop to the scenario."""
        if self.users is not None:
            return self.users
        elsewhere = self.scenario is not None and self.scenario != defaults.scenario
        opened = self.rate is not None or self.trace is not None
        if opened or elsewhere or "users" not in defaults.model_fields_set:
            return None
        return defaults.users
