"""``valkeyctl bench curve``: which share of the requests a cache of each size answers."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.bench.options import seconds
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import UsageError
from valkeyctl.units import parse_size

if TYPE_CHECKING:
    from valkeyctl.bench.sweep.accesses import Accesses
    from valkeyctl.bench.sweep.curve import Curve
    from valkeyctl.cli.console import Console

app = new_app()
_BAR = 22
_WORDS = 80  # columns of a sentence, also where nothing bounds a line


class View(StrEnum):
    """What an access is."""

    REQUESTS = "requests"
    BLOCKS = "blocks"


class Policy(StrEnum):
    """How the server evicts."""

    LRU = "allkeys-lru"
    LFU = "allkeys-lfu"
    TTL = "volatile-ttl"


class Layout(StrEnum):
    """Whose memory layout entries have."""

    V8_0 = "8.0"
    V9_1 = "9.1"


class Allocator(StrEnum):
    """Which allocator the server was built with."""

    JEMALLOC = "jemalloc"
    LIBC = "libc"


@app.command(cls=Command)
def curve(
    ctx: typer.Context,
    sizes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SIZE]...", help="Values of maxmemory, such as 64Mi 128Mi."),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Recorded requests.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", metavar="NAME|FILE", help="Requests of a scenario instead."),
    ] = None,
    view: Annotated[
        View, typer.Option("--view", help="An access is a whole request, or each prompt block.")
    ] = View.REQUESTS,
    requests: Annotated[
        int | None, typer.Option("--requests", help="Accesses; a scenario has 200,000.")
    ] = None,
    value_size: Annotated[
        str | None,
        typer.Option("--value-size", metavar="SIZE", help="Of every value, such as 4Ki."),
    ] = None,
    key_size: Annotated[
        int | None,
        typer.Option("--key-size", help="Bytes of every key; default: 82, as the response cache."),
    ] = None,
    header: Annotated[
        int, typer.Option("--header", help="Bytes before each value: the cache service's 38.")
    ] = 38,
    expiry: Annotated[
        bool, typer.Option("--expiry/--no-expiry", help="Whether entries have a TTL at all.")
    ] = True,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="Life of an entry, such as 1h.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Accesses a second, evenly spaced.")
    ] = None,
    speedup: Annotated[
        float | None, typer.Option("--speedup", help="Play the trace so many times faster.")
    ] = None,
    policy: Annotated[
        Policy, typer.Option("--policy", help="The server's maxmemory-policy.")
    ] = Policy.LRU,
    samples: Annotated[int, typer.Option("--samples", help="The server's maxmemory-samples.")] = 5,
    layout: Annotated[
        Layout, typer.Option("--layout", help="Version whose memory layout entries have.")
    ] = Layout.V9_1,
    allocator: Annotated[
        Allocator, typer.Option("--allocator", help="libc for the embedded server.")
    ] = Allocator.JEMALLOC,
    gain: Annotated[
        float, typer.Option("--gain", help="Points that a doubling must gain to be worth it.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same requests.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the report goes; default: our own files."),
    ] = None,
) -> None:
    """Say how much memory a cache is worth, from a trace or a scenario.

    Computes the hit ratio for each size of the server's memory without starting one, and
    names the size from which on a doubling gains almost nothing.
    """
    from valkeyctl.bench.sweep.curve import check_sizes, miss_ratio_curve
    from valkeyctl.bench.sweep.curvereport import document, write
    from valkeyctl.bench.sweep.entrymemory import EntryMemory
    from valkeyctl.bench.sweep.eviction import Server

    life = seconds(ttl, "--ttl")
    if life is not None and not expiry:
        raise UsageError("entries without expiry have no TTL", hint="Leave out --no-expiry")
    _check_lengths(key_size, header, requests)
    limits = [_size(text, "SIZE") for text in sizes] if sizes else None
    memory = EntryMemory(layout.value, allocator.value, expiry=expiry)
    server = Server(policy.value, samples, life)
    if limits is not None:
        check_sizes(limits, memory)
    if not 0 < gain < 100:
        raise UsageError(f"the gain is {gain}", hint="Give points above 0 and below 100")
    with progress(ctx, "curve") as bar:
        bar(0.0, "reading")
        found = miss_ratio_curve(
            _accesses(trace, scenario, view, requests, value_size, rate, speedup, seed),
            memory,
            server=server,
            sizes=limits,
            key_bytes=key_size,
            header_bytes=header,
            gain=gain / 100,
            seed=seed,
            progress=bar,
        )
    folder = out or target.new_report(ctx, "curve")
    write(found, folder)
    show(ctx, document(found, folder), human=partial(_print, found=found, folder=folder))


def _accesses(
    trace: Path | None,
    scenario: str | None,
    view: View,
    requests: int | None,
    value_size: str | None,
    rate: float | None,
    speedup: float | None,
    seed: int,
) -> Accesses:
    from valkeyctl.bench.sweep.accesses import from_scenario, from_trace
    from valkeyctl.bench.traffic.scenario import DEFAULT_SCENARIO
    from valkeyctl.bench.traffic.scenariofile import load_scenario

    if trace is not None and scenario is not None:
        raise UsageError(
            "the accesses come from a trace or from a scenario", hint="Leave out one of them"
        )
    if trace is None and (view is View.BLOCKS or speedup is not None):
        raise UsageError("--view blocks and --speedup are of a trace", hint="Give --trace FILE")
    if rate is not None and speedup is not None:
        raise UsageError("--rate replaces the trace's times", hint="Leave out --speedup")
    for name, given in (("rate", rate), ("speedup", speedup)):
        if given is not None and not 1e-6 <= given <= 1e7:
            raise UsageError(f"{name} is {given}", hint="Give 1e-06 to 1e+07")
    value = None if value_size is None else _size(value_size, "--value-size")
    if trace is None:
        return from_scenario(
            load_scenario(scenario or DEFAULT_SCENARIO),
            requests=200_000 if requests is None else requests,
            seed=seed,
            value=value,
            rate=rate,
        )
    found = from_trace(trace, view=view.value, value=value, speedup=speedup or 1.0, most=requests)
    return found if rate is None else found.at_rate(rate)


def _check_lengths(key: int | None, header: int, requests: int | None) -> None:
    for name, value, least, most in (
        ("key-size", key, 1, 65_536),
        ("header", header, 0, 65_536),
        ("requests", requests, 1, 100_000_000),
    ):
        if value is not None and not least <= value <= most:
            raise UsageError(f"{name} is {value}", hint=f"Give {least:,} to {most:,}")


def _size(text: str, option: str) -> int:
    try:
        found = parse_size(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint="Give it as 64Mi") from error
    if not 0 < found <= 2**44:
        raise UsageError(f"{option} is {text}", hint="Give more than 0, and at most 16384Gi")
    return found


def _print(console: Console, *, found: Curve, folder: Path) -> None:
    from valkeyctl.bench.sweep.curvereport import HEAD, HTML_FILE, conclusion, rows

    width = min(console.width, _WORDS)
    console.print(
        f"{found.accesses.about}: {len(found.accesses.keys):,} accesses to "
        f"{found.accesses.distinct:,} keys"
    )
    for sentence in conclusion(found):
        console.print(_folded(sentence.text, width))
    console.print()
    heads = (HEAD[0], HEAD[1], HEAD[3], HEAD[4])
    console.print("".join(f"{head.upper():>14}" for head in heads))
    for one, cells in zip(found.points, rows(found), strict=True):
        bar = "#" * round(_BAR * one.valkey)
        shown = (cells[0], cells[1], cells[3], cells[4])
        console.print(("".join(f"{cell:>14}" for cell in shown) + f"  {bar}").rstrip())
    console.print()
    if found.knee is not None:
        console.print("* the knee; next doubling: points of hit ratio that twice the memory gains")
    console.print(f"report  {folder / HTML_FILE}")


def _folded(text: str, width: int) -> str:
    # Not at hyphens: an option would become two words.
    return fill(text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
