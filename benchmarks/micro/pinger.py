"""Another client, which notices when the server does not answer: a process of its own.

    python -m benchmarks.micro.pinger PORT

It PINGs about once a millisecond until its stdin ends, then writes one JSON list: for each
PING when it was sent, by the monotonic clock, and the milliseconds until its answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time

_PAUSE = 0.001
_PATIENCE = 120.0


def main(port: int) -> None:
    """Ping until stdin ends."""
    # Another process on its core should not look like a server that does not answer.
    with contextlib.suppress(OSError):
        os.nice(-10)
    seen: list[tuple[float, float]] = []
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            began = time.monotonic()
            connection.sendall(b"PING\r\n")
            if not connection.recv(64):
                break
            seen.append((began, (time.monotonic() - began) * 1000))
            time.sleep(_PAUSE)
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
