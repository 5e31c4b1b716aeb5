"""A miss-ratio curve as a reader sees it: what it says in words, tables, JSON and a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from valkeyctl.bench.arm import Node
from valkeyctl.bench.environment import capture
from valkeyctl.bench.figures.conclusion import Sentence
from valkeyctl.bench.page.axes import Axis
from valkeyctl.bench.page.plots import Line, Mark
from valkeyctl.bench.page.plots import curve as plot
from valkeyctl.bench.sweep.curve import Curve, Point
from valkeyctl.bench.sweep.files import write_report
from valkeyctl.bench.sweep.knee import points_words
from valkeyctl.bench.sweep.page import Figure, Page, Table
from valkeyctl.units import format_duration, format_size

HTML_FILE, JSON_FILE = "curve.html", "curve.json"

HEAD = ("maxmemory", "hit ratio", "of possible", "next doubling", "exact LRU", "entries")
_ALMOST_NOTHING = 0.02
_LITTLE = 0.10
_MIB = 2**20
# From here on the server's clock of whole seconds makes LRU a matter of chance.
_CLOCK_HARM = 0.01


def conclusion(found: Curve) -> tuple[Sentence, ...]:
    """Return what may be said, most important first."""
    return (*_worth(found), *_reading(found))


def _worth(found: Curve) -> Iterator[Sentence]:
    requests, hits = len(found.accesses.keys), round(found.possible * len(found.accesses.keys))
    most = f"{hits:,} of {requests:,} accesses ({found.possible:.2%})"
    if found.possible < _ALMOST_NOTHING:
        yield Sentence(
            "warning",
            f"Memory buys almost nothing here: a cache of any size could answer {most}, as "
            "the others ask for something for the first time.",
        )
        return
    if found.possible < _LITTLE:
        yield Sentence("warning", f"A cache of any size could answer no more than {most}.")
    points, knee = points_words(found.gain), found.knee
    if knee is None:
        last = found.points[-1]
        yield Sentence(
            "result",
            f"{size_words(last.maxmemory)} gives {last.valkey:.1%} of the {found.possible:.1%} "
            f"that are possible, and more memory still pays: all entries fit into "
            f"{size_words(found.fits)}.",
        )
        return
    yield Sentence(
        "result",
        f"{size_words(knee.maxmemory)} gives {knee.valkey:.1%} of the {found.possible:.1%} that "
        f"are possible; from there on no doubling gains {points}. All entries fit into "
        f"{size_words(found.fits)}."
        + (" Smaller sizes were not looked at." if knee is found.points[0] else ""),
    )


def _reading(found: Curve) -> Iterator[Sentence]:
    if found.accesses.times is None:
        yield Sentence(
            "note",
            "Nothing says how fast the accesses come, so one a second was taken. A server "
            "knows to the second how long an entry was idle: give --rate for faster traffic.",
        )
    elif found.server.policy == "allkeys-lru":
        behind = max((one.lru - one.valkey for one in found.points), default=0.0)
        if found.server.ttl is None and behind > _CLOCK_HARM:
            yield Sentence(
                "note",
                f"Small sizes stay up to {100 * behind:.1f} points behind an exact LRU cache: at "
                "this rate they turn over within seconds, and the server counts idle time in "
                "whole ones.",
            )
    if found.accesses.assumed:
        yield Sentence("note", f"Assumed: {found.accesses.assumed}. Give --value-size if known.")
    if found.server.ttl is not None:
        yield Sentence(
            "note",
            f"Entries live {format_duration(found.server.ttl)} from when they were stored. The "
            "exact LRU column is of entries that never expire.",
        )
    if found.sampled < 1:
        yield Sentence(
            "note",
            f"The stream is long, so the curve is of {found.sampled:.3%} of its keys (SHARDS); "
            f"95 % of such samples are within {100 * found.error:.1f} points of the truth.",
        )
    yield Sentence(
        "note",
        "The cache is empty at first, every miss is stored, and first accesses count as misses.",
    )


def size_words(size: float) -> str:
    """Return *size* as a person sets ``maxmemory``."""
    mebibytes = size / _MIB
    return f"{mebibytes:,.4g} MiB" if mebibytes < 1024 else format_size(size)


def rows(found: Curve) -> tuple[tuple[str, ...], ...]:
    """Return a row of `HEAD` for each size."""
    return tuple(_row(found, number, one) for number, one in enumerate(found.points))


def _row(found: Curve, number: int, one: Point) -> tuple[str, ...]:
    best = found.possible
    doubled = next((o for o in found.points[number:] if o.maxmemory >= 2 * one.maxmemory), None)
    return (
        size_words(one.maxmemory) + (" *" if one is found.knee else ""),
        f"{one.valkey:.2%}",
        f"{one.valkey / best:.1%}" if best else "-",
        "-" if doubled is None else f"{100 * (doubled.valkey - one.valkey):+.2f}",
        f"{one.lru:.2%}",
        f"{one.entries:,}",
    )


def document(found: Curve, folder: Path) -> dict[str, Node]:
    """Return the data of the ``bench.curve`` envelope, and of ``curve.json``."""
    memory = found.memory
    knee: Node = None if found.knee is None else _point(found.knee)
    return {
        "about": found.accesses.about,
        "accesses": len(found.accesses.keys),
        "distinct": found.accesses.distinct,
        "seconds": found.accesses.seconds,
        "assumed": found.accesses.assumed or None,
        "policy": found.server.policy,
        "maxmemory_samples": found.server.samples,
        "ttl_s": found.server.ttl,
        "memory": {
            "layout": memory.layout,
            "allocator": memory.allocator,
            "expiry": memory.expiry,
            "server_bytes": memory.fixed_bytes,
            "key_bytes": found.key_bytes,
            "header_bytes": found.header_bytes,
            "mean_entry_bytes": found.mean_entry,
        },
        "possible_hit_ratio": found.possible,
        "fits_bytes": found.fits,
        "gain": found.gain,
        "knee": knee,
        "points": [_point(one) for one in found.points],
        "sampled_share": found.sampled,
        "error": found.error,
        "played_share": found.played,
        "conclusion": [{"kind": one.kind, "text": one.text} for one in conclusion(found)],
        "curve_html": str(folder / HTML_FILE),
        "curve_json": str(folder / JSON_FILE),
    }


def _point(one: Point) -> dict[str, Node]:
    return {
        "maxmemory_bytes": one.maxmemory,
        "hit_ratio": one.valkey,
        "lru_hit_ratio": one.lru,
        "entries": one.entries,
    }


def write(found: Curve, folder: Path) -> None:
    """Write ``curve.json`` and ``curve.html`` into *folder*, made if absent.

    Raises:
        FolderError: They cannot be written.
    """
    write_report(folder, JSON_FILE, document(found, folder), HTML_FILE, page(found))


def page(found: Curve) -> Page:
    """Return the curve as a page."""
    lines = [
        Line(
            f"as Valkey evicts ({found.server.policy})",
            [(one.maxmemory / _MIB, one.valkey) for one in found.points],
        ),
        Line("exact LRU", [(one.maxmemory / _MIB, one.lru) for one in found.points]),
    ]
    marks = [Mark(found.knee.maxmemory / _MIB, "knee")] if found.knee else []
    drawn = plot(
        lines,
        "curve",
        title="Hit ratio by memory",
        x=Axis("maxmemory (MiB)", log=True),
        y=Axis("hit ratio", low=0.0, percent=True),
        marks=marks,
    )
    return Page(
        title="Hit ratio by memory",
        about=f"{found.accesses.about}: {len(found.accesses.keys):,} accesses to "
        f"{found.accesses.distinct:,} keys",
        conclusion=conclusion(found),
        figures=(
            Figure("Hit ratio by memory", "Share of the accesses that the cache answers.", drawn),
        ),
        tables=(Table("By size; the knee has a star. Doublings in points.", HEAD, rows(found)),),
        facts=tuple(_facts(found)),
    )


def _facts(found: Curve) -> Iterator[tuple[str, str]]:
    memory, environment = found.memory, capture()
    expiry = "with an expiry" if memory.expiry else "without expiry"
    yield (
        "Entry",
        f"key {found.key_bytes} bytes, header {found.header_bytes} bytes, {expiry}: "
        f"{found.mean_entry:,.0f} bytes in the mean",
    )
    yield (
        "Server",
        f"Valkey {memory.layout}, {memory.allocator}; {memory.fixed_bytes:,} bytes of its own; "
        f"{found.server.policy}, maxmemory-samples {found.server.samples}",
    )
    yield (
        "Method",
        f"stack distances of {found.sampled:.3%} of the keys; eviction played with "
        f"{found.played:.3%} of them",
    )
    yield "Command", str(environment["command"])
    yield "Machine", f"{environment['cpu']}, {environment['platform']}"
