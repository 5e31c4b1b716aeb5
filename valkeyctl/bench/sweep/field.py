"""What a sweep changes from step to step, and what each value makes of a plan."""

from __future__ import annotations

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
LABELS: dict[Field, str] = {
    "memory": "maxmemory",
    "ttl": "TTL",
    "size": "value size",
    "rate": "requests/s",
    "users": "users",
}
_RANGES: dict[Field, tuple[float, float]] = {
    "memory": (2**20, 2**40),
    "ttl": (0.001, 1e9),
    "size": (1, 10_000_000),
    "rate": (0.001, 1e6),
    "users": (1, 10_000),
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
    values = tuple(Value(_number(field, text), text) for text in texts)
    if not 2 <= len(values) <= MOST_VALUES:
        raise UsageError(
            f"a sweep of {len(values)} values", hint=f"Give 2 to {MOST_VALUES}, ascending"
        )
    low, high = _RANGES[field]
    for value in values:
        if not low <= value.number <= high:
            raise UsageError(f"{field} is {value.text}", hint=f"Give {low:g} to {high:g}")
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

    Memory and TTL are arms of one run, whose rounds are interleaved. All else, and the
    TTL of the gateway, takes a run for each value: upwards, then downwards, so that what
    drifts on the machine meets low and high values alike.

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
        return (_together(plan, values, [_memory_arm(plan, one) for one in values]),)
    if field == "ttl" and plan.scenario.application == "sample" and url is None:
        arms = [Arm(one.text, env=((_SAMPLE_TTL, f"{one.number:g}"),)) for one in values]
        return (_together(plan, values, arms),)
    if field == "ttl" and (url is not None or plan.scenario.application == "none"):
        raise UsageError(
            "the TTL of an application that bench does not start cannot be set",
            hint="Leave out --target, or compare applications: --arm NAME=url:URL",
        )
    share = plan.duration / (len(values) * passes)
    warmup = min(plan.warmup, max(0.5, share / 5))
    found = []
    for number in range(passes):
        for value in values if number % 2 == 0 else reversed(values):
            changed = replace(
                _changed(field, value, plan, placeholder), duration=share, warmup=warmup
            )
            ttl = value.number if field == "ttl" else None
            name = f"{field}-{value.text}-{number + 1}"
            found.append(Step(name, changed, ttl, {"": value}))
    return tuple(found)


def _together(plan: Plan, values: Sequence[Value], arms: list[Arm]) -> Step:
    named = dict(zip((arm.name for arm in arms), values, strict=True))
    return Step("run", replace(plan, arms=tuple(arms)), None, named)


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
    return plan


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
