"""The command: ``python -m benchmarks.micro --help``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.micro.environments import default_folder
from benchmarks.micro.peers import PEERS
from benchmarks.micro.rows import GROUPS
from benchmarks.micro.run import FULL, QUICK, Plan, run
from valkeyctl.errors import ValkeyctlError


def plan_of(words: Sequence[str] | None = None) -> Plan:
    """Return the run that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro",
        description="valkeyctl.caching against redis.asyncio and its peers, all in one run.",
    )
    parser.add_argument(
        "--only", type=_some_of(GROUPS), default=GROUPS, metavar="A,B", help=", ".join(GROUPS)
    )
    parser.add_argument(
        "--peers", type=_some_of(PEERS), default=tuple(PEERS), metavar="A,B", help=", ".join(PEERS)
    )
    parser.add_argument("--quick", action="store_true", help="a look: little of everything")
    parser.add_argument("--rounds", type=int, help=f"default {FULL.pace.rounds}")
    parser.add_argument("--seed", type=int, default=1, help="of the order within the rounds")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for micro.json, micro.md")
    parser.add_argument(
        "--server", type=Path, metavar="PATH", help="a valkey-server; default: the embedded one"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", default=default_folder(), help="of the peers' packages"
    )
    parser.add_argument(
        "--here", action="store_true", help="use this environment for all: no pins, no install"
    )
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the cores")
    parser.add_argument(
        "--beside", type=Path, metavar="DIR", help="measure the valkeyctl of that checkout as well"
    )
    options = parser.parse_args(words)
    size = QUICK if options.quick else FULL
    if options.rounds is not None:
        if options.rounds < 1:
            parser.error("--rounds must be at least 1")
        size = replace(size, pace=replace(size.pace, rounds=options.rounds))
    return Plan(
        groups=options.only,
        peers=options.peers,
        size=size,
        seed=options.seed,
        cache=None if options.here else options.cache,
        server=options.server,
        pin=not options.no_pin,
        beside=options.beside.resolve() if options.beside else None,
        out=options.out,
    )


def _some_of(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def split(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"not among {', '.join(known)}: {', '.join(unknown)}")
        return names

    return split


async def _until_told(plan: Plan) -> None:
    """Run *plan*; SIGTERM cancels it, so that it ends what it has started."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 # a coroutine runs in one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run(plan)


def main() -> int:
    """Run what was asked for; the exit status is that of `valkeyctl` for the same failure."""
    plan = plan_of()
    try:
        asyncio.run(_until_told(plan))
    except ValkeyctlError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("ended early", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
