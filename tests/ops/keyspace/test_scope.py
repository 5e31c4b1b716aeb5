"""Whose a key is, by the key rules and for bytes that break them."""

from __future__ import annotations

import pytest

from valkeyctl.errors import InvalidKeyError
from valkeyctl.ops.keyspace.scope import Owner, Scope, owner_of


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        (b"opencode:metadata:gpt-x", Owner("opencode", "metadata")),
        (b"opencode:metadata:a:b:~c", Owner("opencode", "metadata")),
        (b"opencode:metadata:\xff\x00\n", Owner("opencode", "metadata")),
        (b"opencode:metadata:", Owner("opencode", "metadata")),
        (b"opencode:~version:metadata", Owner("opencode", "metadata", "version")),
        (b"opencode:~load:metadata:gpt-x", Owner("opencode", "metadata", "lease")),
        (b"opencode:~tag:models", Owner("opencode", "", "tag")),
        (b"opencode:~other:models", None),
        (b"opencode:metadata", None),
        (b"opencode:Metadata:x", None),
        (b"other", None),
        (b"", None),
        (b"::", None),
        (b"x" * 500 + b":metadata:x", None),
    ],
)
def test_the_owner_of_a_key(key: bytes, owner: Owner | None) -> None:
    """The words in front decide; what follows the namespace may be anything."""
    assert owner_of(key) == owner


@pytest.mark.parametrize(
    ("scope", "glob"),
    [
        (Scope(), None),
        (Scope(control=True), None),
        (Scope("opencode"), b"opencode:*"),
        (Scope("opencode", "metadata"), b"opencode:metadata:*"),
        (Scope("opencode", "metadata", control=True), b"opencode:*"),
        (Scope(namespace="metadata"), b"*:metadata:*"),
        (Scope(namespace="metadata", control=True), None),
    ],
)
def test_the_server_filters_by_no_more_than_the_scope(scope: Scope, glob: bytes | None) -> None:
    """The glob lets through all that the scope holds."""
    assert scope.glob == glob


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        (Scope(), {b"a:n:1", b"a:m:1", b"b:n:1", b"a:Bad", b"loose"}),
        (Scope("a"), {b"a:n:1", b"a:m:1", b"a:Bad"}),
        (Scope("a", "n"), {b"a:n:1"}),
        (Scope(namespace="n"), {b"a:n:1", b"b:n:1"}),
        (Scope("a", "n", control=True), {b"a:n:1", b"a:~version:n", b"a:~load:n:1"}),
    ],
)
def test_a_scope_holds_its_keys_alone(scope: Scope, held: set[bytes]) -> None:
    """Other applications, other namespaces and keys of nobody stay out."""
    keys = [b"a:n:1", b"a:m:1", b"b:n:1", b"a:~version:n", b"a:~version:m", b"a:Bad", b"loose"]
    keys += [b"a:~load:n:1", b"a:~load:m:1"]

    assert {key for key in keys if scope.holds(key, owner_of(key))} == held


@pytest.mark.parametrize(
    ("app", "namespace"),
    [("", None), ("*", None), ("a:b", None), ("a", "*"), ("a", ""), ("a", "~x")],
)
def test_names_that_no_key_can_have_are_refused(app: str, namespace: str | None) -> None:
    """A glob never gets in where a name belongs."""
    with pytest.raises(InvalidKeyError):
        Scope(app, namespace)
