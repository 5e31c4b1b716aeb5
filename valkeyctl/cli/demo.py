"""``valkeyctl demo``: everything, on an embedded server, in about a minute."""

from __future__ import annotations

import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli.bench import follow, measure, seconds
from valkeyctl.cli.bench.outcome import run_status
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.health import print_health
from valkeyctl.cli.keys.stats import layout, print_keyspace
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import say, show, stdout_console
from valkeyctl.cli.progress import progress
from valkeyctl.cli.target import forgetter, new_report, policies
from valkeyctl.units import format_duration

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.profile import Profile

app = new_app()
_ENTRIES = 2000


def _demo_profile() -> Profile:
    """Return the shipped profile `dev`, on a free port and under a name of its own."""
    from valkeyctl.bench.services.applications import free_port
    from valkeyctl.profile import load

    changes = {"name": "demo", "app": "demo", "publish": f"127.0.0.1:{free_port()}"}
    return load("dev").model_copy(update={**changes, "runtime": "process"})


def _entries(seed: int) -> bytes:
    """Return entries to warm the cache with, as JSON lines."""
    rng = random.Random(seed)
    lines = []
    for number in range(_ENTRIES):
        namespace = rng.choice(["response", "response", "context", "metadata"])
        words = " ".join(rng.choices(["alpha", "beta", "gamma", "delta"], k=rng.randint(5, 80)))
        record = {"namespace": namespace, "id": f"example-{number}", "value": words}
        lines.append(json.dumps(record))
    return "\n".join(lines).encode()


@app.command(cls=Command)
def demo(
    ctx: typer.Context,
    duration: Annotated[
        str, typer.Option("--duration", help="Length of the benchmark, such as 30s.")
    ] = "30s",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the report goes; default: our own files."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same requests.")] = 1,
) -> None:
    """Show everything on an embedded server in about a minute.

    Renders and deploys a profile, checks its health, warms keys, measures with and
    without the cache, writes the report, and takes the server down again.
    """
    from valkeyctl.bench.plan import Plan
    from valkeyctl.bench.run import Target, check_extras
    from valkeyctl.endpoint import Endpoint
    from valkeyctl.ops.deploy import deploy, take_down
    from valkeyctl.ops.health import probe
    from valkeyctl.ops.keyspace.counting.stats import stats
    from valkeyctl.ops.keyspace.loading.warm import warm
    from valkeyctl.ops.serverfacts import server_facts, server_info
    from valkeyctl.ops.statefolder import StateFolder

    check_extras()
    from valkeyctl.cli.verdicts import print_report  # numpy, which check_extras looked for

    length = seconds(duration)
    began = time.monotonic()
    shown = _Steps(ctx, count=6)
    profile = _demo_profile()
    folder = out or new_report(ctx, "demo")
    # Its own state folder: the demo never meets a deployment of yours.
    with tempfile.TemporaryDirectory(prefix="valkeyctl-demo-state-") as scratch:
        state = StateFolder(Path(scratch))
        try:
            shown.step("deploy profile dev as an embedded process")
            deployed = deploy(profile, state, runtime="process", progress=partial(say, ctx))
            endpoint = Endpoint.parse(deployed.url)
            shown.line(f"Valkey {deployed.version} at {deployed.url}")

            shown.step("health, through the published address")
            shown.table(partial(print_health, report=probe(endpoint)))

            shown.step(f"warm {_ENTRIES:,} entries")
            loaded = warm(
                endpoint,
                io.BytesIO(_entries(seed)),
                app=profile.app,
                policies=policies(profile),
            )
            shown.line(f"{loaded.loaded:,} entries in {format_duration(loaded.seconds)}")

            shown.step("keys, by namespace")
            counted = stats(endpoint, profile.app)
            columns = layout(sampled=counted.method == "sample")
            shown.table(lambda console: print_keyspace(console, counted, columns, totals=True))

            shown.step(f"benchmark with and without the cache, about {duration}")
            plan = Plan.of(duration=length, seed=seed)
            goal = Target(
                cache=endpoint,
                server=server_facts(endpoint),
                forget=forgetter(endpoint),
                server_info=server_info,
            )
            with progress(ctx, "bench") as bar:
                found = measure(plan, goal, folder, partial(follow, bar))

            shown.step("report")
        finally:
            take_down(profile.name, state, purge=True)

    def human(console: Console) -> None:
        print_report(console, found)
        took = format_duration(time.monotonic() - began)
        console.print(f"done in {took}; the server is down again, nothing is left running")

    status = run_status(found, interrupted=bool(found.incomplete))
    show(ctx, found.to_json(), human=human, status="fail" if status else "ok")
    if status:
        raise typer.Exit(status)


class _Steps:
    """Tells a person where the demo is: on standard output unless a program reads it."""

    def __init__(self, ctx: typer.Context, *, count: int) -> None:
        self._ctx = ctx
        self._count = count
        self._number = 0
        self._people = options(ctx).output is Output.TABLE and not options(ctx).quiet

    def step(self, title: str) -> None:
        self._number += 1
        self.line(f"\n[{self._number}/{self._count}] {title}")

    def line(self, text: str) -> None:
        if self._people:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        else:
            say(self._ctx, text.strip())

    def table(self, printer: Callable[[Console], None]) -> None:
        if self._people:
            printer(stdout_console())
