"""How often do the intervals of ``valkeyctl keys stats --sample`` hold the truth?

Keyspaces whose truth is counted first, then sampled with the seeds 0, 1, 2 and so on:

- ``reference``: a million keys in five namespaces (`benchmarks.keyspace.contents`);
- ``skewed``: sizes of keys are log-normal (sigma 1.5), one namespace is 1 % of the keys;
- ``cluster``: the same sizes on a Cluster node: a namespace of ours in 64 slots, one that
  is spread over all slots, and one in a single slot.

Every interval is recorded: for keys, memory and keys without expiry of each namespace
that holds 5 % of the bytes or more.

    python -m benchmarks.coverage [SEEDS]      # 200: 1,000 intervals of memory in `reference`
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.keyspace.contents import Command, Size, reference, store
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError, ValkeyctlError
from valkeyctl.ops.keyspace.counting.stats import stats
from valkeyctl.runtime.binary import find_binary

RESULT = Path(__file__).parent / "results" / "coverage.json"
AMOUNTS = ("keys", "memory_bytes", "without_expiry")
_LARGE = 0.05
_KEYS = 200_000


@dataclass(frozen=True)
class Interval:
    """One interval and the truth.

    Attributes:
        scene: The keyspace.
        seed: Of the sample.
        namespace: Whose amount it is about.
        amount: Which one.
        low: Its lower end.
        high: Its upper end.
        truth: What was counted.
    """

    scene: str
    seed: int
    namespace: str
    amount: str
    low: int
    high: int
    truth: int

    @property
    def holds(self) -> bool:
        """Whether the truth lies in it."""
        return self.low <= self.truth <= self.high


def skewed() -> Iterator[Command]:
    """Yield the commands that store keys of log-normal sizes."""
    rng = random.Random(7)
    spaces = rng.choices(("big", "middle", "small", "rare"), (60, 29, 10, 1), k=_KEYS)
    for number, space in enumerate(spaces):
        size = int(rng.lognormvariate(5, 1.5)) * (20 if space == "rare" else 1)
        expiry = ("EX", 86_400) if number % 3 else ()
        yield ("SET", f"shop:{space}:{number}", "v" * size, *expiry)


def clustered() -> Iterator[Command]:
    """Yield the commands that store keys in slots of very different sizes."""
    rng = random.Random(7)
    scheme = KeyScheme("shop", shards=SHARDS)
    for number in range(_KEYS):
        value = "v" * int(rng.lognormvariate(5, 1.5))
        kind = number % 20
        if kind < 10:
            yield ("SET", scheme.place("big", str(number)).key, value, "EX", 86_400)
        elif kind < 18:
            yield ("SET", f"other:spread:{number}", value)
        else:
            yield ("SET", f"other:tagged:{{one}}:{number}", value)


SCENES: dict[str, Callable[[], Iterator[Command]]] = {
    "reference": lambda: reference(Size()),
    "skewed": skewed,
    "cluster": clustered,
}


@contextmanager
def server(*, cluster: bool) -> Iterator[Endpoint]:
    """Run an embedded server for as long as the block lasts.

    Raises:
        StartError: It does not answer.
    """
    # With seeds of its own, each server would put the keys into other places.
    options = ["--hash-seed", "coverage"]
    if cluster:
        options += ["--cluster-enabled", "yes", "--cluster-port", str(_free_port())]
    with tempfile.TemporaryDirectory(prefix="valkeyctl-coverage-") as folder:
        endpoint = Endpoint(port=_free_port())
        process = subprocess.Popen(
            [
                *(str(find_binary({}).path), "--port", str(endpoint.port)),
                *("--bind", endpoint.host, "--dir", folder, "--save", "", *options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            _await(endpoint, cluster=cluster)
            yield endpoint
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(endpoint: Endpoint, *, cluster: bool) -> None:
    until = time.monotonic() + 10
    started = False
    while time.monotonic() < until:
        try:
            with Wire(endpoint) as wire:
                if cluster and not started:
                    wire.call("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
                    started = True
                wire.call("SET", "any", "value")  # refused until the slots are served
                wire.call("DEL", "any")
                return
        except ValkeyctlError:
            time.sleep(0.05)  # it starts, or its slots are not served yet
    raise StartError(f"no server answers at {endpoint.address}")


def record(scene: str, seeds: int) -> list[Interval]:
    """Return the intervals of one keyspace."""
    found = []
    with server(cluster=scene == "cluster") as endpoint:
        store(endpoint, SCENES[scene]())
        exact = stats(endpoint, method="exact")
        large = [
            row
            for row in (*exact.namespaces, *exact.foreign)
            if row.memory_bytes >= _LARGE * exact.total.memory_bytes
        ]
        for seed in range(seeds):
            sampled = stats(endpoint, method="sample", rng=random.Random(seed))
            rows = {row.name: row for row in (*sampled.namespaces, *sampled.foreign)}
            for true in large:
                ci95 = rows[true.name].ci95
                assert ci95 is not None  # noqa: S101 - it is a sample
                for amount in AMOUNTS:
                    low, high = getattr(ci95, amount)
                    truth = getattr(true, amount)
                    found.append(Interval(scene, seed, true.name, amount, low, high, truth))
    return found


def main(seeds: int) -> None:
    """Record all intervals, and print which share of them holds the truth."""
    intervals = []
    for scene in SCENES:
        found = record(scene, seeds)
        intervals += found
        for amount in AMOUNTS:
            # Where all keys or none never expire, the interval holds by its making.
            of = [one for one in found if one.amount == amount and one.truth]
            held = sum(one.holds for one in of)
            widest = max((one.high - one.low) / 2 / one.truth for one in of)
            print(
                f"{scene:10} {amount:15} {len(of):5} intervals, {held / len(of):6.1%} hold, "
                f"half-width at most {widest:.1%}",
                flush=True,
            )
    columns = [field.name for field in fields(Interval)]
    rows = [[getattr(one, column) for column in columns] for one in intervals]
    text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    RESULT.write_text(f'{{"columns":{json.dumps(columns)},"rows":[\n{text}\n]}}\n')


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
