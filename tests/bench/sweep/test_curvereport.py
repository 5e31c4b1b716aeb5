"""What a curve says in words, in JSON and on its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from valkeyctl.bench.sweep.accesses import Accesses, from_keys
from valkeyctl.bench.sweep.curve import MOST_EXACT, Curve, miss_ratio_curve
from valkeyctl.bench.sweep.curvereport import (
    HTML_FILE,
    JSON_FILE,
    conclusion,
    document,
    rows,
    size_words,
    write,
)
from valkeyctl.bench.sweep.entrymemory import EntryMemory
from valkeyctl.bench.sweep.eviction import Server
from valkeyctl.errors import FolderError

MIB = 2**20


def curve_of(
    accesses: Accesses, server: Server | None = None, most_exact: int = MOST_EXACT
) -> Curve:
    """Return the curve at four sizes."""
    sizes = [2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB]
    return miss_ratio_curve(
        accesses, EntryMemory(), server=server, sizes=sizes, most_exact=most_exact
    )


def words(found: Curve) -> str:
    """Return the conclusion as one text."""
    return " ".join(one.text for one in conclusion(found))


def test_where_memory_buys_nothing_it_is_said() -> None:
    """First, as a warning, with the number of hits that any size could have."""
    found = curve_of(from_keys([*range(1000), 0]))

    first = conclusion(found)[0]

    assert first.kind == "warning"
    assert "almost nothing" in first.text
    assert "1 of 1,001 accesses (0.10%)" in first.text


def test_the_knee_is_said_with_what_is_possible() -> None:
    """One sentence answers how much to buy."""
    found = curve_of(from_keys([n % 2000 for n in range(8000)]))

    assert "4 MiB gives 75.0% of the 75.0% that are possible" in words(found)
    assert "Smaller sizes were not looked at" not in words(found)
    assert rows(found)[1][0] == "4 MiB *"


def test_a_knee_at_the_smallest_size_may_lie_lower() -> None:
    """Nobody looked there, so it is said."""
    found = curve_of(from_keys([n % 20 for n in range(800)]))

    assert "2 MiB gives 97.5%" in words(found)
    assert "Smaller sizes were not looked at." in words(found)


def test_a_curve_that_still_climbs_says_so() -> None:
    """And what would be possible, with which size."""
    found = curve_of(from_keys([n % 2000 for n in range(4000)], value=20_000))

    assert "of the 50.0% that are possible, and more memory still pays" in words(found)


@pytest.mark.parametrize(
    ("accesses", "server", "most_exact", "said"),
    [
        (from_keys([1, 1]), None, MOST_EXACT, "one a second was taken"),
        (from_keys([1, 1], rate=1.0), Server(ttl=60.0), MOST_EXACT, "Entries live 1m"),
        (from_keys(list(range(500)) * 4), None, 1000, "SHARDS"),
    ],
)
def test_what_limits_the_figures_is_said(
    accesses: Accesses, server: Server | None, most_exact: int, said: str
) -> None:
    """Each in a note of its own."""
    assert said in words(curve_of(accesses, server, most_exact))


def test_fast_traffic_in_a_small_cache_is_explained() -> None:
    """Why the server stays behind an exact LRU cache."""
    keys = [n * n % 7919 % (1 + n % 400) for n in range(8000)]

    found = curve_of(from_keys(keys, value=20_000, rate=100_000.0))

    assert "points behind an exact LRU cache" in words(found)


def test_the_files_hold_what_is_printed(tmp_path: Path) -> None:
    """JSON by size, and a page that needs nothing else."""
    found = curve_of(from_keys([n % 2000 for n in range(8000)]))

    write(found, tmp_path / "new")

    data = json.loads((tmp_path / "new" / JSON_FILE).read_text())
    html = (tmp_path / "new" / HTML_FILE).read_text()
    assert data == document(found, tmp_path / "new")
    assert data["knee"]["maxmemory_bytes"] == 4 * MIB
    assert html.count("<svg") == 1
    assert "http" not in html.replace("http://www.w3.org", "")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(FolderError, match="taken: the report cannot be written"):
        write(curve_of(from_keys([1, 1])), tmp_path / "taken")


def test_sizes_are_written_as_they_are_set() -> None:
    """In MiB up to a GiB."""
    assert [size_words(size * MIB) for size in (1.5, 96, 1536)] == ["1.5 MiB", "96 MiB", "1.5 GiB"]
