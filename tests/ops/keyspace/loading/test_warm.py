"""Loading a file: what is right is readable, what is wrong is named, nothing is lost."""

from __future__ import annotations

import io
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.conftest import start_server
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import AES_GCM, ALWAYS_FRESH, ZSTD, Envelope
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    FolderError,
    InvalidKeyError,
    MissingError,
    PartialError,
    ServerReplyError,
    UnreachableError,
    UsageError,
)
from valkeyctl.ops.keyspace.counting.stats import stats
from valkeyctl.ops.keyspace.loading import batches as batches_module
from valkeyctl.ops.keyspace.loading import warm as warm_module
from valkeyctl.ops.keyspace.loading.rejects import Reject
from valkeyctl.ops.keyspace.loading.warm import WarmOptions, WarmProgress, warm


def lines(*documents: object) -> io.BytesIO:
    """Return a stream of JSON lines; bytes stay as they are."""
    return io.BytesIO(
        b"".join(
            (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n"
            for document in documents
        )
    )


def record(number: int, **more: object) -> dict[str, object]:
    """Return the document of a line."""
    return {"namespace": "metadata", "id": f"k{number}", "value": {"n": number}, **more}


class Stream(io.BytesIO):
    """A stream that calls back after so many lines were read."""

    def __init__(self, documents: Iterable[object], after: int, then: object) -> None:
        super().__init__(lines(*documents).getvalue())
        self._left = after
        self._then = then

    def read1(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left == 0 and callable(self._then):
            self._then()
        return super().readline(size)


@pytest.fixture
def full_server(wire: Wire) -> Iterator[None]:
    """The server takes no more data."""
    wire.call("CONFIG", "SET", "maxmemory", 1)
    yield
    wire.call("CONFIG", "SET", "maxmemory", 0)


async def test_what_was_loaded_is_read_by_the_library(
    client: ValkeyClient, endpoint: Endpoint
) -> None:
    """Every kind of JSON value comes back equal, under its tags and its ttl."""
    values = ["text", 7, 2.5, None, True, [1, "two"], {"deep": [{"er": "ü"}]}, "\ud800", 2**70, ""]
    source = lines(
        *(
            {"namespace": "metadata", "id": f"k{n}", "value": value}
            for n, value in enumerate(values)
        ),
        {"namespace": "response", "id": "tagged", "value": 1, "ttl": 50, "tags": ["a", "b"]},
    )
    cache = CacheService(client, app="opencode", budget=5.0)

    report = warm(endpoint, source, app="opencode")

    assert (report.loaded, report.rejected, report.rejects) == (len(values) + 1, 0, ())
    missing = object()
    found = [await cache.get("metadata", f"k{n}", missing) for n in range(len(values))]
    assert found == values
    assert await cache.get("response", "tagged") == 1
    await cache.invalidate_tag("b")
    assert await cache.get("response", "tagged") is None
    await cache.invalidate("metadata")
    assert await cache.get("metadata", "k0") is None


async def test_policies_say_how_entries_lie_there(
    client: ValkeyClient, endpoint: Endpoint, wire: Wire
) -> None:
    """Compressed, encrypted and with grace, as the library would have written them."""
    policies = {
        "small": NamespacePolicy(100, jitter=0, compress_over=100, stale=50),
        "secret": NamespacePolicy(100, encrypt=True),
    }
    ring = KeyRing({1: bytes(32)}, 1)
    documents = [
        {"namespace": name, "id": "k", "value": "word " * 100, "tags": ["t"]} for name in policies
    ]
    cache = CacheService(client, app="opencode", policies=policies, keyring=ring, budget=5.0)

    with pytest.raises(UsageError, match="there are no keys"):
        warm(endpoint, lines(*documents), app="opencode", policies=policies)
    report = warm(endpoint, lines(*documents), app="opencode", policies=policies, keyring=ring)

    assert report.loaded == 2
    for name, flags, fresh_ms in (("small", ZSTD, 100_000), ("secret", AES_GCM, ALWAYS_FRESH)):
        stored = Envelope.unpack(wire.call("GET", f"opencode:{name}:k"))  # type: ignore[arg-type]
        assert (stored.flags, stored.fresh_ms) == (flags, fresh_ms)
        assert await cache.get(name, "k") == "word " * 100
    assert 140_000 < int(str(wire.call("PTTL", "opencode:small:k"))) <= 150_000


async def test_it_adds_to_what_the_library_wrote(client: ValkeyClient, endpoint: Endpoint) -> None:
    """A warm-up takes over the version of the namespace; no older entry turns stale."""
    cache = CacheService(client, app="opencode", budget=5.0)
    await cache.set("metadata", "before", 1, ttl=60, tags=["models"])

    warm(endpoint, lines(record(1, tags=["models"])), app="opencode")
    await cache.set("metadata", "after", 2)

    found = await cache.get_many("metadata", ["before", "k1", "after"])
    assert found == {"before": 1, "k1": {"n": 1}, "after": 2}


def test_lives_follow_the_line_or_else_the_policy(endpoint: Endpoint, wire: Wire) -> None:
    """A ttl of the line is kept as it is, a policy's is jittered, versions outlive both."""
    policies = {"mine": NamespacePolicy(1000, jitter=0.1)}
    documents = [{"namespace": "mine", "id": f"k{n}", "value": 1} for n in range(50)]
    documents.append({"namespace": "mine", "id": "own", "value": 1, "ttl": "2h"})

    warm(endpoint, lines(*documents), app="a", policies=policies)

    lives = [int(str(wire.call("PTTL", f"a:mine:k{n}"))) for n in range(50)]
    own, version = (int(str(wire.call("PTTL", key))) for key in ("a:mine:own", "a:~version:mine"))
    assert all(895_000 < life <= 1_000_000 for life in lives)
    assert len(set(lives)) > 25
    assert 7_190_000 < own <= 7_200_000
    assert version > own
    assert stats(endpoint).total.without_expiry == 0


def test_a_version_that_is_about_to_end_is_prolonged(endpoint: Endpoint, wire: Wire) -> None:
    """Or the entries just loaded would turn stale with it."""
    wire.call("SET", "a:~version:metadata", b"v" * 16, "PX", 500)
    wire.call("SET", "a:~tag:t", b"t" * 16, "PX", 500)

    warm(endpoint, lines(record(1, ttl=100, tags=["t"])), app="a")

    assert wire.call("GET", "a:~version:metadata") == b"v" * 16
    assert all(
        int(str(wire.call("PTTL", key))) > 100_000 for key in ("a:~version:metadata", "a:~tag:t")
    )


def test_wrong_lines_are_named_and_the_rest_is_loaded(
    endpoint: Endpoint, wire: Wire, tmp_path: Path
) -> None:
    """Number and reason of each, the text of all in a file for its owner alone."""
    source = lines(
        record(1),
        b"{broken",
        b"",
        record(2, ttl=-1),
        {"namespace": "No", "id": "k", "value": 1},
        {"namespace": "unknown", "id": "k", "value": 1},
        {"namespace": "metadata", "id": "with space", "value": 1},
        record(3, tags=[""]),
        record(4, tags=[str(number) for number in range(33)]),
        b"\xff\x1b",
        record(5),
    )
    rejects_file = tmp_path / "rejects.jsonl"

    report = warm(endpoint, source, app="opencode", options=WarmOptions(rejects_file=rejects_file))

    assert (report.loaded, report.rejected) == (2, 8)
    assert [reject.line for reject in report.rejects] == [2, 4, 5, 6, 7, 8, 9, 10]
    reasons = {reject.line: reject.reason for reject in report.rejects}
    assert reasons[2].startswith("not JSON at character 2")
    assert "no policy and no ttl" in reasons[6]
    assert "33 tags are more than 32" in reasons[9]
    assert all("\x1b" not in reason for reason in reasons.values())
    assert report.rejects_file == rejects_file
    assert stat.S_IMODE(rejects_file.stat().st_mode) == 0o600
    written = [json.loads(line) for line in rejects_file.read_bytes().splitlines()]
    assert [line["line"] for line in written] == list(reasons)
    assert [line["text"] for line in written[:1]] == ["{broken"]
    assert wire.call("EXISTS", "opencode:metadata:k1", "opencode:metadata:k5") == 2


def test_only_the_first_rejects_are_kept_in_memory(endpoint: Endpoint, tmp_path: Path) -> None:
    """Twenty to show, all of them counted and in the file."""
    rejects_file = tmp_path / "rejects.jsonl"

    report = warm(
        endpoint,
        lines(*[b"{"] * 500),
        app="a",
        options=WarmOptions(batch=7, rejects_file=rejects_file),
    )

    assert (report.loaded, report.rejected, len(report.rejects)) == (0, 500, 20)
    assert report.rejects[-1] == Reject(20, report.rejects[0].reason)
    assert len(rejects_file.read_bytes().splitlines()) == 500


def test_a_run_without_rejects_leaves_no_file(endpoint: Endpoint, tmp_path: Path) -> None:
    """Nor one of an earlier run, which would look like this one's."""
    rejects_file = tmp_path / "rejects.jsonl"
    rejects_file.write_text("of before\n")

    report = warm(
        endpoint, lines(record(1)), app="a", options=WarmOptions(rejects_file=rejects_file)
    )

    assert report.rejects_file is None
    assert not rejects_file.exists()


def test_too_long_a_line_and_too_large_a_value_are_refused(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs itself alone, and no more memory than the bound."""
    monkeypatch.setattr(batches_module, "LONGEST_LINE", 2048)
    monkeypatch.setattr(warm_module, "LARGEST_VALUE", 1024)
    source = lines(record(1, value="x" * 5000), record(2, value="x" * 1500), record(3))

    report = warm(endpoint, source, app="a")

    assert report.loaded == 1
    assert [reject.reason for reject in report.rejects] == [
        "longer than 2.0 KiB",
        "the value of 1.5 KiB is larger than 1.0 KiB",
    ]


def test_many_lines_are_loaded_and_reported(endpoint: Endpoint, tmp_path: Path) -> None:
    """Twenty thousand lines of a file: counts, bytes and progress are exact."""
    path = tmp_path / "entries.jsonl"
    path.write_bytes(lines(*(record(number) for number in range(20_000))).getvalue())
    steps: list[WarmProgress] = []

    report = warm(endpoint, path, app="a", progress=steps.append)

    found = stats(endpoint, "a")
    assert report.loaded == 20_000 == found.namespaces[0].keys
    assert [step.read for step in steps] == sorted(step.read for step in steps)
    assert all(step.line == step.loaded for step in steps)
    assert len(steps) > 1
    assert steps[-1] == WarmProgress(20_000, 20_000, 0, 0, path.stat().st_size, path.stat().st_size)
    assert 0 < report.bytes < found.namespaces[0].memory_bytes


def test_large_values_are_sent_before_they_pile_up(endpoint: Endpoint) -> None:
    """A batch is bounded by bytes as well as by lines."""
    steps: list[WarmProgress] = []
    documents = [record(number, value="x" * 200_000) for number in range(6)]

    warm(endpoint, lines(*documents), app="a", progress=steps.append)

    assert len(steps) > 3
    assert steps[-1].loaded == 6


def test_an_empty_source_loads_nothing(endpoint: Endpoint) -> None:
    """Which is no failure."""
    report = warm(endpoint, lines(b"", b"  "), app="a")

    assert (report.loaded, report.rejected, report.bytes) == (0, 0, 0)


def test_a_server_that_goes_away_leaves_a_resumable_part(tmp_path: Path) -> None:
    """The message says what is loaded, and the command it names loads the rest, once."""
    process, endpoint = start_server(tmp_path)
    path = tmp_path / "some entries.jsonl"
    documents = [b"{wrong" if number == 150 else record(number) for number in range(1_000)]
    path.write_bytes(lines(*documents).getvalue())
    rejects_file = tmp_path / "rejects.jsonl"

    def kill(step: WarmProgress) -> None:
        if step.line == 200:
            process.kill()
            process.wait()

    try:
        with pytest.raises(PartialError) as caught:
            warm(
                endpoint,
                path,
                app="a",
                progress=kill,
                options=WarmOptions(batch=100, rejects_file=rejects_file),
            )
        process, endpoint = start_server(tmp_path)
        told = re.search(r"after line (\d+) \(.*; (\d+) entries are loaded", str(caught.value))
        assert told is not None
        last, loaded = map(int, told.groups())
        report = warm(
            endpoint,
            path,
            app="a",
            options=WarmOptions(batch=100, rejects_file=rejects_file, from_line=last + 1),
        )
    finally:
        process.kill()
        process.wait()

    # What was on its way may have been answered before the server was gone.
    assert last in range(200, 600, 100)
    assert loaded == last - 1
    assert caught.value.hint is not None
    assert f"keys warm '{path}' --app a --rejects {rejects_file}" in caught.value.hint
    assert caught.value.hint.endswith(f"--from-line {last + 1}")
    assert report.loaded == 1_000 - last


def test_an_interrupted_warm_up_can_go_on(endpoint: Endpoint) -> None:
    """Ctrl-C between two lines: what is confirmed is counted, the rest is named."""
    documents = [record(number) for number in range(100)]

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(PartialError) as caught:
        warm(endpoint, Stream(documents, 36, interrupt), app="a")
    report = warm(endpoint, lines(*documents), app="a", options=WarmOptions(from_line=36))

    assert "after line 35 (interrupted); 35 entries are loaded" in str(caught.value)
    assert str(caught.value.hint).endswith("valkeyctl keys warm - --app a --from-line 36")
    assert report.loaded == 65
    assert stats(endpoint, "a").namespaces[0].keys == 100


def test_an_interrupt_before_anything_is_loaded_is_no_part(endpoint: Endpoint) -> None:
    """There is nothing to resume."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warm(endpoint, Stream([record(1)], 1, interrupt), app="a")


def test_a_resumed_run_goes_on_with_its_rejects(endpoint: Endpoint, tmp_path: Path) -> None:
    """Line numbers stay those of the file, and no line is in the rejects twice."""
    rejects_file = tmp_path / "rejects.jsonl"
    documents = [b"{", record(1), b"{", record(2), b"{", b"{", record(3)]

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(PartialError, match="after line 6"):
        warm(
            endpoint,
            Stream(documents, 7, interrupt),
            app="a",
            options=WarmOptions(rejects_file=rejects_file),
        )
    report = warm(
        endpoint,
        lines(*documents),
        app="a",
        options=WarmOptions(from_line=7, rejects_file=rejects_file),
    )

    written = [json.loads(line)["line"] for line in rejects_file.read_bytes().splitlines()]
    assert written == [1, 3, 5, 6]
    assert (report.loaded, report.rejected) == (1, 0)


def test_a_full_server_is_a_sentence(endpoint: Endpoint, full_server: None) -> None:
    """Its own, with what to do; nothing was loaded, so it is no part."""
    with pytest.raises(ServerReplyError, match="OOM") as caught:
        warm(endpoint, lines(record(1, tags=["t"])), app="a")

    assert "maxmemory" in str(caught.value.hint)


def test_a_version_that_is_none_is_made_anew(endpoint: Endpoint, wire: Wire) -> None:
    """Other than 16 bytes would shift the layout of the entries under it."""
    wire.call("SET", "a:~version:metadata", b"short")
    wire.call("SET", "a:~tag:t", b"")

    warm(endpoint, lines(record(1, tags=["t"])), app="a")

    versions = [wire.call("GET", key) for key in ("a:~version:metadata", "a:~tag:t")]
    stored = Envelope.unpack(wire.call("GET", "a:metadata:k1"))  # type: ignore[arg-type]
    assert [stored.version, *(version for _, version in stored.tags)] == versions
    assert [len(version) for version in versions if isinstance(version, bytes)] == [16, 16]
    assert stats(endpoint).total.without_expiry == 0


def test_a_server_that_fills_up_leaves_a_part(endpoint: Endpoint, wire: Wire) -> None:
    """What is loaded until then stays, and is counted."""

    def fill(step: WarmProgress) -> None:
        wire.call("CONFIG", "SET", "maxmemory", 1)

    try:
        with pytest.raises(PartialError, match=r"after line ([234]0) .*OOM.* \1 entries"):
            warm(
                endpoint,
                lines(*(record(n) for n in range(50))),
                app="a",
                progress=fill,
                options=WarmOptions(batch=10),
            )
    finally:
        wire.call("CONFIG", "SET", "maxmemory", 0)


def test_what_cannot_start_is_one_sentence(endpoint: Endpoint, tmp_path: Path) -> None:
    """Wrong numbers, names, files and servers, each with nothing loaded."""
    path = tmp_path / "entries.jsonl"
    path.write_bytes(lines(record(1)).getvalue())

    with pytest.raises(UsageError, match="batch is 1 or more, not 0"):
        warm(endpoint, path, app="a", options=WarmOptions(batch=0))
    with pytest.raises(UsageError, match="from_line is 1 or more"):
        warm(endpoint, path, app="a", options=WarmOptions(from_line=0))
    with pytest.raises(InvalidKeyError):
        warm(endpoint, path, app="not an app")
    with pytest.raises(MissingError, match=r"no file .*gone\.jsonl"):
        warm(endpoint, tmp_path / "gone.jsonl", app="a")
    with pytest.raises(FolderError, match="cannot be read"):
        warm(endpoint, tmp_path, app="a")
    with pytest.raises(FolderError, match="rejects file"):
        warm(endpoint, path, app="a", options=WarmOptions(rejects_file=tmp_path / "no" / "folder"))
    with pytest.raises(UsageError, match="would overwrite"):
        warm(endpoint, path, app="a", options=WarmOptions(rejects_file=path))
    with pytest.raises(UnreachableError):
        warm(Endpoint(port=1), path, app="a")

    assert path.read_bytes() == lines(record(1)).getvalue()
    assert stats(endpoint).total.keys == 0


def test_a_pipe_is_a_source(endpoint: Endpoint) -> None:
    """Standard input has no size and cannot be read twice."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb") as sink:
        sink.write(lines(record(1), record(2)).getvalue())
        sink.close()

        report = warm(endpoint, source, app="a")

    assert report.loaded == 2
