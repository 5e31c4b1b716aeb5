"""Published trace formats, and what is said of a line that is none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from valkeyctl.bench.traffic.traces import (
    AZURE_HEADER,
    Access,
    read_accesses,
    read_keys,
    read_trace,
)
from valkeyctl.errors import FolderError, UsageError

MOONCAKE = {"timestamp": 1500, "input_length": 10, "output_length": 2, "hash_ids": [0, 7]}


def test_mooncake_rows_are_read_as_published(tmp_path: Path) -> None:
    """Milliseconds become seconds after the first arrival; equal blocks are equal prompts."""
    path = tmp_path / "t.jsonl"
    rows = [MOONCAKE, {**MOONCAKE, "timestamp": 1750, "output_length": 9}]
    rows.append({**MOONCAKE, "timestamp": 1750, "hash_ids": [0, 77]})
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")

    first, second, third = read_trace(path)

    assert (first.arrival, second.arrival, third.arrival) == (0.0, 0.25, 0.25)
    assert (second.input_tokens, second.output_tokens) == (10, 9)
    assert first.identity == second.identity != third.identity


def test_blocks_are_not_run_together(tmp_path: Path) -> None:
    """[1, 23] and [12, 3] are different prompts."""
    path = tmp_path / "t.jsonl"
    rows = [{**MOONCAKE, "hash_ids": ids} for ids in ([1, 23], [12, 3], [123])]
    path.write_text("\n".join(json.dumps(row) for row in rows))

    assert len({record.identity for record in read_trace(path)}) == 3


def test_azure_rows_are_read_as_published(tmp_path: Path) -> None:
    """Seven digits of a second, Windows line ends, no end of line at the end."""
    path = tmp_path / "a.csv"
    path.write_bytes(
        f"{AZURE_HEADER}\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
        "2023-11-16 18:16:00.0000001,3,1".encode()
    )

    first, second = read_trace(path)

    assert (first.input_tokens, first.output_tokens, first.identity) == (374, 44, None)
    assert second.arrival == pytest.approx(13.3194101, abs=1e-6)


@pytest.mark.parametrize(
    ("lines", "number", "words"),
    [
        (['{"timestamp": 1'], 1, "is not JSON"),
        ([json.dumps(MOONCAKE), "[]"], 2, "not a JSON object"),
        ([json.dumps(MOONCAKE), '{"timestamp": 1}'], 2, "has no hash_ids"),
        ([json.dumps({**MOONCAKE, "hash_ids": "x"})], 1, "hash_ids"),
        ([json.dumps({**MOONCAKE, "hash_ids": [True]})], 1, "hash_ids"),
        ([json.dumps({**MOONCAKE, "timestamp": "now"})], 1, "timestamp"),
        ([json.dumps({**MOONCAKE, "output_length": -1})], 1, "tokens"),
        ([json.dumps(MOONCAKE), json.dumps({**MOONCAKE, "timestamp": 1})], 2, "before"),
        ([AZURE_HEADER, "2023-11-16 18:15:46.68,1"], 2, "2 fields"),
        ([AZURE_HEADER, "yesterday,1,2"], 2, "yesterday"),
        ([AZURE_HEADER, "2023-11-16 18:15:46.6x,1,2"], 2, "is no time"),
        ([AZURE_HEADER, "2023-11-16 18:15:46.6,1,two"], 2, "two"),
        (["a,b,c"], 1, "no known trace format"),
        (["size"], 1, "names neither a time nor a key"),
        (["time,time_ms"], 1, "names two times: time, time_ms"),
        (["key,key"], 1, "names key twice"),
        (["time,key", "1"], 2, "has 1 fields instead of 2"),
        (["time,key", "1,"], 2, "the key '' is not 1 to 512"),
        (["key", "a\tb"], 2, "printable"),
        (["key", "x" * 513], 2, "printable"),
        (["time,key", "soon,a"], 2, "time 'soon' is no time"),
        (["time", "20260131T000000."], 2, "is no time"),
        (["time", "nan"], 2, "out of range"),
        (["time", "1e999"], 2, "out of range"),
        (["time_ms", "2026-01-01T00:00:00"], 2, "is no number"),
        (["time,size", "1,-5"], 2, "size '-5' is no whole number"),
        (["time,size", "1,99999999999999"], 2, "is no whole number"),
        (['{"size": 5}'], 1, "names neither a time nor a key"),
        (['{"key": "a"}', '{"size": 5, "key": true}'], 2, "key is neither text nor"),
        (['{"time": 1}', '{"key": 1}'], 2, "has no time"),
        (['{"time": 1}', '{"time": [1]}'], 2, "neither a number nor a stamp"),
        (['{"time": 1}', '{"time": 1, "size": 1.5}'], 2, "size is not a whole number"),
        (["[" * 100_000], 1, "no known trace format"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(
    tmp_path: Path, lines: list[str], number: int, words: str
) -> None:
    """Whoever made the file can find the line."""
    path = tmp_path / "bad"
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(UsageError, match=rf"bad:{number}: .*{words}"):
        list(read_accesses(path) if "key" in lines[0] else read_trace(path))


def test_an_empty_a_binary_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    """Each in its own words."""
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text(f"{AZURE_HEADER}\n")
    binary.write_bytes(b"{\xff\xfe")

    with pytest.raises(UsageError, match="holds no request"):
        list(read_trace(empty))
    with pytest.raises(UsageError, match="is not text"):
        list(read_trace(binary))
    with pytest.raises(FolderError, match="No such file"):
        list(read_trace(tmp_path / "none"))


@pytest.mark.parametrize(
    ("header", "times"),
    [
        ("time", ["10", "10.5", "11"]),
        ("Timestamp", ["10", "10.5", "11"]),
        ("time_s", ["10", "10.5", "11"]),
        ("time_ms", ["10000", "10500", "11000"]),
        ("timestamp_us", ["1e7", "1.05e7", "1.1e7"]),
        ("time_ns", ["10000000000", "10500000000", "11000000000"]),
        ("time", ["2026-01-31T12:00:00", "2026-01-31 12:00:00.5000000", "2026-01-31T12:00:01"]),
        (
            "timestamp",
            ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00.5+01:00", "2026-01-31T12:00:01.0Z"],
        ),
    ],
)
def test_times_of_a_csv_are_in_the_unit_that_its_header_says(
    tmp_path: Path, header: str, times: list[str]
) -> None:
    """Seconds, parts of them, or stamps; other columns are left alone."""
    path = tmp_path / "t.csv"
    path.write_text(f"client,{header}\n" + "".join(f"x,{time}\n" for time in times))

    found = list(read_trace(path))

    assert [one.arrival for one in found] == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)
    assert found[0].identity is None


def test_a_csv_says_keys_and_sizes(tmp_path: Path) -> None:
    """Quoted where they hold commas, and empty where nothing is known."""
    path = tmp_path / "t.csv"
    path.write_text(
        'time,key,size,output_tokens,input_tokens\n1,"a,b",5,6,7\n2,c,,,\n2,"a,b",1,1,1\n'
    )

    first, second, third = read_trace(path)

    assert first.sizes() == {"size": 5, "output_tokens": 6, "input_tokens": 7}
    assert (first.identity, third.identity, second.sizes()) == ("a,b", "a,b", {})


def test_json_lines_say_the_same_as_a_csv(tmp_path: Path) -> None:
    """By the same names; a number may be a key."""
    path = tmp_path / "t.jsonl"
    rows = [{"time": 1, "key": 5, "size": 9}, {"time": "1.5", "key": "5", "other": []}]
    path.write_text("\n".join(map(json.dumps, rows)))

    first, second = read_trace(path)

    assert (first.identity, first.size, second.identity) == ("5", 9, "5")
    assert (first.arrival, second.arrival) == (0.0, 0.5)


def test_a_packed_trace_is_read_as_it_is(tmp_path: Path) -> None:
    """By its first bytes, whatever it is called; a damaged one is said."""
    path = tmp_path / "packed"
    packed = gzip.compress(("time,key\n" + "1,a\n" * 2000).encode())
    path.write_bytes(packed)

    assert sum(1 for _ in read_trace(path)) == 2000
    for damaged in (packed[:-12], packed[:20] + b"\xff" * 9 + packed[29:], packed[:3]):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match="is damaged"):
            list(read_trace(path))


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    """A device, or a file that is none of ours, must not fill the memory."""
    with pytest.raises(UsageError, match="a line of more than 8,388,608 bytes"):
        list(read_trace(Path("/dev/zero")))


def test_times_must_be_in_every_line_or_in_none(tmp_path: Path) -> None:
    """Half of a schedule is none."""
    path = tmp_path / "t.csv"
    path.write_text("key\na\n")

    with pytest.raises(UsageError, match="has no time, so nothing says when"):
        list(read_trace(path))
    assert [one.identity for one in read_keys(path)] == ["a"]


def test_accesses_are_requests_or_their_blocks(tmp_path: Path) -> None:
    """A cache of answers sees the whole prompt, one of contexts each block of it."""
    path = tmp_path / "t.jsonl"
    rows = [MOONCAKE, {**MOONCAKE, "timestamp": 2500, "hash_ids": [0]}]
    path.write_text("\n".join(json.dumps(row) for row in rows))

    requests = list(read_accesses(path))
    blocks = list(read_accesses(path, view="blocks"))

    assert [(one.time, one.size) for one in requests] == [(0.0, None), (1.0, None)]
    assert requests[0].key != requests[1].key
    assert blocks == [Access(0.0, "0", None), Access(0.0, "7", None), Access(1.0, "0", None)]


def test_accesses_need_keys_or_blocks(tmp_path: Path) -> None:
    """And a view that there is."""
    path = tmp_path / "t.csv"
    path.write_text("key,size\na,5\n")

    assert list(read_accesses(path)) == [Access(None, "a", 5)]
    with pytest.raises(UsageError, match=r"t\.csv:2: has no blocks"):
        list(read_accesses(path, view="blocks"))
    with pytest.raises(UsageError, match="the view is 'prompts'"):
        list(read_accesses(path, view="prompts"))  # type: ignore[arg-type]
    path.write_text("time\n1\n")
    with pytest.raises(UsageError, match="no hit ratio can come from it"):
        list(read_accesses(path))
