"""``python -m valkeyctl.sample``."""

from __future__ import annotations

import argparse
import os
import sys

from valkeyctl.errors import ValkeyctlError
from valkeyctl.sample.settings import settings_from


def main() -> int:
    """Serve until a signal; return the status to end with."""
    parser = argparse.ArgumentParser(prog="python -m valkeyctl.sample", allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="TCP port; 0 takes a free one")
    parser.add_argument("--url", help="the cache; - reads it from standard input")
    parser.add_argument("--app", default="sample", help="first part of every key")
    parser.add_argument("--ttl", default="1h", help="life of an item")
    parser.add_argument("--cache-budget", default="25ms", help="longest that a read may take")
    parser.add_argument("--seed", type=int, default=1, help="decides the origin's latencies")
    parser.add_argument("--speedup", type=float, default=1.0, help="divides them")
    parser.add_argument("--parent", type=int, help="stop when this process is gone")
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )
    given = parser.parse_args()
    try:
        if given.url == "-":
            given.url = sys.stdin.readline().strip()
        settings = settings_from(given, os.environ)
        from valkeyctl.sample.serve import serve  # uvicorn, after what can be refused at once

        serve(settings)
    except ValkeyctlError as error:
        # The message last: whoever started us shows the last line of what we said.
        hint = f"{error.hint}\n" if error.hint else ""
        sys.stderr.write(f"{hint}error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
