"""``keys inspect``: what is named, and bytes on the right kind of output."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint


@pytest.fixture
async def url(client: ValkeyClient, endpoint: Endpoint) -> str:
    """A server with an entry, a string of controls and a text with an escape."""
    await CacheService(client, app="shop", budget=5.0).set("item", "k", {"price": 3}, ttl=300)
    with Wire(endpoint) as wire:
        wire.call("SET", "binary", b"\x00\x01")
        wire.call("SET", "escape", "a\x1b[2J")
        wire.call("SET", b"odd\n\xff", "v")
    return endpoint.url()


@pytest.mark.parametrize(
    "words",
    [
        ("shop:item:k",),
        ("item", "k", "--app", "shop"),
        ("--namespace", "item", "--id", "k", "--app", "shop"),
    ],
)
def test_an_entry_is_named_by_key_or_by_namespace_and_id(
    ctl: Run, url: str, words: tuple[str, ...]
) -> None:
    """Each is the same entry."""
    data = ctl("--url", url, "keys", "inspect", *words, "-o", "json").data

    assert (data["key"], data["namespace"]) == ("shop:item:k", "item")
    assert ctl("--url", url, "keys", "inspect", *words, "--raw").out == '{"price":3}'


def test_a_binary_key_is_named_as_it_is_shown(ctl: Run, url: str) -> None:
    """What ls prints can be pasted."""
    assert ctl("--url", url, "keys", "inspect", r"odd\x0a\xff", "--raw").out == "v"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--namespace", "item"),
        ("--id", "k"),
        ("shop:item:k", "--id", "k"),
        ("shop:item:k", "--force"),
        ("shop:item:k", "--raw", "-o", "json"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(ctl: Run, url: str, words: tuple[str, ...]) -> None:
    """One sentence, status 2."""
    assert ctl("--url", url, "keys", "inspect", *words).status == 2


def test_a_key_that_is_not_there_is_status_1(ctl: Run, url: str) -> None:
    """By all of its names, with --raw too."""
    for words in (("gone",), ("item", "gone", "--app", "shop"), ("gone", "--raw")):
        assert ctl("--url", url, "keys", "inspect", *words).status == 1


@pytest.mark.parametrize("key", ["binary", "escape"])
def test_a_terminal_gets_no_binary_unless_it_is_forced(
    ctl: Run, url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes can move its cursor or worse."""
    monkeypatch.setattr("valkeyctl.cli.keys.inspect._at_terminal", lambda: True)

    refused = ctl("--url", url, "keys", "inspect", key, "--raw")
    text = ctl("--url", url, "keys", "inspect", "shop:item:k", "--raw")
    forced = ctl("--url", url, "keys", "inspect", key, "--raw", "--force")

    assert (refused.status, refused.out) == (4, "")
    assert "--force" in refused.err
    assert (text.status, text.out) == (0, '{"price":3}')
    assert forced.status == 0
