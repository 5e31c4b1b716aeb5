"""A list of keys: right rows, safe to print, in constant memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import start_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, InvalidKeyError, UnreachableError, UsageError
from valkeyctl.ops.keyspace.inspection.bookmark import Bookmark, digest
from valkeyctl.ops.keyspace.inspection.listing import Filters, KeyPages, KeyRow, list_names
from valkeyctl.ops.keyspace.inspection.listing import list_keys as listed_pages
from valkeyctl.ops.keyspace.scope import Scope


def list_keys(
    endpoint: Endpoint,
    *,
    app: str | None = None,
    namespace: str | None = None,
    match: str | None = None,
    control: bool = False,
    **others: Any,
) -> Iterator[KeyRow]:
    """Return the rows, one by one."""
    glob = None if match is None else match.encode()
    filters = Filters(Scope(app, namespace, control), glob, **others)
    return chain.from_iterable(listed_pages(endpoint, filters))


def take_page(
    endpoint: Endpoint, limit: int, after: str | None = None, **filters: Any
) -> tuple[list[bytes], str | None]:
    """Return the keys of one page, and the way to the next."""
    pages = KeyPages(endpoint, Filters(**filters), limit=limit, after=after)
    keys = [row.key for page in pages for row in page]
    return keys, pages.next


def all_pages(endpoint: Endpoint, limit: int, **filters: Any) -> list[list[bytes]]:
    """Return the keys of all pages, one after another."""
    found, after = [], None
    while True:
        keys, after = take_page(endpoint, limit, after, **filters)
        found.append(keys)
        if after is None:
            return found


def test_a_row_says_type_ttl_and_memory(endpoint: Endpoint, wire: Wire) -> None:
    """Each key of the application comes with what the server knows about it."""
    wire.call("SET", "opencode:response:a", "v" * 1000, "PX", 60_000)
    wire.call("HSET", "opencode:session:b", "field", "v")

    rows = {row.display: row for row in list_keys(endpoint, app="opencode")}

    first, second = rows["opencode:response:a"], rows["opencode:session:b"]
    assert (first.app, first.namespace, first.type) == ("opencode", "response", "string")
    assert first.ttl_s == pytest.approx(60, abs=1)
    assert first.memory_bytes == wire.call("MEMORY", "USAGE", "opencode:response:a")
    assert (second.namespace, second.type, second.ttl_s) == ("session", "hash", None)


def test_keys_are_narrowed_by_app_namespace_and_glob(endpoint: Endpoint, wire: Wire) -> None:
    """Each filter narrows, all of them hold together, control keys stay hidden."""
    names = ["a:n:1", "a:n:2", "a:m:1", "b:n:1", "a:~version:n", "a:~tag:t", "loose", "a:n"]
    wire.pipeline(("SET", name, "v") for name in names)

    def listed(**filters: str | bool) -> list[str]:
        return sorted(row.display for row in list_keys(endpoint, **filters))  # type: ignore[arg-type]

    assert listed(app="a") == ["a:m:1", "a:n", "a:n:1", "a:n:2"]
    assert listed(app="a", namespace="n") == ["a:n:1", "a:n:2"]
    assert listed(namespace="n") == ["a:n:1", "a:n:2", "b:n:1"]
    assert listed(match="*:1") == ["a:m:1", "a:n:1", "b:n:1"]
    assert listed(app="a", namespace="n", match="*1") == ["a:n:1"]
    assert listed() == ["a:m:1", "a:n", "a:n:1", "a:n:2", "b:n:1", "loose"]
    assert listed(app="a", namespace="n", control=True) == ["a:n:1", "a:n:2", "a:~version:n"]
    assert listed(control=True) == sorted(names)


def test_a_hostile_key_cannot_reach_the_terminal(endpoint: Endpoint, wire: Wire) -> None:
    """Newlines, escapes and raw bytes are shown, not sent."""
    key = b"opencode:response:\x1b[2J\r\n\xff\x00" + "\u202e".encode()
    wire.call("SET", key, "v")

    (row,) = list_keys(endpoint, app="opencode", namespace="response")

    assert row.key == key
    assert row.display == r"opencode:response:\x1b[2J\x0d\x0a\xff\x00\xe2\x80\xae"


def test_rows_are_narrowed_by_type_life_and_size(endpoint: Endpoint, wire: Wire) -> None:
    """Each filter narrows, and all of them hold together."""
    wire.call("SET", "a:n:large", "v" * 10_000)
    wire.call("SET", "a:n:mortal", "v" * 10_000, "PX", 60_000)
    wire.call("HSET", "a:n:hash", "field", "v" * 10_000)
    wire.call("SET", "a:n:small", "v")

    def listed(**filters: Any) -> list[str]:
        return sorted(row.display for row in list_keys(endpoint, app="a", **filters))

    assert listed(type="HASH") == ["a:n:hash"]
    assert listed(type="zset") == []
    assert listed(without_expiry=True) == ["a:n:hash", "a:n:large", "a:n:small"]
    assert listed(least_bytes=10_000) == ["a:n:hash", "a:n:large", "a:n:mortal"]
    assert listed(type="string", without_expiry=True, least_bytes=10_000) == ["a:n:large"]


@pytest.mark.parametrize("limit", [1, 7, 100, 1999, 2000, 5000])
def test_pages_together_have_each_key_once(endpoint: Endpoint, wire: Wire, limit: int) -> None:
    """All but the last are full, and none follows that one."""
    size = 40 if limit < 10 else 2_000
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(size))

    pages = all_pages(endpoint, limit)

    keys = [key for page in pages for key in page]
    assert len(set(keys)) == len(keys) == size
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert 0 < len(pages[-1]) <= limit


def test_pages_are_of_what_the_filters_let_through(endpoint: Endpoint, wire: Wire) -> None:
    """However few those are among the others."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(5_000))
    wire.pipeline(("HSET", f"a:n:hash{number}", "f", "v") for number in range(25))

    pages = all_pages(endpoint, 10, type="hash")

    assert [len(page) for page in pages] == [10, 10, 5]
    assert len({key for page in pages for key in page}) == 25


