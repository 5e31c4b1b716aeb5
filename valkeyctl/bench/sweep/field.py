"""What a sweep changes from step to step, and what each value makes of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from valkeyctl.bench.arm import Arm, Pairs
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.scenario import Sizes
from valkeyctl.errors import UsageError
from valkeyctl.units import parse_duration, parse_size

Field: TypeAlias = Literal["memory", "ttl", "size", "rate", "users"]

MOST_VALUES = 20
_POLICY = "maxmemory-policy"
_SAMPLE_TTL = "VALKEYCTL_SAMPLE_TTL"
_LARGEST_ITEM = 2**20
# In seconds; of less nothing can be concluded.
_SHORTEST_RUN = 0.5
LABELS: dict[Field, str] = {
    "memory": "maxmemory",
    "ttl": "TTL",
    "size": "value size",
    "rate": "requests/s",
    "users": "users",
}
_RANGES: dict[Field, tuple[float, float, str]] = {
    "memory": (2**20, 2**40, "1Mi to 1024Gi"),
    "ttl": (0.001, 1e9, "1ms to 1e9 seconds"),
    "size": (1, 10_000_000, "1 byte to 10 MB"),
    "rate": (0.001, 1e6, "0.001 to 1,000,000 requests a second"),
    "users": (1, 10_000, "1 to 10,000"),
}


@dataclass(frozen=True)
class Value:
    """One value of a sweep.

    Attributes:
        number: In bytes, seconds, requests a second or users.
        text: As it was written.
    """

    number: float
    text: str


@dataclass(frozen=True)
class Step:
    """One run of a sweep.

    Attributes:
        name: Of its folder.
        plan: What is played.
        ttl: Seconds that entries live; None leaves it to the target.
        values: The value of each arm, by the arm's name, where arms differ by it; else
            the one value of all arms under the empty name.
    """

    name: str
    plan: Plan
    ttl: float | None
    values: Mapping[str, Value]


def parse_values(field: Field, texts: Sequence[str]) -> tuple[Value, ...]:
    """Return the values of a sweep.

    Raises:
        UsageError: Fewer than two, too many, not ascending, out of range, or not of the
            field's unit.
    """
    if field not in get_args(Field):
        raise UsageError(f"nothing sweeps {field!r}", hint=f"Give {', '.join(get_args(Field))}")
    values = tuple(Value(_number(field, text), text.strip()) for text in texts)
    if not 2 <= len(values) <= MOST_VALUES:
        raise UsageError(
            f"a sweep has 2 to {MOST_VALUES} values, and {len(values)} "
            f"{'was' if len(values) == 1 else 'were'} given",
            hint="Give them ascending, such as 1 2 4 8",
        )
    low, high, words = _RANGES[field]
    for value in values:
        if not low <= value.number <= high:
            raise UsageError(f"{field} is {value.text}", hint=f"Give {words}")
    for one, other in pairwise(values):
        if one.number >= other.number:
            raise UsageError(
                f"the values do not ascend: {one.text}, then {other.text}",
                hint="Give the smallest first",
            )
    return values


def _number(field: Field, text: str) -> float:
    try:
        if field in {"memory", "size"}:
            return float(parse_size(text))
        if field == "ttl":
            return parse_duration(text)
        number = float(text)
    except ValueError as error:
        raise UsageError(f"{field} {text}: {error}") from error
    if field == "users" and not number.is_integer():
        raise UsageError(f"users is {text}", hint="Give a whole number")
    return number


def steps(
    field: Field,
    values: Sequence[Value],
    plan: Plan,
    *,
    url: str | None = None,
    passes: int = 2,
    placeholder: str = "",
) -> tuple[Step, ...]:
    """Return the runs of a sweep, in the order in which they are played.

    Memory is arms of one run, whose rounds are interleaved. All else takes runs of its own
    for each value: upwards, then downwards, so that what drifts on the machine meets low
    and high values alike. The first value is played again at the end in any case: by how
    much the two differ is what the machine, and not the value, has done.

    The TTL is none of arms: entries age while other arms play, so that each of N arms
    would show what a cache answers that is asked N times less often.

    Args:
        field: What is changed.
        values: Ascending.
        plan: The rest; its duration is that of the whole sweep.
        url: Of an application that bench does not start; None where it starts one.
        passes: How often each value has a run of its own.
        placeholder: Name in the scenario's ``sizes`` that a sweep of sizes sets.

    Raises:
        UsageError: The plan, or the scenario, cannot be swept so.
    """
    if field == "memory":
        return (_together(plan, values),)
    if field == "ttl":
        _check_ttl(plan, url)
    if field == "size" and url is None and plan.scenario.application == "sample":
        _check_item(values[-1])
    order = [
        (number, value)
        for number in range(passes)
        for value in (values if number % 2 == 0 else reversed(values))
    ]
    if order[-1][1] != values[0]:
        order.append((passes, values[0]))
    share = plan.duration / len(order)
    if share < _SHORTEST_RUN:
        raise UsageError(
            f"{len(order)} runs share {plan.duration:g} s of load",
            hint=f"Give --duration {math.ceil(len(order) * _SHORTEST_RUN)}s or more",
        )
    warmup = min(plan.warmup, max(0.5, share / 5))
    return tuple(
        Step(
            f"{field}-{value.text}-{number + 1}",
            replace(_changed(field, value, plan, placeholder), duration=share, warmup=warmup),
            value.number if field == "ttl" else None,
            {"": value},
        )
        for number, value in order
    )


def _check_ttl(plan: Plan, url: str | None) -> None:
    """Prove that the life of entries is ours to set.

    Raises:
        UsageError: It is not.
    """
    if url is not None or plan.scenario.application == "none":
        raise UsageError(
            "the TTL of an application that bench does not start cannot be set",
            hint="Leave out --target, or compare applications: --arm NAME=url:URL",
        )
    for arm in plan.arms:
        if _SAMPLE_TTL in dict(arm.env):
            raise UsageError(
                f"arm {arm.name!r} sets {_SAMPLE_TTL}, which the sweep sets",
                hint="Leave it out of the arm",
            )


def _check_item(largest: Value) -> None:
    """Prove that the sample application has items so large.

    Raises:
        UsageError: It has not.
    """
    if largest.number > _LARGEST_ITEM:
        raise UsageError(
            f"size is {largest.text}, and items of the sample application have at most 1Mi",
            hint="Give sizes up to 1Mi, or --target with an application of yours",
        )


def _together(plan: Plan, values: Sequence[Value]) -> Step:
    arms = tuple(_memory_arm(plan, one) for one in values)
    named = dict(zip((arm.name for arm in arms), values, strict=True))
    return Step("run", replace(plan, arms=arms), None, named)


def _memory_arm(plan: Plan, value: Value) -> Arm:
    policy: Pairs = ()
    if _POLICY not in dict(plan.scenario.server):
        # A server's own default would refuse writes when it is full.
        policy = ((_POLICY, "allkeys-lru"),)
    return Arm(value.text, server=(("maxmemory", str(round(value.number))), *policy))


def _changed(field: Field, value: Value, plan: Plan, placeholder: str) -> Plan:
    if field == "rate":
        return replace(plan, rate=value.number)
    if field == "users":
        return replace(plan, rate=None, users=int(value.number))
    if field == "size":
        scenario = plan.scenario
        size = int(value.number)
        sizes = {**scenario.sizes, _size_name(plan, placeholder): Sizes(size, 0.0, size)}
        return replace(plan, scenario=replace(scenario, sizes=sizes))
    if plan.scenario.application == "sample":
        # Exactly so long, where the option that all applications have takes some off by chance.
        env = {**dict(plan.scenario.env), _SAMPLE_TTL: _plain_seconds(value.number)}
        return replace(plan, scenario=replace(plan.scenario, env=tuple(sorted(env.items()))))
    return plan


def _plain_seconds(seconds: float) -> str:
    """Return *seconds* as a duration is written: an exponent is none."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _size_name(plan: Plan, asked: str) -> str:
    known = list(plan.scenario.sizes)
    if asked in known:
        return asked
    if not asked and "size" in known:
        return "size"
    if not asked and len(known) == 1:
        return known[0]
    raise UsageError(
        f"scenario {plan.scenario.name} has no one size to sweep"
        if not asked
        else f"scenario {plan.scenario.name} has no size {asked!r}",
        hint=f"Give --name, one of: {', '.join(known) or 'none, so add sizes to the scenario'}",
    )
