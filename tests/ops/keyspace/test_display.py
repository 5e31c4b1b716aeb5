"""Keys and values on a terminal: nothing passes that moves a cursor or hides a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.ops.keyspace.display import read_bytes, show_all, show_bytes, show_text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"opencode:response:gpt-x", "opencode:response:gpt-x"),
        ("größe:日本".encode(), "größe:日本"),
        (b"two\nlines\ttab", r"two\x0alines\x09tab"),
        (b"\x1b[2J\x07", r"\x1b[2J\x07"),
        (b"\xff\xfe\x00", r"\xff\xfe\x00"),
        ("\u202egnp".encode(), r"\xe2\x80\xaegnp"),  # a right-to-left override
        ("a\u200bb\u00a0c".encode(), r"a\xe2\x80\x8bb\xc2\xa0c"),  # invisible, not plain spaces
        (rb"back\slash \x41", r"back\\slash \\x41"),
        (b"", ""),
    ],
)
def test_a_key_is_one_printable_line(raw: bytes, shown: str) -> None:
    """Printable text stays, all else is escaped byte by byte."""
    assert show_bytes(raw) == shown


@given(
    st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))
)
def test_what_is_shown_can_be_typed_back(raw: bytes) -> None:
    """No two keys look the same, and a copied name names the same key."""
    shown = show_bytes(raw)

    assert read_bytes(shown) == raw
    assert shown.isprintable()


@pytest.mark.parametrize("typed", ["a\\", "\\q", "\\x4", "\\xzz"])
def test_a_backslash_that_escapes_nothing_stays(typed: str) -> None:
    """A name typed with an odd backslash is taken as it is."""
    assert read_bytes(typed) == typed.encode()


@given(st.text(max_size=60))
def test_a_preview_holds_no_control_character(text: str) -> None:
    """Only newlines and tabs are left of what is not printable."""
    assert all(character in "\n\t" or character.isprintable() for character in show_text(text))


def test_a_preview_keeps_its_lines() -> None:
    """Lines of a value stay lines; a terminal escape shows its code."""
    assert show_text("a\n\tb\x1b[31m\u202e") == "a\n\tb\\x1b[31m\\u202e"


@given(st.lists(st.binary(max_size=8) | st.sampled_from([b"a:b", b"", b"a\nb", b"a\\x"])))
def test_keys_are_shown_together_as_one_by_one(keys: list[bytes]) -> None:
    """Whatever one of them holds, none is taken for two."""
    assert show_all(keys) == [show_bytes(key) for key in keys]