def test_a_token_is_short_and_safe_in_a_shell(endpoint: Endpoint, wire: Wire) -> None:
    """Also where keys are no text."""
    wire.pipeline(("SET", b"a:n:\xff\n'$(x)%d" % number, "v") for number in range(2_000))

    keys, after = take_page(endpoint, 500)
    rest, none = take_page(endpoint, 2_000, after)

    assert after is not None
    assert none is None
    assert len(set(keys) | set(rest)) == 2_000
    assert after.replace("-", "").replace("_", "").isalnum()
    assert len(after) < 4_000


def test_a_page_goes_on_where_no_scripts_are_allowed(endpoint: Endpoint, wire: Wire) -> None:
    """By plain commands, to the same end."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(300))
    wire.call("ACL", "SETUSER", "plain", "reset", "on", ">pw", "~*", "+@all", "-@scripting")
    try:
        pages = all_pages(Endpoint(port=endpoint.port, username="plain", password="pw"), 70)
    finally:
        wire.call("ACL", "DELUSER", "plain")

    assert [len(page) for page in pages] == [70, 70, 70, 70, 20]
    assert len({key for page in pages for key in page}) == 300


def test_what_vanished_between_two_pages_is_left_out(endpoint: Endpoint, wire: Wire) -> None:
    """Even if it was found already."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(200))
    keys, after = take_page(endpoint, 50)
    wire.call("FLUSHALL")

    assert len(keys) == 50
    assert take_page(endpoint, 50, after) == ([], None)


def test_a_token_of_another_listing_is_refused(endpoint: Endpoint, wire: Wire) -> None:
    """Of other filters, of a server that was restarted, or of nobody."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(200))
    _, after = take_page(endpoint, 10)
    assert after is not None

    with pytest.raises(UsageError, match="other filters"):
        take_page(endpoint, 10, after, type="hash")
    restarted = Bookmark("other", digest([Filters()]), 0, 0).token()
    with pytest.raises(UsageError, match="a server was restarted or replaced since"):
        take_page(endpoint, 10, restarted)
    for nonsense in ("x", "", "é", after[:-8], Bookmark("", "", 0, -2).token(), "W10"):
        with pytest.raises(UsageError, match="no token that keys ls gave"):
            take_page(endpoint, 10, nonsense)


def test_a_wrong_limit_or_name_is_refused_at_once(endpoint: Endpoint) -> None:
    """Before any row is asked for."""
    with pytest.raises(UsageError, match="1 or more keys, not 0"):
        KeyPages(endpoint, Filters(), limit=0)
    with pytest.raises(InvalidKeyError):
        list_keys(endpoint, app="a", namespace="n*")


def test_keys_that_expire_in_mid_walk_are_left_out(endpoint: Endpoint, wire: Wire) -> None:
    """What has expired is no row; what lives on is there once."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(10_000))
    rows = list_keys(endpoint, app="a")

    first = next(rows)
    wire.pipeline(("PEXPIRE", f"a:n:{number}", 1) for number in range(10_000) if number % 2)
    rest = list(rows)

    keys = [row.key for row in (first, *rest)]
    assert len(set(keys)) == len(keys)
    assert {f"a:n:{number}".encode() for number in range(0, 10_000, 2)} <= set(keys)
    assert len(keys) < 6_000


