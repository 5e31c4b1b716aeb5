"""``keys stats``, ``tree`` and ``top``: what a person and a program get to see."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from valkeyctl.caching.wire import Wire
from valkeyctl.cli.console import Console
from valkeyctl.cli.keys.columns import cells
from valkeyctl.cli.keys.tree import print_tree
from valkeyctl.cli.namespaces import Selected, recall
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.counting.census import Ci95
from valkeyctl.ops.keyspace.counting.tree import Branch, KeyspaceTree


@pytest.fixture
def url(endpoint: Endpoint) -> str:
    """A server with two namespaces and a stranger."""
    with Wire(endpoint) as wire:
        wire.pipeline(("SET", f"a:small:{n}", "v", "EX", 1000) for n in range(30))
        wire.pipeline(("SET", f"a:big:{n}", "v" * 1_000) for n in range(10))
        wire.call("SET", "loose", "v")
    return f"redis://127.0.0.1:{endpoint.port}/0"


def test_stats_fit_a_terminal(ctl: Run, url: str) -> None:
    """A line per namespace, the total, and the biggest keys."""
    done = ctl("keys", "stats", "--url", url, "--app", "a")

    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[:5]] == [
        "NAMESPACE",
        "big",
        "small",
        "(no",
        "total",
    ]
    assert "method: exact" in lines[5]
    assert "string  a:big:" in lines[8]


def test_stats_carry_all_of_it_for_programs(ctl: Run, url: str) -> None:
    """Under the names that scripts know, and with none of them changed."""
    data = ctl("keys", "stats", "--url", url, "--app", "a", "-o", "json").data

    assert (data["method"], data["asked"], data["app"], data["precise"]) == ("exact", 41, "a", True)
    namespaces = data["namespaces"]
    assert isinstance(namespaces, list)
    big, small = namespaces
    assert (big["name"], big["keys"], big["without_expiry"], big["ttl_s"]) == ("big", 10, 10, None)
    assert set(small["ttl_s"]) == {"min", "p50", "p90", "p99", "max"}
    assert set(small["size_bytes"]) == {"min", "p50", "p90", "p99", "max", "mean"}
    assert (small["types"], small["ci95"]) == ({"string": 30}, None)
    assert small["biggest"]["key"].startswith("a:small:")
    total = data["total"]
    assert isinstance(total, dict)
    assert total["keys"] == 41


def test_stats_are_sorted_cut_and_chosen(ctl: Run, url: str) -> None:
    """By the options that every listing takes."""
    call = ("keys", "stats", "--url", url, "--app", "a")

    data = ctl(*call, "-o", "json", "--sort", "-keys", "--limit", "1", "--fields", "name,keys").data
    table = ctl(*call, "--fields", "name,types,size_bytes,biggest").out
    names = ctl(*call, "-o", "name", "--sort", "name").out
    lines = ctl(*call, "-o", "jsonl", "--sort", "ttl_s").out

    assert data["namespaces"] == [{"name": "small", "keys": 30}]
    assert data["truncated"] is True
    assert "string=30" in table
    assert names.split() == ["big", "small"]
    assert [json.loads(line)["name"] for line in lines.splitlines()] == [
        "small",
        "big",
        "(no prefix)",
    ]
    assert ctl(*call, "--sort", "nothing").status == 2
    assert ctl(*call, "--fields", "nothing").status == 2
    assert ctl(*call, "--exact", "--sample").status == 2


def test_stats_are_compared_with_earlier_ones(
    ctl: Run, url: str, endpoint: Endpoint, home: Path
) -> None:
    """Against the file that -o json wrote."""
    call = ("keys", "stats", "--url", url, "--app", "a")
    (home / "then.json").write_text(ctl(*call, "-o", "json").out)
    with Wire(endpoint) as wire:
        wire.call("DEL", *(f"a:big:{n}" for n in range(10)))

    table = ctl(*call, "--against", "then.json")
    data = ctl(*call, "--against", "then.json", "-o", "json").data

    assert re.search(r"big +-10 +-\S+ KiB +0\.00x +gone", table.out)
    assert max(map(len, table.out.splitlines())) <= 80
    changes = data["changes"]
    assert isinstance(changes, list)
    assert {one["name"]: one["verdict"] for one in changes} == {
        "big": "gone",
        "small": "same",
        "(no prefix)": "same",
    }
    assert ctl(*call, "--against", "none.json").status == 5


def test_a_tree_is_drawn(ctl: Run, url: str) -> None:
    """With its lines, in 80 columns; nested for programs."""
    table = ctl("keys", "tree", "--url", url).out
    data = ctl("keys", "tree", "--url", url, "-o", "json").data
    names = ctl("keys", "tree", "a:", "--url", url, "-o", "name").out

    assert [line.split("  ")[0] for line in table.splitlines()[1:3]] == ["(all keys)", "└─ a:"]
    assert "   ├─ big:" in table
    assert "   └─ small:" in table
    assert max(map(len, table.splitlines())) <= 80
    root = data["root"]
    assert isinstance(root, dict)
    assert [branch["prefix"] for branch in root["branches"][0]["branches"]] == [
        "a:big:",
        "a:small:",
    ]
    assert names.split() == ["a:big:", "a:small:"]
    assert ctl("keys", "tree", "--url", url, "--app", "a").out.splitlines()[1].startswith("a: ")
    assert ctl("keys", "tree", "--url", url, "--depth", "0").status == 2
    assert ctl("keys", "tree", "--url", url, "--exact", "--sample").status == 2


def test_the_first_keys_are_listed_with_their_source(ctl: Run, url: str) -> None:
    """Which is said to people, and to programs."""
    table = ctl("keys", "top", "--url", url, "--limit", "3")
    data = ctl("keys", "top", "--url", url, "--by", "freq", "-o", "json").data

    assert [line.split()[-1][:6] for line in table.out.splitlines()] == ["KEY", *["a:big:"] * 3]
    assert "41 keys compared, by MEMORY USAGE" in table.err
    assert (data["by"], data["source"], data["asked"]) == ("freq", "idle", 41)
    keys = data["keys"]
    assert isinstance(keys, list)
    assert keys[0]["idle_s"] is not None
    assert ctl("keys", "top", "--url", url, "--by", "size").status == 2


def test_an_empty_server_is_one_line(ctl: Run, endpoint: Endpoint) -> None:
    """No heading without rows, and no count of nothing."""
    url = endpoint.url()

    assert ctl("keys", "stats", "--url", url).out == "no keys\n"
    assert ctl("keys", "stats", "--url", url, "--app", "a").out == "no keys of a\n"
    assert ctl("keys", "top", "--url", url).err == "no keys\n"


def test_a_server_that_counts_no_uses_is_told(ctl: Run, url: str) -> None:
    """For --by freq then goes by something else than was asked for."""
    told = ctl("keys", "top", "--url", url, "--by", "freq").err

    assert "no LFU" in told
    assert "no LFU" not in ctl("keys", "top", "--url", url, "--by", "idle").err


def test_a_whole_tree_feeds_the_completion(
    ctl: Run, url: str, endpoint: Endpoint, home: Path
) -> None:
    """A part of one does not take the rest away, and its words are no namespaces."""
    environ = {"VALKEYCTL_STATE_DIR": str(home.parent / "state")}
    with Wire(endpoint) as wire:
        wire.call("SET", "a:big:deep:1", "v")
    ctl("keys", "tree", "--url", url)
    ctl("keys", "tree", "a:", "--url", url)

    assert recall(Selected(url=url), environ) == ["big", "small"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_tree_is_as_wide_as_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In characters of two cells, and with the widths of a sample, too."""
    monkeypatch.setattr(Console, "width", width)
    half = Ci95((90, 110), (90_000, 110_000), (0, 9))
    leaf = Branch("日本語キャッシュキー日本語:", "x", 1_234_567, 99_000_000, 0.5, 3, half)
    root = Branch("", "", 9_999_999, 10**9, 1.0, 9_999_999, half, (leaf, leaf))
    out = StringIO()

    print_tree(Console(out), KeyspaceTree(root, ":", 3, "sample", 1000))

    lines = out.getvalue().splitlines()[:-1]
    assert {cells(line) for line in lines} == {cells(lines[0])}
    assert cells(lines[0]) <= width
    assert ("NO EXPIRY" in lines[0]) is (width > 60)
