"""The key scheme: ``{app}:{namespace}:{id}``, and the control keys beside it.

::

    opencode:metadata:gpt-x          an entry
    opencode:~version:metadata       the version that valid entries of the namespace carry
    opencode:~tag:models             the version that valid entries with the tag carry
    opencode:~load:metadata:gpt-x    the lease of whoever loads the entry's value now
    opencode:~hot:metadata           the ids of the namespace that are read most

``~`` cannot begin a namespace, so entries and control keys never collide.

On Valkey Cluster all that one operation touches must lie in one slot, and yet no
namespace on one node. So there are 64 shards, each a hash tag that all namespaces of
the application share; an entry's id chooses its shard, and each shard has versions of
its own::

    opencode:metadata:{opencode.49}:gpt-x
    opencode:~version:{opencode.49}:metadata
    opencode:~tag:{opencode.49}:models
    opencode:~load:metadata:{opencode.49}:gpt-x

Invalidating a namespace or a tag is then 64 deletes instead of one, whatever its size.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from valkeyctl.errors import InvalidKeyError, UsageError

MAX_KEY_BYTES = 512
MAX_TAGS = 32
MAX_TAG_BYTES = 128  # its length is one byte of the stored envelope
SHARDS = 64
"""Hash tags of an application on Cluster; part of the stored format, as every client must agree."""

Kind: TypeAlias = Literal["entry", "version", "tag", "lease", "hot"]

_APP = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_NAMESPACE = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_GROUP = re.compile(
    r"\{(?P<app>[a-z0-9-]+)\.(?P<shard>0|[1-9][0-9]?)\}:(?P<rest>.+)", re.ASCII | re.DOTALL
)
_VERSION = "~version"
_TAG = "~tag"
_LOAD = "~load"
_HOT = "~hot"
# Namespaces are few: the bound is against a caller who makes them up.
_NAMESPACES_KEPT = 4096


class Place(NamedTuple):
    """Where an entry lies, and what lies beside it in the same slot.

    Attributes:
        key: Of the entry.
        version: Key of the version of its namespace.
        tags: What the version keys of its tags begin with; the tag follows.
        lease: Key of the lease to load its value.
    """

    key: bytes
    version: bytes
    tags: bytes
    lease: bytes


@dataclass(frozen=True)
class ParsedKey:
    """What a key of ours says.

    Attributes:
        app: The application it belongs to.
        namespace: Its namespace; empty for a tag's version key.
        id: Of an entry, or of the entry that a lease is about; of a tag's version key the
            tag; else empty.
        kind: What it holds.
        shard: On Cluster the number of its shard, 0 to 63; None elsewhere.
    """

    app: str
    namespace: str
    id: str
    kind: Kind = "entry"
    shard: int | None = None

    @property
    def control(self) -> bool:
        """Whether it holds something about entries instead of one."""
        return self.kind != "entry"


class KeyScheme:
    """Builds the keys of one application.

    Args:
        app: Lower case letters, digits and inner hyphens, 1 to 40 characters.
        shards: 64 on Cluster, 1 everywhere else.

    Raises:
        InvalidKeyError: The application's name breaks the rule.
        UsageError: Another number of shards.

    Attributes:
        app: As given.
        shards: As given.
        tag_prefixes: What the version keys of tags begin with, by shard.
    """

    def __init__(self, app: str, *, shards: int = 1) -> None:
        if not isinstance(app, str) or not _APP.fullmatch(app):
            raise InvalidKeyError(
                f"the application name {app!r} is not 1 to 40 of a-z, 0-9 and inner hyphens",
                hint="Give a name such as opencode or my-app-2",
            )
        if shards not in (1, SHARDS):
            raise UsageError(f"keys have 1 or {SHARDS} shards, not {shards}")
        self.app = app
        self.shards = shards
        self._groups = [""] if shards == 1 else [f"{{{app}.{n}}}:" for n in range(shards)]
        self.tag_prefixes = tuple(f"{app}:{_TAG}:{group}".encode() for group in self._groups)
        # By namespace, then shard; the keys of such a place are prefixes still.
        self._known: dict[str, tuple[Place, ...]] = {}

    def place(self, namespace: str, id: str) -> Place:  # noqa: A002
        """Return the keys of an entry and of what lies beside it.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules, or both are too long.
        """
        # Every call of the library comes through here: no call is made that can be spared.
        try:
            spaces = self._known[namespace]
        except KeyError:
            spaces = self._learn(namespace)
        try:
            usable = id and " " not in id and id.isprintable()
        except (AttributeError, TypeError):  # a number, say; asking first would cost every call
            usable = False
        if not usable:
            raise _unusable(id, "id")
        word = id.encode()
        space = spaces[zlib.crc32(word) % SHARDS] if self.shards > 1 else spaces[0]
        key = space.key + word
        if len(key) > MAX_KEY_BYTES:
            raise InvalidKeyError(
                f"the key of {namespace!r} has {len(key)} bytes, which is over {MAX_KEY_BYTES}",
                hint="Use a digest of the long part as the id",
            )
        return Place(key, space.version, space.tags, space.lease + word)

    def versions(self, namespace: str) -> tuple[bytes, ...]:
        """Return the version keys of all shards of *namespace*.

        Raises:
            InvalidKeyError: The namespace breaks the rules.
        """
        return tuple(
            space.version for space in self._known.get(namespace) or self._learn(namespace)
        )

    def hottest(self, namespace: str) -> bytes:
        """Return the key of what is saved of the most read ids of *namespace*.

        Raises:
            InvalidKeyError: The namespace breaks the rules.
        """
        self.versions(namespace)
        return f"{self.app}:{_HOT}:{namespace}".encode()

    def tag_versions(self, tag: str) -> tuple[bytes, ...]:
        """Return the version keys of all shards of *tag*.

        Raises:
            InvalidKeyError: It is empty, too long, or has whitespace or control characters.
        """
        word = self.tag_word(tag)
        return tuple(prefix + word for prefix in self.tag_prefixes)

    def tag_word(self, tag: str) -> bytes:
        """Return *tag* as envelopes carry it.

        Raises:
            InvalidKeyError: As `tag_versions`.
        """
        if not isinstance(tag, str) or not tag or " " in tag or not tag.isprintable():
            raise _unusable(tag, "tag")
        word = tag.encode()
        if len(word) > MAX_TAG_BYTES:
            raise InvalidKeyError(
                f"a tag of {len(word)} bytes is longer than {MAX_TAG_BYTES}",
                hint="Use a digest of the long part as the tag",
            )
        return word

    def tag_words(self, tags: Collection[str]) -> tuple[bytes, ...]:
        """Return *tags* as envelopes carry them, each once, sorted.

        A set has another order in each process, and processes share a load only if their
        tags are the same.

        Raises:
            InvalidKeyError: One breaks the rules, or there are more than 32.
            UsageError: It is one string, not a collection of them.
        """
        if not tags:
            return ()
        if isinstance(tags, str):
            raise UsageError(f"tags are a list of strings, not the string {tags!r}")
        words = tuple(sorted({self.tag_word(tag) for tag in tags}))
        if len(words) > MAX_TAGS:
            raise InvalidKeyError(f"{len(words)} tags are more than {MAX_TAGS}")
        return words

    def _learn(self, namespace: str) -> tuple[Place, ...]:
        if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
            raise InvalidKeyError(
                f"the namespace {namespace!r} is not a letter and up to 39 of a-z, 0-9, _ and -",
                hint="Give a name such as response or user_profile",
            )
        if len(self._known) >= _NAMESPACES_KEPT:
            self._known.clear()
        app = self.app
        spaces = tuple(
            Place(
                f"{app}:{namespace}:{group}".encode(),
                f"{app}:{_VERSION}:{group}{namespace}".encode(),
                tags,
                f"{app}:{_LOAD}:{namespace}:{group}".encode(),
            )
            for group, tags in zip(self._groups, self.tag_prefixes, strict=True)
        )
        self._known[namespace] = spaces
        return spaces


def parse_key(key: bytes) -> ParsedKey | None:
    """Return what *key* says, or None when it is none of ours.

    An entry's shard group is no part of its id.
    """
    try:
        app, space, rest = key.decode().split(":", 2)
    except ValueError:  # too few parts, or not UTF-8
        return None
    if not _APP.fullmatch(app) or not rest:
        return None
    if space == _TAG:
        word, shard = _ungrouped(app, rest)
        return ParsedKey(app, "", word, "tag", shard)
    if space == _VERSION:
        namespace, shard = _ungrouped(app, rest)
        if not _NAMESPACE.fullmatch(namespace):
            return None
        return ParsedKey(app, namespace, "", "version", shard)
    if space == _HOT:
        return ParsedKey(app, rest, "", "hot") if _NAMESPACE.fullmatch(rest) else None
    kind: Kind = "entry"
    if space == _LOAD:
        kind = "lease"
        space, _, rest = rest.partition(":")
    if not rest or not _NAMESPACE.fullmatch(space):
        return None
    id, shard = _ungrouped(app, rest)  # noqa: A001
    if shard is not None and zlib.crc32(id.encode()) % SHARDS != shard:
        id, shard = rest, None  # noqa: A001 # an id that only looks like a group
    return ParsedKey(app, space, id, kind, shard)


def _ungrouped(app: str, rest: str) -> tuple[str, int | None]:
    """Return *rest* without the shard group that it may begin with, and the shard."""
    group = _GROUP.fullmatch(rest) if rest.startswith("{") else None
    if group is None or group["app"] != app or int(group["shard"]) >= SHARDS:
        return rest, None
    return group["rest"], int(group["shard"])


def _unusable(text: object, what: str) -> InvalidKeyError:
    if not isinstance(text, str):
        return InvalidKeyError(
            f"the {what} {ascii(text)[:60]} is no text but of the type {type(text).__name__}",
            hint="Use str() of a number",
        )
    # isprintable refuses control characters, lone surrogates and every space but " ".
    shown = ascii(text[:60])
    return InvalidKeyError(
        f"the {what} {shown} is empty, or has whitespace or control characters",
        hint=f"Use printable characters without spaces, or a digest, as the {what}",
    )


def distinct(ids: Iterable[str]) -> list[str]:
    """Return *ids*, each once.

    Raises:
        UsageError: It is one string, not a collection of them.
    """
    if isinstance(ids, (str, bytes)):
        raise UsageError(f"ids are a list of strings, not the string {ids!r}")
    return list(dict.fromkeys(ids))
