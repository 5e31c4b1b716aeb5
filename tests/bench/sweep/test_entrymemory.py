"""The memory model against real servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import start_server
from valkeyctl.bench.sweep.entrymemory import EntryMemory
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError

DEBIAN = Path("/usr/bin/valkey-server")
KEYS = (8, 24, 40, 64, 82, 100, 200)
VALUES = (16, 40, 44, 45, 64, 100, 200, 300, 1000, 2000, 4096, 40_000)


@pytest.fixture(scope="module")
def debian_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Valkey 8.0 with jemalloc, where Debian has installed it."""
    if not DEBIAN.exists():
        pytest.skip("there is no /usr/bin/valkey-server")
    process, endpoint = start_server(tmp_path_factory.mktemp("debian"), binary=str(DEBIAN))
    yield endpoint
    process.terminate()
    process.wait(timeout=10)


def usage(wire: Wire, key: int, value: int, *, expiry: bool) -> int:
    """Return what MEMORY USAGE says of one entry."""
    name = "k" * key
    life = ("EX", "1000") if expiry else ()
    answers = wire.pipeline(
        [
            ("FLUSHALL", "SYNC"),
            ("SET", name, "v" * value, *life),
            ("MEMORY", "USAGE", name, "SAMPLES", "0"),
        ]
    )
    size = answers[-1]
    assert isinstance(size, int)
    return size


@pytest.mark.parametrize("expiry", [True, False])
def test_entries_of_the_embedded_server_take_what_the_model_says(
    endpoint: Endpoint, expiry: bool
) -> None:
    """All but the few to which glibc gave 16 bytes more than it had to."""
    model = EntryMemory("9.1", "libc", expiry=expiry)
    surplus = []
    with Wire(endpoint) as wire:
        for key in KEYS:
            for value in VALUES:
                found = usage(wire, key, value, expiry=expiry)
                surplus.append(found - model.entry_bytes(key, value))

    assert set(surplus) <= {0, 16}
    assert surplus.count(0) >= 0.8 * len(surplus)


@pytest.mark.parametrize("expiry", [True, False])
def test_entries_of_valkey_8_0_take_what_the_model_says(
    debian_server: Endpoint, expiry: bool
) -> None:
    """To the byte; what MEMORY USAGE leaves out is the entry in the table of expiries."""
    model = EntryMemory("8.0", "jemalloc", expiry=expiry)
    left_out = 32 if expiry else 0
    with Wire(debian_server) as wire:
        for key in KEYS:
            for value in VALUES:
                found = usage(wire, key, value, expiry=expiry)
                assert model.entry_bytes(key, value) == found + left_out, (key, value)


@pytest.mark.parametrize("count", [5000, 20_000])
def test_many_entries_take_what_the_model_says(tmp_path: Path, count: int) -> None:
    """With the two tables, to within a per cent."""
    model = EntryMemory("9.1", "libc")
    # A server of its own: on a shared one others' memory is still being freed.
    process, endpoint = start_server(tmp_path)
    try:
        with Wire(endpoint) as reader:
            before = used_memory(reader)
            # A connection of its own, whose buffers go with it.
            with Wire(endpoint) as writer:
                writer.pipeline(
                    [("SET", f"{one:060d}", "v" * 1000, "EX", "1000") for one in range(count)]
                )
            wait_until_rehashed(reader)
            grown = used_memory(reader) - before
    finally:
        process.terminate()
        process.wait(timeout=10)

    assert count * model.entry_bytes(60, 1000) + model.table_bytes(count) == pytest.approx(
        grown, rel=0.01
    )


def wait_until_rehashed(wire: Wire) -> None:
    """Return when no table has an older one beside it any more."""
    deadline = time.monotonic() + 10
    while wire.info("memory")["mem_overhead_db_hashtable_rehashing"] != "0":
        assert time.monotonic() < deadline
        time.sleep(0.01)  # the server's own timer moves the entries


def used_memory(wire: Wire) -> int:
    """Return what is held against maxmemory."""
    return int(wire.info("memory")["used_memory"])


def test_an_empty_server_takes_what_the_model_says(tmp_path: Path) -> None:
    """Within an eighth, with one client."""
    process, endpoint = start_server(tmp_path)
    try:
        with Wire(endpoint) as wire:
            found = used_memory(wire)
    finally:
        process.terminate()
        process.wait(timeout=10)

    assert EntryMemory("9.1", "libc").fixed_bytes == pytest.approx(found, rel=0.12)


def test_a_full_server_keeps_a_smaller_table_rather_than_break_its_limit() -> None:
    """A table grows only where old and new have room beside each other."""
    model = EntryMemory("8.0", "jemalloc")

    roomy = model.grown(1025, 1025 * 1000, 1024, 10**9)
    tight = model.grown(1025, 1025 * 1000, 1024, 1025 * 1000 + 20_000)
    forced = model.grown(1700, 1700 * 1000, 1024, 1)

    assert (roomy, tight, forced) == (2048, 1024, 2048)


def test_what_is_left_for_entries_grows_with_the_room() -> None:
    """Never more than there is, and never falling."""
    for layout in ("8.0", "9.1"):
        model = EntryMemory(layout, "jemalloc")
        found = [model.entries_room(room, 1200.0) for room in range(10_000, 20_000_000, 33_333)]
        assert all(size <= 10_000 + n * 33_333 for n, size in enumerate(found))
        steps = [after - before for before, after in pairwise(found)]
        assert min(steps) > -0.03 * max(found)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layout": "7.2"}, "layout is '7.2'"),
        ({"allocator": "tcmalloc"}, "allocator is 'tcmalloc'"),
        ({"fixed": -1}, "-1 bytes"),
    ],
)
def test_an_unknown_server_is_refused(fields: dict[str, object], message: str) -> None:
    """With what is known."""
    with pytest.raises(UsageError, match=message):
        EntryMemory(**fields)  # type: ignore[arg-type]  # wrong on purpose
