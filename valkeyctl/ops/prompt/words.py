"""Lines that a person types, and answers, in the forms that valkey-cli has for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from valkeyctl.errors import UsageError

_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "b": b"\b", "a": b"\a"}
_SHOWN = {
    0x5C: "\\\\",
    0x22: '\\"',
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
    0x07: "\\a",
    0x08: "\\b",
}
# Answers that are no strings but a status; the connection does not tell the two apart.
_STATUS = (b"OK", b"QUEUED")
_STATUS_OF = {b"PING": (b"PONG",), b"RESET": (b"RESET",)}
_STATUS_COMMANDS = (b"TYPE", b"BGSAVE", b"BGREWRITEAOF", b"SAVE")


def split_line(line: str) -> list[bytes]:
    r"""Return the words of a line: blanks part them, quotes hold them together.

    In double quotes ``\n``, ``\"`` and ``\xff`` are what they are in valkey-cli, in
    single quotes only ``\'`` is special.

    Raises:
        UsageError: A quote is not closed, or something follows it directly.
    """
    words: list[bytes] = []
    at, end = 0, len(line)
    while True:
        while at < end and line[at].isspace():
            at += 1
        if at == end:
            return words
        word = bytearray()
        while at < end and not line[at].isspace():
            if line[at] in "\"'":
                at = _quoted(line, at, word)
                if at < end and not line[at].isspace():
                    raise UsageError("something follows a closing quote without a blank")
            else:
                word += line[at].encode("utf-8", "surrogateescape")
                at += 1
        words.append(bytes(word))


def _quoted(line: str, at: int, word: bytearray) -> int:
    """Append what stands in quotes to *word*; return the place after the closing one."""
    quote = line[at]
    at += 1
    while at < len(line):
        char = line[at]
        if char == quote:
            return at + 1
        following = line[at + 1 : at + 2]
        if char == "\\" and quote == '"' and following:
            code = line[at + 2 : at + 4]
            if following == "x" and len(code) == 2 and all(c in _HEX for c in code):
                word.append(int(code, 16))
                at += 4
            else:
                word += _ESCAPES.get(following, following.encode("utf-8", "surrogateescape"))
                at += 2
        elif char == "\\" and following == "'":
            word += b"'"
            at += 2
        else:
            word += char.encode("utf-8", "surrogateescape")
            at += 1
    raise UsageError("a quote is not closed")


_HEX = "0123456789abcdefABCDEF"


def show_reply(reply: object, command: Sequence[bytes], *, prefix: str = "") -> str:
    """Return an answer as valkey-cli shows it at a terminal.

    Args:
        reply: As `Wire.call` returns it.
        command: That was asked: by it a status such as PONG is told from a string.
        prefix: Blanks before the lines of a nested list.
    """
    name = command[0].upper() if command else b""
    if isinstance(reply, bytes):
        status = reply in _STATUS or reply in _STATUS_OF.get(name, ())
        if not prefix and (status or name in _STATUS_COMMANDS):
            return reply.decode("utf-8", "replace")
        return _quote(reply)
    if reply is None:
        return "(nil)"
    if isinstance(reply, bool):
        return "(true)" if reply else "(false)"
    if isinstance(reply, int):
        return f"(integer) {reply}"
    if isinstance(reply, float):
        return f"(double) {reply:g}"
    parts = _parts(reply)
    if not parts:
        return "(empty array)"
    width = len(str(len(parts)))
    lines = []
    for number, part in enumerate(parts, 1):
        head = f"{number:>{width}}) "
        inner = show_reply(part, command, prefix=prefix + " " * len(head))
        lines.append(f"{prefix if number > 1 else ''}{head}{inner}")
    return "\n".join(lines)


def raw_reply(reply: object) -> bytes:
    """Return an answer as valkey-cli prints it where no terminal reads."""
    if isinstance(reply, bytes):
        return reply
    if reply is None:
        return b""
    if isinstance(reply, (bool, int, float)):
        return str(int(reply) if isinstance(reply, bool) else reply).encode()
    return b"\n".join(raw_reply(part) for part in _parts(reply))


def _parts(reply: object) -> list[object]:
    """Return what a list holds; of a map names and values in turn."""
    if isinstance(reply, Mapping):
        return [word for pair in reply.items() for word in pair]
    return list(reply) if isinstance(reply, (list, tuple, set)) else [str(reply).encode()]


def _quote(text: bytes) -> str:
    shown = (
        _SHOWN.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}")
        for byte in text
    )
    return f'"{"".join(shown)}"'
