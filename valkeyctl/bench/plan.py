"""What a load run does, decided before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from valkeyctl.bench.scenario import DEFAULT_SCENARIO, Node, Scenario, load_scenario, parse
from valkeyctl.errors import UsageError

LoadModel = Literal["open", "closed"]
Arrivals = Literal["poisson", "constant"]

BYPASS_HEADER = "X-Valkeyctl-Cache"
BYPASS = (BYPASS_HEADER, "off")
# A recorded hour takes a minute an arm.
TRACE_SPEEDUP = 60.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# "key" only as a word of its own: our own X-Valkeyctl-Cache is no secret.
_SECRET = re.compile(
    r"auth|cookie|secret|token|passw|credential|api.?key|(^|[-_.])key", re.IGNORECASE
)
_ARM_FORM = "Write it as NAME=header:K:V, NAME=env:K=V or NAME=url:URL; repeat it for more parts"


@dataclass(frozen=True)
class Arm:
    """One side of the comparison.

    Attributes:
        name: What the report calls it.
        headers: Sent with every request of this arm.
        env: Set for the gateway that this arm is served by.
        url: Base URL of an application that serves this arm; None is the run's target.
    """

    name: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    url: str | None = field(default=None, repr=False)

    @property
    def bypasses(self) -> bool:
        """Whether its requests ask the gateway to leave the cache alone."""
        return any(
            name.lower() == BYPASS_HEADER.lower() and value.strip().lower() == "off"
            for name, value in self.headers
        )

    def to_json(self, *, show_secrets: bool = False) -> dict[str, Node]:
        """Return plain data; values that look like secrets are ``***`` unless asked for."""

        def pairs(items: tuple[tuple[str, str], ...]) -> list[Node]:
            return [[key, value if show_secrets else _masked(key, value)] for key, value in items]

        url = self.url if show_secrets or self.url is None else mask_url(self.url)
        return {
            "name": self.name,
            "headers": pairs(self.headers),
            "env": pairs(self.env),
            "url": url,
        }


DEFAULT_ARMS = (Arm("cached"), Arm("uncached", headers=(BYPASS,)))


def parse_arm(text: str) -> Arm:
    """Return the arm that ``NAME``, or ``NAME=PART``, names; `merge_arms` joins its parts.

    Raises:
        UsageError: It is not of one of the forms.
    """
    name, equals, part = text.partition("=")
    if not _NAME.fullmatch(name):
        raise UsageError(f"the arm {text!r} has no usable name", hint=_ARM_FORM)
    if not equals or not part:
        return Arm(name)
    kind, _, rest = part.partition(":")
    if kind == "header":
        key, colon, value = rest.partition(":")
        value = value.strip()
        if not colon or not _TOKEN.fullmatch(key) or not _printable(value):
            raise UsageError(f"the header of arm {name!r} cannot be sent", hint=_ARM_FORM)
        return Arm(name, headers=((key, value),))
    if kind == "env":
        key, equals, value = rest.partition("=")
        if not equals or not _VARIABLE.fullmatch(key) or "\0" in value:
            raise UsageError(f"the variable of arm {name!r} cannot be set", hint=_ARM_FORM)
        return Arm(name, env=((key, value),))
    if kind == "url":
        return Arm(name, url=check_url(rest, f"the URL of arm {name!r}"))
    raise UsageError(
        f"arm {name!r} has a part of an unknown kind; allowed are header, env and url",
        hint=_ARM_FORM,
    )


def merge_arms(parts: Iterable[Arm]) -> tuple[Arm, ...]:
    """Return one arm per name, in order of first mention, each with all its parts.

    Raises:
        UsageError: An arm names two URLs.
    """
    merged: dict[str, Arm] = {}
    for part in parts:
        known = merged.get(part.name, Arm(part.name))
        if known.url and part.url and known.url != part.url:
            raise UsageError(f"arm {part.name!r} names two URLs", hint="Give each arm one URL")
        merged[part.name] = Arm(
            part.name, known.headers + part.headers, known.env + part.env, known.url or part.url
        )
    return tuple(merged.values())


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

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not names:
            raise UsageError("a run needs an arm", hint=_ARM_FORM)
        if len(names) != len(set(names)) or len(names) > 100:
            raise UsageError("arms must be at most 100, each with a name of its own")
        for name, value, least, most in (
            ("rounds", self.rounds, 1, 10_000),
            ("users", self.users, 1, 10_000),
            ("duration", self.duration, 0.1, 1e6),
            ("seed", self.seed, 0, 2**63 - 1),
            ("speedup", self.speedup, 0.001, 1e6),
            ("warmup", self.warmup, 0, 3600),
            ("max-in-flight", self.max_in_flight, 1, 10_000),
            ("timeout", self.timeout, 0.1, 86_400),
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
        if self.load_model == "closed" and self.requests is None and not self.warmup:
            raise UsageError(
                "a closed loop without a warm-up cannot tell how many requests fill its duration",
                hint="Give a warm-up above zero, or the number of requests",
            )
        if self.requests is not None and not self.rounds <= self.requests <= 2**32 - 1:
            raise UsageError(
                f"requests is {self.requests}, with {self.rounds} rounds",
                hint="Give at least one request a round",
            )

    @property
    def load_model(self) -> LoadModel:
        """``open``: arrivals follow a schedule; ``closed``: each user waits for its answer."""
        return "closed" if self.trace is None and self.rate is None else "open"

    @property
    def baseline(self) -> str:
        """The arm that others are compared with: the only one past the cache, else the first."""
        bypassing = [arm.name for arm in self.arms if arm.bypasses]
        return bypassing[0] if len(bypassing) == 1 else self.arms[0].name

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
    ) -> Plan:
        """Return a plan; None takes the scenario's value, or the default.

        Raises:
            UsageError: A value, or a combination of them, that cannot be meant.
            FolderError: The scenario file cannot be read.
        """
        chosen = load_scenario(scenario or DEFAULT_SCENARIO)
        length = 30.0 if duration is None else duration
        default_speedup = chosen.speedup if trace is None else TRACE_SPEEDUP
        return cls(
            scenario=chosen,
            arms=merge_arms(arms) or DEFAULT_ARMS,
            rounds=10 if rounds is None else rounds,
            users=chosen.users if users is None else users,
            rate=rate,
            arrivals=arrivals or "poisson",
            duration=length,
            requests=requests,
            seed=1 if seed is None else seed,
            trace=None if trace is None else trace.absolute(),
            speedup=default_speedup if speedup is None else speedup,
            # A tenth of the run, but enough to open connections and compile code paths.
            warmup=min(5.0, max(0.5, length / 10)) if warmup is None else warmup,
            max_in_flight=200 if max_in_flight is None else max_in_flight,
            timeout=120.0 if timeout is None else timeout,
        )

    def to_json(self, *, show_secrets: bool = False) -> dict[str, Node]:
        """Return plain data, from which `from_json` makes the same plan."""
        return {
            "scenario": self.scenario.to_json(),
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
        trace = values.pop("trace")
        for derived in ("load_model", "baseline"):
            values.pop(derived)
        if not isinstance(arms, list):
            raise TypeError("arms must be a list")
        return cls(
            scenario=parse(values.pop("scenario"), "scenario"),
            arms=tuple(_arm(arm) for arm in arms),
            trace=None if trace is None else Path(str(trace)),
            **values,  # type: ignore[arg-type]
        )


def _arm(data: Node) -> Arm:
    if not isinstance(data, dict):
        raise TypeError("an arm must be a mapping")

    def pairs(node: Node) -> tuple[tuple[str, str], ...]:
        return tuple((str(key), str(value)) for key, value in node)  # type: ignore[union-attr, misc, str-unpack]

    url = data["url"]
    return Arm(
        str(data["name"]),
        pairs(data["headers"]),
        pairs(data["env"]),
        None if url is None else str(url),
    )


def check_url(url: str, what: str) -> str:
    """Return *url* without a slash at its end; *what* names it in the message.

    Raises:
        UsageError: It is not an http(s) URL. The message never repeats it, as it may
            hold a password.
    """
    hint = "Write it as http://host[:port][/path]"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _port = parts.port
    except ValueError as error:
        raise UsageError(f"{what} cannot be read: {error}", hint=hint) from error
    if not usable or parts.query or parts.fragment or not _printable(url) or " " in url:
        raise UsageError(f"{what} is not an http or https address", hint=hint)
    return url.rstrip("/")


def mask_url(text: str) -> str:
    """Return *text* with the user and password of every URL in it as ``***``."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def looks_secret(name: str) -> bool:
    """Say whether the value of a header or variable called *name* must not be shown."""
    return _SECRET.search(name) is not None


def _masked(key: str, value: str) -> str:
    return "***" if looks_secret(key) else mask_url(value)


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
