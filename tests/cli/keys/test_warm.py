"""What `keys warm` takes, prints and ends with."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Run
from valkeyctl.endpoint import Endpoint

GOOD = '{"namespace":"metadata","id":"k1","value":1}\n'


@pytest.fixture
def url(endpoint: Endpoint) -> str:
    """Where the emptied server is."""
    return f"redis://{endpoint.address}"


def test_what_was_skipped_and_read_back_is_told(ctl: Run, home: Path, url: str) -> None:
    """A line each, and only for what there is."""
    (home / "e.jsonl").write_text(GOOD)
    words = ("keys", "warm", "e.jsonl", "--url", url, "--verify")

    first, again = ctl(*words), ctl(*words)

    assert (first.status, again.status) == (0, 0)
    assert first.out.startswith("loaded 1 entry (")
    assert first.out.endswith("1 read back as they were stored\n")
    assert again.out.splitlines()[1:] == ["1 skipped, being there and fresh"]


def test_wrong_lines_are_told_and_give_status_1(ctl: Run, home: Path, url: str) -> None:
    """With the numbers of the file, and where all of them are."""
    (home / "e.csv").write_text("namespace,id,value,ttl\nmetadata,k,v,soon\nmetadata,l,v,1m\n")

    done = ctl("keys", "warm", "e.csv", "--url", url, "--rejects", "r.jsonl")

    assert done.status == 1
    assert done.err.startswith("line 2: ttl: ")
    assert done.out.splitlines()[1:] == ["rejected 1 line"]
    assert (home / "r.jsonl").exists()


def test_standard_input_is_a_source(ctl: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of lines in the format that is said."""
    raw = io.BytesIO(b"id,value,namespace\nk,1,metadata\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=raw))

    done = ctl("keys", "warm", "-", "--url", url, "--format", "csv", "--json-values", "-o", "json")

    assert done.data["loaded"] == 1


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "nothing says what to load"),
        (("e", "--format", "xml"), "--format is json, csv or export, not 'xml'"),
        (("e", "--rate", "0"), "rate is above 0 entries a second"),
        (("e", "--rate", "nan"), "rate is above 0 entries a second"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(ctl: Run, words: tuple[str, ...], what: str) -> None:
    """Before any file or server is touched."""
    done = ctl("keys", "warm", *words)

    assert done.status == 2
    assert what in done.err
