"""Warming from every kind of file: what is skipped, read back, paced, and on which topology."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard

from tests.caching.deployments import ClusterDeployment
from tests.ops.keyspace.loading.test_throttle import Clock
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import Envelope
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, ServerReplyError, UsageError
from valkeyctl.ops.keyspace.loading import warm as warm_module
from valkeyctl.ops.keyspace.loading.batches import Format
from valkeyctl.ops.keyspace.loading.bulk import BulkWriter, Posted, Written
from valkeyctl.ops.keyspace.loading.warm import Mismatch, WarmOptions, WarmProgress, warm
from valkeyctl.ops.keyspace.transfer.exportlines import ExportLine, write_header, write_line

ENTRIES = b"".join(
    b'{"namespace":"metadata","id":"k%d","value":{"n":%d},"ttl":60}\n' % (n, n) for n in range(200)
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as made:
        yield made


def export(*lines: ExportLine, app: str | None = "a") -> bytes:
    """Return an export of these lines."""
    head = write_header(app=app, namespace=None, exported_ms=1, server="valkey 9", shards=1)
    end = ExportLine(end=True, lines=len(lines), entry_count=len(lines))
    return head + b"".join(map(write_line, (*lines, end)))


def entry(id: str, value: bytes = b'"v"', **more: object) -> ExportLine:  # noqa: A002
    """Return the line of an entry."""
    fields = {"created_ms": 1_000, "ttl_ms": 60_000, **more}
    if "data" not in more:
        fields["value"] = msgspec.Raw(value)
    return ExportLine(namespace="metadata", id=id, **fields)  # type: ignore[arg-type]


def stored(wire: Wire, key: str) -> Envelope:
    """Return the entry at *key*."""
    return Envelope.unpack(wire.call("GET", key))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("entries.jsonl", ENTRIES),
        ("entries.jsonl.gz", gzip.compress(ENTRIES)),
        ("entries", zstandard.ZstdCompressor().compress(ENTRIES)),
        ("entries.crlf", b"\xef\xbb\xbf" + ENTRIES.replace(b"\n", b"\r\n")),
        ("entries.blank", b"\n" + ENTRIES.replace(b"\n", b"\n\n \n")),
    ],
)
def test_files_are_read_whatever_their_form(
    endpoint: Endpoint, wire: Wire, tmp_path: Path, name: str, content: bytes
) -> None:
    """Told by their first bytes; progress ends at the size of the file."""
    path = tmp_path / name
    path.write_bytes(content)
    steps: list[WarmProgress] = []

    report = warm(endpoint, path, app="a", progress=steps.append)

    assert (report.loaded, report.rejected) == (200, 0)
    assert stored(wire, "a:metadata:k199").payload == b'{"n":199}'
    assert steps[-1].read == path.stat().st_size == steps[-1].size


@pytest.mark.parametrize("name", ["entries.csv", "entries.txt", "entries.csv.gz"])
async def test_csv_is_told_by_its_name_or_its_columns(
    client: ValkeyClient, endpoint: Endpoint, tmp_path: Path, name: str
) -> None:
    """Its values are text, unless they are said to be JSON."""
    path = tmp_path / name
    text = b'id,namespace,value,tags\nk,metadata,"[1,\n2]",t\n'
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    cache = CacheService(client, app="a", budget=5.0)

    warm(endpoint, path, app="a")
    as_text = await cache.get("metadata", "k")
    warm(endpoint, path, app="a", options=WarmOptions(json_values=True, replace=True))

    assert as_text == "[1,\n2]"
    assert await cache.get("metadata", "k") == [1, 2]


def test_an_export_comes_back_as_it_was(endpoint: Endpoint, wire: Wire) -> None:
    """Values, ages and lives, bytes of every encoding; another key is named."""
    content = export(
        entry("text", b'"caf\\u00e9"', tags=("t",)),
        entry("json", b'{"a": [1, 2.5]}', fresh_ms=500, cost_ms=7),
        entry("raw", data=b"\0\xff", encoding="bytes"),
        entry("broken", data=b"\xc1", encoding="msgpack"),
        ExportLine(key="queue", type="list", items=["a"]),
        entry("last", ttl_ms=None),
        entry("bad", b"1e999"),
    )

    report = warm(endpoint, io.BytesIO(content), app="b", options=WarmOptions(verify=True))

    assert (report.loaded, report.verified, report.mismatched) == (4, 4, 0)
    assert [reject.line for reject in report.rejects] == [5, 6, 8]
    assert "keys import" in report.rejects[1].reason
    assert stored(wire, "b:metadata:text").payload == "café".encode()
    aged = stored(wire, "b:metadata:json")
    assert (aged.created_ms, aged.fresh_ms, aged.cost_ms) == (1_000, 500, 7)
    assert stored(wire, "b:metadata:raw").payload == b"\0\xff"
    assert 0 < int(str(wire.call("PTTL", "b:metadata:text"))) <= 60_000
    assert wire.call("PTTL", "b:metadata:last") == -1


def test_entries_of_another_application_are_named(endpoint: Endpoint) -> None:
    """In an export of all of them, each line says whose it is."""
    content = export(entry("k", app="a"), entry("l", app="other"), app=None)

    report = warm(endpoint, io.BytesIO(content), app="a")

    assert report.loaded == 1
    assert "another application, 'other'" in report.rejects[0].reason


async def test_what_is_fresh_is_skipped_and_counted(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """A second run loads what was invalidated meanwhile, or all of it when asked to."""
    cache = CacheService(client, app="a", budget=5.0)
    await cache.set("metadata", "k7", "application")

    first = warm(endpoint, io.BytesIO(ENTRIES), app="a")
    second = warm(endpoint, io.BytesIO(ENTRIES), app="a", options=WarmOptions(verify=True))
    kept = await cache.get("metadata", "k7")
    await cache.invalidate("metadata")
    third = warm(endpoint, io.BytesIO(ENTRIES), app="a")
    fourth = warm(endpoint, io.BytesIO(ENTRIES), app="a", options=WarmOptions(replace=True))

    counts = [(run.loaded, run.skipped) for run in (first, second, third, fourth)]
    assert counts == [(199, 1), (0, 200), (200, 0), (200, 0)]
    assert (second.verified, second.bytes, kept) == (0, 0, "application")


def test_reading_back_names_the_lines(
    endpoint: Endpoint, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries that are gone when they are looked for, as evicted ones are."""

    class Robbed(BulkWriter):
        def settle(self, posted: Posted) -> Written:
            written = super().settle(posted)
            wire.call("UNLINK", "a:metadata:k3", "a:metadata:k4")
            return written

    monkeypatch.setattr(warm_module, "BulkWriter", Robbed)

    report = warm(endpoint, io.BytesIO(ENTRIES), app="a", options=WarmOptions(verify=True))

    gone = "the entry is not there any more: it expired, was evicted or deleted"
    assert (report.loaded, report.verified, report.mismatched) == (200, 198, 2)
    assert report.mismatches == (Mismatch(4, gone), Mismatch(5, gone))


