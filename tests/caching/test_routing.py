"""Which words of a command are keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from valkeyctl.caching.driver.errands import Planner
from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.caching.driver.routing import Routes, common_slot, slot_of
from valkeyctl.caching.driver.slots import newest, read_map
from valkeyctl.caching.replies import RichReply
from valkeyctl.errors import ServerReplyError, UnreachableError, UsageError


class Node:
    """Answers COMMAND INFO and COMMAND GETKEYS from a table, and counts."""

    def __init__(self, info: RichReply, keys: LinkOutcome = None) -> None:
        self._info = info
        self._keys = keys
        self.asked: list[Command] = []

    async def ask(self, words: Command) -> LinkOutcome:
        """Answer one command."""
        self.asked.append(words)
        return self._info if words[1] == "INFO" else self._keys


def info(name: bytes, first: int, last: int, step: int, *more: RichReply) -> list[RichReply]:
    """Return what COMMAND INFO says of one command."""
    return [name, -2, [b"write"], first, last, step, *more]


@pytest.mark.parametrize(
    ("facts", "words", "keys"),
    [
        (info(b"copy", 1, 2, 1), ("COPY", "a", "b", "REPLACE"), ["a", "b"]),
        (info(b"mset", 1, -1, 2), ("MSET", "a", 1, "b", 2), ["a", "b"]),
        (info(b"blpop", 1, -2, 1), ("blpop", "a", "b", 0), ["a", "b"]),
        (info(b"wait", 0, 0, 0), ("WAIT", 1, 0), []),
        (None, ("NONSENSE", "a"), []),
    ],
)
async def test_a_command_is_asked_about_once(
    facts: RichReply, words: Command, keys: list[str]
) -> None:
    """Its keys stand where the server says, whatever their number."""
    routes, node = Routes(), Node([facts])

    assert routes.keys(words) is None
    assert list(await routes.learn(words, node.ask)) == keys
    assert list(routes.keys(words) or []) == keys
    assert len(node.asked) == 1


async def test_a_command_with_subcommands_is_asked_about_once() -> None:
    """Each of them has its keys elsewhere."""
    parts: list[RichReply] = [info(b"object|encoding", 2, 2, 1), info(b"object|help", 0, 0, 0)]
    routes, node = Routes(), Node([info(b"object", 0, 0, 0, [], [], [], parts)])

    assert list(await routes.learn(("OBJECT", "ENCODING", "a"), node.ask)) == ["a"]
    assert list(routes.keys(("object", b"encoding", "b")) or []) == ["b"]
    assert list(routes.keys(("OBJECT", "HELP")) or []) == []
    assert len(node.asked) == 1


async def test_movable_keys_are_asked_for_each_time() -> None:
    """Nobody but the server knows the syntax of all of them."""
    facts: RichReply = [b"sort", -2, [b"movablekeys"], 1, 1, 1]
    routes, node = Routes(), Node([facts], [b"a", b"b"])

    for _ in range(2):
        assert await routes.learn(("SORT", "a", "STORE", "b"), node.ask) == [b"a", b"b"]

    assert [words[1] for words in node.asked] == ["INFO", "GETKEYS", "GETKEYS"]


async def test_no_keys_is_an_answer() -> None:
    """The server calls it an error."""
    refusal = ServerReplyError("The command has no key arguments", reply="ERR")
    routes, node = Routes(), Node([[b"sort", -2, [b"movablekeys"], 1, 1, 1]], refusal)

    assert list(await routes.learn(("SORT",), node.ask)) == []


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (("GET", "a"), ["a"]),
        (("get", "a"), ["a"]),
        ((b"GET", b"a"), [b"a"]),
        (("MGET", "a", "b"), ["a", "b"]),
        (("EVALSHA", "sha", 2, "a", "b", "c"), ["a", "b"]),
        (("EVAL", "script", "1", "a"), ["a"]),
        (("EVAL", "script", "many"), []),
        (("EVAL",), []),
        (("XREAD", "COUNT", 1, "streams", "a", "b", "0", "0"), ["a", "b"]),
        (("XREAD", "COUNT", 1), []),
        (("PING",), []),
        (("PUBLISH", "channel", "message"), ["channel"]),
    ],
)
def test_the_usual_commands_need_no_asking(words: Command, keys: list[str]) -> None:
    """They are known, in every spelling."""
    found = Routes().keys(words)

    assert found is not None
    assert list(found) == keys


@given(st.one_of(st.text(max_size=20), st.integers(), st.binary(max_size=20)))
def test_a_slot_is_that_of_the_bytes_that_travel(key: str | int | bytes) -> None:
    """Text as UTF-8, numbers in decimal."""
    try:
        raw = key if isinstance(key, bytes) else str(key).encode()
    except UnicodeEncodeError:
        return
    assert slot_of(key) == key_slot(raw)


def test_a_common_slot_is_refused_to_strangers() -> None:
    """Braces are the way to be no strangers."""
    assert common_slot([], "SINTER") is None
    assert common_slot(["{a}1", b"{a}2"], "SINTER") == slot_of("a")
    with pytest.raises(UsageError, match="SINTER names keys of several"):
        common_slot(["a", "b"], "SINTER")


async def test_a_transaction_without_its_end_is_refused() -> None:
    """The connection would stay in it."""
    with pytest.raises(UsageError, match="EXEC"):
        await Planner(Node(None).ask).plan([("MULTI",), ("GET", "a")], list)


def test_a_node_without_a_host_is_where_we_asked() -> None:
    """A node that was not told its address leaves it open."""
    slots: RichReply = [
        [0, 99, [b"", 7000, b"id", []]],
        [100, 199, [None, 7001, b"id"]],
        [200, 299, [b"?", 7002, b"id"]],
        [300, 399, [b"h", 7003, b"id"], [b"replica", 7004, b"id"]],
    ]

    read = read_map(slots, b"cluster_state:ok\r\ncluster_current_epoch:7\r\n", ("asked", 1))

    assert read.primaries == (("asked", 7000), ("asked", 7001), ("asked", 7002), ("h", 7003))
    assert (read.epoch, read.whole) == (7, True)


@pytest.mark.parametrize("slots", [None, [], b"x", [[1]], [[0, 1, []]]])
def test_a_map_of_nothing_is_none(slots: RichReply) -> None:
    """A node that was not yet introduced to the others knows no slot."""
    with pytest.raises(UnreachableError, match="a:1 knows no node"):
        read_map(slots, b"", ("a", 1))


def test_the_newest_map_of_a_node_in_touch_is_used() -> None:
    """One that was cut off serves its old slots for a while, and says so."""
    slots: RichReply = [[0, 99, [b"h", 1, b"id"]]]

    def described(state: str, epoch: int) -> bytes:
        return f"cluster_state:{state}\r\ncluster_current_epoch:{epoch}\r\n".encode()

    maps = [
        read_map(slots, described(state, epoch), (state, epoch))
        for state, epoch in (("ok", 1), ("fail", 9), ("ok", 2))
    ]

    assert newest(maps) is maps[2]
