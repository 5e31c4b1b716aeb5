"""``keys ls`` as a script and as a person meet it."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.conftest import Run
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint


@pytest.fixture
def url(endpoint: Endpoint) -> str:
    """A server with 25 strings and a hash."""
    with Wire(endpoint) as wire:
        wire.pipeline(("SET", f"shop:item:{number}", "v" * 100) for number in range(25))
        wire.call("HSET", "shop:item:hash", "f", "v")
        wire.call("PEXPIRE", "shop:item:7", 60_000)
    return endpoint.url()


def test_pages_of_json_go_on_by_their_token(ctl: Run, url: str) -> None:
    """Until it is null; then there is no more."""
    keys: list[str] = []
    after: list[str] = []
    while True:
        data = ctl("--url", url, "keys", "ls", "-o", "json", "--limit", "10", *after).data
        assert isinstance(data["keys"], list)
        keys += [row["key"] for row in data["keys"]]
        assert data["truncated"] == (data["next"] is not None)
        if data["next"] is None:
            break
        after = ["--after", str(data["next"])]

    assert len(keys) == len(set(keys)) == 26


def test_a_person_is_given_the_command_that_goes_on(
    ctl: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, with the same filters and without a password."""
    words = ["--url", url.replace("//", "//u:hunter2@"), "keys", "ls", "shop:*", "--limit=20"]
    monkeypatch.setattr("sys.argv", ["valkeyctl", *words, "--after", "old"])

    done = ctl("--url", url, *words[2:])

    assert len(done.out.splitlines()) == 21
    hint = r"there are more: valkeyctl --url .* keys ls 'shop:\*' --limit=20 --after \S+\n"
    assert re.fullmatch(hint, done.err)
    assert "hunter2" not in done.err
    assert " old" not in done.err


def test_filters_narrow_the_rows(ctl: Run, url: str) -> None:
    """By type, life, size and namespace; a wrong size is wrong usage."""

    def listed(*options: str) -> list[str]:
        done = ctl("--url", url, "keys", "ls", "-o", "jsonl", *options)
        assert done.status == 0
        return [json.loads(line)["key"] for line in done.out.splitlines()]

    assert listed("--type", "hash") == ["shop:item:hash"]
    assert len(listed("--no-ttl")) == 25
    assert listed("--min-size", "1Mi") == []
    assert len(listed("--min-size", "100")) == 25
    assert listed("-n", "other") == []
    assert ctl("--url", url, "keys", "ls", "--min-size", "big").status == 2


def test_sorting_looks_at_all_and_goes_on_nowhere(ctl: Run, url: str) -> None:
    """So it takes no token."""
    done = ctl("--url", url, "keys", "ls", "--sort", "ttl_s", "--limit", "1", "-o", "name")

    assert done.out == "shop:item:7\n"
    refused = ctl("--url", url, "keys", "ls", "--sort", "key", "--after", "x", "-o", "json")
    assert (refused.status, refused.error["code"]) == (2, "usage")


def test_a_token_that_is_none_is_one_sentence(ctl: Run, url: str) -> None:
    """With the way out."""
    done = ctl("--url", url, "keys", "ls", "--after", "nonsense")

    assert done.status == 2
    assert "no token that keys ls gave" in done.err


def test_names_are_one_a_line(ctl: Run, url: str) -> None:
    """All of them, of one application, or of a pattern; filters and columns hold there, too."""

    def listed(*options: str) -> list[str]:
        return ctl("--url", url, "keys", "ls", "-o", "name", *options).out.splitlines()

    assert len(listed()) == len(listed("--app", "shop")) == 26
    assert sorted(listed("*:2?")) == [f"shop:item:{number}" for number in range(20, 25)]
    assert listed("--type", "hash") == ["shop:item:hash"]
    assert listed("--app", "other") == []
    assert ctl("--url", url, "keys", "ls", "-o", "name", "--fields", "nothing").status == 2


def test_a_size_is_given_as_it_is_printed(ctl: Run, url: str) -> None:
    """With the space that a table has in it."""
    done = ctl("--url", url, "keys", "ls", "--min-size", "0.1 KiB", "-o", "jsonl")

    assert len(done.out.splitlines()) == 25
