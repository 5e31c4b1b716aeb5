"""What has changed since an earlier count."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from valkeyctl.caching.wire import Wire
from valkeyctl.cli.output import plain
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, MissingError, UsageError
from valkeyctl.ops.keyspace.counting.against import Earlier, compare, read_earlier
from valkeyctl.ops.keyspace.counting.census import Ci95, KeyspaceStats
from valkeyctl.ops.keyspace.counting.stats import stats


@pytest.fixture
def counted(endpoint: Endpoint, wire: Wire) -> KeyspaceStats:
    """Two namespaces, counted."""
    wire.pipeline(("SET", f"a:n:{number}", "v" * 100) for number in range(10))
    wire.pipeline(("SET", f"a:m:{number}", "v") for number in range(10))
    return stats(endpoint, "a")


def save(file: Path, found: KeyspaceStats) -> Path:
    """Write *found* as the command line does."""
    file.write_text(json.dumps({"version": 1, "kind": "keys.stats", "data": plain(found)}))
    return file


def test_what_was_written_is_read_back_as_no_change(counted: KeyspaceStats, tmp_path: Path) -> None:
    """The same count differs in nothing."""
    changes = compare(counted, read_earlier(save(tmp_path / "then.json", counted), "a"))

    assert {(one.keys, one.memory_bytes, one.memory_ratio, one.verdict) for one in changes} == {
        (0, 0, 1.0, "same")
    }
    assert [one.name for one in changes] == ["m", "n"]


def test_more_less_new_and_gone(
    endpoint: Endpoint, wire: Wire, counted: KeyspaceStats, tmp_path: Path
) -> None:
    """By namespace, the largest change first."""
    then = read_earlier(save(tmp_path / "then.json", counted), "a")
    wire.call("DEL", *(f"a:m:{number}" for number in range(10)))
    wire.call("PERSIST", "a:n:0")
    wire.pipeline(("DEL", f"a:n:{number}") for number in range(5))
    wire.call("SET", "a:new:1", "v" * 5_000)
    wire.call("SET", "b:x:1", "v")

    changes = {one.name: one for one in compare(stats(endpoint, "a"), then)}

    assert {name: one.verdict for name, one in changes.items()} == {
        "new": "new",
        "n": "less",
        "m": "gone",
        "b:": "new",
    }
    assert changes["n"].keys == -5
    assert changes["n"].memory_ratio == pytest.approx(0.5, rel=0.1)  # the allocator rounds
    assert (changes["m"].keys, changes["m"].memory_ratio) == (-10, 0.0)
    assert changes["new"].memory_ratio is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0, 10**6, "unsure"), (0, 5, "more"), (10**6, 10**7, "less")]
)
def test_a_sample_says_only_what_its_intervals_do(
    counted: KeyspaceStats, low: int, high: int, verdict: str
) -> None:
    """Overlapping intervals are no difference."""
    row = next(row for row in counted.namespaces if row.name == "n")
    now = replace(row, ci95=Ci95((0, 10), (row.memory_bytes - 10, row.memory_bytes + 10), (0, 10)))

    (change,) = compare(
        replace(counted, namespaces=(now,), foreign=()),
        {"n": Earlier(10, 1_000, 10, low, high)},
    )

    assert change.verdict == verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"kind": "keys.ls", "data": {}}',
        '{"kind": "keys.stats"}',
        '{"kind": "keys.stats", "data": {"app": "a", "namespaces": [{}], "foreign": []}}',
        '{"kind": "keys.stats", "data": {"app": "a", "namespaces": [{"name": "n", "keys": "1", '
        '"memory_bytes": 1, "without_expiry": 1}], "foreign": []}}',
    ],
)
def test_anything_else_in_the_file_is_refused(tmp_path: Path, text: str) -> None:
    """One sentence, no traceback."""
    file = tmp_path / "then.json"
    file.write_text(text)

    with pytest.raises(UsageError, match="no result of keys stats"):
        read_earlier(file, "a")


def test_a_file_that_is_not_there_or_not_readable(tmp_path: Path) -> None:
    """Each has its own failure."""
    with pytest.raises(MissingError):
        read_earlier(tmp_path / "none.json", None)
    with pytest.raises(FolderError):
        read_earlier(tmp_path, None)


def test_another_application_is_not_compared(counted: KeyspaceStats, tmp_path: Path) -> None:
    """Names would mean different things."""
    with pytest.raises(UsageError, match="every application"):
        read_earlier(save(tmp_path / "then.json", counted), None)
