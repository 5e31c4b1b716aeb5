"""What two runs did not have in common: the plan, the machine, versions, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from valkeyctl.bench.arm import Node
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import Samples

# What makes two runs different experiments, whatever was changed in between. A seed does
# not: the same traffic drawn again is the same experiment.
DECISIVE = (
    *("load_model", "users", "rate", "arrivals", "trace", "speedup", "max_in_flight"),
    *("timeout", "deadline", "workers", "remote_workers", "locustfile"),
)
_FURTHER = ("seed", "rounds", "duration", "requests", "warmup")
_MACHINE = ("cpu", "cpu_count", "memory_bytes", "platform", "python")


def differences(first: Samples, second: Samples) -> Iterator[str]:
    """Yield what differs, a line for a person each."""
    yield from of_plans(first.plan, second.plan, (*DECISIVE, *_FURTHER))
    old, new = _mapping(first.facts, "environment"), _mapping(second.facts, "environment")
    yield from _of_keys(old, new, _MACHINE)
    yield from _of_keys(_mapping(old, "versions"), _mapping(new, "versions"))
    yield from _of_keys(first.facts, second.facts, ("origin", "target", "cache_budget_s"))
    yield from _of_keys(
        _mapping(first.facts, "server"), _mapping(second.facts, "server"), prefix="server "
    )
    for samples in (first, second):
        if samples.incomplete:
            yield f"{samples.folder} is incomplete"


def of_plans(first: Plan, second: Plan, keys: tuple[str, ...] = DECISIVE) -> Iterator[str]:
    """Yield what differs between two plans in *keys*, the scenario and the arms."""
    old, new = first.to_json(), second.to_json()
    # A scenario and an arm have their own lines.
    yield from _of_keys(old, new, keys)
    if first.scenario != second.scenario:
        names = (first.scenario.name, second.scenario.name)
        if names[0] != names[1]:
            yield f"scenario: {names[0]} against {names[1]}"
        else:
            yield f"scenario {names[0]} was changed"
    arms = {arm.name: arm for arm in first.arms}
    for arm in second.arms:
        # As a run keeps them, secrets masked: one that changed is not seen.
        if arm.name in arms and arm.to_json() != arms[arm.name].to_json():
            yield f"arm {arm.name} was changed"


def _of_keys(
    old: Mapping[str, Node],
    new: Mapping[str, Node],
    keys: tuple[str, ...] | None = None,
    *,
    prefix: str = "",
) -> Iterator[str]:
    for key in sorted({*old, *new}) if keys is None else keys:
        if old.get(key) != new.get(key):
            name = key.replace("_", " ")
            yield f"{prefix}{name}: {_word(old.get(key))} against {_word(new.get(key))}"


def _word(value: Node) -> str:
    return "none" if value is None or value == "" else str(value)


def _mapping(data: Mapping[str, Node], key: str) -> Mapping[str, Node]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}
