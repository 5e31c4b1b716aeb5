"""Another client, which asks on time whatever happens: a process of its own.

    python -m benchmarks.keyspace.getter PORT KEY RATE

An open loop: request n is due at a fixed time, and is late when the answer to n - 1 was. It
ends with its stdin, and writes one JSON list: for each GET when it was due, when it was
sent, and when its answer was there, by the monotonic clock.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import socket
import sys
import time

_PATIENCE = 120.0
_PRIORITY = 10
_LOOKS = 64


def main(port: int, key: str, rate: float) -> None:
    """Ask until stdin ends."""
    # Another process on its core should not look like a server that does not answer.
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    gc.disable()
    request = f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode()
    seen: list[tuple[float, float, float]] = []
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("ready", flush=True)
        due = time.monotonic()
        while len(seen) % _LOOKS or not select.select([sys.stdin], [], [], 0)[0]:
            early = due - time.monotonic()
            if early > 0:
                time.sleep(early)
            sent = time.monotonic()
            connection.sendall(request)
            if not connection.recv(4096):
                break
            seen.append((due, sent, time.monotonic()))
            due += 1 / rate
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
