"""What a person types and reads at a prompt, as valkey-cli has it."""

from __future__ import annotations

import pytest

from valkeyctl.errors import UsageError
from valkeyctl.ops.prompt.words import raw_reply, show_reply, split_line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  \n", []),
        ("GET a", [b"GET", b"a"]),
        ('SET a "b c"', [b"SET", b"a", b"b c"]),
        (r'SET a "\x00\xff\n\"\q"', [b"SET", b"a", b'\x00\xff\n"q']),
        (r"SET a 'b \n \' c'", [b"SET", b"a", rb"b \n ' c"]),
        ('SET a ""', [b"SET", b"a", b""]),
        ("SET a é", [b"SET", b"a", "é".encode()]),
    ],
)
def test_a_line_is_split_as_valkey_cli_does(line: str, words: list[bytes]) -> None:
    """Quotes, escapes and any byte."""
    assert split_line(line) == words


@pytest.mark.parametrize("line", ['GET "a', "GET 'a", 'GET "a"b'])
def test_a_quote_that_is_not_closed_is_refused(line: str) -> None:
    """Nothing is sent that may not be meant."""
    with pytest.raises(UsageError, match="quote"):
        split_line(line)


@pytest.mark.parametrize(
    ("command", "reply", "shown", "raw"),
    [
        ("PING", b"PONG", "PONG", b"PONG"),
        ("SET a b", b"OK", "OK", b"OK"),
        ("GET a", b'\x00"\n', r'"\x00\"\n"', b'\x00"\n'),
        ("GET a", None, "(nil)", b""),
        ("INCR a", 3, "(integer) 3", b"3"),
        ("TYPE a", b"hash", "hash", b"hash"),
        ("LRANGE a 0 -1", [], "(empty array)", b""),
        ("LRANGE a 0 -1", [b"x", b"y"], '1) "x"\n2) "y"', b"x\ny"),
        ("EXEC", [b"z", [b"x", 1]], '1) "z"\n2) 1) "x"\n   2) (integer) 1', b"z\nx\n1"),
    ],
)
def test_a_reply_is_shown_as_valkey_cli_does(
    command: str, reply: object, shown: str, raw: bytes
) -> None:
    """For people at a terminal, and as it is for programs."""
    assert show_reply(reply, split_line(command)) == shown
    assert raw_reply(reply) == raw