def test_a_rate_is_kept(endpoint: Endpoint) -> None:
    """Two hundred entries at a hundred a second take two seconds, evenly."""
    clock = Clock()
    steps: list[int] = []

    report = warm(
        endpoint,
        io.BytesIO(ENTRIES),
        app="a",
        options=WarmOptions(rate=100),
        clock=clock,
        sleep=clock.sleep,
        progress=lambda at: steps.append(at.loaded),
    )

    assert steps == list(range(5, 201, 5))
    assert round(report.seconds, 3) == 1.95


@pytest.mark.parametrize("form", [Format.JSON, Format.CSV, Format.EXPORT])
def test_a_line_past_the_end_is_an_error(endpoint: Endpoint, form: Format) -> None:
    """And not an empty success."""
    content = {
        Format.JSON: ENTRIES[:120],
        Format.CSV: b"namespace,id,value\nmetadata,k,v\n",
        Format.EXPORT: export(),
    }[form]

    with pytest.raises(UsageError, match="has 2 lines, and line 3 is past its end"):
        warm(endpoint, io.BytesIO(content), app="a", options=WarmOptions(from_line=3))


def test_a_resumed_export_goes_on_at_its_line(endpoint: Endpoint) -> None:
    """Its first line is still read, for it says what the others are."""
    content = export(*(entry(f"k{n}") for n in range(10)))

    report = warm(endpoint, io.BytesIO(content), app="a", options=WarmOptions(from_line=6))

    assert report.loaded == 6


def test_a_file_that_is_damaged_leaves_a_part(endpoint: Endpoint, tmp_path: Path) -> None:
    """What is whole of it is loaded, and the command to go on with the mended file named."""
    noise = b"".join(
        b'{"namespace":"metadata","id":"k%d","value":"%b","ttl":60}\n'
        % (n, os.urandom(99).hex().encode())
        for n in range(9_000)
    )
    path = tmp_path / "entries.gz"
    path.write_bytes(gzip.compress(noise)[:-500])

    with pytest.raises(PartialError, match="is damaged or cut off") as caught:
        warm(endpoint, path, app="a", options=WarmOptions(replace=True, verify=True, rate=1e9))

    assert "--replace --verify --rate 1e+09 --from-line" in str(caught.value.hint)


