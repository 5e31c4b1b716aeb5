"""Are equal arms told apart too often, and unequal ones often enough? On a real machine.

``record`` plays one long open loop on two arms of one endpoint, in blocks of 0.1 s, and
keeps the latencies of every block in one small file a session. With ``--apart`` each arm
has a process of its own, and so noise of its own, which alternating order does not cancel.
``judge`` cuts the sessions into consecutive runs, hands each of them to the product's own
functions, and writes benchmarks/results/aa.md.

    python -m benchmarks.aa record --keep DIR --label quiet --minutes 20
    python -m benchmarks.aa record --keep DIR --label neighbour --minutes 20 --neighbour
    python -m benchmarks.aa record --keep DIR --label slower --minutes 10 --delay 0.01 --slower 1.06
    python -m benchmarks.aa record --keep DIR --label apart --minutes 20 --apart
    python -m benchmarks.aa judge --keep DIR
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import cast

import numpy as np

BLOCK_SECONDS = 0.1
_ANSWER = b'{"choices": []}'
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)
_NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_RESULTS = Path(__file__).parent / "results" / "aa.md"


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time; answers after the delay asked for."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        request, *fields = head.lower().split(b"\r\n")
        given = {name: value for name, _, value in (line.partition(b":") for line in fields)}
        length = int(given.get(b"content-length", b"0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if request.startswith(b"get "):
            self._transport.write(_NOTHING)
            return
        delay = float(given.get(b"x-delay", b"0"))
        asyncio.get_running_loop().call_later(delay, self._transport.write, _REPLY)


def serve(port: int) -> None:
    """Answer on *port* for ever."""

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Connection, "127.0.0.1", port, backlog=1024)
        await server.serve_forever()

    # epoll and uvloop wait for whole milliseconds, and 2.0 ms could not be told from 2.1.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(forever())


def disturb(seed: int) -> None:
    """Take processor time in bursts: 0.5 s on average, every 2.5 s or so."""
    rng = random.Random(seed)
    parent = os.getppid()
    while os.getppid() == parent:
        until = time.monotonic() + rng.expovariate(1 / 0.5)
        while time.monotonic() < until:
            sum(range(2000))
        time.sleep(rng.expovariate(1 / 2.0))


@contextmanager
def _child(*arguments: str) -> Iterator[None]:
    child = subprocess.Popen([sys.executable, __file__, *arguments])
    try:
        yield
    finally:
        child.terminate()
        child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


def record(given: argparse.Namespace) -> Path:
    """Play one session as the command line says, and keep it as ``LABEL-SEED.npz``."""
    from valkeyctl.bench.arm import Arm
    from valkeyctl.bench.plan import Plan
    from valkeyctl.bench.run import Target, run
    from valkeyctl.bench.samples import Samples

    keep, label, minutes, seed = Path(given.keep), given.label, given.minutes, given.seed
    keep.mkdir(parents=True, exist_ok=True)
    ports = [_free_port() for _ in range(2 if given.apart else 1)]
    urls = [f"http://127.0.0.1:{port}" for port in (ports[0], ports[-1])]
    arms = [
        Arm(name, headers=(("X-Delay", f"{given.delay * times:.6f}"),), url=url)
        for name, times, url in zip("ab", (1.0, given.slower), urls, strict=True)
    ]
    rounds = round(minutes * 60 / (2 * BLOCK_SECONDS))
    plan = Plan.of(
        arms=arms, rate=given.rate, duration=minutes * 60, rounds=rounds, seed=seed, warmup=2
    )
    folder = Path(tempfile.mkdtemp(prefix="aa-"))
    try:
        with ExitStack() as servers:
            for port in ports:
                servers.enter_context(_child("serve", "--port", str(port)))
                _await(port)
            samples: Samples = run(plan, Target(url=urls[0]), out=folder, progress=lambda _: None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    kept = samples.complete_rounds()
    rows = samples.rows[np.isin(samples.rows["round"], kept)]
    if wrong := int((rows["error"] > 0).sum()):
        raise SystemExit(f"{wrong} requests had no right answer")
    rows = rows[np.lexsort((rows["index"], rows["round"], rows["arm"]))]
    seconds = np.zeros((2, len(kept)))
    for stage in samples.stages:
        if stage.round in kept:
            seconds[stage.arm, np.searchsorted(kept, stage.round)] = stage.end - stage.begin
    cells = rows["arm"].astype(int) * len(kept) + np.searchsorted(kept, rows["round"])
    path = keep / f"{label}-{seed}.npz"
    meta = {
        "label": label,
        "slower": given.slower,
        "rate": given.rate,
        "delay": given.delay,
        "started": samples.facts["started"],
    }
    np.savez_compressed(
        path,
        milliseconds=((rows["end"] - rows["intended"]) * 1000).astype(np.float32),
        counts=np.bincount(cells, minlength=2 * len(kept)).reshape(2, -1),
        seconds=seconds,
        meta=json.dumps(meta),
    )
    return path


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record")
    one.add_argument("--keep", type=Path, required=True, help="folder of the sessions")
    one.add_argument("--label", default="quiet", help="what the machine does meanwhile")
    one.add_argument("--minutes", type=float, default=10.0)
    one.add_argument("--rate", type=float, default=1000.0, help="requests per second")
    one.add_argument("--delay", type=float, default=0.002, help="seconds that arm a sleeps")
    one.add_argument("--slower", type=float, default=1.0, help="times that arm b sleeps longer")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--apart", action="store_true", help="a server process for each arm")
    one.add_argument("--neighbour", action="store_true", help="burn processor time in bursts")
    two = commands.add_parser("judge")
    two.add_argument("--keep", type=Path, required=True)
    two.add_argument("--out", type=Path, default=_RESULTS)
    commands.add_parser("serve").add_argument("--port", type=int, required=True)
    commands.add_parser("disturb").add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    if given.command == "serve":
        serve(given.port)
    elif given.command == "disturb":
        disturb(given.seed)
    elif given.command == "judge":
        from benchmarks.aajudge import judge_sessions

        text = judge_sessions(given.keep)
        given.out.write_text(text, encoding="utf-8")
        print(text)
    else:
        beside = _child("disturb", "--seed", str(given.seed)) if given.neighbour else nullcontext()
        with beside:
            print(record(given))


if __name__ == "__main__":
    main()
