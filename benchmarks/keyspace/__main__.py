"""The command: ``python -m benchmarks.keyspace --help``."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.keyspace.contents import WHOLE, Size
from benchmarks.keyspace.rows import ROWS
from benchmarks.keyspace.run import Plan, run
from valkeyctl.errors import ValkeyctlError

_ROUNDS = 6
_EMBEDDED = "embedded"


def plan_of(words: Sequence[str] | None = None) -> Plan:
    """Return the run that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.keyspace",
        description="valkeyctl keys beside valkey-cli, on the same keys in one run.",
    )
    parser.add_argument("--keys", type=int, default=WHOLE, help=f"default {WHOLE:,}")
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS, help=f"default {_ROUNDS}: the fewest for intervals"
    )
    parser.add_argument(
        "--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument(
        "--server",
        action="append",
        metavar="PATH",
        help=f"a valkey-server, or the word {_EMBEDDED}; may be repeated; default: {_EMBEDDED}, "
        "and before it the one on PATH where valkey-cli is there too",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order within the rounds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the cores")
    options = parser.parse_args(words)
    if options.keys < 1000 or options.rounds < 1:
        parser.error("--keys must be at least 1000 and --rounds at least 1")
    return Plan(
        rows=[name for name in ROWS if name in options.only],
        size=Size(options.keys, options.keys // 2),
        rounds=options.rounds,
        seed=options.seed,
        servers=[_server(word) for word in options.server or _usual()],
        pin=not options.no_pin,
        out=options.out,
    )


def _usual() -> list[str]:
    found = shutil.which("valkey-server")
    return [found, _EMBEDDED] if found and shutil.which("valkey-cli") else [_EMBEDDED]


def _server(word: str) -> Path | None:
    return None if word == _EMBEDDED else Path(word)


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run what was asked for; the exit status is that of `valkeyctl` for the same failure."""
    plan = plan_of()
    signal.signal(signal.SIGTERM, _end)  # so that it ends what it has started
    try:
        run(plan, ROWS)
    except ValkeyctlError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("ended early", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