def test_a_full_disk_for_the_rejects_leaves_a_part(endpoint: Endpoint, tmp_path: Path) -> None:
    """The entries before it are loaded, and counted."""
    content = ENTRIES + b"{\n" * 10
    full = tmp_path / "full"  # a link, so that no mistake of ours can remove the device
    full.symlink_to("/dev/full")

    with pytest.raises(PartialError, match=r"rejects file .*No space") as caught:
        warm(
            endpoint,
            io.BytesIO(content),
            app="a",
            options=WarmOptions(batch=100, rejects_file=full),
        )

    assert "200 entries are loaded" in str(caught.value)
    assert full.is_symlink()


def test_rejects_that_go_to_no_file_leave_it_as_it_is(endpoint: Endpoint, tmp_path: Path) -> None:
    """A pipe has no size either, and is neither removed nor closed to others."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o622)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    warm(endpoint, io.BytesIO(ENTRIES), app="a", options=WarmOptions(rejects_file=pipe))
    os.close(reader)

    assert pipe.is_fifo()
    assert pipe.stat().st_mode & 0o777 == 0o622


@pytest.mark.slow
async def test_a_cluster_gets_each_entry_where_it_belongs(cluster: ClusterDeployment) -> None:
    """All primaries get their part, and the library reads all of it."""
    documents = [
        {"namespace": "metadata", "id": f"k{n}", "value": n, "tags": ["t"]} for n in range(2_000)
    ]
    content = "\n".join(map(json.dumps, documents)).encode()

    async with ValkeyClient(cluster.endpoint) as client:
        cache = CacheService(client, app="c", budget=5.0)
        await cache.set("metadata", "k5", "application")
        options = WarmOptions(verify=True)
        report = warm(cluster.endpoint, io.BytesIO(content), app="c", options=options)
        found = await cache.get_many("metadata", [f"k{n}" for n in range(2_000)])
        await cache.invalidate_tag("t")
        assert await cache.get_many("metadata", ["k1", "k2", "k1999"]) == {}
        again = warm(cluster.endpoint, io.BytesIO(content), app="c", options=options)

    assert (report.loaded, report.skipped, report.verified) == (1_999, 1, 1_999)
    assert found == {f"k{n}": n for n in range(2_000)} | {"k5": "application"}
    assert (again.loaded, again.skipped, again.mismatched) == (1_999, 1, 0)


@pytest.mark.slow
def test_a_slot_that_moves_is_one_clear_sentence(cluster: ClusterDeployment) -> None:
    """With the slot map of before; the next run asks for the new one."""
    key = KeyScheme("m", shards=64).place("metadata", "k1").key
    slot = int(str(cluster.owner(0).call("CLUSTER", "KEYSLOT", key)))
    source = cluster.owner(slot)
    target = next(
        cluster.owner(other) for other in range(0, 16384, 500) if cluster.owner(other) != source
    )
    content = b"".join(
        b'{"namespace":"metadata","id":"k1","value":%d,"ttl":60}\n' % n for n in range(90)
    )

    def move(step: WarmProgress) -> None:
        if step.line == 10:
            cluster.begin_move(slot, source, target)
            cluster.move_keys(slot, source, target)
            cluster.end_move(slot, source, target)

    with pytest.raises((PartialError, ServerReplyError), match="moved slots meanwhile"):
        warm(
            cluster.endpoint,
            io.BytesIO(content),
            app="m",
            options=WarmOptions(batch=10, replace=True),
            progress=move,
        )
    report = warm(cluster.endpoint, io.BytesIO(content), app="m")

    assert report.loaded + report.skipped == 90


def test_an_id_that_stands_twice_is_no_difference(endpoint: Endpoint) -> None:
    """Even if the two lines are in neighbouring batches: each is read back at its time."""
    content = b"".join(
        b'{"namespace":"metadata","id":"k","value":%d,"ttl":60}\n' % n for n in range(50)
    )

    report = warm(
        endpoint,
        io.BytesIO(content),
        app="a",
        options=WarmOptions(batch=3, replace=True, verify=True),
    )

    assert (report.loaded, report.mismatched) == (50, 0)