def test_a_server_that_goes_away_is_one_sentence(tmp_path: Path) -> None:
    """Rows given until then stay right; then one typed failure."""
    process, endpoint = start_server(tmp_path)
    try:
        with Wire(endpoint) as wire:
            wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))
        rows = list_keys(endpoint, app="a")
        next(rows)

        process.kill()
        process.wait()

        with pytest.raises(UnreachableError, match=endpoint.address):
            list(rows)
    finally:
        process.kill()
        process.wait()


def test_a_refused_command_is_a_failure_not_a_short_list(endpoint: Endpoint, wire: Wire) -> None:
    """A user who may SCAN but not ask for memory gets told so."""
    wire.call("SET", "a:n:1", "v")
    wire.call("ACL", "SETUSER", "scanner", "reset", "on", ">pw", "~*", "+@all", "-memory|usage")
    try:
        scanner = Endpoint(port=endpoint.port, username="scanner", password="pw")
        with pytest.raises(AuthError, match="NOPERM"):
            list(list_keys(scanner))
    finally:
        wire.call("ACL", "DELUSER", "scanner")


def test_rows_are_fetched_as_they_are_read(endpoint: Endpoint, wire: Wire) -> None:
    """A reader who stops after ten rows has cost the server some steps, not a walk."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))
    wire.call("CONFIG", "RESETSTAT")
    rows = list_keys(endpoint, app="a")

    for _ in range(10):
        next(rows)

    calls = wire.info("commandstats")["cmdstat_scan"].partition(",")[0]
    assert int(calls.removeprefix("calls=")) <= 10  # a walk takes forty


@pytest.mark.slow
def test_a_list_of_any_length_takes_little_memory(endpoint: Endpoint, wire: Wire) -> None:
    """The rows of a hundred thousand keys pass through in a few megabytes."""
    wire.pipeline(("SET", f"opencode:response:{number:040}", "v") for number in range(100_000))
    tracemalloc.start()

    rows = sum(1 for _ in list_keys(endpoint, app="opencode"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert rows == 100_000
    assert peak < 20 * 2**20


@pytest.mark.parametrize(
    "scope", [Scope(), Scope("shop"), Scope("shop", "item"), Scope(control=True)]
)
def test_names_are_those_of_the_listed_keys(scope: Scope, endpoint: Endpoint, wire: Wire) -> None:
    """Of every scope, versions and leases left out, and hostile ones escaped."""
    for key in (
        "shop:item:1",
        "shop:~version:item",
        "other:item:1",
        b"a\nb:c:\xff",
        "~",
        "x~y:z:1",
    ):
        wire.call("SET", key, "v")

    names = [name for page in list_names(endpoint, scope) for name in page]

    rows = chain.from_iterable(listed_pages(endpoint, Filters(scope)))
    assert sorted(names) == sorted(row.display for row in rows)


def test_names_ask_for_nothing_but_the_keys(endpoint: Endpoint, wire: Wire) -> None:
    """A user who may only SCAN gets them."""
    wire.call("SET", "shop:item:1", "v")
    wire.call(
        *("ACL", "SETUSER", "lister", "reset", "on", ">pw", "~*"),
        *("-@all", "+ping", "+hello", "+dbsize", "+scan"),
    )
    lister = Endpoint(endpoint.host, endpoint.port, username="lister", password="pw")
    try:
        assert list(list_names(lister, Scope("shop"))) == [["shop:item:1"]]
    finally:
        wire.call("ACL", "DELUSER", "lister")


def test_a_user_without_info_gets_one_page(endpoint: Endpoint, wire: Wire) -> None:
    """And is told that there is more; a token would be of nobody knows which run."""
    wire.pipeline(("SET", f"shop:item:{number}", "v") for number in range(5))
    wire.call("ACL", "SETUSER", "reader", "reset", "on", ">pw", "~*", "+@all", "-info")
    reader = Endpoint(endpoint.host, endpoint.port, username="reader", password="pw")
    try:
        pages = KeyPages(reader, Filters(), limit=3)
        rows = list(chain.from_iterable(pages))

        assert (len(rows), pages.more, pages.next) == (3, True, None)
        with pytest.raises(AuthError):
            list(KeyPages(reader, Filters(), limit=3, after="any"))
    finally:
        wire.call("ACL", "DELUSER", "reader")
