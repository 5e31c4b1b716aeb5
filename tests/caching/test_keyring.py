"""The keys of encrypted entries: rotation, and no way for a key to be seen."""

from __future__ import annotations

import base64
import logging
import sys
import traceback

import pytest

from valkeyctl.caching.codec import UndecodableError, UnreadableError
from valkeyctl.caching.keyring import KeyRing, key_id_of
from valkeyctl.errors import MissingError, UsageError

OLD, NEW = bytes(range(32)), bytes(range(100, 132))
OLD_TEXT = base64.b64encode(OLD).decode()
NEW_TEXT = base64.urlsafe_b64encode(NEW).decode().rstrip("=")


def test_what_was_encrypted_opens_for_the_same_entry_only() -> None:
    """The associated data is part of the seal."""
    ring = KeyRing({1: OLD}, 1)

    sealed = ring.encrypt(b"value", b"entry")

    assert ring.decrypt(sealed, b"entry") == b"value"
    with pytest.raises(UndecodableError, match="not encrypted with key 1 for this entry"):
        ring.decrypt(sealed, b"another entry")


def test_a_key_is_rotated_without_losing_an_entry() -> None:
    """Known first, current next, alone at last; who lacks it counts a miss and drops nothing."""
    before = KeyRing({1: OLD}, 1)
    known = KeyRing({1: OLD, 2: NEW}, 1)
    current = KeyRing({1: OLD, 2: NEW}, 2)
    after = KeyRing({2: NEW}, 2)
    of_old, of_new = known.encrypt(b"old", b""), current.encrypt(b"new", b"")

    assert [ring.decrypt(of_old, b"") for ring in (before, known, current)] == [b"old"] * 3
    assert [ring.decrypt(of_new, b"") for ring in (known, current, after)] == [b"new"] * 3
    with pytest.raises(UnreadableError, match="key 2, which is not in"):
        before.decrypt(of_new, b"")
    with pytest.raises(UnreadableError, match="key 1, which is not in"):
        after.decrypt(of_old, b"")


def test_another_key_of_the_same_id_is_seen() -> None:
    """A wrong key opens nothing."""
    sealed = KeyRing({1: OLD}, 1).encrypt(b"value", b"")

    with pytest.raises(UndecodableError):
        KeyRing({1: NEW}, 1).decrypt(sealed, b"")


def test_every_changed_byte_is_seen() -> None:
    """Id, nonce, text and tag; an id that nobody has is for another reader."""
    ring = KeyRing({1: OLD}, 1)
    sealed = ring.encrypt(b"value", b"entry")

    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(UnreadableError if place < 4 else UndecodableError):
            ring.decrypt(changed, b"entry")
        with pytest.raises((UndecodableError, UnreadableError)):
            ring.decrypt(sealed[:place], b"entry")


def test_no_nonce_comes_twice() -> None:
    """Each entry has its own, or all of them could be read."""
    ring = KeyRing({1: OLD}, 1)

    assert len({ring.encrypt(b"", b"")[4:16] for _ in range(1000)}) == 1000


def test_the_id_of_a_key_is_read_without_it() -> None:
    """For people who look at an entry."""
    sealed = KeyRing({4_294_967_295: OLD}, 4_294_967_295).encrypt(b"", b"")

    assert key_id_of(sealed) == 4_294_967_295
    with pytest.raises(UndecodableError, match="31 bytes are too few"):
        key_id_of(sealed[:-1])


def test_the_environment_can_hold_a_ring() -> None:
    """The first key is current; both alphabets of base64, spaces around, padding or none."""
    ring = KeyRing.parse(f"2:{NEW_TEXT}, 1:{OLD_TEXT} \n")

    assert (ring.current, ring.ids) == (2, (1, 2))
    assert ring.decrypt(KeyRing({1: OLD}, 1).encrypt(b"value", b""), b"") == b"value"
    assert ring.decrypt(KeyRing({2: NEW}, 2).encrypt(b"value", b""), b"") == b"value"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "part 1 of the key ring is not id:base64"),
        (OLD_TEXT, "part 1 of the key ring is not id:base64"),
        (f"{OLD_TEXT}:1", "part 1 of the key ring is not id:base64"),
        (f"1:{OLD_TEXT},", "part 2 of the key ring is not id:base64"),
        (f"1:{OLD_TEXT},2:{NEW_TEXT}é", "part 2 of the key ring is not id:base64"),
        (f"1:{OLD_TEXT}!", "part 1 of the key ring is not id:base64"),
        (f"1:{OLD_TEXT[:-3]}", "part 1 of the key ring is not id:base64"),
        (f"-1:{OLD_TEXT}", "part 1 of the key ring is not id:base64"),
        (f"٣:{OLD_TEXT}", "part 1 of the key ring is not id:base64"),
        (f"1:{OLD_TEXT},01:{NEW_TEXT}", "two keys 1"),
        (f"1:{OLD_TEXT[:24]}", "key 1 has 18 bytes, not 32"),
        (f"4294967296:{OLD_TEXT}", "from 0 to 4294967295, not 4294967296"),
    ],
)
def test_what_is_no_ring_is_named_by_its_place_alone(text: str, message: str) -> None:
    """No message, and nothing in the chain of its causes, repeats a key."""
    with pytest.raises(UsageError, match=message) as caught:
        KeyRing.parse(text)

    said = "".join(traceback.format_exception(caught.value, chain=True))
    said = "".join(line for line in said.splitlines(True) if 'f"' not in line)
    assert OLD_TEXT[:8] not in said
    assert NEW_TEXT[:8] not in said


def test_a_ring_shows_ids_only(caplog: pytest.LogCaptureFixture) -> None:
    """In logs and in failures, whoever prints it."""
    ring = KeyRing({1: OLD, 2: NEW}, 2)

    logging.getLogger().warning("%r %s %s", ring, ring, vars(ring))

    assert repr(ring) == "KeyRing(ids=(1, 2), current=2)"
    assert repr(OLD)[2:20] not in caplog.text
    assert OLD_TEXT not in caplog.text


@pytest.mark.parametrize(
    ("keys", "current"), [({}, 1), ({1: OLD}, 2), ({1: OLD[:16]}, 1), ({-1: OLD}, -1)]
)
def test_a_ring_without_a_usable_key_is_refused(keys: dict[int, bytes], current: int) -> None:
    """Before it could encrypt anything."""
    with pytest.raises(UsageError):
        KeyRing(keys, current)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """When keys are given, not when the library is imported."""
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)

    with pytest.raises(MissingError, match="cryptography, which is not installed") as caught:
        KeyRing({1: OLD}, 1)

    assert caught.value.hint == "Install it: pip install 'valkeyctl[encryption]'"
