"""How keys look to a person: plain columns that fit 80 of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from valkeyctl.units import format_duration, format_size, several

if TYPE_CHECKING:
    from rich.console import Console

    from valkeyctl.ops.keyspace.census import KeyspaceStats, NamespaceStats, Total
    from valkeyctl.ops.keyspace.entry import EntryDetail
    from valkeyctl.ops.keyspace.flush import FlushPlan
    from valkeyctl.ops.keyspace.inspect import KeyDetail
    from valkeyctl.ops.keyspace.listing import KeyRow


_SHOWN_KEY = 160  # characters; a key may have 512 bytes, a foreign one any number


def print_rows(rows: Iterable[KeyRow]) -> None:
    """Print keys as they come; the key last, so that no long one breaks the columns."""
    for number, row in enumerate(rows):
        if not number:
            sys.stdout.write(f"{'TYPE':<8}{'TTL':>10}{'SIZE':>12}  KEY\n")
        ttl = "-" if row.ttl_s is None else format_duration(row.ttl_s)
        size = format_size(row.memory_bytes)
        sys.stdout.write(f"{row.type:<8}{ttl:>10}{size:>12}  {row.display}\n")
    sys.stdout.flush()


def print_keyspace(console: Console, found: KeyspaceStats) -> None:
    """Print one line per namespace, foreign keys after them, and the total.

    A sample shows how far each count may be off (95 %) where an exact count shows shares.
    """
    sampled = found.method == "sample"
    whole = max(found.total.memory_bytes, 1)

    def line(*cells: str) -> None:
        widths = (-22, 12, 6, 12, 6, 11, 11) if sampled else (-24, 12, 12, 7, 11, 13)
        text = "".join(
            f"{cell:<{-width}}" if width < 0 else f"{cell:>{width}}"
            for cell, width in zip(cells, widths, strict=True)
        )
        console.print(text.rstrip(), markup=False, soft_wrap=True)

    def row(name: str, one: NamespaceStats | Total, ttl: str) -> None:
        shown = name if len(name) <= 21 else name[:20] + "…"
        keys, memory = f"{one.keys:,}", format_size(one.memory_bytes)
        endless = f"{one.without_expiry:,}"
        if one.ci95 is not None:
            off_keys = _half_width(one.ci95.keys, one.keys)
            off_memory = _half_width(one.ci95.memory_bytes, one.memory_bytes)
            line(shown, keys, off_keys, memory, off_memory, endless, ttl)
        elif sampled:
            line(shown, keys, "", memory, "", endless, ttl)
        else:
            line(shown, keys, memory, f"{one.memory_bytes / whole:.0%}", endless, ttl)

    if sampled:
        line("NAMESPACE", "KEYS", "+-", "MEMORY", "+-", "NO EXPIRY", "TTL P50")
    else:
        line("NAMESPACE", "KEYS", "MEMORY", "SHARE", "NO EXPIRY", "TTL P50")
    for group in (*found.namespaces, *found.foreign):
        ttl = "-" if group.ttl_s is None else format_duration(group.ttl_s.p50)
        row(group.name, group, ttl)
    row("total", found.total, "")
    how = "95 % intervals; --exact asks every key" if sampled else "every key was asked"
    console.print(f"method: {found.method}, {how}", markup=False)


def _half_width(interval: tuple[float, float], value: float) -> str:
    low, high = interval
    return f"{(high - low) / 2 / value:.0%}" if value else ""


def public_row(row: KeyRow) -> dict[str, object]:
    """Return a key for programs: its printable form, as `keys inspect` takes it."""
    return {
        "key": row.display,
        "app": row.app,
        "namespace": row.namespace,
        "type": row.type,
        "ttl_s": row.ttl_s,
        "memory_bytes": row.memory_bytes,
    }


def public_detail(found: KeyDetail) -> dict[str, object]:
    """Return all that is known of one key, for programs."""
    fields = {name: getattr(found, name) for name in found.__dataclass_fields__}
    del fields["display"]
    return {**fields, "key": found.display}


def print_detail(console: Console, found: KeyDetail) -> None:
    """Print all that is known of one key, the value last."""
    rows: list[tuple[str, object]] = [
        ("key", found.display),
        ("namespace", found.namespace),
        ("type", f"{found.type} ({found.encoding})"),
        ("expires in", "never" if found.ttl_s is None else format_duration(found.ttl_s)),
        ("memory", format_size(found.memory_bytes)),
        ("idle", None if found.idle_s is None else format_duration(found.idle_s)),
        ("frequency", found.frequency),
    ]
    if found.entry is not None:
        entry = found.entry
        stale = f", invalidated: {', '.join(entry.stale_tags)}" if entry.stale_tags else ""
        rows += [
            ("stored", f"{format_duration(entry.age_s)} ago"),
            ("version", f"{entry.version}{'' if entry.version == 'current' else ' (a miss)'}"),
            ("tags", (", ".join(entry.tags) + stale) if entry.tags else None),
            ("format", f"{entry.format}, {_stored_size(entry)}"),
            ("fresh", _freshness(entry)),
        ]
    elif found.length is not None:
        rows.append(("length", f"{found.length:,}"))
    for name, value in rows:
        if value is not None:
            console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)
    shown = [*found.preview.lines, *(["..."] if found.preview.truncated else [])]
    if found.preview.note:
        shown.append(f"({found.preview.note})")
    for number, text in enumerate(shown):
        console.print(f"{'' if number else 'value':<12}{text}", markup=False, soft_wrap=True)


def _stored_size(entry: EntryDetail) -> str:
    """Return how much the value takes and what was done to it, such as compression."""
    text = format_size(entry.payload_bytes)
    if entry.compressed:
        text += " compressed"
        if entry.raw_bytes is not None:
            text += f" from {format_size(entry.raw_bytes)}"
    return text if entry.key_id is None else f"{text}, encrypted (key id {entry.key_id})"


def _freshness(entry: EntryDetail) -> str | None:
    if entry.fresh_until_s is None:
        return None
    left = entry.fresh_until_s - (entry.created_s + entry.age_s)
    return f"for {format_duration(left)}" if left > 0 else f"no, since {format_duration(-left)}"


def print_flush_plan(console: Console, plan: FlushPlan) -> None:
    """Print what a flush would remove."""
    memory = format_size(plan.memory_bytes)
    line = f"{plan.app}:{plan.namespace}: {several(plan.keys, 'key')}, about {memory}"
    console.print(line, markup=False, soft_wrap=True)
    for key in plan.sample:
        shown = key if len(key) <= _SHOWN_KEY else f"{key[:_SHOWN_KEY]}…"
        console.print(f"  {shown}", markup=False, soft_wrap=True)
    if plan.keys > len(plan.sample):
        console.print(f"  and {plan.keys - len(plan.sample):,} more", markup=False)
