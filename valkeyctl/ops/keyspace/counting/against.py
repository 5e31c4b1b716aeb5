"""What has changed since an earlier count, by namespace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from valkeyctl.errors import FolderError, MissingError, UsageError
from valkeyctl.ops.keyspace.counting.census import KeyspaceStats

KIND = "keys.stats"


@dataclass(frozen=True)
class Earlier:
    """What an earlier count said of a group.

    Attributes:
        keys: How many it had.
        memory_bytes: What they took.
        without_expiry: How many never expired.
        low: Lower end of the interval for the memory; itself when it was counted.
        high: Upper end.
    """

    keys: int
    memory_bytes: int
    without_expiry: int
    low: int
    high: int


@dataclass(frozen=True)
class Change:
    """How a namespace, or a group of keys in none, differs from an earlier count.

    Attributes:
        name: As in the counts.
        keys: More keys than then; below zero for fewer.
        memory_bytes: More bytes than then.
        without_expiry: More keys that never expire.
        memory_ratio: Bytes now by bytes then; None for a new one.
        verdict: ``new``, ``gone``, ``more``, ``less`` or ``same`` memory; ``unsure`` where
            one of the counts is a sample and their intervals overlap.
    """

    name: str
    keys: int
    memory_bytes: int
    without_expiry: int
    memory_ratio: float | None
    verdict: Literal["new", "gone", "more", "less", "same", "unsure"]


def read_earlier(file: Path, app: str | None) -> dict[str, Earlier]:
    """Return what ``keys stats -o json`` wrote to *file*, by the groups' names.

    Args:
        file: The envelope.
        app: The application whose namespaces are told apart now.

    Raises:
        MissingError: There is no such file.
        FolderError: It cannot be read.
        UsageError: It holds something else, or tells another application's namespaces apart.
    """
    try:
        envelope = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingError(
            f"there is no file {file}", hint="Write one: valkeyctl keys stats -o json > FILE"
        ) from error
    except OSError as error:
        raise FolderError(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _strange(file) from error
    try:
        if envelope["kind"] != KIND:
            raise _strange(file)
        data = envelope["data"]
        then: str | None = data["app"]
        groups = {str(row["name"]): _group(row) for row in (*data["namespaces"], *data["foreign"])}
    except (KeyError, TypeError, ValueError) as error:
        raise _strange(file) from error
    if then != app:
        raise UsageError(
            f"{file} tells the namespaces of {then or 'every application'} apart, "
            f"and this count those of {app or 'every application'}",
            hint="Name the same application with --app, or none both times",
        )
    return groups


def compare(found: KeyspaceStats, earlier: dict[str, Earlier]) -> tuple[Change, ...]:
    """Return how each group differs from *earlier*, the largest change in memory first."""
    now = {}
    for row in (*found.namespaces, *found.foreign):
        low, high = row.ci95.memory_bytes if row.ci95 else (row.memory_bytes, row.memory_bytes)
        now[row.name] = Earlier(row.keys, row.memory_bytes, row.without_expiry, low, high)
    changes = [
        _change(name, earlier.get(name), now.get(name)) for name in dict.fromkeys((*now, *earlier))
    ]
    return tuple(sorted(changes, key=lambda change: (-abs(change.memory_bytes), change.name)))


def _group(row: dict[str, object]) -> Earlier:
    keys, memory, lasting = (
        _count(row[name]) for name in ("keys", "memory_bytes", "without_expiry")
    )
    low = high = memory
    match row.get("ci95"):
        case {"memory_bytes": [int() as low, int() as high]}:
            pass
    return Earlier(keys, memory, lasting, low, high)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no number")
    return value


def _change(name: str, then: Earlier | None, now: Earlier | None) -> Change:
    nothing = Earlier(0, 0, 0, 0, 0)
    before, after = then or nothing, now or nothing
    verdict: Literal["new", "gone", "more", "less", "same", "unsure"]
    if then is None:
        verdict = "new"
    elif now is None:
        verdict = "gone"
    elif now.low > then.high:
        verdict = "more"
    elif now.high < then.low:
        verdict = "less"
    else:
        verdict = "same" if now.low == now.high and then.low == then.high else "unsure"
    ratio = round(after.memory_bytes / before.memory_bytes, 4) if before.memory_bytes else None
    return Change(
        name=name,
        keys=after.keys - before.keys,
        memory_bytes=after.memory_bytes - before.memory_bytes,
        without_expiry=after.without_expiry - before.without_expiry,
        memory_ratio=ratio,
        verdict=verdict,
    )


def _strange(file: Path) -> UsageError:
    return UsageError(
        f"{file} holds no result of keys stats",
        hint="Write one: valkeyctl keys stats -o json > FILE",
    )
