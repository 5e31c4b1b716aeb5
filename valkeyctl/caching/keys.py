"""The key scheme: ``{app}:{namespace}:{id}``, and the control keys beside it.

::

    opencode:metadata:gpt-x          an entry
    opencode:~version:metadata       the version that valid entries of the namespace carry
    opencode:~tag:models             the version that valid entries with the tag carry

``~`` cannot begin a namespace, so entries and control keys never collide. With more
than one shard, which is for Valkey Cluster, a hash tag keeps an entry and its version
key in one slot while the shards spread a namespace over the nodes::

    opencode:metadata:{metadata.17}:gpt-x
    opencode:~version:{metadata.17}
"""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Collection
from dataclasses import dataclass

from valkeyctl.errors import InvalidKeyError, UsageError

MAX_KEY_BYTES = 512
MAX_TAGS = 32
MAX_TAG_BYTES = 128  # its length is one byte of the stored envelope

_APP = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_NAMESPACE = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_SHARD = re.compile(r"\{(?P<namespace>[a-z0-9_-]+)\.(?P<shard>\d+)\}")
_VERSION = "~version"
_TAG = "~tag"


@dataclass(frozen=True)
class ParsedKey:
    """What a key of ours says.

    Attributes:
        app: The application it belongs to.
        namespace: Its namespace; empty for a tag's version key.
        id: What follows the namespace; of a control key the tag, or empty.
        control: Whether it holds a version instead of an entry.
    """

    app: str
    namespace: str
    id: str
    control: bool = False


class KeyScheme:
    """Builds the keys of one application.

    Args:
        app: Lower case letters, digits and inner hyphens, 1 to 40 characters.
        shards: Into how many hash slots a namespace is spread: 1 standalone, 64 on Cluster.

    Raises:
        InvalidKeyError: The application's name breaks the rule.
    """

    def __init__(self, app: str, *, shards: int = 1) -> None:
        if not _APP.fullmatch(app):
            raise InvalidKeyError(
                f"the application name {app!r} is not 1 to 40 of a-z, 0-9 and inner hyphens",
                hint="Give a name such as opencode or my-app-2",
            )
        if shards < 1:
            raise InvalidKeyError(f"a namespace has at least 1 shard, not {shards}")
        self.app = app
        self.shards = shards
        self.tag_prefix = f"{app}:{_TAG}:".encode()

    def entry(self, namespace: str, id: str) -> tuple[bytes, bytes]:  # noqa: A002
        """Return the key of an entry and the version key that it is checked against.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules, or both are too long.
        """
        shard = zlib.crc32(id.encode(errors="replace")) % self.shards if self.shards > 1 else 0
        prefix, version = self._prefix(namespace, shard)
        key = prefix + _checked(id, "id").encode()
        if len(key) > MAX_KEY_BYTES:
            raise InvalidKeyError(
                f"the key of {namespace!r} has {len(key)} bytes, which is over {MAX_KEY_BYTES}",
                hint="Use a digest of the long part as the id",
            )
        return key, version

    def versions(self, namespace: str) -> tuple[bytes, ...]:
        """Return the version keys of all shards of *namespace*.

        Raises:
            InvalidKeyError: The namespace breaks the rules.
        """
        return tuple(self._prefix(namespace, shard)[1] for shard in range(self.shards))

    def tag(self, tag: str) -> bytes:
        """Return the version key of *tag*.

        Raises:
            InvalidKeyError: It is empty, too long, or has whitespace or control characters.
        """
        return self.tag_prefix + self.tag_word(tag)

    def tag_word(self, tag: str) -> bytes:
        """Return *tag* as envelopes carry it.

        Raises:
            InvalidKeyError: As `tag`.
        """
        word = _checked(tag, "tag").encode()
        if len(word) > MAX_TAG_BYTES:
            raise InvalidKeyError(
                f"a tag of {len(word)} bytes is longer than {MAX_TAG_BYTES}",
                hint="Use a digest of the long part as the tag",
            )
        return word

    def tag_words(self, tags: Collection[str]) -> tuple[bytes, ...]:
        """Return *tags* as envelopes carry them, each once.

        Raises:
            InvalidKeyError: One breaks the rules, or there are more than 32.
            UsageError: It is one string, not a collection of them.
        """
        if not tags:
            return ()
        if isinstance(tags, str):
            raise UsageError(f"tags are a list of strings, not the string {tags!r}")
        words = tuple(dict.fromkeys(self.tag_word(tag) for tag in tags))
        if len(words) > MAX_TAGS:
            raise InvalidKeyError(f"{len(words)} tags are more than {MAX_TAGS}")
        return words

    # An instance lives as long as its service, and namespaces are few: the bound is
    # against a caller who makes them up.
    @functools.lru_cache(maxsize=4096)  # noqa: B019
    def _prefix(self, namespace: str, shard: int) -> tuple[bytes, bytes]:
        if not _NAMESPACE.fullmatch(namespace):
            raise InvalidKeyError(
                f"the namespace {namespace!r} is not a letter and up to 39 of a-z, 0-9, _ and -",
                hint="Give a name such as response or user_profile",
            )
        if self.shards == 1:
            return (
                f"{self.app}:{namespace}:".encode(),
                f"{self.app}:{_VERSION}:{namespace}".encode(),
            )
        group = f"{{{namespace}.{shard}}}"
        return (
            f"{self.app}:{namespace}:{group}:".encode(),
            f"{self.app}:{_VERSION}:{group}".encode(),
        )


def parse_key(key: bytes) -> ParsedKey | None:
    """Return what *key* says, or None when it is none of ours.

    An entry's shard group is no part of its id.
    """
    try:
        app, namespace, rest = key.decode().split(":", 2)
    except ValueError:  # too few parts, or not UTF-8
        return None
    if not _APP.fullmatch(app) or not rest:
        return None
    if namespace == _TAG:
        return ParsedKey(app, "", rest, control=True)
    if namespace == _VERSION:
        group = _SHARD.fullmatch(rest)
        owner = group["namespace"] if group else rest
        return ParsedKey(app, owner, "", control=True) if _NAMESPACE.fullmatch(owner) else None
    if not _NAMESPACE.fullmatch(namespace):
        return None
    group = _SHARD.match(rest)
    if group and group["namespace"] == namespace and rest[group.end() : group.end() + 1] == ":":
        rest = rest[group.end() + 1 :]
    return ParsedKey(app, namespace, rest) if rest else None


def _checked(text: str, what: str) -> str:
    # isprintable refuses control characters, lone surrogates and every space but " ".
    if not text or " " in text or not text.isprintable():
        shown = ascii(text[:60])
        raise InvalidKeyError(
            f"the {what} {shown} is empty, or has whitespace or control characters",
            hint=f"Use printable characters without spaces, or a digest, as the {what}",
        )
    return text
