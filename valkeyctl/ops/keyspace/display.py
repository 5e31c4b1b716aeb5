"""Keys and values as text that is safe on a terminal, and back.

A key is bytes, and anybody may have written it: a newline would break a table into
two rows, an escape sequence would move the reader's cursor, a right-to-left override
would show another name than the one that is deleted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_ESCAPED = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(\\))")


def show_bytes(raw: bytes) -> str:
    r"""Return *raw* as one line of printable text, from which `read_bytes` gives it back.

    Printable Unicode stays; a backslash is doubled; every other byte becomes ``\xNN``:
    control and formatting characters, unassigned ones, spaces other than the plain one,
    and whatever is not UTF-8.
    """
    if raw.isascii():
        text = raw.decode()
        if text.isprintable() and "\\" not in text:
            return text
    # surrogateescape keeps each byte that is not UTF-8 as one character of its own.
    return "".join(map(_show_character, raw.decode("utf-8", "surrogateescape")))


def show_all(keys: Sequence[bytes]) -> list[str]:
    """Return each of *keys* as `show_bytes` does; plain ones are looked at together."""
    whole = b"\n".join(keys)
    if keys and whole.isascii() and b"\\" not in whole:
        shown = whole.decode().split("\n")
        if len(shown) == len(keys) and "".join(shown).isprintable():
            return shown
    return [show_bytes(key) for key in keys]


@lru_cache(maxsize=4096)
def _show_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def read_bytes(shown: str) -> bytes:
    """Return the bytes that `show_bytes` shows as *shown*; an odd backslash stays itself."""
    raw = shown.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda found: b"\\" if found[2] else bytes.fromhex(found[1].decode()), raw)


def show_text(text: str) -> str:
    r"""Return *text* with what no terminal should see escaped; newlines and tabs stay.

    For previews of values, which people read and nobody types back. Bytes that a
    "surrogateescape" decoding kept become ``\xNN``.
    """
    return "".join(
        character if character in "\n\t" or character.isprintable() else _code_point(character)
        for character in text
    )


def _code_point(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
