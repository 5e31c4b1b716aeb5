"""What the servers of a deployment wrote."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from functools import partial

from valkeyctl.errors import MissingError, NotFoundError, ToolError, ValkeyctlError
from valkeyctl.ops.deployed import find_units, look_up
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.protocol import Runtime

_Found = str | ValkeyctlError | None  # a line, why there are no more, or that there are no more


def read_logs(
    name: str, state: StateFolder, *, lines: int = 100, follow: bool = False, node: str = ""
) -> Iterator[str]:
    """Yield the last *lines* log lines of *name*, oldest first, then new ones with *follow*.

    Of a topology unit by unit, each line after the name of its unit, which is shortened to
    what differs, and new ones as they come.

    Args:
        name: Of the deployment.
        state: Our own files.
        lines: At most so many, of each unit.
        follow: Whether to go on until all of them have ended.
        node: One unit of a topology, by its name with or without the deployment's; empty
            for all.

    Raises:
        NotFoundError: There is no such deployment, or no such unit in it.
        MissingError: Its runtime is not there any more.
        ToolError: podman failed.
    """
    made = state.last_good(name)
    deployed = find_units(made, state) if made is not None else look_up(name, state)
    if deployed.missing is not None:
        raise deployed.missing
    if deployed.runtime is None:
        raise NotFoundError(
            f"there is no deployment {name}", hint=f"Deploy it: valkeyctl deploy -p {name}"
        )
    units = [unit.name for unit in made.units] if made is not None else [name]
    if node:
        units = [_chosen(name, units, node)]
    if len(units) == 1:
        return deployed.runtime.logs(units[0], lines, follow=follow)
    if follow:
        return _together(deployed.runtime, name, units, lines)
    return _one_by_one(deployed.runtime, name, units, lines)


def _chosen(name: str, units: Sequence[str], node: str) -> str:
    for unit in units:
        if node in (unit, _short(name, unit)):
            return unit
    known = ", ".join(_short(name, unit) for unit in units)
    raise NotFoundError(f"{name} has no unit {node}", hint=f"Name one of {known}")


def _short(name: str, unit: str) -> str:
    return unit.removeprefix(f"{name}-")


def _one_by_one(runtime: Runtime, name: str, units: Sequence[str], lines: int) -> Iterator[str]:
    """Yield the lines of each of *units*; of one without a log only that it has none."""
    width = max(len(_short(name, unit)) for unit in units)
    for unit in units:
        prefix = f"{_short(name, unit):<{width}} | "
        try:
            for line in runtime.logs(unit, lines):
                yield prefix + line
        except NotFoundError as error:
            yield prefix + str(error)


def _together(runtime: Runtime, name: str, units: Sequence[str], lines: int) -> Iterator[str]:
    """Yield the lines of all *units* as they come, until every one of them has ended."""
    width = max(len(_short(name, unit)) for unit in units)
    found: queue.SimpleQueue[_Found] = queue.SimpleQueue()
    for unit in units:
        prefix = f"{_short(name, unit):<{width}} | "
        # Daemons: whoever stops listening must not wait for a server that says nothing.
        threading.Thread(
            target=partial(_read, runtime, unit, prefix, lines, found), daemon=True
        ).start()
    left = len(units)
    while left:
        item = found.get()
        if isinstance(item, str):
            yield item
            continue
        left -= 1
        if isinstance(item, (MissingError, ToolError)):
            raise item


def _read(
    runtime: Runtime, unit: str, prefix: str, lines: int, found: queue.SimpleQueue[_Found]
) -> None:
    end: ValkeyctlError | None = None
    try:
        for line in runtime.logs(unit, lines, follow=True):
            found.put(prefix + line)
    except NotFoundError as error:
        found.put(prefix + str(error))
    except ValkeyctlError as error:
        end = error
    finally:
        found.put(end)
