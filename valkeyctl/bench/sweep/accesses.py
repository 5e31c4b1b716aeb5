"""What a cache is asked for, in order: the stream that a miss-ratio curve is computed from."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, count, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.sweep.stackdistance import Integers
from valkeyctl.bench.sweep.valuesizes import (
    DEFAULT_VALUE_BYTES,
    RESPONSE_KEY_BYTES,
    Known,
    of_tokens,
    unknown_size,
    value_sizes,
)
from valkeyctl.bench.traffic.keys import KeyPicker
from valkeyctl.bench.traffic.scenario import Scenario
from valkeyctl.bench.traffic.traces import View, read_accesses, read_keys
from valkeyctl.errors import UsageError
from valkeyctl.units import several

# Mooncake's blocks; their text is what a cache of contexts would hold.
BLOCK_TOKENS = 512


@dataclass(frozen=True)
class Accesses:
    """A stream of accesses to a cache.

    Attributes:
        keys: What is asked for, in order; whole numbers from 0 without a gap.
        values: Bytes of each key's value, indexed by key.
        times: Seconds of each access, ascending from 0; None where nothing says it.
        about: Where they come from, for the report.
        assumed: How the values' sizes were assumed; empty where they were given.
        key_bytes: How long the keys are on the server, about, unless somebody says it.
    """

    keys: Integers = field(repr=False)
    values: Integers = field(repr=False)
    times: npt.NDArray[np.float64] | None = field(repr=False)
    about: str
    assumed: str = ""
    key_bytes: int = RESPONSE_KEY_BYTES

    @property
    def distinct(self) -> int:
        """How many different keys there are."""
        return len(self.values)

    @property
    def seconds(self) -> float | None:
        """How long the accesses take; None where nothing says it."""
        return None if self.times is None else float(self.times[-1])

    def at_rate(self, rate: float) -> Accesses:
        """Return the same accesses, evenly spaced, *rate* of them a second."""
        return replace(self, times=np.arange(len(self.keys)) / rate)


def from_keys(
    keys: Iterable[int | str],
    *,
    value: int = DEFAULT_VALUE_BYTES,
    rate: float | None = None,
    about: str = "given keys",
) -> Accesses:
    """Return the accesses to *keys*, all with values of *value* bytes.

    Raises:
        UsageError: There is no key.
    """
    numbered: dict[int | str, int] = {}
    places = [numbered.setdefault(key, len(numbered)) for key in keys]
    if not places:
        raise UsageError("there is no access to compute a curve from")
    made = Accesses(
        np.array(places, np.int64), np.full(len(numbered), value, np.int64), None, about
    )
    return made if rate is None else made.at_rate(rate)


def from_trace(
    path: Path,
    *,
    view: View = "requests",
    value: int | None = None,
    speedup: float = 1.0,
    most: int | None = None,
) -> Accesses:
    """Return what the requests of a recorded trace ask a cache for.

    Args:
        path: The trace; its times, where it has some, are those of the accesses.
        view: ``requests``: each is one access, to the whole of it; ``blocks``: one to
            each 512-token block of its prompt, in order.
        value: Bytes of every value; None takes what the trace says, or assumes them
            from the tokens.
        speedup: Divides the times.
        most: Take the first so many accesses only.

    Raises:
        UsageError: The trace does not say which requests are equal, has no blocks, or is
            of no known format.
        FolderError: It cannot be read.
    """
    numbered: dict[str, int] = {}
    keys: list[int] = []
    times: list[float] = []
    values: list[int] = []
    assumed: set[str] = set()
    resized: set[int] = set()
    for found in islice(_recorded(path, view), most):
        key = numbered.setdefault(found.key, len(values))
        size, how = (value, "") if value is not None else found.size
        if key == len(values):
            values.append(size)
            assumed.add(how)
        elif size != values[key]:
            resized.add(key)
        keys.append(key)
        times.append(found.time / speedup)
    if resized:
        assumed.add(f"the first size of each of {several(len(resized), 'key')} with several sizes")
    return Accesses(
        np.array(keys, np.int64),
        np.array(values, np.int64),
        np.array(times) if times[-1] else None,
        f"{view} of {path.name}",
        "; ".join(sorted(assumed - {""})),
    )


def from_scenario(
    scenario: Scenario,
    *,
    requests: int,
    seed: int = 1,
    value: int | None = None,
    rate: float | None = None,
) -> Accesses:
    """Return what so many requests of *scenario* ask a cache for; a run asks for the same.

    Args:
        scenario: Says which keys there are, and how popular each is.
        requests: How many accesses.
        seed: Of the run.
        value: Bytes of every value; None draws them as a run does.
        rate: Accesses a second; None is the scenario's own rate, where it has one.

    Raises:
        UsageError: The keys are those of a trace that cannot be used.
        FolderError: That trace cannot be read.
    """
    kinds = list(accumulate(one.weight for one in scenario.requests))
    sizes = value_sizes(scenario, seed)
    # As `traffic.stream` draws them.
    rng = random.Random(f"order {seed}")
    numbered: dict[tuple[str, int], int] = {}
    places: list[int] = []
    values: list[int] = []
    for key, known in islice(_scenario_keys(scenario, rng), requests):
        kind = bisect_right(kinds, rng.random() * kinds[-1]) if len(kinds) > 1 else 0
        kind = min(kind, len(kinds) - 1)
        place = numbered.setdefault((key, kind), len(values))
        if place == len(values):
            values.append(sizes.rules[kind](key, known) if value is None else value)
        places.append(place)
    made = Accesses(
        np.array(places, np.int64),
        np.array(values, np.int64),
        None,
        f"{len(places):,} requests of scenario {scenario.name}",
        sizes.assumed if value is None else "",
        sizes.key_bytes,
    )
    rate = scenario.rate if rate is None else rate
    return made if rate is None else made.at_rate(rate)


def _scenario_keys(scenario: Scenario, rng: random.Random) -> Iterator[tuple[str, Known]]:
    """Yield each request's key, and the sizes that are not drawn for it."""
    if scenario.keys.popularity == "trace":
        for record in read_keys(Path(scenario.keys.trace)):
            yield str(record.identity), record.sizes()
        return
    picker = KeyPicker(scenario.keys)
    for index in count():
        yield str(picker.draw(rng, index)), {}


@dataclass(frozen=True, slots=True)
class _Found:
    """One access of a trace; the size is in bytes, with how it was assumed."""

    time: float
    key: str
    size: tuple[int, str]


def _recorded(path: Path, view: View) -> Iterator[_Found]:
    if view == "blocks":
        of_block = of_tokens(BLOCK_TOKENS, "block")
        for access in read_accesses(path, view=view):
            yield _Found(access.time or 0.0, access.key, of_block)
        return
    # Says of a trace without keys what that means for a hit ratio; the records have more.
    for _ in islice(read_accesses(path, view=view), 1):
        pass
    for record in read_keys(path):
        if record.size is not None:
            size = record.size, ""
        elif record.output_tokens is not None:
            size = of_tokens(record.output_tokens, "answer")
        else:
            size = unknown_size()
        yield _Found(record.arrival, str(record.identity), size)
