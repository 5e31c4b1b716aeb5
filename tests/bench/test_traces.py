"""Published trace formats, and what is said of a line that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from valkeyctl.bench.traces import AZURE_HEADER, read_trace
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
    ],
)
def test_a_bad_line_is_named_by_file_and_number(
    tmp_path: Path, lines: list[str], number: int, words: str
) -> None:
    """Whoever made the file can find the line."""
    path = tmp_path / "bad"
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(UsageError, match=rf"bad:{number}: .*{words}"):
        list(read_trace(path))


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
