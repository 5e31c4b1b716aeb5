"""What is asked, of whom, how often, and what a right answer is: a scenario."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from valkeyctl.bench.arm import Arm, Node, Pairs, looks_secret, mask_url
from valkeyctl.bench.traffic.templates import FRESH, placeholders, shows_nothing_secret

DEFAULT_SCENARIO = "llm-chat"
Application: TypeAlias = Literal["gateway", "sample", "none"]
Popularity: TypeAlias = Literal["zipf", "uniform", "hot-set", "trace"]
Arrivals: TypeAlias = Literal["poisson", "constant"]
Fault: TypeAlias = Literal["kill", "hang", "partition", "failover", "restart"]
# What a header or a variable that looks secret is written as.
MASK = "***"


@dataclass(frozen=True)
class Sizes:
    """A log-normal distribution of whole numbers, such as token counts, cut at both ends.

    Attributes:
        median: Half of the keys have fewer.
        sigma: Standard deviation of the logarithm; 0 gives every key the median.
        most: Upper cut. The lower cut is 1.
    """

    median: float
    sigma: float
    most: int


@dataclass(frozen=True)
class Expectation:
    """What makes an answer a right one; a field that is empty checks nothing.

    Attributes:
        status: Allowed HTTP statuses; empty is any from 200 to 299.
        contains: Text that the body holds, a template as those of the request.
        json: Values inside a JSON body: a path of names and list positions, joined by
            dots, and the value that stands there, as a template of JSON text.
        matches: Regular expression that is found in the body; no template.
        min_bytes: Fewest bytes of the body.
        max_bytes: Most bytes of the body; None is no bound.
        same_for_key: Whether every answer for a key is, byte for byte, the first one for
            it, in whatever arm and whether or not it came from a cache.
        said: What a message calls *contains*: the template that it was filled in from,
            so that the same fault has the same words for every key.
    """

    status: tuple[int, ...] = ()
    contains: str = ""
    json: Pairs = ()
    matches: str = ""
    min_bytes: int = 0
    max_bytes: int | None = None
    same_for_key: bool = False
    said: str = field(default="", compare=False)

    @cached_property
    def of_the_body(self) -> bool:
        """Whether more than the status is looked at."""
        return bool(
            self.contains
            or self.json
            or self.matches
            or self.min_bytes
            or self.max_bytes is not None
            or self.same_for_key
        )


@dataclass(frozen=True)
class RequestTemplate:
    """One kind of request; placeholders such as ``{key}`` are filled in for each key.

    `templates` lists the placeholders.

    Attributes:
        name: What the report calls it.
        method: HTTP method.
        path: Below the base URL of an arm; begins with a slash.
        weight: How often it is sent, in proportion to the others.
        headers: Sent with it; their values are templates.
        body: What is sent; a JSON document was made text when the scenario was read.
        expect: What makes an answer right.
    """

    name: str
    method: str = "GET"
    path: str = "/"
    weight: float = 1.0
    headers: Pairs = field(default=(), repr=False)
    body: str = field(default="", repr=False)
    expect: Expectation = Expectation()

    @property
    def fresh(self) -> bool:
        """Whether no other run, and no warm-up, sends the same request."""
        return any(name in FRESH for name, _ in self.placeholders)

    @property
    def variables(self) -> frozenset[str]:
        """Variables of the environment that it takes values from."""
        return frozenset(argument for name, argument in self.placeholders if name == "env")

    @property
    def placeholders(self) -> frozenset[tuple[str, str]]:
        """Name and argument of every placeholder in what is sent."""
        texts = (self.path, self.body, *(value for _, value in self.headers))
        return frozenset().union(*(placeholders(text) for text in texts))


@dataclass(frozen=True)
class Keys:
    """What is asked for, and how popular each of it is.

    Attributes:
        count: How many different keys there are; 0 where a trace says it.
        popularity: ``zipf``: key k is asked in proportion to 1 / k**exponent; ``uniform``;
            ``hot-set``: a share of the keys gets a share of the requests; or ``trace``:
            the keys of a recorded trace in its order, once, without its arrivals.
        exponent: Of Zipf's law.
        hot_keys: Share of the keys that are hot, above 0 and below 1.
        hot_requests: Share of the requests that goes to them.
        once: Share of the requests that ask for a key nobody asks for again, as much
            real traffic does ("one-hit wonders"); they are beyond *count*.
        trace: File of the recorded keys.
    """

    count: int
    popularity: Popularity = "zipf"
    exponent: float = 1.0
    hot_keys: float = 0.2
    hot_requests: float = 0.8
    once: float = 0.0
    trace: str = ""


@dataclass(frozen=True)
class Disturbance:
    """A fault that is made on purpose while the load runs.

    Attributes:
        kind: Name of a drill.
        at: When, as a share of each arm's block of the middle round: 0.5 is in its middle.
    """

    kind: Fault
    at: float = 0.5


@dataclass(frozen=True)
class Scenario:
    """The requests of a load run, and what they need.

    Attributes:
        name: What the report calls it.
        about: One line for a person.
        requests: Kinds of requests, at least one.
        keys: What is asked for.
        application: What is started where no URL is given: the ``gateway``, the
            ``sample`` application, or ``none``.
        sizes: Numbers that are drawn once for each key, usable as placeholders.
        users: Users of the closed loop, unless the plan says otherwise.
        rate: Arrivals per second; None is a closed loop, unless the plan says otherwise.
        arrivals: How the arrivals of *rate* are spaced.
        speedup: Of simulated times, unless the plan says otherwise.
        block: Seconds that an arm is played without a break, at least, where less would
            be too short for what happens in it; None leaves it to the plan.
        arms: What is compared, unless the plan says otherwise; empty: with and without
            the cache.
        server: Settings of a throwaway server that the run starts for its cache; empty
            uses the one that was given.
        env: Variables of the application that is started.
        during: A fault in the middle; None without.
    """

    name: str
    about: str
    requests: tuple[RequestTemplate, ...]
    keys: Keys
    application: Application = "gateway"
    sizes: Mapping[str, Sizes] = field(default_factory=dict)
    users: int = 16
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    speedup: float = 1.0
    block: float | None = None
    arms: tuple[Arm, ...] = ()
    server: Pairs = ()
    env: Pairs = field(default=(), repr=False)
    during: Disturbance | None = None

    @property
    def fresh(self) -> bool:
        """Whether no run is answered from what an earlier one, or its warm-up, left behind."""
        return all(one.fresh for one in self.requests)

    @property
    def variables(self) -> frozenset[str]:
        """Variables of the environment that its requests take values from."""
        return frozenset().union(*(one.variables for one in self.requests))

    def to_json(self, *, show_secrets: bool = False) -> dict[str, Node]:
        """Return the form that a YAML file has, from which `parse` makes the same scenario.

        Values of headers and variables that look secret are ``***`` unless asked for; what
        comes from the environment is the name of its variable either way.
        """

        def pairs(items: Pairs) -> dict[str, Node]:
            return {name: value if show_secrets else _masked(name, value) for name, value in items}

        return {
            "name": self.name,
            "about": self.about,
            "application": self.application,
            "requests": [{**_request(one), "headers": pairs(one.headers)} for one in self.requests],
            "keys": _keys(self.keys),
            "sizes": {
                name: {"median": one.median, "sigma": one.sigma, "most": one.most}
                for name, one in self.sizes.items()
            },
            "load": {
                "users": self.users if self.rate is None else None,
                "rate": self.rate,
                "arrivals": self.arrivals,
                "speedup": self.speedup,
                "block": self.block,
            },
            "arms": [
                {
                    "name": arm.name,
                    "headers": pairs(arm.headers),
                    "env": pairs(arm.env),
                    "server": pairs(arm.server),
                    "url": arm.url if show_secrets or arm.url is None else mask_url(arm.url),
                }
                for arm in self.arms
            ],
            "server": pairs(self.server),
            "env": pairs(self.env),
            "during": None
            if self.during is None
            else {"kind": self.during.kind, "at": self.during.at},
        }


def _masked(name: str, value: str) -> str:
    if looks_secret(name) and not shows_nothing_secret(value):
        return MASK
    return mask_url(value)


def _keys(keys: Keys) -> dict[str, Node]:
    if keys.popularity == "trace":
        return {"popularity": "trace", "trace": keys.trace}
    return {
        "count": keys.count,
        "popularity": keys.popularity,
        "exponent": keys.exponent,
        "hot_keys": keys.hot_keys,
        "hot_requests": keys.hot_requests,
        "once": keys.once,
    }


def _request(one: RequestTemplate) -> dict[str, Node]:
    expect = one.expect
    return {
        "name": one.name,
        "method": one.method,
        "path": one.path,
        "weight": one.weight,
        "body": one.body,
        "expect": {
            "status": list(expect.status),
            "contains": expect.contains,
            "json": {path: json.loads(value) for path, value in expect.json},
            "matches": expect.matches,
            "min_bytes": expect.min_bytes,
            "max_bytes": expect.max_bytes,
            "same_for_key": expect.same_for_key,
        },
    }
